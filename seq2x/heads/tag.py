"""The tagging head: a CRF, or a softmax whose decoding obeys the scheme. Knows no encoder; sees words only."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import Encoded, Loss, Pool
from seq2x.config import Config
from seq2x.errors import DataError
from seq2x.heads.base import Head, Outputs
from seq2x.nn.crf import CRF, Legal, Rules
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.linear import FewOutputs
from seq2x.nn.losses import cross_entropy
from seq2x.text import tags as scheme


class Prediction(NamedTuple):
    """The tags of a sentence, legal in their scheme."""

    tags: list[int]
    confidence: list[float]
    """The probability of each tag, whatever the others are: the marginal of a CRF, else the softmax's."""


class TagHeadConfig(Config):
    """The decoder, and an optional hidden layer."""

    kind: Literal["tag"] = "tag"
    decoder: Literal["crf", "softmax"] = Field(
        "crf", description="crf: Lample et al. 2016; softmax: each tag by itself, then the best legal sequence"
    )
    hidden: int = Field(0, ge=0, description="units of a tanh layer before the scores of the tags; 0 = none")
    dropout: float = Field(0.0, ge=0, lt=1, description="one mask a sentence, on the states (and the hidden layer)")
    layer: int = Field(-1, description="the encoder layer that is read")
    pool: Pool = Field("first", description="the piece that stands for a word of several: first, last or their mean")

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> TagHead:  # noqa: ARG002 - the contract
        """``dims``: widths of the encoder's layers; ``outputs``: the tags and their scheme."""
        return TagHead(self, dims, outputs)


class TagHead(Head):
    """Encoded words in, one tag a word out. Targets are tags [B, W] long, any value at padding."""

    unit: ClassVar[Literal["word"]] = "word"

    def __init__(self, config: TagHeadConfig, dims: tuple[int, ...], outputs: Outputs) -> None:
        super().__init__()
        self.layer, self.pool = config.layer, config.pool
        width, dropout = dims[config.layer], VariationalDropout(config.dropout)
        hidden = [FewOutputs(width, config.hidden), nn.Tanh(), dropout] if config.hidden else []
        self.emissions = nn.Sequential(dropout, *hidden, FewOutputs(config.hidden or width, outputs.size))
        self.chain = CRF(_legal(outputs)) if config.decoder == "crf" else Rules(_legal(outputs))

    def loss(self, encoded: Encoded, target: Tensor) -> Loss:
        """Negative log-likelihood: a sum over sentences (CRF) or words (softmax), counted in words."""
        emissions, mask = self.emissions(encoded.layers[self.layer]), encoded.mask
        if isinstance(self.chain, CRF):
            total = -self.chain.log_likelihood(emissions, target, mask).sum()
        else:
            total, _ = cross_entropy(emissions[mask], target[mask])
        return Loss(total, mask.sum())

    def marginals(self, encoded: Encoded) -> Tensor:
        """Return the probability of each tag at each word, [B, W, K], 0 at padding."""
        return self._marginals(self.emissions(encoded.layers[self.layer]), encoded.mask)

    def scores(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Return the log-probability of each word's tag (of a CRF, its marginal), [B, W], 0 at padding."""
        target = target.masked_fill(~encoded.mask, 0)[..., None]
        return self.marginals(encoded).gather(2, target)[..., 0].masked_fill(~encoded.mask, 1.0).log()

    def predict(self, encoded: Encoded) -> list[Prediction]:
        """Return the best legal tags of each row."""
        emissions, mask = self.emissions(encoded.layers[self.layer]), encoded.mask
        crf = isinstance(self.chain, CRF)
        tags = self.chain.viterbi(emissions if crf else F.log_softmax(emissions.float(), dim=-1), mask)
        confidence = self._marginals(emissions, mask).gather(2, tags[..., None])[..., 0]
        rows = zip(mask.sum(1).tolist(), tags.tolist(), confidence.tolist(), strict=True)
        return [Prediction(best[:length], sure[:length]) for length, best, sure in rows]

    def _marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        if isinstance(self.chain, CRF):
            return self.chain.marginals(emissions, mask)
        return F.softmax(emissions.float(), dim=-1) * mask[..., None]


def _legal(outputs: Outputs) -> Legal:
    """Ask the scheme which tag may follow which; DataError where its rules leave sentences without any tags."""
    rules = scheme.legal(outputs.tags, cast(scheme.Scheme, outputs.scheme))
    legal = Legal(*(torch.tensor(part, dtype=torch.bool) for part in rules))
    if not (legal.start & legal.end & legal.transitions.diagonal()).any():
        raise DataError(f"the {outputs.scheme} tags {', '.join(outputs.tags)} cannot tag sentences of every length; "
                        "a tag that may stand at every word, such as O, is missing")
    return legal
