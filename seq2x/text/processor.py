"""What every text processor promises: text to token ids and back.

Knows no tensor and no task. A run has one processor for its source and, if it translates, one for its target.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Encoding(NamedTuple):
    """One sentence as numbers."""

    ids: list[int]
    """Token ids; the last is always EOS, so it is never empty."""
    spans: list[tuple[int, int]] | None = None
    """Of each word given to ``encode_words`` its range of tokens: start, end (exclusive), never empty, EOS outside."""
    characters: list[list[int]] | None = None
    """Of each token its character ids, where the processor reads characters; never empty (EOS has one UNK)."""
    shapes: list[int] | None = None
    """Of each token the number of its shape (:mod:`seq2x.text.shapes`), where the processor looks at shapes."""


class Processor(Protocol):
    """Text to ids and back. The same input gives the same ids, whatever was encoded before."""

    @property
    def size(self) -> int:
        """The number of token ids, specials included."""

    @property
    def character_size(self) -> int | None:
        """The number of character ids, or None where tokens come without characters."""

    @property
    def entries(self) -> Sequence[str]:
        """What each token id stands for, specials included."""

    @property
    def character_entries(self) -> Sequence[str] | None:
        """What each character id stands for, or None where tokens come without characters."""

    def encode(self, text: str, sample: int | None = None) -> Encoding:
        """Encode raw text. ``sample`` is the seed of BPE-dropout; None never drops; others than BPE ignore it."""

    def starts(self, text: str) -> list[int]:
        """Return where in ``text`` each token of ``encode(text)`` but the end symbol begins, in characters."""

    def encode_words(self, words: Sequence[str], sample: int | None = None) -> Encoding:
        """Encode a sentence given as words; each has its span, also one of which no token is left (it gets UNK)."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``; the four specials are dropped."""

    def save(self, directory: Path, name: str) -> None:
        """Write ``name``.model, ``name``.vocabulary.txt, ``name``.characters.txt, whichever it needs."""


def same_entries(one: Processor | None, other: Processor | None) -> bool:
    """Whether the ids of two processors stand for the same tokens and characters; None is the same as None."""
    if one is None or other is None:
        return one is other
    return (type(one) is type(other) and one.entries == other.entries
            and one.character_entries == other.character_entries)
