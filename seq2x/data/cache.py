"""Coded examples on disk: written in a stream, whole or not at all, and read through memory maps.

Knows no model and no tensor. A cache is a folder of flat arrays, each number in the smallest type that fits, and
``cache.json``, which says what they were made from; a cache of other data, another vocabulary or another limit is
stale. Memory is constant: pages that were read are given back.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import portalocker

from seq2x.data.coding import Coder, Input, Store, code, smallest
from seq2x.data.encodings import Encodings, Integers, Ragged
from seq2x.data.examples import Example, Pair, Tagged, Text, Where
from seq2x.data.workers import Workers
from seq2x.errors import RunError

FORMAT = 1
META = "cache.json"
CHUNK = 1000
"""Examples that a worker codes at a time."""
RELEASE = 50_000
"""Examples after which the pages read are given back to the system (which still holds them while memory is free)."""
SECONDS = 60
"""Between two lines of the log on a cache that is being made."""
FIELDS: Mapping[str, tuple[type[Any], tuple[str, ...]]] = {
    "classify": (Text, ("text", "label")), "tag": (Tagged, ("words", "tags")),
    "translate": (Pair, ("source", "target", "alignment")), "language_model": (Text, ("text", "label")),
}


class Stamp(NamedTuple):
    """A file as it was read."""

    size: int
    modified: int
    """Nanoseconds since 1970."""
    sha256: str


def stamp(path: str | Path, known: Stamp | None = None) -> Stamp:
    """Return the stamp of a file; its sha256 is that of ``known`` where neither size nor time have changed."""
    found = Path(path).stat()
    if known is not None and (found.st_size, found.st_mtime_ns) == (known.size, known.modified):
        return known
    with Path(path).open("rb") as file:
        return Stamp(found.st_size, found.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())


Chunk = tuple[str, list[int], list[tuple[Any, ...]]]
"""Examples on their way to a worker: their file, their lines, and their other fields."""


class Block(NamedTuple):
    """A chunk as arrays, on its way to the disk."""

    file: str
    read: int
    """Examples of the chunk."""
    kept: int
    long: tuple[int, tuple[int, Where] | None]
    """What the gate says of them."""
    columns: dict[str, tuple[Integers, Integers | None]]
    """Of each array all items and, where its rows are of unequal length, the lengths of the rows."""


class Cache:
    """A folder with the coded examples of one task."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = {}
        self._read()

    @property
    def stamps(self) -> dict[str, Stamp]:
        """The files that it was made from, as they were."""
        return {path: Stamp(*values) for path, values in self.meta.get("stamps", {}).items()}

    @property
    def examples(self) -> int:
        """How many it holds."""
        return int(self.meta["examples"])

    @property
    def counts(self) -> dict[str, int]:
        """How many of them come from each file, of a pair the source's."""
        return {file: sum(count for name, count in self.meta["parts"] if name == file)
                for file, _ in self.meta["parts"]}

    @property
    def tokens(self) -> int:
        """The tokens of all sides."""
        return int(self.meta["tokens"])

    @property
    def report(self) -> str:
        """What was cut or left out."""
        return str(self.meta["report"])

    @property
    def size(self) -> int:
        """Its bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def stale(self, made_from: Mapping[str, Any]) -> str | None:
        """Return why the cache cannot be used for ``made_from``: "" if there is none yet, None if it can be used."""
        if not self.meta:
            return "" if not self.folder.exists() else "it is of another version, or damaged"
        old = self.meta["made_from"]
        for key in dict.fromkeys([*made_from, *old]):
            if old.get(key) != made_from.get(key):
                return f"{key} has changed since"
        for name, (kind, items) in self.meta["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != items * np.dtype(kind).itemsize:
                return f"{name} is damaged"
        return None

    def make(
        self, made_from: Mapping[str, Any], stamps: Mapping[str, Stamp], coder: Coder[Any],
        examples: Iterable[Example], workers: int, say: Callable[[str], None],
    ) -> None:
        """Code ``examples`` into the folder, in constant memory; what was there before stays until all is written.

        Where another process is at it, its end is awaited. Errors of the data come as those of the readers, with
        their file and line; RunError where the folder cannot be written.
        """
        lock = self.folder.with_name(f".{self.folder.name}.lock")
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with portalocker.Lock(lock, "w", flags=portalocker.LOCK_EX):
                self._read()
                if self.stale(made_from) is not None:
                    self._replace(made_from, stamps, lambda new: _write(new, coder, examples, workers, say))
        except OSError as error:
            raise RunError(f"{self.folder}: the cache cannot be written: {error}") from None
        finally:
            if not self.folder.exists():  # nothing came of it: leave no trace
                with suppress(OSError):  # there is no lock, or others are in the folder
                    lock.unlink()
                    self.folder.parent.rmdir()
        self._read()

    def _replace(
        self, made_from: Mapping[str, Any], stamps: Mapping[str, Stamp], write: Callable[[Path], dict[str, Any]]
    ) -> None:
        """Write a new folder, then put it into the place of the old one."""
        new, old = (self.folder.with_name(f".{self.folder.name}.{end}") for end in ("new", "old"))
        try:
            shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
            new.mkdir()
            meta = {**write(new), "format": FORMAT, "made_from": made_from, "stamps": stamps}
            (new / META).write_text(json.dumps(meta, ensure_ascii=False, indent=1), encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(old)
            new.rename(self.folder)
        finally:
            for rest in (new, old):
                shutil.rmtree(rest, ignore_errors=True)

    def open(self, coder: Coder[Any]) -> Store:
        """Return the examples; nothing but what is asked for is read."""
        pages = Pages(self.folder, self.meta["files"])
        sides, inputs = [], []
        for place, side in enumerate(coder.sides):
            encodings = Encodings()
            encodings.ids = pages.ragged(f"ids{place}")
            if coder.spanned:
                encodings.spans = pages.ragged(f"spans{place}")
            if f"characters{place}" in self.meta["files"]:
                encodings.characters = pages.ragged(f"characters{place}")
            if f"shapes{place}" in self.meta["files"]:
                encodings.shapes = pages.ragged(f"shapes{place}")
            sides.append(encodings)
            inputs.append(Inputs(self.folder, place) if side.drops else ())
        labels = pages.ragged("labels") if "labels" in self.meta["files"] else None
        where = _Places(pages.array("lines"), self.meta["parts"])
        return _Stored(pages, sides, labels, inputs, pages.array("lengths"), where)

    def _read(self) -> None:
        try:
            meta = json.loads((self.folder / META).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            meta = {}
        self.meta = meta if isinstance(meta, dict) and meta.get("format") == FORMAT else {}


class Tokenise:
    """The job of a worker: a chunk of examples to arrays."""

    def __init__(self, coder: Coder[Any]) -> None:
        self._coder = coder

    def __call__(self, chunk: Chunk) -> Block:
        """Code the examples of a chunk."""
        file, lines, fields = chunk
        coder = self._coder
        example = FIELDS[coder.kind][0]
        store = code(coder, (example(*each[:2], (file, line), *each[2:])
                             for line, each in zip(lines, fields, strict=True)))
        most = smallest(coder.gate.most + 1)
        columns: dict[str, tuple[Integers, Integers | None]] = {
            "lengths": (np.asarray(store.lengths, dtype=most), None),
            "lines": (np.asarray([place[1] for place in store.where], dtype=np.uint32), None)}
        for place, (side, encodings) in enumerate(zip(coder.sides, store.sides, strict=True)):
            columns[f"ids{place}"] = _column(encodings.ids, smallest(side.processor.size))
            if coder.spanned:
                columns[f"spans{place}"] = _column(encodings.spans, most)
            if encodings.characters is not None:
                columns[f"characters{place}"] = _column(
                    encodings.characters, smallest(side.processor.character_size or 0))
            if encodings.shapes is not None:
                columns[f"shapes{place}"] = _column(encodings.shapes, np.dtype(np.int32))
            if side.drops:
                texts = [_bytes(text) for text in store.inputs[place]]
                columns[f"inputs{place}"] = (np.frombuffer(b"".join(texts), dtype=np.uint8),
                                             np.asarray([len(text) for text in texts], dtype=np.int64))
        if store.labels is not None:
            columns["labels"] = _column(store.labels, np.dtype(np.int32))
        return Block(file, len(lines), len(store.where), coder.gate.take(), columns)


class Pages:
    """The files of a cache as arrays; what was read is given back now and then."""

    def __init__(self, folder: Path, files: Mapping[str, tuple[str, int]]) -> None:
        self._folder, self._files = folder, files
        self._maps: list[mmap.mmap] = []
        self._used = 0

    def array(self, name: str) -> Integers:
        """Return the items of a file."""
        kind, items = self._files[name]
        if not items:
            return np.empty(0, dtype=kind)
        with (self._folder / name).open("rb") as file:
            self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return np.frombuffer(self._maps[-1], dtype=kind)

    def ragged(self, name: str) -> Ragged:
        """Return the rows of a file."""
        return Ragged.of(self.array(name), self.array(f"{name}.ends"))

    def used(self, rows: int) -> None:
        """Count the examples that were read, and give their pages back when they are many."""
        self._used += rows
        if self._used >= RELEASE:
            self._used = 0
            for each in self._maps:
                if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                    each.madvise(mmap.MADV_DONTNEED)


class _Stored(Store):
    """A store whose arrays are files."""

    def __init__(
        self, pages: Pages, sides: Sequence[Encodings], labels: Ragged | None, inputs: Sequence[Sequence[Input]],
        lengths: Integers, where: Sequence[Where],
    ) -> None:
        super().__init__(sides, labels, inputs, lengths, where)
        self._pages = pages

    def used(self, rows: int) -> None:
        self._pages.used(rows)


class Inputs(Sequence[Input]):
    """What one side of the examples was encoded from; a process that gets it opens the files itself."""

    def __init__(self, folder: Path, place: int) -> None:
        self._folder, self._place = folder, place
        files = json.loads((folder / META).read_text(encoding="utf-8"))["files"]
        self._pages = Pages(folder, files)
        self._rows = self._pages.ragged(f"inputs{place}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Inputs, (self._folder, self._place)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        text = self._rows.row(index).tobytes()
        self._pages.used(1)
        return tuple(json.loads(text[1:])) if text.startswith(_WORDS) else text.decode("utf-8")


class _Places(Sequence[Where]):
    """Where the examples of a cache were read."""

    def __init__(self, lines: Integers, parts: Sequence[tuple[str, int]]) -> None:
        self._lines, self._files = lines, [file for file, _ in parts]
        self._ends = np.cumsum([count for _, count in parts])

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: Any) -> Any:
        return self._files[int(np.searchsorted(self._ends, index, side="right"))], int(self._lines[index])


_WORDS = b"\xff"
"""Opens a list of words, as no UTF-8 text does."""


def _bytes(example: Input) -> bytes:
    if isinstance(example, str):
        return example.encode("utf-8")
    return _WORDS + json.dumps(list(example), ensure_ascii=False).encode("utf-8")


def _column(rows: Ragged, kind: np.dtype[Any]) -> tuple[Integers, Integers]:
    return rows.flat.astype(kind), np.diff(rows.ends)


def chunks(examples: Iterable[Example], kind: str) -> Iterator[Chunk]:
    """Put examples of one file together, :data:`CHUNK` at a time."""
    names = FIELDS[kind][1]
    for file, group in groupby(examples, key=lambda example: example.where[0]):
        while chunk := list(islice(group, CHUNK)):
            yield (file, [example.where[1] for example in chunk],
                   [tuple(getattr(example, name) for name in names) for example in chunk])


def _write(
    folder: Path, coder: Coder[Any], examples: Iterable[Example], workers: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Write the arrays; return what is to know of them."""
    writer, parts, read = _Writer(folder), list[list[Any]](), 0
    began = told = time.monotonic()
    try:
        with Workers(Tokenise(coder), workers) as pool:
            for block in pool.map(chunks(examples, coder.kind)):
                read += block.read
                coder.gate.add(*block.long)
                if coder.gate.refuses:
                    coder.gate.close(read, "the first ")  # raises: better now than after hours
                writer.add(block.columns)
                if not parts or parts[-1][0] != block.file:
                    parts.append([block.file, 0])
                parts[-1][1] += block.kept
                if time.monotonic() - told >= SECONDS:
                    told = time.monotonic()
                    say(f"{read:,} examples tokenised, {read / (told - began):,.0f} a second")
    finally:
        writer.close()
    tokens = sum(items for name, (_, items) in writer.files.items() if name in ("ids0", "ids1"))
    return {"examples": sum(count for _, count in parts), "tokens": tokens, "report": coder.gate.close(read),
            "files": writer.files, "parts": parts}


class _Writer:
    """Appends columns to files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, BinaryIO] = {}
        self.files: dict[str, tuple[str, int]] = {}
        """Of each file the type and the number of its items."""

    def add(self, columns: Mapping[str, tuple[Integers, Integers | None]]) -> None:
        for name, (items, lengths) in columns.items():
            if lengths is not None:
                if name not in self.files:
                    self._append(f"{name}.ends", np.zeros(1, dtype=np.int64))
                before = self.files.get(name, ("", 0))[1]
                self._append(f"{name}.ends", before + np.cumsum(lengths, dtype=np.int64))
            self._append(name, items)

    def close(self) -> None:
        for file in self._open.values():
            with file:
                file.flush()
                os.fsync(file.fileno())

    def _append(self, name: str, items: Integers) -> None:
        if name not in self._open:
            self._open[name] = (self._folder / name).open("wb")
        self._open[name].write(items.tobytes())
        self.files[name] = items.dtype.name, self.files.get(name, ("", 0))[1] + len(items)
