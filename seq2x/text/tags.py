"""Tags of words: the schemes that write spans as tags, and which tag may follow which.

Knows no model; a CRF gets the matrix of :func:`legal`. In every scheme ``O`` is outside, another tag is PREFIX-LABEL:

    BIO     B begins, I goes on (IOB2; Tjong Kim Sang & Veenstra 1999)
    IOB1    I begins and goes on; B only where a span of the same label ended just before (Ramshaw & Marcus 1995)
    IOBES   B begins, I goes on, E ends; S is a span of one word
    BILOU   the same with L for E and U for S (Ratinov & Roth 2009)
    none    no spans: each word has a tag of its own, such as its part of speech
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from seq2x.errors import DataError

Scheme = Literal["BIO", "IOB1", "IOBES", "BILOU", "none"]


class Span(NamedTuple):
    """A labelled range of words: ``start`` to ``end``, end exclusive, counted from 0."""

    label: str
    start: int
    end: int


class Legal(NamedTuple):
    """What a valid sequence may do; K tags in the order given."""

    transitions: list[list[bool]]
    """[K][K], from, to."""
    start: list[bool]
    """[K]: may begin a sequence."""
    end: list[bool]
    """[K]: may end one."""


class Pattern(NamedTuple):
    """Tags that write a span, and which tags may not stand beside them, where something does."""

    tags: tuple[str, ...]
    not_before: frozenset[str]
    not_after: frozenset[str]


class _Tag(NamedTuple):
    prefix: str
    label: str


class _Rules(NamedTuple):
    prefixes: str  # in the order in which complete() lists them
    continuing: str  # the prefixes that must follow B or I of the same label
    closed: bool  # whether a span that began must be ended by a tag of its own
    last: str  # the prefix of the last word of a span of several
    single: str  # the prefix of a span of one word


_RULES = {
    "BIO": _Rules("BI", continuing="I", closed=False, last="I", single="B"),
    "IOB1": _Rules("BI", continuing="B", closed=False, last="I", single="I"),
    "IOBES": _Rules("BIES", continuing="IE", closed=True, last="E", single="S"),
    "BILOU": _Rules("BILU", continuing="IL", closed=True, last="L", single="U"),
}
_OUTSIDE = _Tag("O", "")


def check(tags: Sequence[str], scheme: Scheme) -> None:
    """Raise DataError for the first tag that may not stand where it stands; say what may."""
    if scheme != "none":
        _parse(tags, scheme)
    elif "" in tags:
        raise DataError(f"tag {list(tags).index('') + 1} of {len(tags)} is empty")


def spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    """Return the spans in order. The tags must be valid (DataError); the scheme ``none`` has no spans."""
    if scheme == "none":
        check(tags, scheme)
        return []
    found: list[Span] = []
    before = _OUTSIDE
    for position, tag in enumerate(_parse(tags, scheme)):
        if _goes_on(before, tag, scheme):
            found[-1] = found[-1]._replace(end=position + 1)
        elif tag != _OUTSIDE:
            found.append(Span(tag.label, position, position + 1))
        before = tag
    return found


def encode(spans: Iterable[Span], length: int, scheme: Scheme) -> list[str]:
    """Return the tags of ``length`` words. DataError for spans that overlap, are empty or out of range."""
    tags = ["O"] * length
    end, label = 0, ""
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if scheme == "none":
            raise DataError(f"the scheme 'none' has no spans; found {_show(span)}")
        if not span.label:
            raise DataError(f"{_show(span)} has no label")
        if not 0 <= span.start < span.end <= length:
            raise DataError(f"{_show(span)} does not fit; expected 0 <= start < end <= {length} words")
        if span.start < end:
            raise DataError(f"{_show(span)} overlaps a span of {label!r} that ends at {end}")
        after_equal = span.start == end and span.label == label
        tags[span.start : span.end] = [f"{prefix}-{span.label}" for prefix in _prefixes(span, scheme, after_equal)]
        end, label = span.end, span.label
    return tags


def patterns(label: str, size: int, scheme: Scheme) -> list[Pattern]:
    """Return the ways to write a span of ``size`` words: in valid tags it stands iff just one of them does.

    The tags alone do not tell: where an I-X follows, the span goes on, and is another. DataError for the scheme
    ``none``, which has no spans, for an empty label, and for a size below 1.
    """
    if scheme == "none" or not label or size < 1:
        raise DataError(f"a span of {label!r} of {size} words cannot be written in the scheme {scheme!r}")
    begin, inside = f"B-{label}", f"I-{label}"
    if scheme == "IOB1":  # B-X stands only behind a span of X, where I-X would go on with it
        after, within = frozenset([inside]), (inside,) * (size - 1)
        return [Pattern((begin, *within), frozenset(), after),
                Pattern((inside, *within), frozenset([begin, inside]), after)]
    tags = tuple(f"{prefix}-{label}" for prefix in _prefixes(Span(label, 0, size), scheme, after_equal=False))
    after = frozenset() if _RULES[scheme].closed else frozenset([inside])
    return [Pattern(tags, frozenset(), after)]


def joins(tags: Sequence[str], scheme: Scheme) -> list[list[bool]]:
    """Return which tag goes on with the span of which before it, in valid sequences: [K][K], before, after."""
    read = [_read(tag, scheme, "a tag") for tag in tags]
    return [[_goes_on(before, after, scheme) for after in read] for before in read]


def convert(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """Write the spans of valid ``tags`` in another scheme. Only ``none`` converts to ``none``."""
    if source != target and "none" in (source, target):
        raise DataError(f"tags of the scheme {source!r} cannot become {target!r}: one has spans, the other has none")
    if source == target:
        check(tags, source)
        return list(tags)
    return encode(spans(tags, source), len(tags), target)


def complete(labels: Iterable[str], scheme: Scheme) -> list[str]:
    """Return every tag of the scheme for these labels, O first, labels in order of their strings."""
    ordered = sorted(set(labels))
    if scheme == "none":
        return ordered
    return ["O", *(f"{prefix}-{label}" for label in ordered for prefix in _RULES[scheme].prefixes)]


def labels_of(tags: Iterable[str], scheme: Scheme) -> set[str]:
    """Return the labels of any tags, in whatever order; DataError for one that is none of the scheme."""
    if scheme == "none":
        return set(tags)
    return {_read(tag, scheme, "a tag").label for tag in tags if tag != "O"}


def legal(tags: Sequence[str], scheme: Scheme) -> Legal:
    """Return what may follow what: true iff some valid sequence of these tags does it.

    More than the rules of two neighbours: where, say, no E-X is among the tags, B-X leads nowhere and is legal nowhere.
    """
    if scheme == "none":
        everything = [True] * len(tags)
        return Legal([list(everything) for _ in tags], everything, list(everything))
    rules = _RULES[scheme]
    read = [_read(tag, scheme, "a tag") for tag in tags]
    follows = [[_follows(before, after, rules) for after in read] for before in read]
    start = [_follows(_OUTSIDE, tag, rules) for tag in read]
    end = [_follows(tag, _OUTSIDE, rules) for tag in read]
    reached = _closure(start, follows)
    ending = _closure(end, [list(column) for column in zip(*follows, strict=True)])
    return Legal(
        [[reached[i] and allowed and ending[j] for j, allowed in enumerate(row)] for i, row in enumerate(follows)],
        [a and b for a, b in zip(start, ending, strict=True)],
        [a and b for a, b in zip(end, reached, strict=True)],
    )


def detect(sequences: Iterable[Sequence[str]]) -> Scheme | None:
    """Guess the scheme: the only one in which every sequence is valid, or None where the tags do not tell.

    ``none`` where no tag looks like PREFIX-LABEL.
    """
    possible: list[Scheme] = ["BIO", "IOB1", "IOBES", "BILOU"]
    tags: set[str] = set()
    for sequence in sequences:
        tags.update(sequence)
        possible = [scheme for scheme in possible if _valid(sequence, scheme)]
    if tags - {"O"} and not any(tag[:1] in "BIELSU" and tag[1:2] == "-" for tag in tags):
        return "none" if "" not in tags else None
    return possible[0] if len(possible) == 1 else None


def _parse(tags: Sequence[str], scheme: Scheme) -> list[_Tag]:
    """Read a whole sequence of a scheme with spans, and check it."""
    rules, before, parsed = _RULES[scheme], _OUTSIDE, []
    for position, text in enumerate(tags, start=1):
        tag = _read(text, scheme, f"tag {position} of {len(tags)}")
        if not _follows(before, tag, rules):
            where = f"after {tags[position - 2]!r}" if position > 1 else "at the start"
            raise DataError(f"tag {position} of {len(tags)} is {text!r} {where}; {scheme} allows "
                            f"{_expected(before, rules)} here")
        parsed.append(tag)
        before = tag
    if not _follows(before, _OUTSIDE, rules):
        raise DataError(f"the tags end after tag {len(tags)}, {tags[-1]!r}; {scheme} expects "
                        f"{_expected(before, rules)} next")
    return parsed


def _read(text: str, scheme: Scheme, name: str) -> _Tag:
    if text == "O":
        return _OUTSIDE
    prefix, hyphen, label = text.partition("-")
    prefixes = _RULES[scheme].prefixes
    if hyphen and label and len(prefix) == 1 and prefix in prefixes:
        return _Tag(prefix, label)
    shapes = ", ".join(f"{prefix}-LABEL" for prefix in prefixes)
    raise DataError(f"{name} is {text!r}; a tag of {scheme} is O, {shapes}")


def _follows(before: _Tag, after: _Tag, rules: _Rules) -> bool:
    """Whether two tags may stand side by side; the edges of a sequence count as O."""
    inside = before.prefix in "BI"
    if after.prefix in rules.continuing:
        return inside and before.label == after.label
    return not (rules.closed and inside)


def _goes_on(before: _Tag, tag: _Tag, scheme: Scheme) -> bool:
    """Whether ``tag`` goes on with the span of ``before``, in a valid sequence."""
    if scheme == "IOB1":
        return tag.prefix == "I" and before.label == tag.label
    return tag.prefix in _RULES[scheme].continuing


def _prefixes(span: Span, scheme: Scheme, after_equal: bool) -> str:
    """The prefixes of a span's words; ``after_equal``: a span of the same label ended just before."""
    rules, size = _RULES[scheme], span.end - span.start
    if scheme == "IOB1":
        return ("B" if after_equal else "I") + "I" * (size - 1)
    return rules.single if size == 1 else "B" + "I" * (size - 2) + rules.last


def _expected(before: _Tag, rules: _Rules) -> str:
    """The tags that may follow, ``*`` for any label."""
    found = ["O"] if _follows(before, _OUTSIDE, rules) else []
    for prefix in rules.prefixes:
        if prefix not in rules.continuing:
            found += [f"{prefix}-*"] if _follows(before, _Tag(prefix, "*"), rules) else []
        elif before != _OUTSIDE and _follows(before, _Tag(prefix, before.label), rules):
            found.append(f"{prefix}-{before.label}")
    return " or ".join(found)


def _closure(first: list[bool], follows: list[list[bool]]) -> list[bool]:
    """The tags that can be reached from ``first`` by steps of ``follows`` [K][K], themselves included."""
    reached = list(first)
    waiting = [number for number, is_first in enumerate(first) if is_first]
    while waiting:
        for number, allowed in enumerate(follows[waiting.pop()]):
            if allowed and not reached[number]:
                reached[number] = True
                waiting.append(number)
    return reached


def _valid(tags: Sequence[str], scheme: Scheme) -> bool:
    try:
        check(tags, scheme)
    except DataError:
        return False
    return True


def _show(span: Span) -> str:
    return f"the span {span.label!r} from {span.start} to {span.end}"
