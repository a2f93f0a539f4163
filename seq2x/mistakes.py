"""What a tagger got wrong: its spans beside the right ones, each mistake with its kind and its sentence.

Knows no model and no file. A right span and a found one are a pair when they are equal; else when they are the same
words; else when they overlap, those of the same label first, then those that share the most words. Each is in one
pair at most; what is left of the right ones is missed, of the found ones spurious.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from seq2x.text.tags import Scheme, Span, spans

Kind = Literal["missed", "spurious", "wrong label", "wrong boundary", "wrong label and boundary"]
KINDS: tuple[Kind, ...] = ("missed", "spurious", "wrong label", "wrong boundary", "wrong label and boundary")
NOTHING = "(nothing)"
"""Stands in a confusion for the side that has no span."""


class Pair(NamedTuple):
    """A right span and what was found of it; None where there is none."""

    gold: Span | None
    found: Span | None


class Mistake(NamedTuple):
    """A pair that is not equal."""

    kind: Kind
    sentence: int
    """Its number, from 0."""
    gold: Span | None
    found: Span | None


def pairs(gold: Sequence[Span], found: Sequence[Span]) -> list[Pair]:
    """Pair the spans of a sentence, in the order in which they stand there."""
    def rank(left: Span, right: Span) -> tuple[bool, bool, int] | None:
        shared = min(left.end, right.end) - max(left.start, right.start)
        same = (left.start, left.end) == (right.start, right.end)
        return (same, left.label == right.label, shared) if shared > 0 else None

    near = [(rank(left, right), left, right) for left in gold for right in found]
    ranked = sorted(((value, left, right) for value, left, right in near if value is not None),
                    key=lambda item: ([-part for part in item[0]], item[1].start, item[2].start))
    rest, left_over = dict.fromkeys(gold), dict.fromkeys(found)
    made: list[Pair] = []
    for _, left, right in ranked:
        if left in rest and right in left_over:
            made.append(Pair(left, right))
            del rest[left], left_over[right]
    made += [Pair(span, None) for span in rest] + [Pair(None, span) for span in left_over]
    return sorted(made, key=lambda pair: min(span.start for span in pair if span is not None))


def kind(pair: Pair) -> Kind | None:
    """Say what is wrong with a pair; None where nothing is."""
    gold, found = pair
    if gold is None or found is None:
        return "spurious" if gold is None else "missed"
    same = (gold.start, gold.end) == (found.start, found.end)
    if gold.label == found.label:
        return None if same else "wrong boundary"
    return "wrong label" if same else "wrong label and boundary"


def compare(gold: Sequence[str], found: Sequence[str], scheme: Scheme) -> list[Pair]:
    """Return the pairs of a sentence from its tags; in the scheme ``none``, each word is a span, as is its tag."""
    if scheme == "none":
        return [Pair(Span(tag, word, word + 1), Span(other, word, word + 1))
                for word, (tag, other) in enumerate(zip(gold, found, strict=True))]
    return pairs(spans(gold, scheme), spans(found, scheme))


def mistakes(compared: Iterable[Sequence[Pair]]) -> list[Mistake]:
    """Return the mistakes in the pairs of each sentence, in order."""
    return [Mistake(wrong, sentence, *pair) for sentence, every in enumerate(compared) for pair in every
            if (wrong := kind(pair)) is not None]


def confusion(compared: Iterable[Sequence[Pair]]) -> dict[str, dict[str, int]]:
    """Count which label was taken for which; :data:`NOTHING` where a side has no span."""
    counts = Counter((pair.gold.label if pair.gold else NOTHING, pair.found.label if pair.found else NOTHING)
                     for every in compared for pair in every)
    table: dict[str, dict[str, int]] = {}
    for (right, taken), count in sorted(counts.items()):
        table.setdefault(right, {})[taken] = count
    return table


def record(mistake: Mistake, words: Sequence[str], where: tuple[str, int], confidence: float | None) -> dict[str, Any]:
    """Return a mistake fit for JSON: what it is, where it was read, the sentence, and both spans by words."""
    def side(span: Span | None) -> dict[str, Any] | None:
        if span is None:
            return None
        return {"label": span.label, "text": " ".join(words[span.start : span.end]), "first": span.start,
                "stop": span.end}

    return {"kind": mistake.kind, "file": where[0], "line": where[1], "gold": side(mistake.gold),
            "found": side(mistake.found), "confidence": confidence, "tokens": list(words)}
