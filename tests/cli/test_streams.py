"""Where lines come from and records go: files, pipes, terminals; real processes where it takes one."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x.cli.streams import Lines, Output, Ticker, open_input
from seq2x.errors import RunError

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(("data", "lines"), [
    (b"", []),
    (b"\n", [""]),
    (b"a\nb", ["a", "b"]),
    (b"a\r\n\r\n b \n", ["a", "", " b "]),
    (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
    ("a\u2028b\x85c\x0bd\x1ce\n".encode(), ["a\u2028b\x85c\x0bd\x1ce"]),
    (b"a\rb\r\r\n", ["a\rb\r"]),
])
def test_lines(data: bytes, lines: list[str]) -> None:
    read = Lines(io.BytesIO(data), "here")
    assert list(read) == lines
    assert read.error is None
    assert read.count == len(lines)


@pytest.mark.parametrize(("data", "message"), [
    (b"\xff\xfea\x00", r"here, line 1: invalid UTF-8 at byte 1 of the line: found 0xff; it looks like UTF-16"),
    (b"a\nb\xe9\n", r"here, line 2: invalid UTF-8 at byte 2 of the line: found 0xe9; expected"),
    (b"\xef\xbb\xbfa\x80\n", r"here, line 1: invalid UTF-8 at byte 5"),
    (b"\xed\xa0\x80\n", r"here, line 1: invalid UTF-8 at byte 1"),
])
def test_lines_that_are_not_utf8(data: bytes, message: str) -> None:
    read = Lines(io.BytesIO(data), "here")
    assert list(read) == ["a"] * (read.count - 1)
    assert str(read.error).startswith(message)
    assert list(read) == []  # it stays ended


@pytest.mark.parametrize("damaged", [lambda packed: packed[:-9], lambda packed: packed[:-40] + bytes(40)])
def test_gzipped_lines_that_are_damaged(tmp_path: Path, damaged: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(damaged(gzip.compress(b"".join(b"%d is a number\n" % number for number in range(90_000)))))
    with open_input(str(path)) as stream:
        read = Lines(stream, "here")
        found = list(read)
    assert found[:2] == ["0 is a number", "1 is a number"]
    assert str(read.error).startswith(f"here: the gzip file is damaged or cut short behind line {len(found):,}: ")


def test_a_file_is_whole_or_called_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.txt"
    with Output(str(path), False, flush=True) as output:
        output.write("ä\u2028")
        assert not path.exists()
    assert path.read_bytes() == "ä\u2028\n".encode()
    with pytest.raises(RunError, match=r"out.txt: exists already; --overwrite replaces it"):
        Output(str(path), False, flush=False)
    with contextlib.suppress(ValueError), Output(str(path), True, flush=False) as output:
        output.write("new")
        raise ValueError("stop")
    assert path.read_bytes() == "ä\u2028\n".encode()
    assert (tmp_path / "out.txt.part").read_bytes() == b"new\n"
    assert "what was done so far is in" in capsys.readouterr().err
    with contextlib.suppress(ValueError), Output(str(path), True, flush=False):
        raise ValueError("stop")
    assert not (tmp_path / "out.txt.part").exists()
    with pytest.raises(RunError, match="is a folder"):
        Output(str(tmp_path), True, flush=False)
    with pytest.raises(RunError, match=r"the folder .* does not exist"):
        Output(str(tmp_path / "no" / "out"), True, flush=False)


def test_files_in_and_out(world: Path, call: Call, fails: Fails, tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress(b"Ann ging nach Rome .\nTom sah Oslo .\n"))
    command = ["translate", world / "runs/translate", "-i", source, "-o", target]
    assert call(command) == (0, "", "")
    written = target.read_bytes()
    assert written.count(b"\n") == 2
    assert "out.txt: exists already; --overwrite replaces it" in fails(command)
    assert call([*command, "--overwrite"]) == (0, "", "")
    assert target.read_bytes() == written
    source.write_bytes(b"Tom\n\xff\n")
    code, _, errors = call([*command, "--overwrite"])
    assert code == 2
    assert f"{source}, line 2: invalid UTF-8 at byte 1" in errors
    assert "what was done so far is in" in errors
    assert target.read_bytes() == written
    assert target.with_name("out.txt.part").read_bytes().count(b"\n") == 1
    assert call([*command[:4], "-o", "/dev/null"], b"")[0] == 2
    source.write_bytes(b"Tom\n")
    assert call([*command[:4], "-o", "/dev/null"]) == (0, "", "")
    assert "is a folder" in fails([*command[:2], "-i", tmp_path])


def test_a_full_disk_is_said(world: Path, fails: Fails) -> None:
    lines = b"Ann ging nach Rome .\n" * 2000
    message = fails(["translate", world / "runs/translate", "--beam-size", "1", "-o", "/dev/full"], lines)
    assert "/dev/full: cannot be written: No space left on device" in message


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_ticker_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        now[0] = 0.0
        with Ticker(shown=True) as ticker:
            for number in range(1, 101):
                now[0] += 0.1
                ticker.show(number)
            ticker.notice("line 7 is long")
        written = stream.getvalue()
        assert ("\r99 lines, 10.0 a second" in written) == shown
        assert "seq2x: line 7 is long\n" in written
        assert written.count("\r") < 80
        assert "lines" not in written.rpartition("\r")[2]  # the line was wiped


def start(world: Path, *arguments: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "seq2x", *arguments], cwd=world, env=ENVIRONMENT, stdin=stdin,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_stream_is_answered_line_by_line(world: Path) -> None:
    with start(world, "translate", "--model", "runs/translate", "--stream") as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018 - all are pipes
        for text in (b"Ann ging nach Rome .\n", b"\n", b"Tom sah Oslo .\n"):
            process.stdin.write(text)
            process.stdin.flush()
            answer = process.stdout.readline()  # would wait for ever if it waited for more lines
            assert answer.endswith(b"\n")
            assert (answer == b"\n") == (text == b"\n")
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_typed_lines_are_answered_one_by_one(world: Path) -> None:
    ours, theirs = pty.openpty()
    with start(world, "classify", "runs/classify", stdin=theirs) as process:
        assert process.stdout and process.stderr  # noqa: PT018 - both are pipes
        for text, label in ((b"Ann went to Rome .\n", b"gone\t"), (b"Tom Bob saw Oslo .\n", b"seen\t")):
            os.write(ours, text)
            assert process.stdout.readline().startswith(label)
        os.write(ours, b"\x04")  # Ctrl-D
        assert process.stderr.read() == b"seq2x: one line at a time; Ctrl-D ends\n"
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0


def test_a_reader_that_goes_away_is_no_error(world: Path) -> None:
    with start(world, "tag", "runs/tag", "--window", "8") as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018 - all are pipes
        process.stdout.close()
        process.stdin.write(b"Ann went to Rome .\n" * 2000)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_mistake_is_exit_code_2_in_a_real_process(world: Path) -> None:
    with start(world, "init", "tag", "trian.conll", "-o", "new.toml") as process:
        output, errors = process.communicate()
    assert (process.returncode, output) == (2, b"")
    assert errors == b"seq2x: error: trian.conll: no such file; did you mean 'train.conll'?\n"
