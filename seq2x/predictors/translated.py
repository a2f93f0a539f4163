"""What comes out of a translator, and how it is put together from the outputs of the parts of a text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from seq2x.predictors.windows import Part
from seq2x.search import Hypothesis, Normaliser
from seq2x.text import EOS, Processor

_ONE_LINE = str.maketrans("\n\r", "  ")
_WORD = re.compile(r"[^ \t]+")  # as readers of alignments part them; see seq2x.data.alignments


class Attention(NamedTuple):
    """Where the model looked, in one part of a text."""

    source: tuple[str, ...]
    """The tokens of the source, end symbol included."""
    target: tuple[str, ...]
    """The tokens of the translation, end symbol included."""
    weights: tuple[tuple[float, ...], ...]
    """Of each target token the weight of each source token; a row sums to 1."""


class Alternative(NamedTuple):
    """One of the translations of a text."""

    text: str
    """Without a line end."""
    score: float
    """log_prob / normaliser(tokens), plus the coverage penalty if there is one; see :class:`seq2x.search.Ranking`."""
    log_prob: float
    """Natural logarithm of the probability of all tokens, end symbols among them."""
    utility: float | None = None
    """The mean chrF with all candidates, where translations are chosen by it."""
    tokens: tuple[str, ...] = ()
    """With ``details``: the tokens, without end symbols."""
    alignment: tuple[tuple[int, int], ...] = ()
    """With ``details``: of each word of the translation the word of the text that it looked at most, both counted
    from 0, as (word of the text, word of the translation); words are what stands between blanks."""
    attention: tuple[Attention, ...] = ()
    """With ``details``: of each part."""


class Translation(NamedTuple):
    """The best translation of a text; of an empty text it is empty, with the score 0."""

    text: str
    score: float
    log_prob: float
    alternatives: tuple[Alternative, ...]
    """The ``n_best``, this one first."""
    windows: int = 1
    """How many parts a text longer than the model's limit was translated in; 0 for an empty text."""


NOTHING = Translation("", 0.0, 0.0, (Alternative("", 0.0, 0.0),), 0)


class Assembly:
    """Puts texts together from tokens."""

    def __init__(self, source: Processor, target: Processor) -> None:
        self.source, self.target = source, target

    def write(self, hypothesis: Hypothesis) -> str:
        """Return the text of an output, which is one line."""
        return self.target.decode(hypothesis.tokens).translate(_ONE_LINE)

    def join(
        self, text: str, parts: Sequence[tuple[Part, Hypothesis]], normalise: Normaliser, *,
        details: bool = False, utility: float | None = None,
    ) -> Alternative:
        """Return one translation of ``text`` made of those of its parts; the score of one part is just its own."""
        texts = [self.write(found) for _, found in parts]
        log_prob = sum(found.log_prob for _, found in parts)
        length = sum(len(found.tokens) + 1 for _, found in parts)
        score = log_prob / normalise(length) + sum(found.penalty for _, found in parts)
        whole = Alternative(" ".join(filter(None, texts)), score, log_prob, utility)
        if not details:
            return whole
        tokens = tuple(self._targets[number] for _, found in parts for number in found.tokens)
        return whole._replace(tokens=tokens, alignment=tuple(self._align(text, parts)),
                              attention=tuple(self._attention(part, found) for part, found in parts))

    @cached_property
    def _sources(self) -> Sequence[str]:
        return tuple(self.source.entries)  # made anew at every call

    @cached_property
    def _targets(self) -> Sequence[str]:
        return tuple(self.target.entries)

    def _attention(self, part: Part, found: Hypothesis) -> Attention:
        weights = [] if found.attention is None else found.attention.tolist()
        return Attention(tuple(self._sources[number] for number in part.ids),
                         (*(self._targets[number] for number in found.tokens), self._targets[EOS]),
                         tuple(map(tuple, weights)))

    def _align(self, text: str, parts: Sequence[tuple[Part, Hypothesis]]) -> Iterator[tuple[int, int]]:
        starts = [match.start() for match in _WORD.finditer(text)]
        before = 0
        for part, found in parts:
            characters = (place + part.start * (place >= part.tag) for place in self.source.starts(part.text))
            places = [max(bisect_right(starts, place) - 1, 0) for place in characters]
            words, count = self._words(found.tokens), len(_WORD.findall(self.write(found)))
            looked: dict[int, dict[int, float]] = {}
            rows = [] if found.attention is None else found.attention.tolist()
            for word, row in zip(words, rows, strict=False):  # the last row is the end symbol's
                sums = looked.setdefault(word, {})
                for place, weight in zip(places, row, strict=False):
                    sums[place] = sums.get(place, 0.0) + weight
            for word, sums in sorted(looked.items()):
                if sums and word < count:  # of a blank at the end there is no word
                    yield max(sums, key=lambda place: sums[place]), before + word
            before += count

    def _words(self, tokens: Sequence[int]) -> list[int]:
        """The word that each token of an output is part of."""
        found = []
        for stop in range(1, len(tokens) + 1):
            text = self.target.decode(tokens[:stop]).translate(_ONE_LINE)
            count = len(_WORD.findall(text))
            found.append(count if not text or text[-1] in " \t" else count - 1)
        return found
