"""Attention of decoder states over a memory of source states, with room for coverage in the score.

Knows no task. Keys are projected once a sentence. Coverage reaches every kind in the same way, as a term beside the
keys: e_tj = score(h_t, k_j + W3 c_tj), for additive attention Tu et al. 2016 and See et al. 2017 exactly,
v' tanh(W1 h_t + W2 s_j + W3 c_tj), and for the products h_t' (W s_j + W3 c_tj).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import LENGTH_MULTIPLE
from seq2x.config import Config
from seq2x.nn.linear import Linear, few_outputs, linear, product

SENTENCES = 8
"""How many of them additive attention scores at a time in a search; a multiple of 8 (see seq2x.batch.ROW_MULTIPLE)."""


class AdditiveAttentionConfig(Config):
    """v' tanh(W1 h_t + W2 s_j) (Bahdanau et al. 2015, appendix A.1.2)."""

    kind: Literal["additive"] = "additive"
    width: int = Field(256, ge=1)

    def build(self, query: int, memory: int, features: int) -> Attention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        return AdditiveAttention(self.width, query, memory, features)


class MultiplicativeAttentionConfig(Config):
    """h_t' W s_j, "general" (Luong et al. 2015, equation 8), or (W1 h_t)' (W2 s_j) (Britz et al. 2017).

    Scaled by 1/sqrt(width of what is multiplied), as Vaswani et al. 2017, equation 1.
    """

    kind: Literal["multiplicative"] = "multiplicative"
    scaled: bool = True
    width: int = Field(0, ge=0, description="both sides are projected to this width; 0 = the source's to the decoder's")

    def build(self, query: int, memory: int, features: int) -> Attention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        return ProductAttention(query, memory, features, scaled=self.scaled, projected=True, width=self.width)


class DotAttentionConfig(Config):
    """h_t' s_j (Luong et al. 2015, equation 8): needs a decoder as wide as the encoder's states."""

    kind: Literal["dot"] = "dot"
    scaled: bool = False

    def build(self, query: int, memory: int, features: int) -> Attention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        if query != memory:
            raise ValueError(f"dot attention needs equal widths; the decoder has {query}, the encoder {memory}")
        return ProductAttention(query, memory, features, scaled=self.scaled, projected=False)


class LocationAttentionConfig(Config):
    """(W h_t)_j, of the decoder's state alone (Luong et al. 2015, section 3.1): W has a row for each position."""

    kind: Literal["location"] = "location"
    length: int = Field(1000, ge=1, description="source positions; the task's limit.max_tokens may not be greater")

    def build(self, query: int, memory: int, features: int) -> Attention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        return LocationAttention(self.length, query, memory, features)


class KeyValueAttentionConfig(Config):
    """Additive, each state in two halves (Daniluk et al. 2017): s_j = [key; value], h_t = [key; rest].

    The source's halves are its even and its odd units: of two directions, each half has both. The score compares keys,
    the values are summed, and a token is predicted from that sum and the rest of h_t.
    """

    kind: Literal["key_value"] = "key_value"
    width: int = Field(256, ge=1)

    def build(self, query: int, memory: int, features: int) -> Attention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        if memory % 2:
            raise ValueError(f"key_value attention needs states in two halves; the encoder's width is {memory}, "
                             "expected an even one")
        return KeyValueAttention(self.width, query, memory, features)


AttentionConfig = Annotated[
    AdditiveAttentionConfig | MultiplicativeAttentionConfig | DotAttentionConfig | LocationAttentionConfig
    | KeyValueAttentionConfig,
    Field(discriminator="kind"),
]


class Attention(nn.Module):
    """Base of every attention over B sentences, by K hypotheses each."""

    width: int
    """Of the values, and so of their weighted sum."""
    halves = False
    """Whether the states of both sides are a key and something else."""

    @abstractmethod
    def keys(self, states: Tensor) -> Tensor:
        """Project the memory once: [B, T, D] -> [B, T, A]."""

    def values(self, states: Tensor) -> Tensor:
        """What is summed: [B, T, D] -> [B, T, width]."""
        return states

    @abstractmethod
    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """``query`` [B, K, H], ``keys`` [B, T, A], ``mask`` [B, T], ``features`` [B, K, T, F] -> weights [B, K, T]."""


