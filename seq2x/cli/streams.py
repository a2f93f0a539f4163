"""Lines in, records out: standard input or a file, one record for each line, in order. Knows no model.

Lines end at ``\\n`` only, in and out, whatever the platform; text is UTF-8, whatever the locale.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from seq2x.cli.options import WINDOW
from seq2x.errors import ConfigError, DataError, RunError, nearest

STDIN = "standard input"
Notice = Callable[[str], None]
"""Says something on standard error, past the progress shown there."""
Records = Callable[["Lines", Notice], Iterator[str]]
"""(lines, notice) -> the text of each line's record, without the line feed at its end."""


def convert(arguments: Namespace, load: Callable[[int], Records]) -> int:
    """Put every line of the input through ``load(window)`` and write what comes out; return the exit code.

    ``window`` is the number of lines to read ahead: 1 where each is to be answered before the next is read, as asked or
    because a person types them. The names of the files are checked before ``load`` is called, as that takes its time. A
    line that is not UTF-8 ends the input: the records of the lines before it are written, then the DataError is raised.
    """
    if arguments.stream and arguments.window is not None:
        raise ConfigError(f"--stream answers each line before the next is read; found --window {arguments.window} too")
    if arguments.input and arguments.output and Path(arguments.input).resolve() == Path(
            f"{arguments.output}.part").resolve():
        raise ConfigError(f"-i {arguments.input} would be written over: -o {arguments.output} has that name until it "
                          "is complete; expected another")
    typed = arguments.input is None and sys.stdin.isatty()
    stream = arguments.stream or typed
    output = Output(arguments.output, arguments.overwrite, flush=stream)
    with open_input(arguments.input) as opened:
        lines = Lines(opened, arguments.input or STDIN)
        records = load(1 if stream else arguments.window or WINDOW)
        if typed:
            print("seq2x: one line at a time; Ctrl-D ends", file=sys.stderr)
        with output, Ticker(shown=not stream and not output.on_terminal) as ticker:
            for number, record in enumerate(records(lines, ticker.notice), start=1):
                output.write(record)
                ticker.show(number)
            if lines.error is not None:
                raise lines.error
    return 0


def in_parts(arguments: Namespace, number: int, limit: int, done: str, parts: int) -> str:
    """What to say of a line that was longer than the model's limit."""
    where = f"{arguments.input or STDIN}, line {number}"
    return f"{where}: longer than the model's limit of {limit:,} tokens; {done} in {parts:,} parts"


