"""The sets of sentence pairs: how the files used here are made of what is published, and their sha256.

Knows nothing of downloads or of the library. Standard library only.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import _verses
from _environment import ToolError

EACH = 2000
"""Pairs of Tatoeba in dev, and in test."""
BIBLE_VERSIONS = {"en-bbe": "3", "en-web": "4", "de": "e", "fr": "l"}
BIBLE_CHAPTERS = {  # book.chapter; all others are train
    "dev": "1.15 2.7 3.17 4.32 7.10 9.22 10.18 12.3 15.7 16.6 17.1 17.8 18.21 19.11 19.38 19.64 19.82 20.2 20.20 20.22 "
           "20.23 24.8 24.36 26.5 26.10 28.4 31.1 33.6 38.8 42.20 43.6 43.10 44.12 45.14 48.6 52.2 55.1",
    "test": "1.29 1.42 2.6 3.6 3.24 5.17 5.30 5.34 7.16 9.17 10.10 14.6 14.7 16.9 18.7 18.42 19.25 19.42 19.125 "
            "20.13 21.8 25.4 26.9 41.9 44.14 44.24 45.8 51.1 51.4",
}


def tatoeba(target: str) -> Callable[[Mapping[str, Path]], dict[str, bytes]]:
    """Return what makes train, dev and test of an archive of lines ENGLISH TAB ``target``, its other language.

    A pair is in dev or test only where neither side, but for case, is in another pair: no sentence of theirs is in
    train. Which ones, and the order of all, is up to the sha1 of the pair.
    """
    def convert(downloads: Mapping[str, Path]) -> dict[str, bytes]:
        (path,) = downloads.values()
        pairs = dict.fromkeys(_tatoeba_pairs(path))  # distinct, in their order
        often = [Counter(pair[side].lower() for pair in pairs) for side in (0, 1)]
        alone = [pair for pair in pairs if all(often[side][pair[side].lower()] == 1 for side in (0, 1))]
        alone.sort(key=_rank)
        parts = {"test": alone[:EACH], "dev": alone[EACH : 2 * EACH]}
        held = {pair for part in parts.values() for pair in part}
        parts["train"] = sorted((pair for pair in pairs if pair not in held), key=lambda pair: _rank(pair, "t"))
        return {f"{name}.{language}.gz": "".join(pair[side] + "\n" for pair in part).encode()
                for name, part in parts.items() for side, language in enumerate(("en", target))}

    return convert


def _tatoeba_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of an archive; no-break spaces, which stand before French marks, as plain ones."""
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".txt") and "about" not in name), None)
        if name is None:
            raise ToolError(f"{path}: found {', '.join(archive.namelist())}; expected a .txt file of pairs")
        text = archive.read(name).decode("utf-8")
    pairs = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        sides = line.removesuffix("\r").split("\t")
        if len(sides) < 2:
            raise ToolError(f"{path}: {name}, line {number}: found {line!r}, expected two sentences with a TAB between")
        pairs.append((" ".join(sides[0].split()), " ".join(sides[1].split())))
    return pairs


def _rank(pair: tuple[str, str], salt: str = "") -> str:
    return hashlib.sha1(f"{salt}{pair[0]}\t{pair[1]}".encode()).hexdigest()


