"""Attention of decoder states over a memory of source states, with room for coverage in the score.

Knows no task. Keys are projected once a sentence. Coverage reaches every kind in the same way, as a term beside the
keys: e_tj = score(h_t, k_j + W3 c_tj), for additive attention Tu et al. 2016 and See et al. 2017 exactly,
v' tanh(W1 h_t + W2 s_j + W3 c_tj), and for the products h_t' (W s_j + W3 c_tj).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.config import Config
from seq2x.nn.linear import Linear, linear, product

SENTENCES = 8
"""How many of them additive attention scores at a time in a search; a multiple of 8 (see seq2x.batch.ROW_MULTIPLE)."""


class AdditiveAttentionConfig(Config):
    """v' tanh(W1 h_t + W2 s_j) (Bahdanau et al. 2015, appendix A.1.2)."""

    kind: Literal["additive"] = "additive"
    width: int = Field(256, ge=1)

    def build(self, query: int, memory: int, features: int) -> AdditiveAttention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        return AdditiveAttention(self.width, query, memory, features)


class MultiplicativeAttentionConfig(Config):
    """h_t' W s_j, "general" (Luong et al. 2015, equation 8); scaled by 1/sqrt(width of h) as Vaswani et al. 2017."""

    kind: Literal["multiplicative"] = "multiplicative"
    scaled: bool = True

    def build(self, query: int, memory: int, features: int) -> ProductAttention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        return ProductAttention(query, memory, features, scaled=self.scaled, projected=True)


class DotAttentionConfig(Config):
    """h_t' s_j (Luong et al. 2015, equation 8): needs a decoder as wide as the encoder's states."""

    kind: Literal["dot"] = "dot"
    scaled: bool = False

    def build(self, query: int, memory: int, features: int) -> ProductAttention:
        """``query`` and ``memory`` widths; ``features`` of coverage a source position, 0 = none."""
        if query != memory:
            raise ValueError(f"dot attention needs equal widths; the decoder has {query}, the encoder {memory}")
        return ProductAttention(query, memory, features, scaled=self.scaled, projected=False)


AttentionConfig = Annotated[
    AdditiveAttentionConfig | MultiplicativeAttentionConfig | DotAttentionConfig, Field(discriminator="kind")
]


class AdditiveAttention(nn.Module):
    """Scores by a small network."""

    def __init__(self, width: int, query: int, memory: int, features: int) -> None:
        super().__init__()
        self.query = Linear(query, width, bias=False)
        self.key = Linear(memory, width)
        self.feature = Linear(features, width, bias=False) if features else None
        self.score = Linear(width, 1, bias=False)

    def keys(self, states: Tensor) -> Tensor:
        """Project the memory once: [B, T, D] -> [B, T, A]."""
        projected: Tensor = self.key(states)
        return projected

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """``query`` [B, K, H], ``keys`` [B, T, A], ``mask`` [B, T], ``features`` [B, K, T, F] -> weights [B, K, T]."""
        asked, weight = self.query(query), None if self.feature is None else self.feature.weight
        if not torch.is_grad_enabled():
            return masked_softmax(self._search(asked, keys, features, weight), mask[:, None])
        sum_ = asked[:, :, None] + keys[:, None]  # [B, K, T, A]
        if weight is not None:
            assert features is not None
            sum_ = sum_ + linear(features, weight, None)
        return masked_softmax(self.score(sum_.tanh())[..., 0], mask[:, None])

    def _search(self, asked: Tensor, keys: Tensor, features: Tensor | None, weight: Tensor | None) -> Tensor:
        """The scores [B, K, T]. Of some sentences at a time: what is in between is the largest tensor of a search."""
        found = []
        for start in range(0, len(keys), SENTENCES):
            some = slice(start, start + SENTENCES)
            sum_ = asked[some, :, None] + keys[some, None]
            if weight is not None:
                assert features is not None
                for feature, column in zip(features[some].unbind(-1), weight.unbind(1), strict=True):
                    sum_.addcmul_(feature[..., None], column)
            # tanh x = 2 sigmoid 2x - 1, which torch computes in a fifth of the time, less than 2e-7 apart
            bent = sum_.mul_(2).sigmoid_().mul_(2).sub_(1)
            found.append(self.score(bent)[..., 0])
        return torch.cat(found)


class ProductAttention(nn.Module):
    """Scores by a product, with or without a matrix of its own."""

    def __init__(self, query: int, memory: int, features: int, *, scaled: bool, projected: bool) -> None:
        super().__init__()
        self.key = Linear(memory, query, bias=False) if projected else None
        self.feature = Linear(features, query, bias=False) if features else None
        self.scale = query**-0.5 if scaled else 1.0

    def keys(self, states: Tensor) -> Tensor:
        """Project the memory once: [B, T, D] -> [B, T, H]."""
        return states if self.key is None else self.key(states)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor, features: Tensor | None) -> Tensor:
        """``query`` [B, K, H], ``keys`` [B, T, H], ``mask`` [B, T], ``features`` [B, K, T, F] -> weights [B, K, T]."""
        scores = product(query, keys.transpose(1, 2), exact=not self.training)
        if self.feature is not None:
            assert features is not None
            # h' (W3 c_j) = (W3' h)' c_j: the features never grow to the width of the keys
            scores = scores + (features * (query @ self.feature.weight)[:, :, None]).sum(-1)
        return masked_softmax(scores * self.scale, mask[:, None])


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension, exactly 0 where ``mask`` is False; float32 inside under autocast."""
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)
