"""A convolution encoder: embeddings, then layers of feature maps of several window widths (Kim 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import Encoded, Tokens
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.nn.convolution import Windows
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig


class ConvolutionEncoderConfig(Config):
    """Kim's sentence classifier by default; more layers see further."""

    kind: Literal["convolution"] = "convolution"
    embedding: EmbeddingConfig = EmbeddingConfig()
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (3, 4, 5), min_length=1, description="window widths in tokens")
    maps: int = Field(100, ge=1, description="feature maps of each window width")
    layers: int = Field(1, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1, description="of whole feature maps, after every layer")

    def build(self, size: int, characters: int | None) -> ConvolutionEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return ConvolutionEncoder(self, size, characters)


class ConvolutionEncoder(Encoder):
    """``layers`` = embeddings, then the feature maps of each layer; ``summary`` = the highest of each top map.

    From the second on, a layer adds to what it read (He et al. 2016). A map is dropped for a whole sentence, which
    for the summary is dropout after max-over-time pooling, as in Kim 2014, section 2.1.
    """

    def __init__(self, config: ConvolutionEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        width = config.maps * len(config.windows)
        self.dims = (self.embedding.width, *[width] * config.layers)
        self.stack = nn.ModuleList(_Layer(inputs, config.maps, config.windows) for inputs in self.dims[:-1])
        self.dropout = VariationalDropout(config.dropout)
        self.summary_width = width

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        layers: list[Tensor] = [self.embedding(tokens)]
        real = tokens.mask[..., None]
        for layer in self.stack:
            states = self.dropout(layer(layers[-1], tokens.mask).relu() * real)
            layers.append(states if len(layers) == 1 else states + layers[-1])
        return Encoded(tuple(layers), tokens.mask, layers[-1].amax(1))  # no map is below 0, which padding is


class _Layer(nn.Module):
    """Feature maps of every window width, side by side: [B, T, D] -> [B, T, maps * widths]."""

    def __init__(self, inputs: int, maps: int, windows: Sequence[int]) -> None:
        super().__init__()
        self.windows = nn.ModuleList(Windows(inputs, maps, window) for window in windows)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([window(states, mask) for window in self.windows], dim=-1)
