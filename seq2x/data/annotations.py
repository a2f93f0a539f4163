"""Tagged sentences in JSON lines: words with tags, or raw text with character spans. Knows not what tags mean.

Two shapes are read, the second as the common annotation tools export it::

    {"tokens": ["Anna", "sings"], "tags": ["B-PER", "O"]}
    {"text": "Anna sings", "spans": [{"start": 0, "end": 4, "label": "PER"}]}       or [[0, 4, "PER"]]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from seq2x.data.conll import Sentence
from seq2x.data.tables import json_string, json_type, read_objects
from seq2x.errors import DataError
from seq2x.text.tags import Scheme, Span, encode
from seq2x.text.words import split

SPAN_KEYS = ("spans", "label", "labels", "entities")
"""Where the tools put their spans."""


class Annotation(NamedTuple):
    """A span of a text: ``start`` and ``end`` (exclusive) count characters (Unicode code points) from 0."""

    start: int
    end: int
    label: str


def read_annotated(path: str | Path, scheme: Scheme) -> Iterator[Sentence]:
    """Yield the sentence of each line. Tags stand as they are written, spans are written in ``scheme``."""
    for line, record in read_objects(path):
        try:
            words, tags = _read(record, scheme)
        except DataError as error:
            raise DataError(str(error), path, line) from None
        yield Sentence(words, tags, [line] * len(words))


def align(text: str, spans: Sequence[Annotation]) -> tuple[list[str], list[Span]]:
    """Split ``text`` into words, and return them with the spans counted in words.

    A word that a span cuts is split there, so no character of a span is lost. Raises DataError for a span outside
    the text, one without a word in it, and spans that overlap.
    """
    ordered = sorted(spans)
    for span in ordered:
        if not 0 <= span.start < span.end <= len(text):
            raise DataError(f"the span {_show(span)} does not lie in the text, which has {len(text)} characters")
    for left, right in pairwise(ordered):
        if right.start < left.end:
            raise DataError(f"the spans {_show(left)} and {_show(right)} overlap; expected spans apart")
    cuts = sorted({position for span in spans for position in (span.start, span.end)})
    ranges = [piece for word in split(text) for piece in _pieces(word.start, word.end, cuts)]
    aligned, at = [], 0
    for span in ordered:
        while at < len(ranges) and ranges[at][0] < span.start:
            at += 1
        start = at
        while at < len(ranges) and ranges[at][1] <= span.end:
            at += 1
        if start == at:
            raise DataError(f"the span {_show(span)} holds no word, only {text[span.start : span.end]!r}")
        aligned.append(Span(span.label, start, at))
    return [text[start:end] for start, end in ranges], aligned


def _read(record: dict[str, Any], scheme: Scheme) -> tuple[list[str], list[str]]:
    """The words and tags of either shape."""
    if "tokens" in record and "tags" in record:
        words, tags = _strings(record["tokens"], "'tokens'"), _strings(record["tags"], "'tags'")
        if len(words) != len(tags):
            raise DataError(f"found {len(words)} tokens and {len(tags)} tags, expected one tag a token")
        return words, tags
    key = next((key for key in SPAN_KEYS if key in record), None)
    if "text" not in record or key is None:
        found = ", ".join(repr(name) for name in list(record)[:10]) or "none"
        raise DataError(f"found the keys {found}; expected 'tokens' and 'tags', or 'text' and 'spans'")
    if scheme == "none":
        raise DataError(f"found {key!r} of characters, which the scheme 'none' cannot write; "
                        "expected 'tokens' and 'tags', or a scheme such as BIO")
    if not isinstance(record[key], list):
        raise DataError(f"{key!r}: found {json_type(record[key])}, expected a list of spans")
    annotations = [_annotation(item, f"{key!r}, span {number}") for number, item in enumerate(record[key], start=1)]
    words, spans = align(json_string(record["text"], "'text'"), annotations)
    if not words:
        raise DataError(f"the text {record['text']!r} holds no word")
    return words, encode(spans, len(words), scheme)


def _pieces(start: int, end: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return list(pairwise(edges))


def _show(span: Annotation) -> str:
    return f"{span.start}-{span.end} {span.label!r}"


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, list):
        raise DataError(f"{name}: found {json_type(value)}, expected a list of strings")
    strings = [json_string(item, f"{name}, item {number}") for number, item in enumerate(value, start=1)]
    if not strings or not all(strings):
        raise DataError(f"{name}: found an empty {'string' if strings else 'list'}, expected one or more strings")
    return strings


def _annotation(item: Any, name: str) -> Annotation:
    """One span: an object with start, end and label (start_offset and end_offset in some exports), or a triple."""
    if isinstance(item, dict):
        values = [item.get("start", item.get("start_offset")), item.get("end", item.get("end_offset")),
                  item.get("label")]
    else:
        values = item if isinstance(item, list) else []
    if len(values) == 3 and type(values[0]) is type(values[1]) is int and values[2] not in (None, ""):
        return Annotation(values[0], values[1], json_string(values[2], f"{name}, label"))
    raise DataError(f"{name}: found {json_type(item)}; expected a start, an end (whole numbers of characters) and a "
                    'label: {"start": 0, "end": 4, "label": "PER"} or [0, 4, "PER"]')
