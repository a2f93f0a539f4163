"""The contract of a head: Encoded in; a loss, scores or predictions out. Knows no encoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from seq2x.batch import EXACT, Batch, Beside, Encoded, Loss, Multiples, Pool, Tokens


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


Soft = tuple[Tensor, ...]
"""What a head believes of a batch; the mean of those of several heads, part by part, is what they believe together."""


class Lesson(NamedTuple):
    """What a head shall learn from other models, its teachers, beside the target (Hinton et al. 2015).

    The loss is (1 - weight) * L + weight * T^2 * H, with H the cross-entropy of what the head believes at temperature T
    against ``soft``; but for a constant, H is the Kullback-Leibler divergence.
    """

    soft: Soft
    """What the teachers believe at that temperature, as :meth:`Head.soft` says it."""
    temperature: float
    weight: float

    def added_to(self, loss: Loss, cross_entropy: Tensor) -> Loss:
        """Return ``loss`` with H, a sum over the same units."""
        beside = Beside("distillation", self.weight * self.temperature**2, cross_entropy, loss.count)
        return loss._replace(total=(1 - self.weight) * loss.total, beside=(*loss.beside, beside))


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

    def prepare(self, batch: Batch) -> Batch:
        """Return what training shows of a batch; most heads: all of it."""
        return batch

    def multiples(self) -> Multiples:
        """Return what rows and tokens must be multiples of at prediction; see :data:`seq2x.batch.ROW_MULTIPLE`."""
        return EXACT

    @abstractmethod
    def loss(self, encoded: Encoded, target: Any, lesson: Lesson | None = None) -> Loss:
        """Return the sum to minimise, and what it runs over; with a ``lesson``, learn from that too."""

    @abstractmethod
    def soft(self, encoded: Encoded, target: Any, temperature: float) -> Soft:
        """Return what a student learns from this head: probabilities, all scores divided by ``temperature``."""

    @abstractmethod
    def scores(self, encoded: Encoded, target: Any) -> Tensor:
        """Return the log-probability of each unit of a given target: [B], [B, W] or [B, S]; 0 at padding."""

    @abstractmethod
    def predict(self, encoded: Encoded) -> list[Any]:
        """Return one prediction a row, ids only."""
