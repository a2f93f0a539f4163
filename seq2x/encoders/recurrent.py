"""A recurrent encoder: embeddings, then layers of LSTM, GRU or plain cells, in one or two directions.

Between the two there may be a convolution, pooled over time, so that the cells read fewer positions.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from seq2x.batch import EXACT, Encoded, Multiples, Tokens
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.nn.convolution import Windows, pool_over_time
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig
from seq2x.nn.recurrent import RecurrenceConfig, RecurrentLayers, last_states


class FrontConfig(Config):
    """Feature maps of windows of tokens (Kim 2014, equation 2), rectified, then the highest of each few neighbours.

    With ``pool`` above 1 only heads of whole texts can read the encoder.
    """

    maps: int = Field(32, ge=1, description="feature maps")
    window: int = Field(3, ge=1, description="window width in tokens")
    pool: int = Field(2, ge=1, description="neighbouring positions that become one, their highest values; 1 = no "
                                           "pooling")


class RecurrentEncoderConfig(RecurrenceConfig):
    """Bidirectional LSTM by default (Graves & Schmidhuber 2005)."""

    kind: Literal["recurrent"] = "recurrent"
    embedding: EmbeddingConfig = EmbeddingConfig()
    front: FrontConfig | None = Field(
        None, description="a convolution between the embeddings and the first recurrent layer, pooled over time")

    def build(self, size: int, characters: int | None) -> RecurrentEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return RecurrentEncoder(self, size, characters)


class RecurrentEncoder(Encoder):
    """``layers`` = embeddings, then the states of each recurrent layer; ``summary`` = its last states.

    Where there is a convolution, what it gives stands in the place of the embeddings. In one direction, from left to
    right, it goes on from ``tokens.before``.
    """

    def __init__(self, config: RecurrentEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        front = config.front
        self.front = None if front is None else Windows(self.embedding.width, front.maps, front.window)
        self.stride = 1 if front is None else front.pool
        width = self.embedding.width if front is None else front.maps
        self.stack = RecurrentLayers(config, width)
        self.dropout = VariationalDropout(config.dropout if config.output_dropout is None else config.output_dropout)
        self.dims = (width, *[self.stack.width] * config.layers)
        self.summary_width = self.stack.width
        # a window sees what follows
        self.causal = not config.bidirectional and not config.reversed and front is None
        self.direction_width = self.stack.width // 2 if config.bidirectional and front is None else 0

    def multiples(self) -> Multiples:
        """As few as its layers can bear; all else here goes by tokens, but for the convolution."""
        return self.stack.multiples() if self.front is None else EXACT

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        embedded, mask = self._read(tokens)
        before = tokens.before if self.causal else None
        outputs, after = self.stack.going_on(embedded, mask, before or ())
        layers = [self.dropout(torch.cat(directions, dim=-1)) * mask[..., None] for directions in outputs]
        both = (outputs[0][0], outputs[0][1]) if self.direction_width else None
        top = outputs[-1]
        summary = top[0][:, 0] if self.stack.reversed else last_states(top, mask)
        return Encoded((embedded, *layers), mask, summary, both, None if before is None else after)

    def _read(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """What the recurrent layers read, [B, T / stride, D], and its mask."""
        embedded: Tensor = self.embedding(tokens)
        if self.front is None:
            return embedded, tokens.mask
        maps = self.front(embedded, tokens.mask).relu() * tokens.mask[..., None]
        if self.stride == 1:
            return maps, tokens.mask
        return pool_over_time(maps, tokens.mask, self.stride, self.stride, exact=not self.training)
