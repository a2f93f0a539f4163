"""Which words of two sentences translate each other, as aligners write it: a line of pairs i-j a sentence pair.

Words are what blanks part, counted from 0 (the format of Pharaoh, fast_align, eflomal). Knows no vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2x.data.examples import Pair
from seq2x.data.files import lines
from seq2x.errors import DataError

_LINK = re.compile(r"(\d+)-(\d+)")
_BLANKS = re.compile(r"[ \t]+")


def words_of(text: str) -> tuple[str, ...]:
    """Return what blanks part."""
    return tuple(word for word in _BLANKS.split(text) if word)


def align(pairs: Iterable[Pair], path: str | Path) -> Iterator[Pair]:
    """Yield ``pairs`` with the alignments of a file, line by line; DataError where the two do not fit."""
    given = lines(path)
    for line, (pair, text) in enumerate(zip_longest(pairs, given), start=1):
        if pair is None or text is None:
            longer = line + sum(1 for _ in (given if pair is None else pairs))
            counts = (line - 1, longer) if pair is None else (longer, line - 1)
            raise DataError(f"found {counts[1]:,} lines for {counts[0]:,} pairs of sentences; expected as many", path)
        yield replace(pair, alignment=_links(text, pair, path, line))


def _links(text: str, pair: Pair, path: str | Path, line: int) -> tuple[tuple[int, int], ...]:
    found = []
    sides = (("source", len(words_of(pair.source))), ("target", len(words_of(pair.target or ""))))
    for link in words_of(text):
        match = _LINK.fullmatch(link)
        if match is None:
            raise DataError(f"found {link!r}; expected pairs i-j of a source word and a target word, counted from 0",
                            path, line)
        places = int(match[1]), int(match[2])
        for place, (side, count) in zip(places, sides, strict=True):
            if place >= count:
                raise DataError(f"{link} names {side} word {place}, and the {side} has {count:,}, counted from 0 and "
                                "parted by blanks", path, line)
        found.append(places)
    return tuple(found)


def matrix(
    links: Sequence[NDArray[Any]], spans: Sequence[tuple[NDArray[Any], NDArray[Any]]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which tokens translate each other, [B, S, T] of ``shape`` (S, T).

    Of each row: ``links`` i, j, i, j ... of words, and the ``spans`` of the source's and the target's words in tokens,
    start, end, start, end ...
    """
    found = np.zeros((len(links), *shape), dtype=np.bool_)
    for row, numbers, (source, target) in zip(found, links, spans, strict=True):
        for i, j in numbers.reshape(-1, 2).tolist():
            row[target[2 * j] : target[2 * j + 1], source[2 * i] : source[2 * i + 1]] = True
    return found
