"""Reads labelled texts, tagged sentences and sentence pairs out of the files people have them in.

Knows no vocabulary and no tensor. A line that is not as it should be stops the reading with a DataError that names
the file, the line, what was found and what was expected; nothing is dropped unless the settings say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from seq2x.config import Config
from seq2x.data.alignments import align
from seq2x.data.annotations import read_annotated
from seq2x.data.conll import Sentence, read_columns, read_conllu
from seq2x.data.examples import E, Examples, Pair, Tagged, Text
from seq2x.data.files import lines, suffix
from seq2x.data.tables import JSON_SUFFIXES, Column, Table, read_table, table_of
from seq2x.errors import ConfigError, DataError
from seq2x.text.partial import check_partial
from seq2x.text.tags import Scheme, check


class TextFormat(Config):
    """How a file holds texts and their labels."""

    format: Literal["auto", "tsv", "csv", "jsonl"] = Field(default="auto", description="auto goes by the file's suffix")
    label_column: Column | None = Field(
        default=None, description="position from 0, or name in the header; left out: 0 in a TSV, else 'label'")
    text_column: Column | None = Field(default=None, description="left out: 1 in a TSV, else 'text'")
    separator: str = Field(
        default="", description="what stands between the labels of a text, such as ',' or '|', where a text may have "
                                "several, or none; in JSON lines a list stands for itself. Left out: one a text")


class TaggedFormat(Config):
    """How a file holds words and their tags.

    With ``partial = true`` the annotation may leave things open, and the model learns from what is there: the tag
    ``?`` is any tag, ``B-PER|O`` one of several. Every sentence must leave at least one valid sequence of tags.
    """

    format: Literal["auto", "conll", "conllu", "jsonl"] = Field(
        default="auto", description="auto goes by the file's suffix")
    scheme: Scheme = Field(description="how tags write spans; 'none' where each tag stands for itself")
    word_column: int | None = Field(default=None, description="position from 0; left out: 0, in CoNLL-U 1")
    tag_column: Column | None = Field(
        default=None, description="position (-1 = the last), in CoNLL-U also a name; left out: -1, in CoNLL-U 'upos'")
    partial: bool = Field(
        default=False, description="tags may be unknown (?) or one of several (B-PER|O); to learn from, not to score")

    @model_validator(mode="after")
    def _marks_where_spans_begin(self) -> TaggedFormat:
        if self.partial and self.scheme == "IOB1":
            raise ValueError("partial = true needs tags that say by themselves whether a span begins; IOB1 does not: "
                             "expected BIO, IOBES, BILOU or none")
        return self


class PairFormat(Config):
    """How files hold sentences and their translations."""

    format: Literal["auto", "lines", "tsv", "csv", "jsonl"] = Field(
        default="auto", description="auto: 'lines' (two aligned files) if there is a target file, else by the suffix")
    source_column: Column | None = Field(
        default=None, description="position from 0, or name in the header; left out: 0 in a TSV, else 'source'")
    target_column: Column | None = Field(default=None, description="left out: 1 in a TSV, else 'target'")
    skip_empty: bool = Field(
        default=False, description="leave out, and count, pairs with an empty side; false: they are errors")


class PlainFormat(Config):
    """How a file holds texts without labels."""

    format: Literal["lines"] = Field(default="lines", description="one text a line; blank lines part them only")


def read_texts(path: str | Path, format: TextFormat | None = None) -> Examples[Text]:
    """Return the labelled texts of a TSV (label TAB text), a CSV with header, or JSON lines."""
    return Examples(stream_texts(path, format))


def stream_texts(path: str | Path, format: TextFormat | None = None) -> Iterator[Text]:
    """Yield what :func:`read_texts` returns, in constant memory."""
    return _some(_texts(path, format or TextFormat()), path, "texts")


def stream_plain(path: str | Path) -> Iterator[Text]:
    """Yield the lines of a file as texts without labels, the blank ones left out, in constant memory."""
    name = str(path)
    found = (Text(text, None, (name, line)) for line, text in enumerate(lines(path), start=1) if text.strip())
    return _some(found, path, "texts")


def _texts(path: str | Path, format: TextFormat) -> Iterator[Text]:
    kind = table_of(path) if format.format == "auto" else format.format
    name = str(path)
    columns, separator = (format.label_column, format.text_column), format.separator
    for line, (label, text) in read_table(path, kind, columns, ("label", "text"), separator):
        label = label.strip()
        if not (label or separator) or not text.strip():
            raise DataError(f"the {'text' if label else 'label'} is empty; expected a label and a text", path, line)
        if "\n" in label or "\t" in label:
            held = "a line feed" if "\n" in label else "a tab"
            raise DataError(f"the label {label!r} holds {held}; expected a label of one line without tabs", path, line)
        if separator:
            several = (part.strip() for part in label.split(separator))
            yield Text(text, tuple(dict.fromkeys(filter(None, several))), (name, line))
        else:
            yield Text(text, label, (name, line))


def read_tagged(path: str | Path, format: TaggedFormat) -> Examples[Tagged]:
    """Return the sentences of CoNLL columns, CoNLL-U or JSON lines, their tags checked against the scheme."""
    return Examples(stream_tagged(path, format))


def stream_tagged(path: str | Path, format: TaggedFormat) -> Iterator[Tagged]:
    """Yield what :func:`read_tagged` returns, in constant memory."""
    kind, word, tag = format.format, format.word_column, format.tag_column
    if kind == "auto":
        kind = "conllu" if suffix(path) == ".conllu" else "jsonl" if suffix(path) in JSON_SUFFIXES else "conll"
    if kind == "jsonl":
        if word is not None or tag is not None:
            raise ConfigError(f"{path}: JSON lines have no columns, yet word_column or tag_column is set")
        sentences = read_annotated(path, format.scheme)
    elif kind == "conllu":
        sentences = read_conllu(path, 1 if word is None else word, "upos" if tag is None else tag)
    elif isinstance(tag, str):
        raise ConfigError(f"tag_column: CoNLL columns have no names; found {tag!r}, expected a position from 0")
    else:
        sentences = read_columns(path, word or 0, -1 if tag is None else tag)
    yield from _some(_checked(sentences, path, format), path, "sentences")


def read_pairs(
    source_path: str | Path, target_path: str | Path | None = None, format: PairFormat | None = None
) -> Examples[Pair]:
    """Return the pairs of two aligned files, or of one TSV, CSV or JSON-lines file.

    With ``format="lines"`` and no target file, the pairs have no target. What ``skip_empty`` left out is in
    ``.report`` of the result.
    """
    reports: list[str] = []
    pairs = Examples(stream_pairs(source_path, target_path, format, reports))
    pairs.report = "".join(reports)
    return pairs


def stream_pairs(
    source_path: str | Path, target_path: str | Path | None, format: PairFormat | None, reports: list[str],
    alignment_path: str | Path | None = None,
) -> Iterator[Pair]:
    """Yield what :func:`read_pairs` returns, in constant memory; its report, if any, is added to ``reports``.

    With the alignments of another file, where one is given.
    """
    format = format or PairFormat()
    kind = format.format
    if kind == "auto":
        kind = table_of(source_path) if target_path is None else "lines"
    if kind == "lines":
        pairs = _aligned(source_path, target_path, format)
    elif target_path is None:
        pairs = _table(source_path, kind, format)
    else:
        raise ConfigError(f"format: {kind!r} holds both sides in one file, yet a target file {str(target_path)!r} is "
                          "given; expected 'lines' for two aligned files, or no target file")
    if alignment_path is not None:
        pairs = align(pairs, alignment_path)
    yield from _some(_filled(pairs, source_path, target_path, format.skip_empty, reports), source_path, "pairs")


def _filled(
    pairs: Iterable[Pair], source_path: str | Path, target_path: str | Path | None, skip: bool, reports: list[str]
) -> Iterator[Pair]:
    """The pairs with two sides; others are refused, or skipped and counted."""
    total = skipped = first = 0
    for total, pair in enumerate(pairs, start=1):  # noqa: B007 - what it ends with is wanted
        empty = _empty_side(pair)
        if empty is None:
            yield pair
        elif skip:
            skipped, first = skipped + 1, first or pair.where[1]
        else:
            path = target_path if target_path is not None and empty == "target" else source_path
            raise DataError(f"the {empty} is empty; expected text (or skip_empty = true)", path, pair.where[1])
    if skipped:
        reports.append(f"{source_path}: skipped {skipped:,} of {total:,} pairs for an empty side, "
                       f"the first on line {first}")


def _aligned(source: str | Path, target: str | Path | None, format: PairFormat) -> Iterator[Pair]:
    if format.source_column is not None or format.target_column is not None:
        raise ConfigError("format: 'lines' has no columns, yet source_column or target_column is set")
    left, name = lines(source), str(source)
    if target is None:
        yield from (Pair(text, None, (name, line)) for line, text in enumerate(left, start=1))
        return
    right = lines(target)
    for line, (text, other) in enumerate(zip_longest(left, right), start=1):
        if text is None or other is None:
            longer = line + sum(1 for _ in (right if text is None else left))
            counts = (line - 1, longer) if text is None else (longer, line - 1)
            raise DataError(f"found {counts[0]:,} lines in {source} and {counts[1]:,} lines in {target}; "
                            "expected as many, line by line translations of each other")
        yield Pair(text, other, (name, line))


def _table(path: str | Path, kind: Table, format: PairFormat) -> Iterator[Pair]:
    columns, name = (format.source_column, format.target_column), str(path)
    rows = read_table(path, kind, columns, ("source", "target"))
    return (Pair(source, target, (name, line)) for line, (source, target) in rows)


def _some(examples: Iterable[E], path: str | Path, what: str) -> Iterator[E]:
    some = False
    for example in examples:
        some = True
        yield example
    if not some:
        raise DataError(f"holds no {what}", path)


def _empty_side(pair: Pair) -> Literal["source", "target"] | None:
    if not pair.source.strip():
        return "source"
    return "target" if pair.target is not None and not pair.target.strip() else None


def _checked(sentences: Iterable[Sentence], path: str | Path, format: TaggedFormat) -> Iterator[Tagged]:
    """Check the tags of sentences against the scheme; an error names the line of the tag."""
    name, legal = str(path), check_partial if format.partial else check
    for words, tags, places in sentences:
        if broken := [tag for tag in tags if "\n" in tag]:
            raise DataError(f"the tag {broken[0]!r} holds a line feed; expected a tag of one line", path, places[0])
        try:
            legal(tags, format.scheme)
        except DataError as error:
            position = re.search(r"\btag (\d+)", str(error))  # the message of the scheme counts the tags from 1
            raise DataError(str(error), path, places[int(position[1]) - 1 if position else 0]) from None
        yield Tagged(tuple(words), tuple(tags), (name, places[0]))
