"""Files on the way to the disk: sha256, gzip with reproducible bytes, folders that are there whole or not at all.

Knows nothing of the library, of what the files hold, or of where they come from. Standard library only.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from _environment import ToolError

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte before a download counts as failed


def sha256_of(path: Path, *, unpacked: bool = False) -> str:
    """The sha256 of a file; ``unpacked``: of what a .gz file holds, as gzip's own bytes depend on the zlib."""
    digest = hashlib.sha256()
    with open_unpacked(path) if unpacked else path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading bytes, through gzip where its name ends in .gz."""
    return gzip.GzipFile(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; one whose name ends in .gz is packed with no name and a zero time stamp."""
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                packed.write(content)
        else:
            raw.write(content)


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``folder`` if the block ends well and vanishes otherwise.

    An older ``folder`` stays until the new one is whole.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by an earlier interruption
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class Progress:
    """A bar on a terminal; a line every few seconds where the output goes to a file."""

    def __init__(self, label: str, total: int) -> None:
        """``total`` in bytes; 0 where it is not known."""
        self.label, self.total, self.done = label, total, 0
        self.started = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def add(self, amount: int) -> None:
        """Count ``amount`` more bytes."""
        self.done += amount
        now = time.monotonic()
        if now - self.shown >= (0.1 if self.terminal else 5.0):
            self.shown = now
            print(("\r" if self.terminal else "") + self.line(), end="" if self.terminal else "\n", flush=True)

    def line(self) -> str:
        """The state as one line."""
        megabytes = self.done / 1e6
        speed = megabytes / max(time.monotonic() - self.started, 1e-3)
        if not self.total:
            return f"    {self.label}  {megabytes:.1f} MB  {speed:.1f} MB/s"
        share = min(self.done / self.total, 1.0)
        bar = "#" * round(30 * share) + "." * round(30 * (1 - share))
        return f"    {self.label}  [{bar}] {megabytes:.1f} of {self.total / 1e6:.1f} MB  {speed:.1f} MB/s"

    def end(self) -> None:
        """Show the last state and leave the line."""
        print(("\r" if self.terminal else "") + self.line(), flush=True)


def download(url: str, path: Path) -> None:
    """Fetch ``url`` into ``path``, with progress; an interrupted download leaves no file under that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, partial.open("wb") as out:
            progress = Progress(path.name, int(answer.headers.get("Content-Length") or 0))
            while chunk := answer.read(1 << 16):
                out.write(chunk)
                progress.add(len(chunk))
            progress.end()
            if progress.total and progress.done != progress.total:
                raise ToolError(f"{url} broke off after {progress.done} of {progress.total} bytes; start again")
        partial.replace(path)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ToolError(f"{url} could not be fetched ({reason}).\nGet that file in another way, put it at {path} "
                        "and start the command again.") from None
    finally:
        partial.unlink(missing_ok=True)
