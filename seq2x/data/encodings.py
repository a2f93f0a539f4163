"""Encoded examples in flat arrays (4 bytes a token), cut into padded arrays without a loop over tokens.

Knows no text, no label, no tensor and no file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seq2x.text.processor import Encoding
from seq2x.text.vocabulary import PAD

Integers = NDArray[Any]
"""Of any integer type: as small as the numbers allow where they come from a file."""
Booleans = NDArray[np.bool_]


class Ragged:
    """Rows of integers of unequal length, in one flat array. Rows can be added, not changed."""

    def __init__(self, rows: Iterable[Iterable[int]] = ()) -> None:
        self._flat: array[int] | Integers = array("i")
        self._ends: array[int] | Integers = array("q", [0])
        for row in rows:
            self.add(row)

    @classmethod
    def of(cls, flat: Integers, ends: Integers) -> Ragged:
        """Take arrays as they are: the items of N rows, and N + 1 places where rows begin or end; it cannot grow."""
        self = cls()
        self._flat, self._ends = flat, ends
        return self

    def add(self, row: Iterable[int]) -> None:
        """Append a row."""
        assert isinstance(self._flat, array)
        assert isinstance(self._ends, array)
        self._flat.extend(row)
        self._ends.append(len(self._flat))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @property
    def flat(self) -> Integers:
        """The items of all rows."""
        return _view(self._flat)

    @property
    def ends(self) -> Integers:
        """Where the rows begin and end, [N + 1]."""
        return _view(self._ends)

    @property
    def lengths(self) -> list[int]:
        """The length of each row."""
        lengths: list[int] = np.diff(self.ends).tolist()
        return lengths

    def lengths_of(self, rows: Integers) -> Integers:
        """Return the lengths of some rows."""
        lengths: Integers = self.ends[rows + 1] - self.ends[rows]
        return lengths

    def row(self, number: int) -> Integers:
        """Return the items of one row."""
        items: Integers = self.flat[self.ends[number] : self.ends[number + 1]]
        return items

    def places(self, rows: Integers, real: Booleans | Literal[True] = True) -> tuple[Integers, Booleans]:
        """Return where the items of ``rows`` [...] stand in the flat array, [..., T], and which are real, [..., T].

        Rows that are not ``real`` [...] have no items. A place that is not real is 0.
        """
        ends = self.ends
        starts = ends[rows]
        lengths = np.where(real, ends[rows + 1] - starts, 0)
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[..., None]
        return np.where(mask, starts[..., None] + steps, 0), mask

    def padded(self, rows: Integers, real: Booleans | Literal[True] = True) -> tuple[Integers, Booleans]:
        """Return the items of ``rows`` [...] as int64 [..., T], and their mask [..., T]."""
        places, mask = self.places(rows, real)
        return self.at(places, mask), mask

    def at(self, places: Integers, mask: Booleans) -> Integers:
        """Return the items at ``places`` [...] of the flat array as int64; where ``mask`` [...] is False, padding."""
        items = self.flat[places] if places.size else places
        return np.where(mask, items, PAD).astype(np.int64, copy=False)


class Encodings:
    """What a text processor made of one side of the examples."""

    def __init__(self) -> None:
        self.ids = Ragged()
        self.spans = Ragged()
        """start, end, start, end ... of the words of an example."""
        self.characters: Ragged | None = None
        """A row for each token, in the order of all tokens."""
        self.shapes: Ragged | None = None

    def add(self, encoding: Encoding) -> None:
        """Append an example; the examples have characters all, or none, and so with shapes."""
        self.ids.add(encoding.ids)
        self.spans.add(chain.from_iterable(encoding.spans or ()))
        if encoding.characters is not None:
            self.characters = self.characters or Ragged()
            for token in encoding.characters:
                self.characters.add(token)
        if encoding.shapes is not None:
            self.shapes = self.shapes or Ragged()
            self.shapes.add(encoding.shapes)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each example."""
        return self.ids.lengths

    def tokens(self, rows: Integers) -> Padded:
        """Return the tokens of examples ``rows`` [B]."""
        return self.at(*self.ids.places(rows))

    def at(self, places: Integers, mask: Booleans) -> Padded:
        """Return the tokens at ``places`` [B, T] in the row of all tokens; where ``mask`` [B, T] is False, padding."""
        return Padded(self.ids.at(places, mask), mask,
                      None if self.characters is None else self.characters.padded(places, mask)[0],
                      None if self.shapes is None else self.shapes.at(places, mask))


class Padded(NamedTuple):
    """Tokens as :class:`seq2x.batch.Tokens` holds them, in arrays."""

    ids: Integers
    mask: Booleans
    characters: Integers | None
    shapes: Integers | None


def _view(values: array[int] | Integers) -> Integers:
    """The array as numpy sees it, without a copy."""
    if isinstance(values, np.ndarray):
        return values
    return np.frombuffer(values, dtype=values.typecode) if values else np.empty(0, dtype=values.typecode)
