"""A sentence as a tagger reads it, and what it makes of it. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from seq2x.errors import DataError
from seq2x.predictors.base import line
from seq2x.text import Word
from seq2x.text.tags import Span

Splitter = Callable[[str], Iterable[str | tuple[str, int, int]]]
"""Splits raw text into words: as strings, which are looked for in the text one after the other, or with the offsets
of their first character and the one behind their last."""


class TextSpan(NamedTuple):
    """A labelled part of a text: ``text == sentence.text[start:end]``."""

    label: str
    text: str
    start: int
    """Its first character in the text."""
    end: int
    """The character behind its last."""
    first: int
    """Its first word."""
    stop: int
    """The word behind its last."""
    confidence: float
    """The probability that just this span stands here, whatever the other words are: its marginal."""


class Reading(NamedTuple):
    """One way to tag a whole sentence."""

    tags: tuple[str, ...]
    spans: tuple[Span, ...]
    """Label, first word, word behind the last."""
    probability: float
    """Of these tags together, among all that are legal and allowed (not among the alternatives listed)."""


class Tagged(NamedTuple):
    """A sentence and its tags."""

    text: str
    """The text as given; words given are joined by blanks."""
    tokens: tuple[Word, ...]
    """The words with their character offsets; an empty text has none."""
    tags: tuple[str, ...]
    """One a word, in the scheme of the training files."""
    spans: tuple[TextSpan, ...]
    """In order; none where the scheme has no spans."""
    confidence: tuple[float, ...]
    """The probability of each tag, 0 to 1: its marginal, in the scheme that the model works in."""
    windows: int = 1
    """How many parts a sentence longer than the model's limit was tagged in; 0 for one without words."""
    alternatives: tuple[Reading, ...] = ()
    """The most probable ways to tag it, the best first (these tags); only where ``k_best`` asked for them."""
    marginals: tuple[dict[str, float], ...] = ()
    """The probability of each tag at each word, the most probable first; only where asked for."""


class Sentence(NamedTuple):
    """What was given."""

    text: str
    tokens: tuple[Word, ...]

    @staticmethod
    def of(item: object, number: int, split: Splitter) -> Sentence:
        """Read raw text, or a list or tuple of words; DataError and TypeError name the sentence by ``number``."""
        if isinstance(item, (list, tuple)):
            return _join(item, number)
        text = line(item, number)
        return Sentence(text, tuple(_located(text, split(text), number)))

    def placed(self, label: str, first: int, stop: int, confidence: float) -> TextSpan:
        """Return words ``first`` to ``stop`` as a part of the text."""
        start, end = self.tokens[first].start, self.tokens[stop - 1].end
        return TextSpan(label, self.text[start:end], start, end, first, stop, confidence)


def _join(words: Sequence[object], number: int) -> Sentence:
    """Words as one text, and their places in it."""
    tokens, end = [], -1
    for place, word in enumerate(words, start=1):
        if not isinstance(word, str):
            raise TypeError(f"sentence {number}: found {type(word).__name__} among its words; expected str")
        if not word:
            raise DataError(f"sentence {number}, token {place} of {len(words)}: it is empty; expected a word")
        start = end + 1
        end = start + len(word)
        tokens.append(Word(word, start, end))
    return Sentence(" ".join(token.text for token in tokens), tuple(tokens))


def _located(text: str, words: Iterable[str | tuple[str, int, int]], number: int) -> list[Word]:
    """The words of a splitter, each with its place; DataError where one is not in the text behind the one before."""
    found: list[Word] = []
    end = 0
    for place, item in enumerate(words, start=1):
        if isinstance(item, Word):
            word = item
        elif isinstance(item, str):
            start = text.find(item, end)
            word = Word(item, start, start + len(item))
        else:
            word = Word(*item)
        if not word.text or not end <= word.start < word.end <= len(text):
            raise DataError(f"sentence {number}, token {place} of the splitter: found {item!r}; expected a word of "
                            f"the text from character {end} on, which is {text[end : end + 40]!r}")
        end = word.end
        found.append(word)
    return found
