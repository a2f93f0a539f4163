"""Sentence pairs out of invented archives of the public form."""

from __future__ import annotations

import sqlite3
import zipfile
from pathlib import Path

import _parallel
import _verses
import pytest
from _environment import ToolError
from _parallel import BIBLE_CHAPTERS, bible, tatoeba
from _verses import texts

PARTS = ("train", "dev", "test")


def pairs_in_zip(folder: Path, lines: list[str]) -> dict[str, Path]:
    path = folder / "deu-eng.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_about.txt", "what it is")
        archive.writestr("deu.txt", "".join(line + "\n" for line in lines))
    return {path.name: path}


def sides(found: dict[str, bytes], part: str) -> list[tuple[str, str]]:
    english, german = (found[f"{part}.{language}.gz"].decode().split("\n")[:-1] for language in ("en", "de"))
    return list(zip(english, german, strict=True))


def test_pairs_are_split_so_that_no_sentence_is_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parallel, "EACH", 4)
    alone = [f"House {number}.\tHaus {number}." for number in range(12)]
    shared = ["Go on.\tGeh weiter.", "go on.\tGehen Sie weiter.", "Move on.\tgeh weiter.", "Stop.\tHalt.",
              "Halt.\tHalt."]
    found = tatoeba("de")(pairs_in_zip(tmp_path, [*shared, *alone, alone[3]]))
    parts = {part: sides(found, part) for part in PARTS}
    assert {part: len(pairs) for part, pairs in parts.items()} == {"train": 9, "dev": 4, "test": 4}
    assert all(english.startswith("House") for part in ("dev", "test") for english, _ in parts[part])
    assert {pair for pairs in parts.values() for pair in pairs} == {
        tuple(line.split("\t")) for line in [*shared, *alone]}


def test_pairs_come_in_the_same_order_whatever_the_order_of_the_archive(tmp_path: Path) -> None:
    lines = [f"House {number}.\tHaus {number}." for number in range(9)]
    found = tatoeba("de")(pairs_in_zip(tmp_path, lines))
    assert tatoeba("de")(pairs_in_zip(tmp_path, lines[::-1])) == found
    assert sides(found, "test") != [tuple(line.split("\t")) for line in lines]


def test_blanks_that_do_not_break_become_plain_and_a_third_column_is_left_out(tmp_path: Path) -> None:
    found = tatoeba("fr")(pairs_in_zip(tmp_path, ["Go on!\tVa\u202f!\tCC-BY\r"]))
    assert (found["test.en.gz"], found["test.fr.gz"]) == (b"Go on!\n", b"Va !\n")


def test_a_line_that_is_no_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"deu.txt, line 2: found 'Stop.', expected two sentences"):
        tatoeba("de")(pairs_in_zip(tmp_path, ["Go.\tGeh.", "Stop."]))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("_about.txt", "what it is")
    with pytest.raises(ToolError, match=r"found _about.txt; expected a .txt file of pairs"):
        tatoeba("de")({"empty.zip": tmp_path / "empty.zip"})


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Two chapters of train, one of dev and one of test, in four versions; the third lacks a verse."""
    connection = sqlite3.connect(tmp_path / "verses.db")
    connection.execute("CREATE TABLE bible (bbName TEXT, bNumber INT, cNumber INT, vNumber INT, vText TEXT)")
    for version in "34el":
        for book, chapter in ((1, 1), (1, 15), (1, 29), (1, 2)):
            for verse in (2, 1):
                if (version, chapter, verse) != ("e", 2, 1):
                    connection.execute("INSERT INTO bible VALUES (?, ?, ?, ?, ?)",
                                       (version, book, chapter, verse, f" {version}:  {chapter},{verse}"))
    connection.commit()
    connection.close()
    with zipfile.ZipFile(tmp_path / "verses.whl", "w") as archive:
        archive.write(tmp_path / "verses.db", _verses.DATABASE)
    return tmp_path / "verses.whl"


def test_verses_are_split_by_chapters(wheel: Path) -> None:
    found = bible({wheel.name: wheel})
    assert len(found) == 15
    assert found["train.ids.gz"] == b"1.1.1\n1.1.2\n1.2.2\n"
    assert found["train.en-web.gz"] == b"4: 1,1\n4: 1,2\n4: 2,2\n"
    assert (found["dev.ids.gz"], found["dev.de.gz"]) == (b"1.15.1\n1.15.2\n", b"e: 15,1\ne: 15,2\n")
    assert (found["test.ids.gz"], found["test.fr.gz"]) == (b"1.29.1\n1.29.2\n", b"l: 29,1\nl: 29,2\n")
    assert len(texts(wheel, ("3", "e"))) == 7
    assert not set(BIBLE_CHAPTERS["dev"].split()) & set(BIBLE_CHAPTERS["test"].split())
