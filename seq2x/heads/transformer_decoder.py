"""The Transformer decoder (Vaswani et al. 2017), norms first: a whole target in one pass, or a step on cached keys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from seq2x.batch import Encoded, Rows
from seq2x.config import Config
from seq2x.heads.decoder import Decoder
from seq2x.nn.dropout import Dropout
from seq2x.nn.transformer import Activation, DecoderLayer, Projected, sinusoids


class TransformerDecoderConfig(Config):
    """As wide as the target embeddings, which ``heads`` must divide; any encoder will do."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(256, ge=1, description="size of the target embeddings, and of every layer")
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int = Field(1024, ge=1, description="units of the inner layer")
    activation: Activation = "relu"
    dropout: float = Field(0.1, ge=0, lt=1, description="on attention weights, inner units and what each part adds")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self

    def build(self, memory: int, summary: int) -> TransformerDecoder:  # noqa: ARG002 - it starts from nothing
        """``memory`` is the width of the encoder's states, ``summary`` that of its summary."""
        return TransformerDecoder(self, memory)


@dataclass(frozen=True)
class TransformerMemory(Rows):
    """One row a sentence; never copied for beams."""

    layers: tuple[Projected, ...]
    """Keys and values of the source for each layer, [B, h, T, E / h], projected once."""
    mask: Tensor
    """[B, T] bool"""


@dataclass(frozen=True)
class TransformerState(Rows):
    """One row a hypothesis; all are equally long."""

    layers: tuple[Projected, ...]
    """Keys and values of the t tokens read so far for each layer, [N, h, t, E / h]."""

    @property
    def length(self) -> int:
        """The number t of tokens read so far, which is the position of the next one."""
        return self.layers[0][0].shape[2]


class TransformerDecoder(Decoder[TransformerMemory, TransformerState]):
    """Embedded tokens in, the normed states of the last layer out.

    Attention is the mean of the last layer's heads. The bits of a search step do not depend on the batch: all
    hypotheses of a search have t keys, so that a product over them is the same in every batch.
    """

    def __init__(self, config: TransformerDecoderConfig, memory: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.stack = nn.ModuleList(
            DecoderLayer(config.width, config.heads, config.feedforward, config.activation, config.dropout, memory)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def begin(self, encoded: Encoded, states: Tensor) -> tuple[TransformerMemory, TransformerState]:
        """Return the memory and first state of B sentences; ``states`` [B, T, D] is the layer attended to."""
        layers = []
        for layer in self._layers():
            keys, values = layer.cross.project(states)
            if not self.training:  # once, or every product of a search would copy them
                keys, values = keys.contiguous(), values.contiguous()
            layers.append((keys, values))
        nothing = layers[0][0][:, :, :0]
        return TransformerMemory(tuple(layers), encoded.mask), TransformerState(((nothing, nothing),) * len(layers))

    def advance(
        self, memory: TransformerMemory, state: TransformerState, embedded: Tensor
    ) -> tuple[Tensor, Tensor, TransformerState]:
        """``embedded`` [N, S, E] -> (vectors [N, S, E], attention [N, S, T], the state after S steps)."""
        rows, steps, width = embedded.shape
        order = torch.arange(state.length, state.length + steps, device=embedded.device)
        states = self.dropout(embedded * math.sqrt(width) + sinusoids(order, width))
        grown = []
        for layer, before, source in zip(self._layers(), state.layers, memory.layers, strict=True):
            states, weights, after = layer(states, before, source, memory.mask)
            grown.append(after)
        attention = weights.mean(1).view(rows, steps, -1)
        return self.norm(states), attention, TransformerState(tuple(grown))

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.stack))
