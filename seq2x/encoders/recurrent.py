"""A recurrent encoder: embeddings, then layers of LSTM, GRU or plain cells, in one or two directions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from seq2x.batch import Encoded, Multiples, Tokens
from seq2x.encoders.base import Encoder
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig
from seq2x.nn.recurrent import RecurrenceConfig, RecurrentLayers, last_states


class RecurrentEncoderConfig(RecurrenceConfig):
    """Bidirectional LSTM by default (Graves & Schmidhuber 2005)."""

    kind: Literal["recurrent"] = "recurrent"
    embedding: EmbeddingConfig = EmbeddingConfig()

    def build(self, size: int, characters: int | None) -> RecurrentEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return RecurrentEncoder(self, size, characters)


class RecurrentEncoder(Encoder):
    """``layers`` = embeddings, then the states of each recurrent layer; ``summary`` = its last states."""

    def __init__(self, config: RecurrentEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        self.stack = RecurrentLayers(config, self.embedding.width)
        self.dropout = VariationalDropout(config.dropout if config.output_dropout is None else config.output_dropout)
        self.dims = (self.embedding.width, *[self.stack.width] * config.layers)
        self.summary_width = self.stack.width
        self.causal = not config.bidirectional and not config.reversed
        self.direction_width = self.stack.width // 2 if config.bidirectional else 0

    @property
    def table(self) -> nn.Embedding:  # type: ignore[override]  # read from the embedding, not a second reference
        """The embedding table."""
        return self.embedding.table

    def multiples(self) -> Multiples:
        """As few as its layers can bear; all else here goes by tokens."""
        return self.stack.multiples()

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        embedded = self.embedding(tokens)
        outputs = self.stack(embedded, tokens.mask)
        real = tokens.mask[..., None]
        layers = [self.dropout(torch.cat(directions, dim=-1)) * real for directions in outputs]
        both = outputs[0] if len(outputs[0]) == 2 else None
        top = outputs[-1]
        summary = top[0][:, 0] if self.stack.reversed else last_states(top, tokens.mask)
        return Encoded((embedded, *layers), tokens.mask, summary, both)
