"""Opens the text files of the data: plain or gzipped, UTF-8 or an error. Knows no format.

Lines end at line feeds only. U+2028, U+0085 and their like are characters of a line, as they are for every other
tool that counts lines; ``str.splitlines`` would lose the alignment of parallel files over them.
"""

from __future__ import annotations

import glob
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from seq2x.errors import DataError, nearest

GZIP = b"\x1f\x8b"
"""How a gzipped file begins, and no UTF-8 text can."""
BLOCK = 1 << 20
"""Bytes that are read at once."""


def read_lines(path: str | Path) -> list[str]:
    """Return all that :func:`lines` yields."""
    return list(lines(path))


def lines(path: str | Path) -> Iterator[str]:
    """Yield the lines without their ends, in constant memory.

    A byte order mark and carriage returns at line ends are accepted. Raises DataError for a file that is missing,
    unreadable, empty, damaged, or not UTF-8 (naming line and byte).
    """
    line, empty = 1, True
    for data in _whole_lines(Path(path)):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _invalid(path, data, error.start, line) from None
        if line == 1:
            text = text.removeprefix("\ufeff")
        if text:
            found = text.removesuffix("\n").split("\n")
            yield from (text.removesuffix("\r") for text in found) if "\r" in text else found
            line, empty = line + len(found), False
    if empty:
        raise DataError("the file is empty", path)


def expand(names: str | Sequence[str]) -> list[str]:
    """Return the files that a name, a pattern (``train.*.gz``; ``**`` for folders in folders) or a list of them means.

    The matches of a pattern come in sorted order; a name without ``*``, ``?`` or ``[`` stands for itself. Raises
    DataError for a pattern that matches no file.
    """
    files = []
    for name in (names,) if isinstance(names, str) else names:
        if not glob.has_magic(name) or Path(name).exists():
            files.append(name)
            continue
        found = sorted(match for match in glob.glob(name, recursive=True)  # noqa: PTH207 - may be absolute
                       if Path(match).is_file())
        if not found:
            folder = Path(name).parent
            near = _missing(Path(name)).removeprefix("no such file") if not glob.has_magic(str(folder)) else ""
            raise DataError(f"the pattern matches no file{near}", name)
        files += found
    return files


def suffix(path: str | Path) -> str:
    """Return the suffix in lower case that tells the format: ``.csv`` of ``dev.csv.gz``; empty if there is none."""
    return Path(Path(path).name.lower().removesuffix(".gz")).suffix


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The bytes in parts of about a mebibyte; each ends at the end of a line, or of the file."""
    parts: list[bytes] = []
    for block in blocks(path):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join([*parts, block[:cut]])
            parts, block = [], block[cut:]
        if block:
            parts.append(block)
    if parts:
        yield b"".join(parts)


def blocks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file in parts, unpacked if it is gzipped; DataError where it is missing or damaged."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(_missing(path), path) from None
    except NotADirectoryError:
        raise DataError("no such file: a part of its path is a file, not a folder", path) from None
    except IsADirectoryError:
        raise DataError("is a folder; a text file was expected", path) from None
    except PermissionError:
        raise DataError("may not be read: permission denied", path) from None
    with file:
        if file.peek(len(GZIP))[: len(GZIP)] != GZIP:
            yield from iter(lambda: file.read(BLOCK), b"")
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            while True:
                try:
                    block = unpacked.read(BLOCK)
                except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                    raise DataError(f"the gzip file is damaged or cut short: {error}", path) from None
                if not block:
                    return
                yield block


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"no such file, and the folder {str(folder)!r} does not exist"
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    return f"no such file{nearest(path.name, names)}"


def _invalid(path: str | Path, data: bytes, position: int, first: int) -> DataError:
    """Where the first byte stands that is not UTF-8, counted from 1 in its line; ``data`` begin with line ``first``."""
    line = first + data.count(b"\n", 0, position)
    byte = position - data.rfind(b"\n", 0, position)
    utf16 = "; it looks like UTF-16" if first == 1 and data.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
    return DataError(f"invalid UTF-8 at byte {byte} of the line: found 0x{data[position]:02x}{utf16}; "
                     "expected a text file in UTF-8", path, line)
