"""Word vectors in every format, of which only the rows asked for are kept; and files that are none."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seq2x.data.vectors import Vectors, read_vectors
from seq2x.errors import DataError

TABLE = {"the": [0.5, -1.25, 3.0], "Oslo": [1e-3, 2.0, -0.75], "größe": [0.0, 1.0, 2.0], "kite": [7.0, 8.0, 9.0]}
WORDS = ["kite", "The", "Oslo", "absent", "größe"]


def glove(table: dict[str, list[float]]) -> bytes:
    return "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in table.items()).encode()


def word2vec_text(table: dict[str, list[float]]) -> bytes:
    return f"{len(table)} 3\n".encode() + glove(table)


def fasttext(table: dict[str, list[float]]) -> bytes:
    return word2vec_text(table).replace(b"\n", b" \n").replace(b" \n", b"\n", 1)  # its lines end with a blank


def binary(table: dict[str, list[float]], end: bytes = b"") -> bytes:
    rows = (word.encode() + b" " + np.array(row, "<f4").tobytes() + end for word, row in table.items())
    return f"{len(table)} 3\n".encode() + b"".join(rows)


def binary_with_line_ends(table: dict[str, list[float]]) -> bytes:
    return binary(table, b"\n")


def written(tmp_path: Path, data: bytes, name: str = "some.vectors") -> str:
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


def rows(found: Vectors, words: list[str]) -> dict[str, list[float]]:
    return {words[number]: row for number, row in zip(found.ids.tolist(), found.rows.tolist(), strict=True)}


@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, mtime=0)], ids=["plain", "gz"])
@pytest.mark.parametrize("make", [glove, word2vec_text, fasttext, binary, binary_with_line_ends])
def test_every_format_gives_the_same(
    make: Callable[[dict[str, list[float]]], bytes], pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    found = read_vectors(written(tmp_path, pack(make(TABLE))), WORDS, 3)
    expected = {"kite": TABLE["kite"], "The": TABLE["the"], "Oslo": TABLE["Oslo"], "größe": TABLE["größe"]}
    assert rows(found, WORDS) == {word: np.array(row, np.float32).tolist() for word, row in expected.items()}
    assert found.report == "4 of 5 words found, 1 in lower case"


def test_a_word_itself_goes_before_its_lower_case_and_the_first_of_two_counts(tmp_path: Path) -> None:
    table = b"the 1 1\nThe 2 2\nTHE 3 3\nThe 4 4\nthe 5 5\n"
    words = ["The", "the", "tHe"]
    found = read_vectors(written(tmp_path, table), words, 2)
    assert rows(found, words) == {"The": [2, 2], "the": [1, 1], "tHe": [1, 1]}


def test_tabs_carriage_returns_byte_order_marks_and_no_last_line_end(tmp_path: Path) -> None:
    table = b"\xef\xbb\xbfone\t1\t2\r\n\r\ntwo 3\t4 \r\n\xe2\x80\xa8 5 6\r\n. . 7 8\r\nlast  9 10"
    words = ["one", "two", "\u2028", ". .", "last"]
    found = read_vectors(written(tmp_path, table), words, 2)
    assert rows(found, words) == {"one": [1, 2], "two": [3, 4], "\u2028": [5, 6], ". .": [7, 8], "last": [9, 10]}


@pytest.mark.parametrize("make", [glove, word2vec_text, binary])
def test_another_width_says_both(make: Callable[[dict[str, list[float]]], bytes], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: the vectors are 3 wide; the embedding is 100 \(encoder\.embedding"):
        read_vectors(written(tmp_path, make(TABLE)), WORDS, 100)


@pytest.mark.parametrize(("data", "message"), [
    (b"kite 1 2\ntoo 1\n", "line 2: found 1 numbers behind the word; expected 2"),
    (b"2 2\nkite 1 2\ntoo 1 2 3\n", "line 3: found 3 numbers behind the word; expected 2"),
    (b"a 1 2\nkite 1 x\n", "line 2: expected numbers behind the word: .*'x'"),
    (b"a 1 2\nkite nan 2\n", "line 2: found a number that is not finite"),
    (b"a 1 2\nb 1 2\n", "has a vector for none of the 5 words of the vocabulary"),
    (b"once upon a time\n", "line 1: expected a word and its numbers"),
    (b"", "expected word vectors"),
    (b"\x00" * (1 << 20) + b"\x00" * 9, "expected word vectors: lines of a word and its numbers"),
    (b"kite 1 2\n" + b"x" * (3 << 20), "a line of more than 1,048,576 bytes"),
    (b"3 2\nkite " + np.ones(2, "<f4").tobytes(), "is cut short: 1 whole vectors of 3"),
    (b"3 2\nkite " + np.ones(2, "<f4").tobytes() + b"\n" + b"\xff" * (3 << 20), "vector 2 of 3: expected a word"),
    (b"1 2\nkite " + np.array([1, np.inf], "<f4").tobytes(), "vector 1 of 1 holds a number that is not finite"),
    (b"PK\x03\x04rest", "is a zip archive; unpack it"),
    (b"\xba\x16\x4f\x2frest", r"is a fastText model; expected its vectors, the \.vec file"),
])
def test_what_is_wrong_is_said_with_its_line(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"some\.vectors.*{message}"):
        read_vectors(written(tmp_path, data), WORDS, 2)


def test_a_missing_or_damaged_file(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(glove(TABLE) * 100)[:-20], "glove.gz")
    with pytest.raises(DataError, match=r"the gzip file is damaged or cut short"):
        read_vectors(path, WORDS, 3)
    with pytest.raises(DataError, match=r"no such file; did you mean 'glove\.gz'"):
        read_vectors(path.replace("glove", "glov"), WORDS, 3)


@pytest.mark.parametrize("make", [glove, binary])
def test_memory_does_not_grow_with_the_file(
    make: Callable[[dict[str, list[float]]], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2x.data.files.BLOCK", 1 << 14)
    data = make({f"word{number}": [number, 0.125, -1.0] for number in range(40_000)})
    path, words = written(tmp_path, gzip.compress(data, 1)), ["word39999", "word7"]
    tracemalloc.start()
    found = read_vectors(path, words, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows(found, words) == {"word39999": [39999, 0.125, -1], "word7": [7, 0.125, -1]}
    assert len(data) > 800_000
    assert peak < 400_000
