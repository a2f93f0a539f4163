"""One shared encoder, named heads. Knows the contracts, no particular encoder, head or task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import nn

from seq2x.batch import Batch, Encoded, Loss
from seq2x.encoders.base import Encoder
from seq2x.heads.base import Head


class Model(nn.Module):
    """``encoder`` is stored once and shared by every head."""

    def __init__(self, encoder: Encoder, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(dict(heads))

    def head(self, task: str) -> Head:
        """Return the head of ``task``."""
        return cast(Head, self.heads[task])

    def encode(self, task: str, batch: Batch) -> Encoded:
        """Encode the source of ``batch``, over words where the head's unit is the word."""
        encoded: Encoded = self.encoder(batch.source)
        head = self.head(task)
        if head.unit == "word":
            if batch.spans is None:
                raise ValueError(f"the head {task!r} labels words: its batches need spans")
            encoded = encoded.at(batch.spans, head.pool)
        return encoded

    def forward(self, task: str, batch: Batch) -> Loss:
        """Return the loss of one batch of one task."""
        return self.head(task).loss(self.encode(task, batch), batch.target)

    def rate_factors(self) -> dict[str, float]:
        """Return the factors on the learning rate, by the name of the parameter; 1 where there is none."""
        return {f"encoder.{name}": factor for name, factor in self.encoder.rate_factors().items()}
