"""Opens the text files of the data: plain or gzipped, UTF-8 or an error. Knows no format.

Lines end at line feeds only. U+2028, U+0085 and their like are characters of a line, as they are for every other
tool that counts lines; ``str.splitlines`` would lose the alignment of parallel files over them.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from seq2x.errors import DataError, nearest

GZIP = b"\x1f\x8b"
"""How a gzipped file begins, and no UTF-8 text can."""


def read_lines(path: str | Path) -> list[str]:
    """Return the lines without their ends. A byte order mark and carriage returns at line ends are accepted.

    Raises DataError for a file that is missing, unreadable, empty, damaged, or not UTF-8 (naming line and byte).
    """
    data = _bytes(Path(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(path, data, error.start) from None
    text = text.removeprefix("\ufeff").removesuffix("\n")
    if not text and b"\n" not in data:
        raise DataError("the file is empty", path)
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def suffix(path: str | Path) -> str:
    """Return the suffix in lower case that tells the format: ``.csv`` of ``dev.csv.gz``; empty if there is none."""
    return Path(Path(path).name.lower().removesuffix(".gz")).suffix


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(_missing(path), path) from None
    except NotADirectoryError:
        raise DataError("no such file: a part of its path is a file, not a folder", path) from None
    except IsADirectoryError:
        raise DataError("is a folder; a text file was expected", path) from None
    except PermissionError:
        raise DataError("may not be read: permission denied", path) from None
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"the gzip file is damaged or cut short: {error}", path) from None


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"no such file, and the folder {str(folder)!r} does not exist"
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    return f"no such file{nearest(path.name, names)}"


def _invalid(path: str | Path, data: bytes, position: int) -> DataError:
    """Where the first byte stands that is not UTF-8, counted from 1 in its line."""
    line = data.count(b"\n", 0, position) + 1
    byte = position - data.rfind(b"\n", 0, position)
    utf16 = "; it looks like UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
    return DataError(f"invalid UTF-8 at byte {byte} of the line: found 0x{data[position]:02x}{utf16}; "
                     "expected a text file in UTF-8", path, line)
