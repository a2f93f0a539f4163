from __future__ import annotations

import sqlite3
import zipfile
from pathlib import Path

import _verses
import pytest
from _environment import ToolError
from _verses import Pair, clean, pairs, read, split
from quickstart_data import rank, translator

from seq2x.data.readers import read_pairs

Rows = list[tuple[str, int, int, int, str]]


def wheel(path: Path, rows: Rows) -> Path:
    """An archive of the same form: a zip with an SQLite file in it."""
    database = path.with_suffix(".db")
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE bible (id INTEGER, bbName TEXT, bNumber INTEGER, cNumber INTEGER, "
                       "vNumber INTEGER, vText TEXT)")
    connection.executemany("INSERT INTO bible VALUES (?, ?, ?, ?, ?, ?)",
                           [(number, *row) for number, row in enumerate(rows)])
    connection.commit()
    connection.close()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(database, _verses.DATABASE)
    database.unlink()
    return path


def book(chapters: int, verses: int) -> Rows:
    """Invented verses in two versions, none twice."""
    return [
        row for chapter in range(1, chapters + 1) for verse in range(1, verses + 1)
        for row in (("e", 1, chapter, verse, f"Und das war Haus {chapter} mit Tor {verse}."),
                    ("4", 1, chapter, verse, f"And that was house {chapter} with gate {verse}."))
    ]


@pytest.mark.parametrize(("printed", "expected"), [
    ("He didn`t see the king`s house.", "He didn't see the king's house."),
    ("They saw their fathers` houses.", "They saw their fathers' houses."),
    ('He said, "I have heard, `Go home!`"', "He said, I have heard, Go home!"),
    ("Er sprach: „Geh heim!“", "Er sprach: Geh heim!"),
    ("der Sohn [des] Mannes, [und] er", "der Sohn des Mannes, und er"),
    ("the first -[fruits] of it", "the first-fruits of it"),
    ("a sin- offering, a Hin- und Weg", "a sin-offering, a Hin- und Weg"),
    ("Er ging heim. -", "Er ging heim."),
    ("(9:2) Il parla. (9:3) -Elle parla.", "Il parla. Elle parla."),
    ("\t \u00adOH casa,  dijo : \u00adSÍ", "Oh casa, dijo: Sí"),
    ("Lass mich nicht! *", "Lass mich nicht!"),
    ("ten-stringed, well-known", "ten-stringed, well-known"),
])
def test_a_verse_is_cleaned(printed: str, expected: str) -> None:
    assert clean(printed) == expected


def test_what_is_left_out_is_counted() -> None:
    verses = [
        ((1, 1, 1), "Er kam heim .", "He came home."),
        ((1, 1, 2), "(MISSING)", "He left."),
        ((1, 1, 3), "Er ging ... fort", "He went away."),
        ((1, 1, 4), "Er ging fort und kam nie wieder heim.", "He went away."),
        ((1, 1, 5), "Ja", "Yes."),
        ((19, 3, 1), "Ein Lied. Er kam.", "He came."),
        ((19, 3, 2), "Er ging.", "He went."),
        ((19, 3, 3), "Er blieb.", "He stayed. Psalm 4"),
        ((19, 119, 2), "Er lief.", "He ran."),
        ((22, 1, 2), "Er sang.", "He sang. Friends"),
    ]
    chosen, left_out = pairs(verses, longest=7)
    assert chosen == [Pair("Er kam heim.", "He came home.", (1, 1)), Pair("Er ging.", "He went.", (19, 3))]
    assert left_out == {"gaps in an edition": 2, "longer than 7 words": 1, "lengths that do not fit": 1,
                        "verses that hold headings": 4}


def test_chapters_stay_whole_and_nothing_is_repeated() -> None:
    chosen = [Pair(f"eins {chapter} {verse}", f"one {chapter} {verse}", (1, chapter))
              for chapter in range(9) for verse in range(4)]
    chosen += [Pair("immer wieder!", f"again {chapter}", (1, chapter)) for chapter in range(9)]
    groups, dropped = split(chosen, words=5, dev=6, test=6, rank=rank)
    chapters = {name: {pair.chapter for pair in group} for name, group in groups.items()}
    assert [len(chapters[name]) for name in ("test", "dev", "train")] == [2, 2, 5]
    assert not chapters["test"] & chapters["train"]
    assert len(groups["train"]) == 25
    assert len(groups["test"]) == len(groups["dev"]) == 8
    assert dropped == {"test: said again elsewhere": 2, "dev: said again elsewhere": 2}


def test_test_verses_may_be_shorter_than_training_verses() -> None:
    chosen = [Pair("kurz und gut", f"short {chapter}", (1, chapter)) for chapter in range(8)]
    chosen += [Pair(f"dies ist ein langer Satz {chapter}", f"long {chapter}", (1, chapter)) for chapter in range(8)]
    groups, _ = split(chosen, words=4, dev=1, test=1, rank=rank)
    assert {len(pair.source.split()) for pair in groups["train"]} == {3, 6}
    assert {len(pair.source.split()) for name in ("test", "dev") for pair in groups[name]} <= {3}


def test_verses_are_read_in_order(tmp_path: Path) -> None:
    rows: Rows = [("e", 1, 1, 2, "zwei"), ("e", 1, 1, 1, "eins"), ("4", 1, 1, 1, "one"), ("4", 1, 1, 2, "two"),
                  ("l", 1, 1, 1, "un"), ("4", 1, 1, 3, "three")]
    path = wheel(tmp_path / "archive.whl", rows)
    assert read(path, "e", "4") == [((1, 1, 1), "eins", "one"), ((1, 1, 2), "zwei", "two")]
    assert [found.name for found in tmp_path.iterdir()] == ["archive.whl"]
    with pytest.raises(ToolError, match="share no verse"):
        read(path, "e", "3")


def test_a_damaged_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "damaged.whl").write_bytes(b"PK")
    with pytest.raises(ToolError, match="cannot be read from it"):
        read(tmp_path / "damaged.whl", "e", "4")
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as archive:
        archive.writestr(_verses.DATABASE, b"no database" * 100)
    with pytest.raises(ToolError, match="cannot be read from it"):
        read(tmp_path / "empty.whl", "e", "4")


def test_verses_become_aligned_files(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "archive.whl", book(chapters=12, verses=10))
    made = translator(archive, "e-4", words=8, dev=15, test=25)
    assert sorted(made.files) == ["dev.de", "dev.en", "test.de", "test.en", "train.de", "train.en"]
    assert [made.counts[f"{name}: verses"] for name in ("train", "dev", "test")] == [70, 20, 30]
    assert made.counts["train: words de"] == 560
    for name, text in made.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="\n")
    found = read_pairs(tmp_path / "test.de", tmp_path / "test.en")
    assert len(found) == 30
    assert all(pair.source.split()[4] == pair.target.split()[4] for pair in found)


@pytest.mark.parametrize(("pair", "message"), [("e", "unknown"), ("e-q", "unknown"), ("3-4", "the same language")])
def test_a_wrong_pair_is_an_error(pair: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=message):
        translator(tmp_path / "none", pair)
