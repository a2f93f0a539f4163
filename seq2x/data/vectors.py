"""Reads pretrained word vectors in the formats that users have. Knows no model.

GloVe ``.txt`` (a word and its numbers a line), word2vec ``.txt`` and fastText ``.vec`` (the same below a line with the
count and the width), word2vec ``.bin`` (that line, then words with their numbers as 32-bit floats, little-endian);
each plain or gzipped. The content tells the format, not the name. Of a file of any size only the rows of the words
asked for are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2x.data.files import blocks
from seq2x.errors import DataError

LONGEST = 1 << 20
"""Bytes of a line at most, and of the word before its numbers: what is longer is no file of vectors."""
OTHER_FORMATS = {
    b"PK\x03\x04": "is a zip archive; unpack it (or pack what is in it with gzip)",
    b"\xba\x16\x4f\x2f": "is a fastText model; expected its vectors, the .vec file beside it",
    b"\x93NUMPY": "is a numpy array without words; expected vectors with their words",
}


class Vectors(NamedTuple):
    """The vectors of some of the words that were asked for."""

    ids: Tensor
    """[N] long: which words, by their position in what was asked for."""
    rows: Tensor
    """[N, D] float32."""
    report: str
    """How many were found, in words."""


def read_vectors(path: str, words: Sequence[str], width: int) -> Vectors:
    """Read the vectors, ``width`` wide, of ``words``; a word that is missing gets the vector of its lower case.

    Of a word that stands twice the first vector counts. Raises DataError, with the line, for a file of another width,
    a line without a word and its numbers, numbers that are none, a file cut short, or one that has none of the words.
    """
    parts = blocks(Path(path))
    head = next(parts, b"")
    for signature, message in OTHER_FORMATS.items():
        if head.startswith(signature):
            raise DataError(message, path)
    head = head.removeprefix(b"\xef\xbb\xbf")
    first, end, after = head.partition(b"\n")
    if not head or len(first) >= LONGEST:
        raise DataError("expected word vectors: lines of a word and its numbers, or word2vec's binary format", path)
    wanted = _Wanted(words, width)
    header = first.split()
    if len(header) == 2 and all(field.isdigit() for field in header):
        _check_width(int(header[1]), width, path)
        if _is_binary(after, width):
            _read_binary(path, chain([after], parts), int(header[0]), wanted)
        else:
            _read_text(path, _lines(path, chain([after], parts)), 2, False, wanted)
    else:
        _check_width(_numbers_at_the_end(first), width, path)
        _read_text(path, _lines(path, chain([first + end + after], parts)), 1, True, wanted)
    return wanted.found(path)


class _Wanted:
    """The words asked for and their vectors, as far as found."""

    def __init__(self, words: Sequence[str], width: int) -> None:
        self.width, self.count = width, len(words)
        self._exact = {word.encode(): number for number, word in enumerate(words)}
        self._lower: dict[bytes, list[int]] = {}
        for number, word in enumerate(words):
            if word.lower() != word:
                self._lower.setdefault(word.lower().encode(), []).append(number)
        self._rows = np.zeros((len(words), width), dtype=np.float32)
        self._state = np.zeros(len(words), dtype=np.int8)  # 0 missing, 1 found in lower case, 2 as it is

    def __contains__(self, word: bytes) -> bool:
        return word in self._exact or word in self._lower

    def take(self, word: bytes, vector: NDArray[Any]) -> None:
        number = self._exact.get(word)
        if number is not None and self._state[number] < 2:
            self._rows[number], self._state[number] = vector, 2
        for number in self._lower.get(word, ()):
            if not self._state[number]:
                self._rows[number], self._state[number] = vector, 1

    def found(self, path: str) -> Vectors:
        ids = np.flatnonzero(self._state)
        if not len(ids):
            raise DataError(f"has a vector for none of the {self.count:,} words of the vocabulary", path)
        lower = int((self._state == 1).sum())
        report = f"{len(ids):,} of {self.count:,} words found, {lower:,} in lower case"
        return Vectors(torch.from_numpy(ids), torch.from_numpy(self._rows[ids]), report)


def _check_width(found: int, width: int, path: str) -> None:
    if not found:
        raise DataError("expected a word and its numbers", path, 1)
    if found != width:
        raise DataError(f"the vectors are {found} wide; the embedding is {width} (encoder.embedding.width)", path, 1)


def _numbers_at_the_end(line: bytes) -> int:
    """How many numbers end a line; its first field is a word in any case."""
    count = 0
    for field in reversed(line.split()[1:]):
        try:
            float(field)
        except ValueError:
            break
        count += 1
    return count


def _is_binary(after: bytes, width: int) -> bool:
    """Whether what follows the first word is no text: ``width`` numbers in text take at least 2 * width - 1 bytes."""
    _, _, numbers = after.partition(b" ")
    return bool(numbers[: 2 * width - 1].strip(b"0123456789+-.eEnaifNAIF \t\r\n"))


def _lines(path: str, parts: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > LONGEST:
            raise DataError(f"a line of more than {LONGEST:,} bytes; expected a word and its numbers", path)
        yield from whole
    if rest:
        yield rest


def _read_text(path: str, lines: Iterable[bytes], number: int, blanks_in_words: bool, wanted: _Wanted) -> None:
    """Take the words of ``lines``, the first of which is line ``number``; GloVe has words such as ``. . .`` too."""
    width = wanted.width
    for line_number, raw in enumerate(lines, start=number):
        line = raw.rstrip(b" \t\r")
        if line.count(b" ") != width or b"\t" in line:
            if not line:
                continue
            line = b" ".join(line.split())
        word, _, numbers = line.partition(b" ")
        if line.count(b" ") != width:
            found = line.count(b" ")
            if found < width or not blanks_in_words:
                raise DataError(f"found {found} numbers behind the word; expected {width}", path, line_number)
            word, numbers = line.rsplit(b" ", width)[0], b" ".join(line.rsplit(b" ", width)[1:])
        if word in wanted:
            wanted.take(word, _parse(numbers, path, line_number))


def _parse(numbers: bytes, path: str, line: int) -> NDArray[Any]:
    try:
        vector = np.array([float(field) for field in numbers.split(b" ")], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"expected numbers behind the word: {error}", path, line) from None
    if not np.isfinite(vector).all():
        raise DataError("found a number that is not finite", path, line)
    return vector


def _read_binary(path: str, parts: Iterator[bytes], count: int, wanted: _Wanted) -> None:
    size, buffer, place = 4 * wanted.width, b"", 0
    for number in range(1, count + 1):
        while True:
            blank = buffer.find(b" ", place)
            if blank >= 0 and len(buffer) >= blank + 1 + size:
                break
            if blank < 0 and len(buffer) - place > LONGEST:
                raise DataError(f"vector {number:,} of {count:,}: expected a word and a blank before it", path)
            more = next(parts, b"")
            if not more:
                raise DataError(f"is cut short: {number - 1:,} whole vectors of {count:,}", path)
            buffer, place = buffer[place:] + more, 0
        word = buffer[place:blank].lstrip(b"\n")  # some writers end a row by a line feed
        place = blank + 1 + size
        if word in wanted:
            vector = np.frombuffer(buffer, "<f4", wanted.width, blank + 1)
            if not np.isfinite(vector).all():
                raise DataError(f"vector {number:,} of {count:,} holds a number that is not finite", path)
            wanted.take(word, vector)
