"""Tags of which not all is known, and what a tag of one scheme says of a word in another. Knows no model and no file.

``?`` is a word of which nothing is known, ``B-PER|O`` one that has either tag. Whether some valid sequence is left is
found out tag by tag, from the left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache

from seq2x.errors import DataError
from seq2x.text.tags import Legal, Scheme, Span, check, complete, convert, encode, labels_of, legal

UNKNOWN = "?"
PARTING = "|"


def choices(tag: str) -> tuple[str, ...]:
    """Return the tags that a word may have; none at all where nothing is known of it."""
    return () if tag == UNKNOWN else tuple(tag.split(PARTING))


def is_partial(tags: Iterable[str]) -> bool:
    """Whether any of the tags leaves something open."""
    return any(tag == UNKNOWN or PARTING in tag for tag in tags)


def rewrite(tag: str, source: Scheme, target: Scheme) -> tuple[str, ...]:
    """Return the tags in ``target`` that a word tagged ``tag`` in ``source`` may have, whatever stands beside it.

    DataError for a tag that is none of ``source``.
    """
    if source == target or tag == "O":
        return (tag,)
    labels_of([tag], source)  # checks it
    prefix, _, label = tag.partition("-")
    return tuple(f"{other}-{label}" for other in sorted(_prefixes(source, target)[prefix]))


def convert_partial(tags: Sequence[str], source: Scheme, target: Scheme) -> list[str]:
    """Write tags in another scheme, where each may leave something open.

    Nothing is lost if ``target`` marks where spans begin and end (IOBES, BILOU), and ``source`` where they begin.
    Tags that the words beside leave no room for are left out: a model that looks at words one by one cannot know.
    """
    if not is_partial(tags):
        return convert(tags, source, target)
    every = [[other for part in choices(tag) for other in rewrite(part, source, target)] for tag in tags]
    if target != "none":
        known, paths = _known(tuple(sorted(labels_of({tag for some in every for tag in some}, target))), target)
        ids = {tag: number for number, tag in enumerate(known)}
        left = paths.possible([frozenset(ids[tag] for tag in some) or None for some in every])
        every = [[tag for tag in some if ids[tag] in kept] for some, kept in zip(every, left, strict=True)]
    return [PARTING.join(some) or UNKNOWN for some in every]


def check_partial(tags: Sequence[str], scheme: Scheme) -> None:
    """Raise DataError for the first tag that leaves no valid sequence; say what was found."""
    if not is_partial(tags):
        check(tags, scheme)
        return
    for position, tag in enumerate(tags, start=1):
        for part in choices(tag):
            if part == UNKNOWN or not part:
                raise DataError(f"tag {position} of {len(tags)} is {tag!r}; expected tags parted by {PARTING!r}, or "
                                f"{UNKNOWN!r} alone")
            try:
                labels_of([part], scheme)
            except DataError as error:
                raise DataError(f"{error} (tag {position} of {len(tags)})") from None
    if scheme == "none":
        return
    named = {part for tag in tags for part in choices(tag)}
    known, paths = _known(tuple(sorted(labels_of(named, scheme))), scheme)
    ids = {tag: number for number, tag in enumerate(known)}
    stuck = paths.stuck([{ids[part] for part in choices(tag)} or None for tag in tags])
    if stuck is not None:
        before = f"after {tags[stuck - 1]!r}" if stuck else "at the start"
        raise DataError(f"tag {stuck + 1} of {len(tags)} is {tags[stuck]!r} {before}; {scheme} has no valid sequence "
                        "of such tags up to here" + ("" if stuck + 1 < len(tags) else ", or none that ends here"))


class Paths:
    """Which tag may follow which, for the question whether there is any way through."""

    def __init__(self, rules: Legal) -> None:
        self._start, self._end = _true(rules.start), _true(rules.end)
        self._follows = [_true(row) for row in rules.transitions]
        self._every = frozenset(range(len(rules.start)))

    def may_open(self, allowed: Collection[int] | None) -> bool:
        """Whether a word with one of these tags (None = any) may be the first."""
        return allowed is None or not self._start.isdisjoint(allowed)

    def may_close(self, allowed: Collection[int] | None) -> bool:
        """Whether it may be the last."""
        return allowed is None or not self._end.isdisjoint(allowed)

    def possible(self, allowed: Sequence[Collection[int] | None]) -> list[frozenset[int]]:
        """Return of each word the ``allowed`` tags that stand in some legal sequence of such."""
        some = [self._every if one is None else frozenset(one) for one in allowed]
        reached = self._start
        for position, one in enumerate(some):
            some[position] = one & reached
            reached = frozenset[int]().union(*(self._follows[tag] for tag in some[position]))
        ahead = self._end
        for position in range(len(some) - 1, -1, -1):
            some[position] &= ahead
            ahead = frozenset(tag for tag in self._every if self._follows[tag] & some[position])
        return some

    def stuck(self, allowed: Sequence[Collection[int] | None]) -> int | None:
        """Return the first word that no legal sequence of the ``allowed`` tags reaches, or the last if none ends.

        None where there is such a sequence.
        """
        reached = self._start
        for position, some in enumerate(allowed):
            reached = reached if some is None else reached & frozenset(some)
            if position == len(allowed) - 1:
                reached &= self._end
            if not reached:
                return position
            reached = frozenset[int]().union(*(self._follows[tag] for tag in reached))
        return None


@lru_cache(maxsize=1024)
def _known(labels: tuple[str, ...], scheme: Scheme) -> tuple[list[str], Paths]:
    """The tags of some labels, and the paths through them; what has another label is, for these, as good as O."""
    known = complete(labels, scheme)
    return known, Paths(legal(known, scheme))


@cache
def _prefixes(source: Scheme, target: Scheme) -> dict[str, set[str]]:
    """Of each prefix of ``source``, those that the same word may have in ``target``."""
    found: dict[str, set[str]] = {}
    for size in (1, 2, 3):  # with these, a word is alone, first, within and last
        for before in (0, 1):  # IOB1 looks whether a span of the same label ends just before
            spans = [*([Span("X", 0, 1)] if before else []), Span("X", before, before + size)]
            rows = [encode(spans, before + size, scheme) for scheme in (source, target)]
            for one, other in zip(*rows, strict=True):
                found.setdefault(one[0], set()).add(other[0])
    return found


def _true(row: Sequence[bool]) -> frozenset[int]:
    return frozenset(number for number, value in enumerate(row) if value)
