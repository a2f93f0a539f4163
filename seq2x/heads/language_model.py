"""The language-model head: of each token the next one, and the one before it where the encoder reads both ways.

Knows no encoder and no text. A state may predict a token only if it has not seen it: so a state of the first recurrent
layer's forward direction predicts the token that follows, one of its backward direction the token before (Rei 2017);
of an encoder that sees nothing to the right, any layer predicts what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import Batch, Encoded, Loss, Tokens
from seq2x.config import Config
from seq2x.heads.base import Head, Outputs
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.linear import FewOutputs
from seq2x.nn.losses import vocabulary_loss

UNK = 1
"""The id of the unknown token (see seq2x.text.vocabulary, whose strings this room does not know)."""
CHUNK = 512
"""Rows of scores over the vocabulary that are in memory at a time at prediction; a multiple of seq2x.batch.ROW_MULTIPLE
and, so, without influence on any of them."""


class Prediction(NamedTuple):
    """The likeliest tokens around those of a row."""

    following: list[int]
    """What follows each token but the last."""
    previous: list[int]
    """What stands before each token but the first; none where the encoder reads in one direction alone."""


class LanguageModelHeadConfig(Config):
    """m = tanh(W h), then a softmax over the tokens (Rei 2017), weights apart for each direction."""

    kind: Literal["language_model"] = "language_model"
    width: int = Field(50, ge=1, description="units of the tanh layer between a state and the softmax")
    vocabulary: int | None = Field(
        None, ge=5, description="how many tokens are predicted, special symbols and then the most frequent, all others "
                                "as unknown (Rei 2017: 7500); left out: all")
    dropout: float = Field(0.0, ge=0, lt=1, description="one mask a sentence, on the states")
    layer: int = Field(
        -1, description="the layer that is read, of an encoder that sees nothing to the right; of others it is the "
                        "first recurrent one, whatever stands here")

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> LanguageModelHead:  # noqa: ARG002
        """``dims``: widths of the encoder's layers; ``outputs``: the source's tokens, and which way the encoder reads.

        ValueError for an encoder whose every state sees both sides.
        """
        return LanguageModelHead(self, dims, outputs)


class AuxiliaryConfig(LanguageModelHeadConfig):
    """One beside the head of a task, on the same sentences in the same pass (Rei 2017); of no use at prediction."""

    weight: float = Field(0.1, gt=0, description="gamma: of the mean loss of a prediction, for each direction")


class LanguageModelHead(Head):
    """Encoded tokens in, their neighbours out. Targets are the tokens that were encoded, end symbol included.

    Of T tokens the last T - 1 are predicted by what is before them and, with two directions, the first T - 1 by what
    follows: each prediction is one unit.
    """

    unit: ClassVar[Literal["token"]] = "token"

    def __init__(self, config: LanguageModelHeadConfig, dims: tuple[int, ...], outputs: Outputs) -> None:
        super().__init__()
        if not outputs.direction and not outputs.causal:
            raise ValueError("a language model needs an encoder with two recurrent directions, or one that sees "
                             "nothing to the right (encoder.kind = 'recurrent'); each state of this one has seen the "
                             "tokens that it would predict")
        self.layer = config.layer
        self.size = min(config.vocabulary or outputs.size, outputs.size)
        """How many tokens are predicted: those of the lowest ids."""
        self.directions = 2 if outputs.direction else 1
        width = outputs.direction or dims[config.layer]
        self.dropout = VariationalDropout(config.dropout)
        self.networks = nn.ModuleList(
            nn.Sequential(FewOutputs(width, config.width), nn.Tanh(), FewOutputs(config.width, self.size))
            for _ in range(self.directions))

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """A row of each last layer for each token."""
        return [(parameter, (0,)) for network in self._networks() for parameter in network[2].parameters()]

    def units(self, target: Tokens) -> int:
        """Return how many tokens are predicted, both directions together."""
        return int(target.mask[:, 1:].sum()) * self.directions

    def count(self, batch: Batch) -> int:
        """Return the predictions of a batch."""
        assert isinstance(batch.target, Tokens)
        return self.units(batch.target)

    def loss(self, encoded: Encoded, target: Tokens) -> Loss:
        """Cross-entropy, summed over the predictions of both directions."""
        real = target.mask[:, 1:]
        total: Tensor = encoded.summary.new_zeros(())
        for network, states, gold in self._sides(encoded, target):
            tanh, output = network[:2], cast(nn.Linear, network[2])
            total = total + vocabulary_loss(tanh(states[real]), output.weight, output.bias, gold[real])[0]
        return Loss(total, real.sum() * self.directions)

    def scores(self, encoded: Encoded, target: Tokens) -> Tensor:
        """Return the log-probability of each prediction, [B, T - 1, directions], 0 at padding.

        [:, t, 0] is that of token t + 1 by what is before it, [:, t, 1] that of token t by what follows.
        """
        found = [self._log_probs(network, states, gold) for network, states, gold in self._sides(encoded, target)]
        return torch.stack(found, dim=-1) * target.mask[:, 1:, None]

    def predict(self, encoded: Encoded) -> list[Prediction]:
        """Return the likeliest neighbours of each token."""
        found = []
        for network, states in self._states(encoded):
            parts = [network(part).argmax(1) for part in torch.split(states.flatten(0, 1), CHUNK)]
            found.append(torch.cat(parts).view(states.shape[:2]).tolist())
        lengths = (encoded.mask.sum(1) - 1).tolist()
        previous = found[1] if self.directions == 2 else [[] for _ in lengths]
        return [Prediction(after[:length], before[:length])
                for after, before, length in zip(found[0], previous, lengths, strict=True)]

    def _networks(self) -> list[nn.Sequential]:
        return [cast(nn.Sequential, network) for network in self.networks]

    def _states(self, encoded: Encoded) -> Iterator[tuple[nn.Sequential, Tensor]]:
        """Of each direction what predicts, and the states [B, T - 1, H] that it does so from."""
        states = encoded.directions if self.directions == 2 else encoded.layers[self.layer : self.layer + 1 or None]
        assert states is not None
        for network, each, rows in zip(self._networks(), states, (slice(None, -1), slice(1, None)), strict=False):
            yield network, self.dropout(each)[:, rows]

    def _sides(self, encoded: Encoded, target: Tokens) -> Iterator[tuple[nn.Sequential, Tensor, Tensor]]:
        """The same, and the tokens [B, T - 1] to be predicted."""
        ids = target.ids.where(target.ids < self.size, UNK)
        for (network, states), gold in zip(self._states(encoded), (ids[:, 1:], ids[:, :-1]), strict=False):
            yield network, states, gold

    def _log_probs(self, network: nn.Module, states: Tensor, gold: Tensor) -> Tensor:
        rows = zip(torch.split(states.flatten(0, 1), CHUNK), torch.split(gold.flatten(), CHUNK), strict=True)
        parts = [F.log_softmax(network(part).float(), dim=-1).gather(1, ids[:, None])[:, 0] for part, ids in rows]
        return torch.cat(parts).view(gold.shape)
