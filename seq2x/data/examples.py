"""What a line of data is: a text with a label, words with tags, or a pair of sentences.

Knows no file format, no vocabulary and no tensor. Each example remembers where it was read, for later errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from seq2x.errors import DataError

Where = tuple[str, int]
"""The file and the line, counted from 1. Text that came from no file says so in the first part."""

NOWHERE: Where = ("given text", 1)


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its label, or labels where it may have several, even none; None where it is not known."""

    text: str
    label: str | tuple[str, ...] | None = None
    where: Where = NOWHERE

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, also where it has just one."""
        return self.label if isinstance(self.label, tuple) else () if self.label is None else (self.label,)

    @property
    def contents(self) -> tuple[Hashable, ...]:
        """What may not stand on both sides of a split."""
        return (self.text,)


@dataclass(frozen=True, slots=True)
class Tagged:
    """The words of a sentence and their tags, one a word; None where they are not known."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    where: Where = NOWHERE

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.words):
            raise DataError(f"found {len(self.words)} words and {len(self.tags)} tags, expected one tag a word",
                            *self.where)

    @property
    def contents(self) -> tuple[Hashable, ...]:
        """What may not stand on both sides of a split."""
        return (self.words,)


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence and its translation; None where it is not known."""

    source: str
    target: str | None = None
    where: Where = NOWHERE
    alignment: tuple[tuple[int, int], ...] | None = None
    """Words of both that translate each other (:mod:`seq2x.data.alignments`)."""

    @property
    def contents(self) -> tuple[Hashable, ...]:
        """What may not stand on both sides of a split: neither side of a pair."""
        source = ("source", self.source)
        return (source,) if self.target is None else (source, ("target", self.target))


Example = Text | Tagged | Pair

E = TypeVar("E", bound=Text | Tagged | Pair)


class Examples(list[E]):
    """A list of examples and a sentence about what was left out while reading; empty where nothing was."""

    def __init__(self, examples: Iterable[E], report: str = "") -> None:
        super().__init__(examples)
        self.report = report
