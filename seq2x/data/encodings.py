"""Encoded examples in flat arrays (4 bytes a token), cut into padded tensors without a loop over tokens.

Knows no text, no label and no file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2x.batch import PAD, Tokens
from seq2x.text.processor import Encoding

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class Ragged:
    """Rows of integers of unequal length, in one flat array. Rows can be added, not changed."""

    def __init__(self, rows: Iterable[Iterable[int]] = ()) -> None:
        self._flat, self._ends = array("i"), array("q", [0])
        for row in rows:
            self.add(row)

    def add(self, row: Iterable[int]) -> None:
        """Append a row."""
        self._flat.extend(row)
        self._ends.append(len(self._flat))

    @property
    def lengths(self) -> list[int]:
        """The length of each row."""
        lengths: list[int] = np.diff(_view(self._ends)).tolist()
        return lengths

    def places(self, rows: Integers, real: Booleans | Literal[True] = True) -> tuple[Integers, Booleans]:
        """Return where the items of ``rows`` [...] stand in the flat array, [..., T], and which are real, [..., T].

        Rows that are not ``real`` [...] have no items. A place that is not real is 0.
        """
        ends = _view(self._ends)
        starts = ends[rows]
        lengths = np.where(real, ends[rows + 1] - starts, 0)
        steps = np.arange(lengths.max(initial=0))
        mask = steps < lengths[..., None]
        return np.where(mask, starts[..., None] + steps, 0), mask

    def padded(self, rows: Integers, real: Booleans | Literal[True] = True) -> tuple[Tensor, Tensor]:
        """Return the items of ``rows`` [...] as a tensor [..., T] long, and its mask [..., T]."""
        places, mask = self.places(rows, real)
        items = _view(self._flat)[places] if places.size else places
        return torch.from_numpy(np.where(mask, items, PAD).astype(np.int64)), torch.from_numpy(mask)


class Encodings:
    """What a text processor made of the examples."""

    def __init__(self) -> None:
        self._ids = Ragged()
        self._spans = Ragged()  # start, end, start, end ... of the words of an example
        self._characters: Ragged | None = None  # a row for each token, in the order of all tokens
        self._shapes: Ragged | None = None

    def add(self, encoding: Encoding) -> None:
        """Append an example; the examples have characters all, or none, and so with shapes."""
        self._ids.add(encoding.ids)
        self._spans.add(chain.from_iterable(encoding.spans or ()))
        if encoding.characters is not None:
            self._characters = self._characters or Ragged()
            for token in encoding.characters:
                self._characters.add(token)
        if encoding.shapes is not None:
            self._shapes = self._shapes or Ragged()
            self._shapes.add(encoding.shapes)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each example."""
        return self._ids.lengths

    def tokens(self, rows: Integers) -> Tokens:
        """Return the tokens of examples ``rows`` [B]."""
        ids, mask = self._ids.padded(rows)
        shapes = None if self._shapes is None else self._shapes.padded(rows)[0]
        if self._characters is None:
            return Tokens(ids, mask, shapes=shapes)
        places, real = self._ids.places(rows)
        return Tokens(ids, mask, self._characters.padded(places, real)[0], shapes)

    def spans(self, rows: Integers) -> Tensor:
        """Return the range of tokens of each word, [B, W, 2]; an empty range is padding."""
        flat, _ = self._spans.padded(rows)
        return flat.view(len(rows), -1, 2)


def _view(values: array[int]) -> NDArray[Any]:
    """The array as numpy sees it, without a copy."""
    return np.frombuffer(values, dtype=values.typecode)