@contextlib.contextmanager
def open_input(path: str | None) -> Iterator[BinaryIO]:
    """Open a file, gzipped or not; None is standard input, which is left open."""
    if path is None:
        yield cast(BinaryIO, sys.stdin.buffer)
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        folder = Path(path).parent
        if not folder.is_dir():
            raise DataError(f"no such file, and the folder {str(folder)!r} does not exist", path) from None
        names = sorted(entry.name for entry in folder.iterdir())
        raise DataError(f"no such file{nearest(Path(path).name, names)}", path) from None
    except IsADirectoryError:
        raise DataError("is a folder; a text file was expected", path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from None
    with stream:
        packed = stream.peek(2)[:2] == b"\x1f\x8b"
        yield cast(BinaryIO, gzip.open(stream)) if packed else stream  # noqa: SIM115 - closed with the stream


class Lines:
    """The lines of a stream, each as soon as it is there; without line feed, carriage return or byte order mark."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name, self.count = name, 0
        self.error: DataError | None = None
        """Why the lines ended before their end."""
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self.error is not None:
            raise StopIteration
        try:
            line = self._stream.readline()
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            self.error = DataError(f"the gzip file is damaged or cut short behind line {self.count:,}: {error}. The "
                                   "lines up to there are done", self.name)
            raise StopIteration from None
        if not line:
            raise StopIteration
        self.count += 1
        start = 3 if self.count == 1 and line.startswith(b"\xef\xbb\xbf") else 0
        try:
            return line[start:].removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            at = error.start + start
            utf16 = "; it looks like UTF-16" if line[:2] in (b"\xff\xfe", b"\xfe\xff") and self.count == 1 else ""
            self.error = DataError(f"invalid UTF-8 at byte {at + 1} of the line: found 0x{line[at]:02x}{utf16}; "
                                   "expected text in UTF-8. The lines before it are done",
                                   self.name, self.count)
            raise StopIteration from None


class Output:
    """Where records go: standard output, or a file that is either whole or called FILE.part."""

    def __init__(self, path: str | None, overwrite: bool, *, flush: bool) -> None:
        """RunError for a file that exists (unless ``overwrite``), or whose folder does not."""
        self._path, self._flush = None if path is None else Path(path), flush
        self._stream: BinaryIO | None = None
        # a device or a named pipe is written to, not replaced
        self._special = self._path is not None and self._path.exists() and not self._path.is_file()
        if self._path is None:
            return
        if self._path.is_dir():
            raise RunError(f"{path}: is a folder; expected the name of a file")
        if self._path.is_file() and not overwrite:
            raise RunError(f"{path}: exists already; --overwrite replaces it")
        if not self._path.parent.is_dir():
            raise RunError(f"{path}: the folder {str(self._path.parent)!r} does not exist")

    @property
    def on_terminal(self) -> bool:
        """Whether a person sees the records as they come."""
        return self._path is None and sys.stdout.isatty()

    @property
    def _part(self) -> Path:
        assert self._path is not None
        return self._path if self._special else self._path.with_name(f"{self._path.name}.part")

    def __enter__(self) -> Self:
        if self._path is None:
            self._stream = cast(BinaryIO, sys.stdout.buffer)
            return self
        try:
            self._stream = self._part.open("wb")
        except OSError as error:
            raise RunError(f"{self._part}: cannot be written: {error.strerror}") from None
        return self

    def write(self, record: str) -> None:
        """Write a record and end its line."""
        assert self._stream is not None
        try:
            self._stream.write(record.encode("utf-8") + b"\n")
            if self._flush:
                self._stream.flush()
        except OSError as error:
            raise self._explained(error) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stream is not None
        try:
            if self._path is not None:
                self._stream.close()
            elif kind is None:
                self._stream.flush()
        except OSError as last:
            if kind is None:
                raise self._explained(last) from None
        if self._path is None:
            return
        if kind is None and not self._special:
            self._part.replace(self._path)
        elif not self._special and not self._part.stat().st_size:
            self._part.unlink()
        elif not self._special:
            print(f"seq2x: what was done so far is in {self._part}", file=sys.stderr)

    def _explained(self, error: OSError) -> Exception:
        """A full disk in our words; a reader that went away needs none."""
        if isinstance(error, BrokenPipeError):
            return error
        return RunError(f"{self._path or 'standard output'}: cannot be written: {error.strerror}")


class Ticker:
    """A line on standard error that counts what is done, where a person sees it and nothing else is written there."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._began = self._drawn = time.monotonic()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._draw("")

    def show(self, number: int) -> None:
        """Show how many lines are done, a few times a second."""
        now = time.monotonic()
        if self._shown and now - self._drawn >= 0.25:
            self._drawn = now
            self._draw(f"{number:,} lines, {number / (now - self._began):,.1f} a second")

    def notice(self, message: str) -> None:
        """Say something that stays."""
        self._draw("")
        print(f"seq2x: {message}", file=sys.stderr)

    def _draw(self, text: str) -> None:
        if self._shown and (text or self._width):
            sys.stderr.write(f"\r{text:<{self._width}}" + ("" if text else "\r"))
            sys.stderr.flush()
            self._width = len(text)


def quiet_pipe() -> None:
    """Point standard output at nothing: its reader has gone, and Python would complain about it at exit."""
    with contextlib.suppress(OSError, ValueError):  # a stream of a test has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