def bible(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """Every verse of four versions, a verse a line, split by whole chapters; .ids says book.chapter.verse."""
    (path,) = downloads.values()
    part_of = {chapter: part for part, chapters in BIBLE_CHAPTERS.items() for chapter in chapters.split()}
    lines: dict[str, list[str]] = {f"{part}.{end}.gz": [] for part in ("train", *BIBLE_CHAPTERS)
                                   for end in (*BIBLE_VERSIONS, "ids")}
    for (book, chapter, verse), texts in _verses.texts(path, tuple(BIBLE_VERSIONS.values())):
        part = part_of.get(f"{book}.{chapter}", "train")
        for end, text in zip((*BIBLE_VERSIONS, "ids"), (*texts, f"{book}.{chapter}.{verse}"), strict=True):
            lines[f"{part}.{end}.gz"].append(" ".join(text.split()) + "\n")
    return {name: "".join(found).encode() for name, found in lines.items()}


BIBLE = {
    "dev.de.gz": "81d06db9549af945eaed2c729aa25a3d54e26d7984bab877c77aa477ed475ee4",
    "dev.en-bbe.gz": "87028de0c50a635fc02b790b3c4c33ca8eae5562cdb0e01a0f61dfa375bd296d",
    "dev.en-web.gz": "02424d42556bc4a03b84cf25c4a07be3761bb556b8bf3ca99c37cd4b8ee45cad",
    "dev.fr.gz": "0bc789c2149d94b83571a7aa9547286a8196cc90f8b6f669b1882a32e7765090",
    "dev.ids.gz": "7a8c7f66de0b7ca218ea92fba4506635a2c8816163132422c3808c44a47c44cf",
    "test.de.gz": "fa0969dfc404d03eb250213cf5626036c255f3f1dfb6fba4c88a1b3abf77ea3e",
    "test.en-bbe.gz": "c3a17af07d75e63c139809f4c37b31ca61bd8305cd4c9169f63427417edf5e7c",
    "test.en-web.gz": "6a95ee07e0bf19a807e0c6f52839cdbffc823484fc16d0994ac97e29da27c7cd",
    "test.fr.gz": "dbc47205258bb4d4d8d438e6d0e91a3c7a31eb83605596770c4abddefd9aefe0",
    "test.ids.gz": "d22f9bcd139c9a627ad52a35ed6c04563860511e9061a55bdf467eb35ffc64a5",
    "train.de.gz": "f52da6cddc1643ce9b4bad00f2bfc52ff55aa3c2ded3049c16b839767dc9f06e",
    "train.en-bbe.gz": "8d0068f9f3ab30c01c81e1655a6c9bfc491057ba1e7e4691440d7d9b28772e35",
    "train.en-web.gz": "41ce87ce9678f2b23825239ddc1b7354a4ddf5e218d029b5190aa26c7312e8be",
    "train.fr.gz": "625c2b06fd45614c27cb886f4d34d6cbe033a26c3d7322f809030980bc34d232",
    "train.ids.gz": "736984549f4be9b82d5076ccae5b8ade99d03fe9fda0c94645eeace4e5488c26",
}
TATOEBA_DE = {
    "dev.de.gz": "80286f36536cc1bb40199bdf5dbd9ad09fa24f42c69c9d26093b2a392d2ec1c7",
    "dev.en.gz": "a9ba189469ac5260ddcbcc3f5cd87a99d13c321e80af9dfa023c61b4214b05e7",
    "test.de.gz": "7e1bf4b4a61b8be501a062d64c986915144b2ace09cc3c9d5277cc6e5447a475",
    "test.en.gz": "8355da6c40bcae87fef0a5281a57f14cee72dc38a01eac796d7b090d3db4f987",
    "train.de.gz": "04f97b1646d5d01096a95c9692d43519949c07d1a7c3c906ddfe59bd23d7f11d",
    "train.en.gz": "4e63ee43e48b5c828a0b9600580f8956690160490ae44581fc4a0c40201dd77a",
}
TATOEBA_FR = {
    "dev.en.gz": "1472b12c7eda35042e8ee4facd03023eaf7f6c57fe2e034b1bce7c92171a2107",
    "dev.fr.gz": "cbe5ca6e60c7560057dc0ff84a7682cb8a2218ce57901d1d5b657d747e96d468",
    "test.en.gz": "349278ac7e918c698760120f200a95d36196533c4cdc9ad75c43c900a47ba2b7",
    "test.fr.gz": "d0800feccc3a6b74e78eceac3d03a664aa35e3ab16a438d0a2d50e03be7b1f0e",
    "train.en.gz": "f56b093f69e02349feb3be6d2071e80a9d72de635429136068b09e8353473d1a",
    "train.fr.gz": "e0593581a3704869c4ef617b927616cda999865ae6e9251441734f1a22dad2fb",
}
HANSARDS = {
    "enfr.gold": "0a11b51cba8a92a7608fb00884cb3cf50fe0fcc4e4aa92d70624fd11451c4ddd",
    "enfr.src-tgt": "19d56c3de3634ab8420d553df4d9dfd849502b18225f1599382e98a6de9cfc72",
}
