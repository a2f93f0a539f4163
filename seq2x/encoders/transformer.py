"""A Transformer encoder: embeddings with positions, then layers of self-attention (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import Encoded, Tokens
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.errors import ConfigError, DataError
from seq2x.nn.dropout import Dropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig
from seq2x.nn.transformer import Activation, EncoderLayer, sinusoids


class TransformerEncoderConfig(Config):
    """As wide as its embeddings, which ``heads`` must divide."""

    kind: Literal["transformer"] = "transformer"
    embedding: EmbeddingConfig = EmbeddingConfig()
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    feedforward: int = Field(1024, ge=1, description="units of the inner layer")
    activation: Activation = "relu"
    dropout: float = Field(0.1, ge=0, lt=1, description="on attention weights, inner units and what each part adds")
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    max_length: int = Field(1024, ge=1, description="tokens at most; for learned positions")

    def build(self, size: int, characters: int | None) -> TransformerEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return TransformerEncoder(self, size, characters)


class TransformerEncoder(Encoder):
    """``layers`` = embeddings, then the states of each layer, the top ones normed; ``summary`` = their mean."""

    def __init__(self, config: TransformerEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        width = self.embedding.width
        if width % config.heads:
            raise ConfigError(f"encoder.heads: {config.heads} heads do not divide embeddings {width} wide "
                              f"({config.embedding.width} of tokens, the rest of characters)")
        self.positions: nn.Embedding | None = None
        if config.positions == "learned":
            self.positions = nn.Embedding(config.max_length, width)
        self.stack = nn.ModuleList(
            EncoderLayer(width, config.heads, config.feedforward, config.activation, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        self.dims = (width,) * (config.layers + 1)
        self.summary_width = width

    @property
    def table(self) -> nn.Embedding:  # type: ignore[override]  # read from the embedding, not a second reference
        """The embedding table."""
        return self.embedding.table

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`. DataError beyond the last learned position."""
        embedded = self.embedding(tokens)  # [B, T, D]
        real = tokens.mask[..., None]
        states = self.dropout(embedded * math.sqrt(embedded.shape[2]) + self._positions(tokens))
        layers = [embedded]
        for layer in self.stack:
            states = layer(states, tokens.mask)
            layers.append(states * real)
        layers[-1] = self.norm(states) * real
        return Encoded(tuple(layers), tokens.mask, layers[-1].sum(1) / tokens.lengths[:, None])

    def _positions(self, tokens: Tokens) -> Tensor:
        """The vector of each position, [T, D]."""
        order = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        if self.positions is None:
            return sinusoids(order, self.embedding.width)
        maximum = self.positions.num_embeddings
        longest = int(tokens.lengths.max())  # padding may reach beyond
        if longest > maximum:
            raise DataError(f"a sentence of {longest} tokens; the learned positions end at {maximum} "
                            "(encoder.max_length; sinusoidal positions have no end)")
        learned: Tensor = self.positions(order.clamp(max=maximum - 1))
        return learned
