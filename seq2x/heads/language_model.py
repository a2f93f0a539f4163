"""The language-model head: of each token the next one, and the one before it where the encoder reads both ways.

Knows no encoder and no text. A state may predict a token only if it has not seen it: so a state of the first recurrent
layer's forward direction predicts the token that follows, one of its backward direction the token before (Rei 2017);
of an encoder that sees nothing to the right, any layer predicts what follows. Or tokens are hidden from the encoder,
any encoder, and predicted from all around them (masked prediction, Devlin et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import Batch, Encoded, Loss, Tokens
from seq2x.config import Config
from seq2x.heads.base import Head, Lesson, Outputs, Soft
from seq2x.nn.dropout import VariationalDropout, hide_each, hide_some
from seq2x.nn.linear import FewOutputs
from seq2x.nn.losses import cross_entropy, vocabulary_loss
from seq2x.nn.window import WindowAttention, WindowAttentionConfig

UNK = 1
"""The id of the unknown token (see seq2x.text.vocabulary, whose strings this room does not know)."""
CHUNK = 512
"""Rows of scores over the vocabulary that are in memory at a time at prediction; a multiple of seq2x.batch.ROW_MULTIPLE
and, so, without influence on any of them."""


class Prediction(NamedTuple):
    """The likeliest tokens around those of a row."""

    following: list[int]
    """What follows each token but the last; of masked prediction what stands at each token."""
    previous: list[int]
    """What stands before each token but the first; none where the encoder reads in one direction alone."""


class LanguageModelHeadConfig(Config):
    """m = tanh(W h), then a softmax over the tokens (Rei 2017), weights apart for each direction.

    With ``attention``, m is made of the states just before, too (Daniluk et al. 2017).
    """

    kind: Literal["language_model"] = "language_model"
    objective: Literal["neighbours", "masked"] = Field(
        "neighbours", description="neighbours: of each token the next one, and the one before; masked: tokens that are "
                                  "hidden from the encoder, which may be any (Devlin et al. 2019)")
    masked: float = Field(0.15, gt=0, lt=1, description="of the objective 'masked': the share of tokens to be guessed")
    attention: WindowAttentionConfig | None = Field(
        None, description="over the states just before: plain, key_value or key_value_predict (Daniluk et al. 2017)")
    width: int = Field(50, ge=1, description="units of the tanh layer between a state and the softmax")
    vocabulary: int | None = Field(
        None, ge=5, description="how many tokens are predicted, those of the lowest ids, all others as unknown (Rei "
                                "2017: 7500); left out: all. Of words and characters they are the special symbols and "
                                "then the most frequent; pieces of words have another order")
    dropout: float = Field(0.0, ge=0, lt=1, description="one mask a sentence, on the states")
    layer: int = Field(
        -1, description="the layer that is read, of an encoder that sees nothing to the right, or by the objective "
                        "'masked'; else it is the first recurrent one, and there is no choice")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.attention is not None and self.objective == "masked":
            raise ValueError("attention is over the states before one; objective = 'masked' sees both sides already")
        if self.masked != type(self).model_fields["masked"].default and self.objective != "masked":
            raise ValueError(f"masked = {self.masked:g} is of objective = 'masked'; found {self.objective!r}")
        return self

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> LanguageModelHead:  # noqa: ARG002
        """``dims``: widths of the encoder's layers; ``outputs``: the source's tokens, and which way the encoder reads.

        ValueError for an encoder whose every state sees both sides; of hidden tokens, for one whose states see one.
        """
        return LanguageModelHead(self, dims, outputs)


class AuxiliaryConfig(LanguageModelHeadConfig):
    """One beside the head of a task, on the same sentences in the same pass (Rei 2017); of no use at prediction."""

    weight: float = Field(0.1, gt=0, description="gamma: of the mean loss of a prediction, for each direction")
    objective: Literal["neighbours"] = "neighbours"
    """What a head beside it needs to see cannot be hidden."""


class LanguageModelHead(Head):
    """Encoded tokens in, their neighbours out. Targets are the tokens that were encoded, end symbol included.

    Of T tokens the last T - 1 are predicted by what is before them and, with two directions, the first T - 1 by what
    follows: each prediction is one unit. Targets may have one token more than were encoded, which is predicted too. Of
    the objective "masked", the target's mask says which tokens are predicted (see :meth:`prepare`), and each is a unit.
    """

    unit: ClassVar[Literal["token"]] = "token"

    def __init__(self, config: LanguageModelHeadConfig, dims: tuple[int, ...], outputs: Outputs) -> None:
        super().__init__()
        self.masked = config.masked if config.objective == "masked" else 0.0
        """The share of tokens that are hidden in training; 0 = none are, and neighbours are predicted."""
        if not self.masked and not outputs.direction and not outputs.causal:
            raise ValueError("a language model needs an encoder with two recurrent directions, or one that sees "
                             "nothing to the right (encoder.kind = 'recurrent', or 'transformer' with encoder.causal = "
                             "true); each state of this one has seen the tokens that it would predict. Or tokens are "
                             "hidden from it: objective = 'masked'")
        if self.masked and outputs.causal:
            raise ValueError("objective = 'masked' guesses a hidden token from both sides, and this encoder sees "
                             "nothing to the right; expected objective = 'neighbours', or one that sees both sides")
        if outputs.direction and not self.masked and config.layer != -1:
            raise ValueError(f"layer = {config.layer}: with two directions the first recurrent layer is read, as "
                             "higher ones have seen both sides; leave it out")
        self.layer = config.layer
        self.size = min(config.vocabulary or outputs.size, outputs.size)
        """How many tokens are predicted: those of the lowest ids."""
        self.directions = 2 if outputs.direction and not self.masked else 1
        width = dims[config.layer] if self.masked else outputs.direction or dims[config.layer]
        self.dropout = VariationalDropout(config.dropout)
        attention = config.attention
        self.networks = nn.ModuleList(
            nn.Sequential(*([FewOutputs(width, config.width), nn.Tanh()] if attention is None
                            else [attention.build(width, config.width)]), FewOutputs(config.width, self.size))
            for _ in range(self.directions))

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """A row of each last layer for each token."""
        return [(parameter, (0,)) for network in self._networks() for parameter in network[-1].parameters()]

    def prepare(self, batch: Batch) -> Batch:
        """Hide some tokens of the source, where that is the objective; the target's mask says which."""
        if not self.masked:
            return batch
        source, chosen = hide_some(batch.source, self.masked, self.size)
        return replace(batch, source=source, target=replace(batch.source, mask=chosen))

    def turns(self, source: Tokens) -> Iterator[tuple[Tokens, Tokens]]:
        """Yield what to encode, and the target, until each token but the end symbol was hidden once.

        The sum of their scores is a pseudo-log-likelihood (Salazar et al. 2020), some tokens at a time.
        """
        count = round(1 / self.masked) if self.masked else 0
        for turn in range(count):
            hidden, chosen = hide_each(source, turn, count)
            yield hidden, replace(source, mask=chosen)

    def units(self, target: Tokens) -> int:
        """Return how many tokens are predicted, both directions together."""
        return int(self._real(target).sum()) * self.directions

    def count(self, batch: Batch) -> int:
        """Return the predictions of a batch."""
        assert isinstance(batch.target, Tokens)
        return self.units(batch.target)

    def loss(self, encoded: Encoded, target: Tokens, lesson: Lesson | None = None) -> Loss:
        """Cross-entropy, summed over the predictions of both directions."""
        real, taught = self._real(target), iter(() if lesson is None else lesson.soft)
        total: Tensor = encoded.summary.new_zeros(())
        imitated: Tensor = encoded.summary.new_zeros(())
        for output, vectors, gold in self._sides(encoded, target):
            if lesson is None:
                total = total + vocabulary_loss(vectors[real], output.weight, output.bias, gold[real])[0]
                continue
            logits = output(vectors[real]).float()
            total = total + cross_entropy(logits, gold[real])[0]
            imitated = imitated + F.cross_entropy(logits / lesson.temperature, next(taught), reduction="sum")
        loss = Loss(total, real.sum() * self.directions)
        return loss if lesson is None else lesson.added_to(loss, imitated)

    def soft(self, encoded: Encoded, target: Tokens, temperature: float) -> Soft:
        """Return the probabilities of each prediction, [N, V], of each direction."""
        real = self._real(target)
        return tuple(F.softmax(output(vectors[real]).float() / temperature, dim=-1)
                     for output, vectors, _ in self._sides(encoded, target))

    def scores(self, encoded: Encoded, target: Tokens) -> Tensor:
        """Return the log-probability of each prediction, [B, T - 1, directions], 0 where nothing is predicted.

        [:, t, 0] is that of token t + 1 by what is before it, [:, t, 1] that of token t by what follows. Of masked
        tokens [B, T, 1], each at its place.
        """
        found = [self._log_probs(output, vectors, gold) for output, vectors, gold in self._sides(encoded, target)]
        return torch.stack(found, dim=-1) * self._real(target)[..., None]

    def predict(self, encoded: Encoded) -> list[Prediction]:
        """Return the likeliest neighbours of each token; or the likeliest token at each place."""
        found = []
        for output, vectors in self._vectors(encoded, encoded.mask.shape[1] - 1):
            parts = [output(part).argmax(1) for part in torch.split(vectors.flatten(0, 1), CHUNK)]
            found.append(torch.cat(parts).view(vectors.shape[:2]).tolist())
        lengths = (encoded.mask.sum(1) - (0 if self.masked else 1)).tolist()
        previous = found[1] if self.directions == 2 else [[] for _ in lengths]
        return [Prediction(after[:length], before[:length])
                for after, before, length in zip(found[0], previous, lengths, strict=True)]

    def _real(self, target: Tokens) -> Tensor:
        """Where something is predicted, in the order of the predictions."""
        return target.mask if self.masked else target.mask[:, 1:]

    def _networks(self) -> list[nn.Sequential]:
        return [cast(nn.Sequential, network) for network in self.networks]

    def _vectors(self, encoded: Encoded, count: int) -> Iterator[tuple[nn.Linear, Tensor]]:
        """Of each direction the last layer, and the ``count`` vectors [B, T - 1, width] that it predicts from.

        Of masked tokens they are all, [B, T, width].
        """
        states = encoded.directions if self.directions == 2 else encoded.layers[self.layer : self.layer + 1 or None]
        assert states is not None
        rows = (slice(None),) if self.masked else (slice(count), slice(1, None))
        for side, (network, each, kept) in enumerate(zip(self._networks(), states, rows, strict=False)):
            dropped = self.dropout(each)
            if isinstance(network[0], WindowAttention):
                vectors = network[0](dropped, encoded.mask, ahead=side == 1)[:, kept]
            else:
                vectors = network[:-1](dropped[:, kept])
            yield cast(nn.Linear, network[-1]), vectors

    def _sides(self, encoded: Encoded, target: Tokens) -> Iterator[tuple[nn.Linear, Tensor, Tensor]]:
        """The same, and the tokens [B, T - 1] to be predicted ([B, T])."""
        ids = target.ids.where(target.ids < self.size, UNK)
        golds = (ids,) if self.masked else (ids[:, 1:], ids[:, :-1])
        for (output, vectors), gold in zip(self._vectors(encoded, ids.shape[1] - 1), golds, strict=False):
            yield output, vectors, gold

    def _log_probs(self, output: nn.Linear, vectors: Tensor, gold: Tensor) -> Tensor:
        rows = zip(torch.split(vectors.flatten(0, 1), CHUNK), torch.split(gold.flatten(), CHUNK), strict=True)
        parts = [F.log_softmax(output(part).float(), dim=-1).gather(1, ids[:, None])[:, 0] for part, ids in rows]
        return torch.cat(parts).view(gold.shape)
