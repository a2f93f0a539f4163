"""Guesses how a file holds its data, by its suffix and its first lines. Knows no model and counts nothing.

A guess is written down in the settings, where it can be seen and mended. Where nothing fits, the reader's own default
is returned, so that the reader says what is wrong and where.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from seq2x.data.conll import CONLLU
from seq2x.data.files import read_lines, suffix
from seq2x.data.readers import PairFormat, TaggedFormat, TextFormat, read_tagged
from seq2x.data.tables import JSON_SUFFIXES, Column, Table
from seq2x.errors import DataError
from seq2x.text.tags import Scheme, detect

LABELS = ("label", "class", "category", "sentiment", "intent", "topic", "target", "y", "polarity", "stars", "rating")
TEXTS = ("text", "sentence", "review", "content", "utterance", "question", "document", "message", "tweet", "title")
SOURCES = ("source", "src", "input")
TARGETS = ("target", "tgt", "trg", "output", "translation")
SAMPLE = 2000
"""Lines that a guess is made from."""


def guess_tagged(
    path: str, scheme: Scheme | None = None, word: int | None = None, tag: Column | None = None
) -> TaggedFormat:
    """Return the format of tagged sentences; what is given is taken as it is.

    DataError where the scheme cannot be told: it names the first tag that breaks the likeliest one.
    """
    lines = [line for line in read_lines(path)[:SAMPLE] if line.strip()]
    kind = _tagged_kind(path, lines)
    if kind == "conllu":
        word, tag = 1 if word is None else word, "upos" if tag is None else tag
    elif kind == "conll":
        word, tag = (1 if _numbered(lines) else 0) if word is None else word, -1 if tag is None else tag
    columns: dict[str, Any] = {"word_column": word, "tag_column": tag}  # of JSON lines, the reader refuses any
    if scheme is None and kind == "jsonl" and "tags" not in _first_object(lines):
        scheme = "BIO"  # spans of characters: the tags are written by the reader
    if scheme is None:
        scheme = _guess_scheme(path, TaggedFormat(format=kind, scheme="none", **columns))
    return TaggedFormat(format=kind, scheme=scheme, **columns)


def guess_texts(path: str, label: Column | None = None, text: Column | None = None) -> TextFormat:
    """Return the format of labelled texts; what is given is taken as it is."""
    kind, header, rows = _table(path, (*LABELS, *TEXTS))
    if header:
        label = label if label is not None else _named(header, LABELS)
        text = text if text is not None else _named(header, TEXTS)
    columns = list(zip(*rows, strict=True)) if len({len(row) for row in rows}) == 1 else []
    if len(columns) > 1:
        # a label comes again and again and is short; the text is the longest
        names: Sequence[Column] = header or range(len(columns))
        order = sorted(range(len(columns)), key=lambda at: (len(set(columns[at])), sum(map(len, columns[at]))))
        longest = max(order, key=lambda at: sum(map(len, columns[at])))
        text = text if text is not None else names[longest]
        label = label if label is not None else next(names[at] for at in order if names[at] != text)
    return TextFormat(format=kind, label_column=label, text_column=text)


def guess_pairs(paths: Sequence[str], source: Column | None = None, target: Column | None = None) -> PairFormat:
    """Return the format of sentence pairs: two aligned files, or one with both; what is given is taken as it is."""
    if len(paths) == 2:
        return PairFormat(format="lines", source_column=source, target_column=target)  # the reader refuses any
    kind, header, rows = _table(paths[0], (*SOURCES, *TARGETS))
    names: Sequence[Column] = header or range(len(rows[0]) if rows else 0)
    source = source if source is not None else _named(header, SOURCES)
    target = target if target is not None else _named(header, TARGETS)
    rest = [name for name in names if name not in (source, target)]
    for name in rest[:2]:
        if source is None:
            source = name
        elif target is None:
            target = name
    return PairFormat(format=kind, source_column=source, target_column=target)


def _tagged_kind(path: str, lines: Sequence[str]) -> Literal["conll", "conllu", "jsonl"]:
    if suffix(path) in JSON_SUFFIXES or (lines and lines[0].startswith("{")):
        return "jsonl"
    cells = next((line.split("\t") for line in lines if not line.startswith("#")), [])
    numbered = len(cells) == len(CONLLU) and re.fullmatch(r"1([-.]\d+)?", cells[0])
    return "conllu" if suffix(path) == ".conllu" or numbered else "conll"


def _numbered(lines: Sequence[str]) -> bool:
    """Whether the first column counts the words of each sentence."""
    first = [re.split(r"[ \t]", line, maxsplit=1)[0] for line in lines]
    steps = all(number.isascii() and number.isdigit() for number in first) and first[:1] == ["1"]
    return steps and all(int(b) in (1, int(a) + 1) for a, b in pairwise(first))


def _guess_scheme(path: str, format: TaggedFormat) -> Scheme:
    sequences = [example.tags or () for example in read_tagged(path, format)]
    found = detect(sequences)
    if found is not None:
        return found
    prefixes = {tag[0] for tags in sequences for tag in tags if tag[1:2] == "-"}
    if not prefixes:
        raise DataError("every tag is 'O': there is nothing to learn", path)
    likely: Scheme = "BILOU" if prefixes & set("LU") else "IOBES" if prefixes & set("ES") else "BIO"
    try:
        read_tagged(path, format.model_copy(update={"scheme": likely}))
    except DataError as error:
        raise DataError(f"{error} (by their prefixes the tags are {likely}; --scheme says otherwise)") from None
    raise DataError(f"the tags fit several schemes, {likely} among them; --scheme says which it is", path)


def _table(path: str, known: Sequence[str]) -> tuple[Table, list[str], list[list[str]]]:
    """Return the kind of table, its header (none = empty) and the rows of its beginning."""
    lines = read_lines(path)[:SAMPLE]
    if suffix(path) in JSON_SUFFIXES or lines[0].startswith("{"):
        return "jsonl", _text_keys(_first_object(lines)), []
    if suffix(path) == ".csv":
        rows: list[list[str]] = []
        with contextlib.suppress(csv.Error):  # a row cut by the end of the sample; what is malformed, the reader says
            rows.extend(csv.reader((line + "\n" for line in lines), strict=True))
        return "csv", rows[0] if rows else [], rows[1:]
    rows = [line.split("\t") for line in lines]
    named = len(rows[0]) > 1 and sum(cell.strip().lower() in known for cell in rows[0]) > 1
    return "tsv", rows[0] if named else [], rows[1:] if named else rows


def _named(header: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of ``names`` that is in the header, as it is written there."""
    written = {cell.strip().lower(): cell for cell in reversed(header)}
    return next((written[name] for name in names if name in written), None)


def _first_object(lines: Sequence[str]) -> Mapping[str, Any]:
    try:
        record = json.loads(next((line for line in lines if line.strip()), ""))
    except (ValueError, RecursionError):
        return {}  # the reader says what is wrong with it
    return record if isinstance(record, dict) else {}


def _text_keys(record: Mapping[str, Any]) -> list[str]:
    return [key for key, value in record.items() if isinstance(value, str | int) and not isinstance(value, bool)]
