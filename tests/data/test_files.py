"""Opening files: what is accepted, and that every refusal names the file and the place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seq2x.data import files
from seq2x.data.files import expand, lines, read_lines, suffix
from seq2x.errors import DataError


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("data", "lines"), [
    (b"one\ntwo\n", ["one", "two"]),
    (b"one\ntwo", ["one", "two"]),
    (b"one\r\ntwo\r\n", ["one", "two"]),
    (b"\xef\xbb\xbfone\r\ntwo", ["one", "two"]),
    (b"one\n\ntwo\n\n", ["one", "", "two", ""]),
    (b"\n", [""]),
    ("a\u2028b\u0085c\x0bd\x0ce\x1cf\rg\nh".encode(), ["a\u2028b\u0085c\x0bd\x0ce\x1cf\rg", "h"]),
])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_end_at_line_feeds_only(tmp_path: Path, data: bytes, lines: list[str], pack: type[bytes]) -> None:
    assert read_lines(write(tmp_path / "text.txt", pack(data))) == lines


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_empty_file(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "empty.txt", data)
    with pytest.raises(DataError) as raised:
        read_lines(path)
    assert str(raised.value) == f"{path}: the file is empty"


@pytest.mark.parametrize(("data", "line", "byte", "found"), [
    (b"\xffone\n", 1, 1, "0xff"),
    ("\u00e4\n\u00e4\u00f6".encode() + b"\xc3 x\nlast\n", 2, 5, "0xc3"),
    (b"one\ntwo\nthree \xe2\x82", 3, 7, "0xe2"),
    (b"\xef\xbb\xbfab\x80", 1, 6, "0x80"),
])
def test_invalid_utf8_names_line_and_byte(tmp_path: Path, data: bytes, line: int, byte: int, found: str) -> None:
    path = write(tmp_path / "bad.txt", data)
    with pytest.raises(DataError) as raised:
        read_lines(path)
    assert str(raised.value) == (f"{path}, line {line}: invalid UTF-8 at byte {byte} of the line: found {found}; "
                                 "expected a text file in UTF-8")
    assert (raised.value.path, raised.value.line) == (path, line)


def test_utf16_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it looks like UTF-16"):
        read_lines(write(tmp_path / "wide.txt", "words".encode("utf-16")))


def test_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "train.en.gz", b"x")
    with pytest.raises(DataError, match=r"train\.en: no such file; did you mean 'train\.en\.gz'\?"):
        read_lines(tmp_path / "train.en")
    with pytest.raises(DataError, match=r"the folder '.*nowhere' does not exist"):
        read_lines(tmp_path / "nowhere" / "train.en")
    with pytest.raises(DataError, match="a part of its path is a file"):
        read_lines(tmp_path / "train.en.gz" / "train.en")
    with pytest.raises(DataError, match="is a folder; a text file was expected"):
        read_lines(tmp_path)


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text of some length\n" * 50)
    for data in (whole[:-9], whole[:20], whole[:10] + b"\xff\xff" + whole[12:]):
        with pytest.raises(DataError, match=r"text\.gz: the gzip file is damaged or cut short"):
            read_lines(write(tmp_path / "text.gz", data))


def test_suffix_looks_through_gz() -> None:
    assert [suffix(name) for name in ("a.csv", "b.CSV.gz", "c.gz", "d", "e.tar/f.jsonl")] == [
        ".csv", ".csv", "", "", ".jsonl"]


def test_lines_longer_than_a_block_and_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 5)
    path = write(tmp_path / "a.gz", gzip.compress("ä\nlonger than a block ö\n\nx".encode()))
    assert list(lines(path)) == ["ä", "longer than a block ö", "", "x"]
    write(path, "one\ntwo\nthree ä".encode() + b"\xe2\x82\nlast")
    with pytest.raises(DataError, match=r"line 3: invalid UTF-8 at byte 9 of the line: found 0xe2; expected"):
        list(lines(path))


def test_lines_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    whole = b"".join(b"line %d of a file that is cut short\n" % number for number in range(200_000))
    stream = lines(write(tmp_path / "a.gz", gzip.compress(whole, 1)[:-9]))
    assert next(stream) == "line 0 of a file that is cut short"
    with pytest.raises(DataError, match="damaged or cut short"):
        list(stream)


# ------------------------------------------------------------------------------------------------ patterns

def test_patterns_match_in_sorted_order(tmp_path: Path) -> None:
    for name in ("train.b.gz", "train.a.gz", "train.c", "odd[1].txt"):
        write(tmp_path / name, b"x\n")
    (tmp_path / "train.d.gz").mkdir()
    shards = [str(tmp_path / "train.a.gz"), str(tmp_path / "train.b.gz")]
    assert expand(str(tmp_path / "train.*.gz")) == shards
    assert expand((str(tmp_path / "train.c"), str(tmp_path / "train.?.gz"))) == [str(tmp_path / "train.c"), *shards]
    assert expand(str(tmp_path / "odd[1].txt")) == [str(tmp_path / "odd[1].txt")]  # a name that only looks like one
    assert expand("no/such/file") == ["no/such/file"]  # whoever opens it says so


def test_a_pattern_without_match_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "train.1.gz", b"x\n")
    with pytest.raises(DataError) as raised:
        expand(str(tmp_path / "train.*.zst"))
    assert str(raised.value) == f"{tmp_path}/train.*.zst: the pattern matches no file; did you mean 'train.1.gz'?"
    with pytest.raises(DataError, match=r"matches no file, and the folder '.*nowhere' does not exist"):
        expand(str(tmp_path / "nowhere" / "*.gz"))
    with pytest.raises(DataError, match=r"the pattern matches no file$"):
        expand(str(tmp_path / "*" / "train.gz"))
