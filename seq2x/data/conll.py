"""Sentences of one word a line: CoNLL columns of any layout, and CoNLL-U. Knows not what the tags mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from seq2x.data.files import lines
from seq2x.errors import ConfigError, DataError, nearest

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The ten columns of CoNLL-U (universaldependencies.org/format.html)."""
DOCSTART = "-DOCSTART-"
"""The word that parts documents in the CoNLL-2003 family; it is no sentence."""
_ID = re.compile(r"([0-9]+)(?:([-.])([0-9]+))?")


class Sentence(NamedTuple):
    """The words of a sentence, their tags and the lines they stand on."""

    words: list[str]
    tags: list[str]
    lines: list[int]


def read_columns(path: str | Path, word: int, tag: int) -> Iterator[Sentence]:
    """Yield the sentences of a file of columns parted by TABs, or else by blanks; empty lines end sentences.

    Every line needs as many columns as the first. A line whose first column is -DOCSTART- is passed over; lines
    that begin with ``#`` are words like others.
    """
    sentence = Sentence([], [], [])
    count = first = 0
    for line, text in enumerate(lines(path), start=1):
        # str.split() without an argument would also split at U+2028 and no-break spaces
        cells = text.split("\t") if "\t" in text else [cell for cell in text.split(" ") if cell]
        if not any(cells):
            if sentence.words:
                yield sentence
                sentence = Sentence([], [], [])
            continue
        if cells[0] == DOCSTART:
            continue
        if not first:
            count, first = len(cells), line
            word, tag = _positions(word, tag, count, path, line)
        if len(cells) != count:
            raise DataError(f"found {_columns(len(cells))}, expected {count} as on line {first}", path, line)
        _add(sentence, cells, word, tag, path, line)
    if sentence.words:
        yield sentence


def read_conllu(path: str | Path, word: int = 1, tag: int | str = "upos") -> Iterator[Sentence]:
    """Yield the sentences of a CoNLL-U file: its syntactic words.

    Multiword tokens (id 1-2) and empty nodes (id 1.1) are passed over, as their words have lines of their own or
    are not in the text. Ids are checked: 1, 2, 3 ... in each sentence.
    """
    if isinstance(tag, str):
        if tag not in CONLLU:
            raise ConfigError(f"tag_column: CoNLL-U has no column {tag!r}{nearest(tag, CONLLU)}")
        tag = CONLLU.index(tag)
    word, tag = _positions(word, tag, len(CONLLU), path, None)
    sentence, covered = Sentence([], [], []), 0
    for line, text in enumerate(chain(lines(path), [""]), start=1):
        if text.startswith("#"):
            continue
        if not text.strip(" "):
            if covered > len(sentence.words):
                raise DataError(f"found the end of the sentence, expected word {covered} of the multiword token",
                                path, line)
            if sentence.words:
                yield sentence
                sentence, covered = Sentence([], [], []), 0
            continue
        cells = text.split("\t")
        if len(cells) != len(CONLLU):
            raise DataError(f"found {_columns(len(cells))} parted by TABs, expected the 10 of CoNLL-U", path, line)
        kind, last = _read_id(cells[0], len(sentence.words), path, line)
        if kind == "word":
            _add(sentence, cells, word, tag, path, line)
        covered = max(covered, last)


def _read_id(text: str, words: int, path: str | Path, line: int) -> tuple[str, int]:
    """Return the kind of line (word, "-" or ".") and the last word it speaks of."""
    match = _ID.fullmatch(text)
    if match is None:
        raise DataError(f"found the id {text!r}, expected a number, a range 1-2 or an empty node 1.1", path, line)
    number, kind, end = int(match[1]), match[2] or "word", int(match[3] or match[1])
    expected = words if kind == "." else words + 1
    if number != expected or (kind == "-" and end < number):
        wanted = {"word": f"{expected}", "-": f"a range from {expected}", ".": f"{expected}.1"}[kind]
        raise DataError(f"found the id {text!r} after {words} words, expected {wanted}", path, line)
    return kind, number if kind == "." else end


def _add(sentence: Sentence, cells: list[str], word: int, tag: int, path: str | Path, line: int) -> None:
    for column, name in ((word, "word"), (tag, "tag")):
        if not cells[column].strip(" "):
            raise DataError(f"the {name} (column {column}, counted from 0) is empty", path, line)
    sentence.words.append(cells[word])
    sentence.tags.append(cells[tag])
    sentence.lines.append(line)


def _positions(word: int, tag: int, count: int, path: str | Path, line: int | None) -> tuple[int, int]:
    """Positions counted from 0, and not the same."""
    for name, column in (("word", word), ("tag", tag)):
        if not -count <= column < count:
            raise DataError(f"found {_columns(count)}, but {name}_column is {column} (counted from 0, -1 = the last)",
                            path, line)
    if word % count == tag % count:
        raise DataError(f"found {_columns(count)}, expected at least 2: a word and its tag" if count == 1 else
                        f"word_column and tag_column are both column {word % count}", path, line)
    return word % count, tag % count


def _columns(count: int) -> str:
    return f"{count} column" + ("s" if count > 1 else "")
