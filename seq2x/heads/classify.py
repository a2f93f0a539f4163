"""The classification head: one vector a sentence, a softmax over labels. Knows no encoder, no label's name."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import Encoded, Loss
from seq2x.config import Config
from seq2x.heads.base import Head, Outputs
from seq2x.nn.attention import masked_softmax
from seq2x.nn.linear import FewOutputs
from seq2x.nn.losses import cross_entropy

Pooling = Literal["last", "max", "mean", "attention"]


class Prediction(NamedTuple):
    """What a sentence was classified as."""

    label: int
    probabilities: list[float]
    """One a label."""


class ClassifyHeadConfig(Config):
    """Pooling, an optional hidden layer, label smoothing."""

    kind: Literal["classify"] = "classify"
    pooling: Pooling = Field(
        "max", description="last: the encoder's own summary; max, mean, attention (Lin et al. 2017): over the states"
    )
    hidden: int = Field(0, ge=0, description="units of a layer before the softmax; 0 = none")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the sentence's vector and the hidden layer")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Szegedy et al. 2016")
    layer: int = Field(-1, description="the encoder layer that is pooled; last has none to choose")

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> ClassifyHead:
        """``dims``: widths of the encoder's layers; ``summary``: that of its summary; ``outputs.size`` labels."""
        return ClassifyHead(self, dims, summary, outputs)


class ClassifyHead(Head):
    """Encoded sentence in, one label out. Targets are labels [B] long."""

    unit: ClassVar[Literal["sequence"]] = "sequence"

    def __init__(self, config: ClassifyHeadConfig, dims: tuple[int, ...], summary: int, outputs: Outputs) -> None:
        super().__init__()
        self.layer, self.pooling, self.smoothing = config.layer, config.pooling, config.label_smoothing
        width = summary if config.pooling == "last" else dims[config.layer]
        self.attention: nn.Sequential | None = None
        if config.pooling == "attention":
            self.attention = nn.Sequential(FewOutputs(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))
        dropout = nn.Dropout(config.dropout)
        hidden = [FewOutputs(width, config.hidden), nn.ReLU(), dropout] if config.hidden else []
        self.output = nn.Sequential(dropout, *hidden, FewOutputs(config.hidden or width, outputs.size))

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """A row of the last layer for each label."""
        return [(parameter, (0,)) for parameter in self.output[-1].parameters()]

    def log_probs(self, encoded: Encoded) -> Tensor:
        """Return the log-probability of each label, [B, K]."""
        return F.log_softmax(self.output(self._pool(encoded)).float(), dim=-1)

    def loss(self, encoded: Encoded, target: Tensor) -> Loss:
        """Label-smoothed cross-entropy, summed over sentences."""
        total, likelihood = cross_entropy(self.output(self._pool(encoded)), target, self.smoothing)
        return Loss(total, torch.tensor(len(target), device=target.device), {"nll": likelihood.detach()})

    def scores(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Return the log-probability of each sentence's label, [B]."""
        return self.log_probs(encoded).gather(1, target[:, None])[:, 0]

    def predict(self, encoded: Encoded) -> list[Prediction]:
        """Return the likeliest label of each row."""
        probabilities = self.log_probs(encoded).exp()
        labels = probabilities.argmax(1).tolist()
        return [Prediction(*row) for row in zip(labels, probabilities.tolist(), strict=True)]

    def _pool(self, encoded: Encoded) -> Tensor:
        """One vector a sentence, [B, D]."""
        if self.pooling == "last":
            return encoded.summary
        states, real = encoded.layers[self.layer], encoded.mask[..., None]
        if self.pooling == "max":
            return states.masked_fill(~real, torch.finfo(states.dtype).min).amax(1)
        if self.attention is None:
            return (states * real).sum(1) / real.sum(1)
        weights = masked_softmax(self.attention(states)[..., 0], encoded.mask)  # [B, T]
        return (weights[..., None] * states).sum(1)