class AdditiveAttention(Attention):
    """Scores by a small network."""

    def __init__(self, width: int, query: int, memory: int, features: int) -> None:
        super().__init__()
        self.width = memory
        self.query = Linear(query, width, bias=False)
        self.key = Linear(memory, width)
        self.feature = Linear(features, width, bias=False) if features else None
        self.score = Linear(width, 1, bias=False)

    def keys(self, states: Tensor) -> Tensor:
        """See :class:`Attention`."""
        projected: Tensor = self.key(states)
        return projected

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """See :class:`Attention`."""
        asked, weight = self.query(query), None if self.feature is None else self.feature.weight
        if not torch.is_grad_enabled():
            return masked_softmax(self._search(asked, keys, features, weight), mask[:, None])
        sum_ = asked[:, :, None] + keys[:, None]  # [B, K, T, A], the largest tensor of a step: in place
        if weight is not None:
            assert features is not None
            _add(sum_, features, weight)
        return masked_softmax(self.score(sum_.tanh_())[..., 0], mask[:, None])

    def _search(self, asked: Tensor, keys: Tensor, features: Tensor | None, weight: Tensor | None) -> Tensor:
        """The scores [B, K, T]. Of some sentences at a time: what is in between is the largest tensor of a search."""
        found = []
        for start in range(0, len(keys), SENTENCES):
            some = slice(start, start + SENTENCES)
            sum_ = asked[some, :, None] + keys[some, None]
            if weight is not None:
                assert features is not None
                _add(sum_, features[some], weight)
            # tanh x = 2 sigmoid 2x - 1, which torch computes in a fifth of the time, less than 2e-7 apart
            bent = sum_.mul_(2).sigmoid_().mul_(2).sub_(1)
            found.append(self.score(bent)[..., 0])
        return torch.cat(found)


class KeyValueAttention(AdditiveAttention):
    """Scores of the even units of each state for the odd ones."""

    halves = True

    def __init__(self, width: int, query: int, memory: int, features: int) -> None:
        super().__init__(width, query // 2, memory // 2, features)

    def keys(self, states: Tensor) -> Tensor:
        """See :class:`Attention`."""
        return super().keys(states[..., ::2].contiguous())

    def values(self, states: Tensor) -> Tensor:
        """See :class:`Attention`."""
        return states[..., 1::2].contiguous()


class ProductAttention(Attention):
    """Scores by a product, with or without a matrix of its own."""

    def __init__(
        self, query: int, memory: int, features: int, *, scaled: bool, projected: bool, width: int = 0
    ) -> None:
        """``projected``: the keys are, to ``width``, and so is the query; 0 = they are to that of the query."""
        super().__init__()
        self.width = memory
        self.query = Linear(query, width, bias=False) if width else None
        self.key = Linear(memory, width or query, bias=False) if projected else None
        self.feature = Linear(features, width or query, bias=False) if features else None
        self.scale = (width or query) ** -0.5 if scaled else 1.0

    def keys(self, states: Tensor) -> Tensor:
        """See :class:`Attention`."""
        return states if self.key is None else self.key(states)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """See :class:`Attention`."""
        query = query if self.query is None else self.query(query)
        scores = product(query, keys.transpose(1, 2), exact=not self.training)
        if self.feature is not None:
            scores = scores + _of_features(query, self.feature.weight, features)
        return masked_softmax(scores * self.scale, mask[:, None])


class LocationAttention(Attention):
    """Scores of positions, whatever stands there."""

    def __init__(self, length: int, query: int, memory: int, features: int) -> None:
        super().__init__()
        self.width = memory
        self.score = Linear(query, length, bias=False)
        self.feature = Linear(features, query, bias=False) if features else None

    def keys(self, states: Tensor) -> Tensor:
        """See :class:`Attention`; a key has no numbers. ValueError for a source longer than the positions."""
        if states.shape[1] - self.score.out_features >= LENGTH_MULTIPLE:  # less may be padding
            raise ValueError(f"location attention has {self.score.out_features} positions, and the source "
                             f"{states.shape[1]}")
        return states[..., :0]

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """See :class:`Attention`."""
        scores = self.score(query)
        scores = F.pad(scores, (0, keys.shape[1] - scores.shape[-1]))  # cuts, too
        if self.feature is not None:
            scores = scores + _of_features(query, self.feature.weight, features)
        return masked_softmax(scores, mask[:, None])


def _of_features(query: Tensor, weight: Tensor, features: Tensor | None) -> Tensor:
    """h' (W3 c_j) = (W3' h)' c_j, so that the features never grow to the width H of ``query``: [B, K, T]."""
    assert features is not None
    return (features * few_outputs(query, weight.t())[:, :, None]).sum(-1)


def _add(sum_: Tensor, features: Tensor, weight: Tensor) -> None:
    """To ``sum_`` [B, K, T, A] the product of ``features`` [B, K, T, F] with ``weight`` [A, F]."""
    if torch.is_grad_enabled():
        sum_ += linear(features, weight, None)
    elif len(weight.t()) == 1:  # no second tensor of that size
        sum_.addcmul_(features, weight[:, 0])
    else:
        rows = features.reshape(-1, features.shape[-1]).to(sum_.dtype)
        sum_.view(len(rows), -1).addmm_(rows, weight.t().to(sum_.dtype))


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension, exactly 0 where ``mask`` is False; float32 inside under autocast."""
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)
