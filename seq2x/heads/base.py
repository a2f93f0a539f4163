"""The contract of a head: Encoded in; a loss, scores or predictions out. Knows no encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from seq2x.batch import EXACT, Batch, Encoded, Loss, Multiples, Pool, Tokens


class Outputs(NamedTuple):
    """What a head chooses from."""

    size: int
    """Number of classes, of tags, or of target tokens."""
    tags: tuple[str, ...] = ()
    """The tags in order of their ids, where the head is a tagger."""
    scheme: str = "none"
    """Their scheme: decides which tag may follow which."""
    source: nn.Embedding | None = None
    """The encoder's embedding table, for three-way tied weights."""
    direction: int = 0
    """Width of each of the encoder's two directions; 0 = it has none."""
    causal: bool = False
    """Whether the encoder's states see nothing to the right."""
    silent: tuple[int, ...] = ()
    """Target tokens that are never put out, beside the special ones."""
    several: bool = False
    """Whether a text may have several of the classes, or none."""


class Head(nn.Module):
    """Base of every head. A head reads ``encoded.layers[self.layer]``."""

    unit: ClassVar[Literal["sequence", "word", "token"]]
    """What a prediction is about, and what ``Loss.count`` counts. ``Model`` hands word states to "word" heads."""
    layer: int = -1
    pool: Pool = "first"

    @abstractmethod
    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """Return every parameter with a part for each output, and the axes along which: what grows with the outputs."""

    def count(self, batch: Batch) -> int:
        """Return the units of a batch: what ``loss`` says too, but known before anything is computed."""
        if self.unit == "word":
            assert batch.spans is not None
            return int((batch.spans[..., 1] > batch.spans[..., 0]).sum())
        if self.unit == "token":
            assert isinstance(batch.target, Tokens)
            return int(batch.target.mask[:, 1:].sum())
        return batch.rows

    def multiples(self) -> Multiples:
        """Return what rows and tokens must be multiples of at prediction; see :data:`seq2x.batch.ROW_MULTIPLE`."""
        return EXACT

    @abstractmethod
    def loss(self, encoded: Encoded, target: Any) -> Loss:
        """Return the sum to minimise, and what it runs over."""

    @abstractmethod
    def scores(self, encoded: Encoded, target: Any) -> Tensor:
        """Return the log-probability of each unit of a given target: [B], [B, W] or [B, S]; 0 at padding."""

    @abstractmethod
    def predict(self, encoded: Encoded) -> list[Any]:
        """Return one prediction a row, ids only."""
