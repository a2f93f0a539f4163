"""The contract of an encoder: Tokens in, Encoded out. Knows no head."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from torch import nn

from seq2x.batch import EXACT, Encoded, Multiples, Tokens
from seq2x.nn.embeddings import Embedding


class Encoder(nn.Module):
    """Base of every encoder."""

    dims: tuple[int, ...]
    """Width of each of ``Encoded.layers``; ``dims[0]`` is that of the embeddings."""
    summary_width: int
    """Width of ``Encoded.summary``."""
    embedding: Embedding
    """What makes vectors of tokens, of an encoder that learns its own."""
    causal: bool = False
    """True where a state has seen no token to its right."""
    direction_width: int = 0
    """Width of each of ``Encoded.directions``; 0 = there are none."""
    stride: int = 1
    """Tokens from one position of ``Encoded`` to the next; above 1 all that is encoded has fewer positions, which only
    heads of whole texts can read, and ``dims[0]`` is the width of what stands in the place of the embeddings."""

    reach: int | None = None
    """Tokens that are read at once; None = any number."""

    @property
    def table(self) -> nn.Embedding:
        """The embedding table, for heads that tie their weights to it."""
        return self.embedding.table

    def vectors(self) -> tuple[nn.Module, int]:
        """Return the module that makes vectors of tokens, [B, N + T, D], and how many N it gives before theirs."""
        return self.embedding, 0

    @abstractmethod
    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch: every layer [B, T, D_l]; nothing at a real position depends on padding or other rows.

        An encoder that can go on from ``tokens.before``, where that is given, does so, and says what is ``after``.
        """

    def multiples(self) -> Multiples:
        """Return what rows and tokens must be multiples of at prediction; see :data:`seq2x.batch.ROW_MULTIPLE`."""
        return EXACT

    def rate_factors(self) -> dict[str, float]:
        """Return factors on the learning rate by the name of a parameter here, where they are not 1."""
        return {}

    def save(self, folder: Path) -> None:
        """Write what a run must keep in ``folder`` beside its settings and weights; most encoders: nothing."""
