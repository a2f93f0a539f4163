"""A Transformer encoder: embeddings with positions, then layers of self-attention (Vaswani et al. 2017).

Or, as the decoder of a language model, one whose states see nothing to the right (Radford et al. 2018).
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from seq2x.batch import Encoded, Tokens
from seq2x.encoders.base import Encoder
from seq2x.errors import ConfigError, DataError
from seq2x.nn.dropout import Dropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig
from seq2x.nn.positions import Positions
from seq2x.nn.transformer import EncoderLayer, LayersConfig, norm


class TransformerEncoderConfig(LayersConfig):
    """As wide as its embeddings, which ``heads`` must divide."""

    kind: Literal["transformer"] = "transformer"
    embedding: EmbeddingConfig = EmbeddingConfig()
    layers: int = Field(4, ge=1)
    causal: bool = Field(
        False, description="each state sees itself and what is before it, as the next token's language model wants "
                           "(Radford et al. 2018); false: all of the text")

    @model_validator(mode="after")
    def _scaled_once(self) -> Self:
        if self.embedding.scale:
            raise ValueError("embedding.scale = true is for other encoders; a Transformer's embeddings are always "
                             "scaled")
        return self

    def build(self, size: int, characters: int | None) -> TransformerEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return TransformerEncoder(self, size, characters)


class TransformerEncoder(Encoder):
    """``layers`` = embeddings, then the states of each layer, the top ones normed; ``summary`` = their mean."""

    def __init__(self, config: TransformerEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        width = self.embedding.width
        if misfit := config.misfit(width):
            raise ConfigError(f"encoder.heads: {misfit} embeddings {width} wide "
                              f"({config.embedding.width} of tokens, the rest of characters)")
        self.positions = Positions(config.positions, width, config.max_length)
        self.stack = nn.ModuleList(EncoderLayer(width, config) for _ in range(config.layers))
        self.norm = norm(width, config) if config.norm_first else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.head_width = width // config.heads
        self.dims = (width,) * (config.layers + 1)
        self.summary_width = width
        self.causal = config.causal

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`. DataError beyond the last learned position."""
        most = self.positions.most
        if most is not None and (longest := int(tokens.lengths.max())) > most:  # padding may reach beyond
            raise DataError(f"a sentence of {longest} tokens; the learned positions end at {most} "
                            "(encoder.max_length; other positions have no end)")
        embedded = self.embedding(tokens)  # [B, T, D]
        order = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        states, turns = self.dropout(self.positions(embedded, order)), self.positions.turns(order, self.head_width)
        real, layers, visible = tokens.mask[..., None], [embedded], tokens.mask[:, None]  # [B, 1, T]
        if self.causal:
            visible = visible & (order <= order[:, None])  # [B, T, T]
        for layer in self.stack:
            states = layer(states, visible, turns)
            layers.append(states * real)
        layers[-1] = self.norm(states) * real
        return Encoded(tuple(layers), tokens.mask, layers[-1].sum(1) / tokens.lengths[:, None])
