"""Rows of named or numbered columns out of TSV, CSV and JSON-lines files. Knows not what the columns mean."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from seq2x.data.files import lines, suffix
from seq2x.errors import ConfigError, DataError, nearest

Column = int | str
"""A position, counted from 0 (-1 = the last), or a name: of the header, or the key of a JSON object."""
Table = Literal["tsv", "csv", "jsonl"]
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def table_of(path: str | Path) -> Table:
    """Guess the kind of table by the suffix; what is neither CSV nor JSON lines is TSV."""
    end = suffix(path)
    if end == ".csv":
        return "csv"
    return "jsonl" if end in JSON_SUFFIXES else "tsv"


def read_table(
    path: str | Path, kind: Table, columns: Sequence[Column | None], names: Sequence[str], separator: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, the wanted cells) of each row.

    A column that is None is called as ``names`` says, or, in a TSV without header, is the one at that place.
    A CSV has a header, a TSV has one if a column is wanted by name. All rows need the same number of columns.
    With a ``separator`` a list of JSON is read as its items with that between them.
    """
    if kind == "jsonl":
        wanted = [name if column is None else column for column, name in zip(columns, names, strict=True)]
        _differ(wanted, names, path, None)
        for line, record in read_objects(path):
            try:
                cells = [_cell(record, column, separator) for column in wanted]
            except DataError as error:
                raise DataError(str(error), path, line) from None
            yield line, cells
        return
    header = kind == "csv" or any(isinstance(column, str) for column in columns)
    fallback: Sequence[Column] = names if header else range(len(names))
    wanted = [default if column is None else column for column, default in zip(columns, fallback, strict=True)]
    records = _csv(path) if kind == "csv" else _tsv(path)
    first, cells = next(records)
    # without a header or a wish the file must be exactly what we take it for
    count = len(cells) if header or any(column is not None for column in columns) else len(names)
    at = [_position(column, cells if header else None, count, path, first) for column in wanted]
    _differ(at, names, path, first)
    rows = records if header else itertools.chain([(first, cells)], records)
    expected = f"{count} columns, as on line {first}" if count == len(cells) else f"{count}: {', '.join(names)}"
    for line, cells in rows:
        if len(cells) != count:
            raise DataError(f"found {_columns(cells)}, expected {expected}{_hint(cells, count, names)}", path, line)
        yield line, [cells[position] for position in at]


def read_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, the JSON object on it) of a JSON-lines file."""
    for line, text in enumerate(lines(path), start=1):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits, a thousand brackets
            reason = f"at character {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else error
            found = f"invalid JSON {reason}" if text.strip() else "an empty line"
            raise DataError(f"found {found}; expected one JSON object a line", path, line) from None
        if not isinstance(record, dict):
            raise DataError(f"found {json_type(record)}; expected one JSON object a line", path, line)
        yield line, record


def json_type(value: Any) -> str:
    """Name a value of JSON in a message."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return f"{names[type(value)]} ({json.dumps(value, ensure_ascii=False)[:40]})"


def json_string(value: Any, name: str) -> str:
    """Return a string of JSON that UTF-8 can write (an escaped half of a surrogate pair cannot)."""
    if not isinstance(value, str):
        raise DataError(f"{name}: found {json_type(value)}, expected a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{name}: found half of a surrogate pair in {value!r}, expected Unicode text")
    return value


def _cell(record: dict[str, Any], column: Column, separator: str) -> str:
    if isinstance(column, int):
        raise ConfigError(f"JSON lines have keys, not positions: the column {column} must be a name")
    if column not in record:
        raise DataError(f"the key {column!r} is missing{nearest(column, record)}")
    value = record[column]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # labels are often numbers
    if isinstance(value, list) and separator:
        items = [_cell({column: item}, column, "") for item in value]
        if holding := [item for item in items if separator in item]:
            raise DataError(f"the item {holding[0]!r} of {column!r} holds the separator {separator!r}; set another")
        return separator.join(items)
    return json_string(value, repr(column))


def _tsv(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    for line, text in enumerate(lines(path), start=1):
        yield line, text.split("\t")


def _csv(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Rows of RFC 4180; a quoted cell may hold line feeds, so a row is named by its first line."""
    reader = csv.reader((text + "\n" for text in lines(path)), strict=True)
    line = 1
    while True:
        limit = csv.field_size_limit(2**31 - 1)  # a cell may hold a book; the limit is the process's, so give it back
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"found a malformed CSV row ({error}); expected cells parted by commas, quotes closed "
                            "and doubled inside quotes", path, line) from None
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        yield line, cells
        line = reader.line_num + 1


def _position(column: Column, header: list[str] | None, count: int, path: str | Path, line: int) -> int:
    if isinstance(column, str):
        assert header is not None
        if header.count(column) > 1:
            raise DataError(f"the header names the column {column!r} more than once", path, line)
        if column not in header:
            raise DataError(f"the header has no column {column!r}{nearest(column, header)}", path, line)
        return header.index(column)
    if not -count <= column < count:
        raise DataError(f"found {count} column(s), but column {column} is wanted (counted from 0)", path, line)
    return column % count


def _differ(at: Sequence[Column], names: Sequence[str], path: str | Path, line: int | None) -> None:
    if len(set(at)) < len(at):
        raise DataError(f"{' and '.join(f'{name}_column' for name in names)} are both column {at[0]!r}; expected two "
                        "columns", path, line)


def _columns(cells: list[str]) -> str:
    if cells in ([], [""]):
        return "an empty line"
    return f"{len(cells)} column" + ("s" if len(cells) > 1 else "")


def _hint(cells: list[str], count: int, names: Sequence[str]) -> str:
    if len(cells) > count:
        return f" (to use some columns of many, set {' and '.join(f'{name}_column' for name in names)})"
    return ""
