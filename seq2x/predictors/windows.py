"""Cuts a sentence that is longer than the model's limit into windows that fit; nothing of it is lost.

Knows no model and no task. A window ends behind a sentence where one ends in its second half, else behind a word;
only a word that is longer than the limit by itself is cut within.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

from seq2x.errors import DataError
from seq2x.text import Encoding, Processor, Subwords

_ENDERS = "\u3002\uff01\uff1f"  # full stops of scripts that write no blank behind them
_UNIT = re.compile(rf"[^\s{_ENDERS}]*[{_ENDERS}]+[\u201d\u2019\u300d\u300f\uff09]*|[^\s{_ENDERS}]+")
_SENTENCE_END = re.compile(rf"[.!?\u2026{_ENDERS}][\"'\u201d\u2019\u00bb)\]\u300d\u300f\uff09]*$")


class Window(NamedTuple):
    """Words ``first`` to ``stop`` (exclusive) of a sentence, encoded."""

    first: int
    stop: int
    encoding: Encoding


class Part(NamedTuple):
    """A part of a text, encoded, and where it begins in it."""

    start: int
    text: str
    encoding: Encoding
    tag: int = 0
    """Characters at its beginning that are the text's own beginning, the tag of a language; ``start`` is of the rest
    then, less these."""

    @property
    def ids(self) -> list[int]:
        """Its tokens."""
        return self.encoding.ids


def cut_text(text: str, processor: Processor, most: int) -> list[Part]:
    """Encode ``text`` in consecutive windows of at most ``most`` tokens, end symbols counted; mostly it is one.

    A symbol that it begins with, the tag of a language, begins every window.
    """
    whole = processor.encode(text)
    if len(whole.ids) <= most:
        return [Part(0, text, whole)]
    if tag := tag_of(text, processor):
        left = most - len(processor.encode(tag).ids) + 1
        if left > 1:
            return [Part(part.start, tag + part.text, processor.encode(tag + part.text), len(tag))
                    for part in cut_text(text[len(tag):], processor, left)]
    cost = cache(partial(_cost, processor))  # words repeat
    units = [part for match in _UNIT.finditer(text) for part in _halves(text, match.span(), cost, most)]
    costs = [cost(text[start:end]) for start, end in units]
    ends = [bool(_SENTENCE_END.search(text, start, end)) for start, end in units]
    return [part for first, stop in pack(costs, ends, most - 1)
            for part in _fitting(text, units[first:stop], processor, most)]


def tag_of(text: str, processor: Processor) -> str:
    """Return the symbol that ``text`` begins with, the tag of a language, and the blanks around it; or nothing."""
    return processor.tag(text) if isinstance(processor, Subwords) else ""


def cut_words(
    words: Sequence[str], processor: Processor, most: int, joined: Collection[int] = ()
) -> list[Window]:
    """Encode ``words`` in consecutive windows of at most ``most`` tokens, end symbols counted; mostly it is one.

    Of a word that does not fit into a window of its own only the first tokens are read. The words in ``joined`` stay
    with the one before them; DataError where such words together do not fit.
    """
    whole = processor.encode_words(words)
    if len(whole.ids) <= most:
        return [Window(0, len(words), whole)]
    starts = [start for start, _ in whole.spans or ()]
    costs = [stop - start for start, stop in zip(starts, [*starts[1:], len(whole.ids) - 1], strict=True)]
    edges = [*(place for place in range(len(words)) if place not in joined), len(words)]
    units = [sum(costs[first:stop]) for first, stop in pairwise(edges)]
    for (first, stop), cost in zip(pairwise(edges), units, strict=True):
        if stop - first > 1 and cost >= most:
            raise DataError(f"the tokens {first + 1} to {stop} may not be parted, and together they are longer than "
                            f"the model's limit of {most:,}")
    ranges = pack(units, [bool(_SENTENCE_END.search(words[stop - 1])) for stop in edges[1:]], most - 1)
    places = [(edges[first], edges[stop]) for first, stop in ranges]
    return [Window(first, stop, _clip(processor.encode_words(words[first:stop]), most)) for first, stop in places]


def pack(costs: Sequence[int], ends: Sequence[bool], most: int) -> list[tuple[int, int]]:
    """Return consecutive ranges (start, stop) of units whose costs add up to at most ``most``; a dearer one is alone.

    A range stops behind the last unit that is an end in its second half, if there is one. What is left for the last
    two ranges is shared evenly, so that none is a mere remainder.
    """
    ranges, start, rest = [], 0, sum(costs)
    while start < len(costs):
        aim = rest if rest <= most else min(most, -(-rest // 2))
        total, stop, taken, best = 0, start, 0, start
        while stop < len(costs) and (stop == start or (total < aim and total + costs[stop] <= most)):
            total += costs[stop]
            stop += 1
            if ends[stop - 1] and 2 * total >= aim:
                best, taken = stop, total
        if best > start and stop < len(costs):
            stop, total = best, taken
        ranges.append((start, stop))
        start, rest = stop, rest - total
    return ranges


def _cost(processor: Processor, text: str) -> int:
    """The tokens of a unit behind a blank, without the end symbol."""
    return len(processor.encode(f" {text}").ids) - 1


def _halves(text: str, unit: tuple[int, int], cost: Callable[[str], int], most: int) -> list[tuple[int, int]]:
    """The unit, halved until each part fits into a window."""
    start, end = unit
    if end - start == 1 or cost(text[start:end]) < most:
        return [unit]
    middle = (start + end) // 2
    return [*_halves(text, (start, middle), cost, most), *_halves(text, (middle, end), cost, most)]


def _fitting(text: str, units: Sequence[tuple[int, int]], processor: Processor, most: int) -> list[Part]:
    """What is from the first to the last unit; halved where units side by side take more than each by itself."""
    start, stop = units[0][0], units[-1][1]
    part = Part(start, text[start:stop], processor.encode(text[start:stop]))
    if len(part.ids) <= most or len(units) == 1:
        return [part]
    middle = len(units) // 2
    return [*_fitting(text, units[:middle], processor, most), *_fitting(text, units[middle:], processor, most)]


def _clip(encoding: Encoding, most: int) -> Encoding:
    """The same, unless it is one word of more than ``most`` tokens (hence without characters): its first tokens."""
    if len(encoding.ids) <= most:
        return encoding
    return Encoding([*encoding.ids[: most - 1], encoding.ids[-1]], [(0, most - 1)])
