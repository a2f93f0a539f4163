"""The kinds of mistakes in spans, and which right span goes with which found one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.mistakes import Kind, Pair, compare, confusion, kind, mistakes, pairs
from seq2x.text import tags
from seq2x.text.tags import Span

AT = Span("PER", 2, 4)
sequences = st.lists(st.sampled_from(["S-A", "S-B", "O", "B-A I-A E-A", "B-B E-B"]), max_size=8)


@pytest.mark.parametrize(("found", "expected"), [
    (AT, None), (Span("LOC", 2, 4), "wrong label"), (Span("PER", 1, 4), "wrong boundary"),
    (Span("PER", 3, 9), "wrong boundary"), (Span("LOC", 3, 5), "wrong label and boundary"),
])
def test_kinds(found: Span, expected: Kind | None) -> None:
    assert pairs([AT], [found]) == [Pair(AT, found)]
    assert kind(Pair(AT, found)) == expected


def test_spans_apart_are_no_pair() -> None:
    other = Span("PER", 4, 5)
    assert pairs([AT], [other]) == [Pair(AT, None), Pair(None, other)]
    assert [one.kind for one in mistakes([[], pairs([AT], [other])])] == ["missed", "spurious"]
    assert [one.sentence for one in mistakes([[], pairs([AT], [other])])] == [1, 1]


def test_the_likest_are_a_pair() -> None:
    long = Span("PER", 0, 6)
    assert pairs([long], [Span("LOC", 0, 3), Span("PER", 3, 4), Span("PER", 4, 6)]) == [
        Pair(long, Span("PER", 4, 6)), Pair(None, Span("LOC", 0, 3)), Pair(None, Span("PER", 3, 4))]
    assert pairs([Span("A", 0, 2), Span("B", 2, 4)], [Span("B", 0, 2), Span("A", 2, 4)]) == [
        Pair(Span("A", 0, 2), Span("B", 0, 2)), Pair(Span("B", 2, 4), Span("A", 2, 4))]


@given(gold=sequences, found=sequences)
def test_each_span_is_in_one_pair(gold: list[str], found: list[str]) -> None:
    sides = [tags.spans(" ".join(side).split(), "IOBES") for side in (gold, found)]
    made = pairs(*sides)
    assert sorted(pair.gold for pair in made if pair.gold) == sorted(sides[0])
    assert sorted(pair.found for pair in made if pair.found) == sorted(sides[1])
    assert sum(kind(pair) is None for pair in made) == len(set(sides[0]) & set(sides[1]))
    counts = confusion([made])
    assert sum(sum(row.values()) for row in counts.values()) == len(made)


def test_words_without_spans_are_compared_one_by_one() -> None:
    every = [compare(("X", "Y"), ("X", "Z"), "none"), compare((), (), "none")]
    assert confusion(every) == {"X": {"X": 1}, "Y": {"Z": 1}}
    assert [(one.kind, one.gold) for one in mistakes(every)] == [("wrong label", Span("Y", 1, 2))]
