"""What a model must beat: the simplest things that one can do with the training files, without a model.

Knows nothing of the library; reads the files that quickstart_data.py writes. Standard library only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Baseline(NamedTuple):
    """A trivial way to the same task, and its score in per cent (BLEU for translation)."""

    name: str
    score: float


def majority(train: Path, test: Path) -> Baseline:
    """Give every text the label that training holds most often; accuracy."""
    labels = [line.partition("\t")[0] for line in _lines(train)]
    best = Counter(labels).most_common(1)[0][0]
    wanted = [line.partition("\t")[0] for line in _lines(test)]
    return Baseline(f"always {best}", 100 * wanted.count(best) / len(wanted))


def commonest_tag(train: Path, test: Path) -> Baseline:
    """Give every word the tag it has most often in training, an unseen word the commonest of all; accuracy."""
    by_word: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in _tokens(train):
        by_word[word][tag] += 1
    rest = sum(by_word.values(), Counter[str]()).most_common(1)[0][0]
    best = {word: tags.most_common(1)[0][0] for word, tags in by_word.items()}
    tokens = _tokens(test)
    right = sum(best.get(word, rest) == tag for word, tag in tokens)
    return Baseline("each word's commonest tag", 100 * right / len(tokens))


def copied(test_source: Path) -> list[str]:
    """The source as its own translation: names and punctuation alone."""
    return _lines(test_source)


def nearest(train_source: Path, train_target: Path, test_source: Path) -> list[str]:
    """The translation of the training verse that shares most words with the source (Jaccard; the first of equals)."""
    sources = [_words(line) for line in _lines(train_source)]
    targets = _lines(train_target)
    holding: defaultdict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(sources):
        for word in words:
            holding[word].append(place)
    found = []
    for line in _lines(test_source):
        words = _words(line)
        shared: Counter[int] = Counter()
        for word in words:
            shared.update(holding.get(word, ()))
        best = max(shared, default=0, key=lambda place: _likeness(shared[place], words, sources[place], place))
        found.append(targets[best])
    return found


def _likeness(shared: int, words: frozenset[str], others: frozenset[str], place: int) -> tuple[float, int]:
    return shared / (len(words) + len(others) - shared), -place


def _words(line: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", line.casefold()))


def _tokens(path: Path) -> Sequence[tuple[str, str]]:
    pairs = [line.split("\t") for line in _lines(path) if line]
    return [(word, tag) for word, tag in pairs]


def _lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
