"""What a user knows of a sentence before it is tagged: tags forced and forbidden, corrected spans, a gazetteer.

Knows no model and no tensor; says which of the model's tags each word may have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from seq2x.errors import ConfigError, DataError, nearest
from seq2x.predictors.tagged import Sentence, TextSpan
from seq2x.text import Word, split, tags
from seq2x.text.partial import Paths, rewrite

Names = str | Collection[str]
"""A tag or a label, or several of which each is possible."""
Allowed = list[frozenset[int] | None]
"""Of each word the tags that it may have, as ids; None = any."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the tags of one sentence must obey. Words are counted from 0, tags are those of the training files.

    Whether a word that begins a span is B or I in IOB1 hangs on the word before: there, a tag says what its own word
    may be, begin or go on, and nothing of the one before.

    >>> Constraints(force={0: "O"}, forbid={3: ["B-PER", "I-PER"]}, spans=[("LOC", 5, 7)])
    """

    force: Mapping[int, Names] = field(default_factory=dict)
    """The tag that a word has; or several, of which it has one."""
    forbid: Mapping[int, Names] = field(default_factory=dict)
    """The tag, or tags, that a word has not."""
    spans: Sequence[TextSpan | tuple[Names, int, int]] = ()
    """Label, first word, word behind the last: just this span stands there. Or spans of an earlier result."""
    characters: Sequence[tuple[Names, int, int]] = ()
    """The same with the places of characters; they must be those of words."""


Finder = Callable[[Sequence[Word]], Constraints | None]
"""Looks at the words of a sentence and says what is known of them; a :class:`Gazetteer` is one."""
Given = Constraints | Iterable[Constraints | None] | Finder


class Gazetteer:
    """Phrases whose label is known, found in every sentence: of those that overlap the first, and of these the longest.

    >>> Gazetteer({"New York": "LOC", "Jordan": ["LOC", "PER"]})

    A phrase with several labels has one of them, as the model finds. A phrase stands where its words stand, as the
    default splitter or blanks part them.
    """

    def __init__(self, phrases: Mapping[str, Names], *, ignore_case: bool = False) -> None:
        """DataError for a phrase without words, or without a label."""
        self._ignore_case = ignore_case
        self._phrases: dict[tuple[str, ...], frozenset[str]] = {}
        self._lengths: dict[str, set[int]] = {}
        for phrase, label in phrases.items():
            labels = frozenset([label] if isinstance(label, str) else label)
            if not phrase.strip() or not labels or "" in labels:
                raise DataError(f"the gazetteer has {label!r} for {phrase!r}; expected a phrase and its label")
            for words in ([word.text for word in split(phrase)], phrase.split()):
                key = self._key(words)
                if key:
                    self._phrases[key] = self._phrases.get(key, frozenset()) | labels
                    self._lengths.setdefault(key[0], set()).add(len(key))
        self.labels = frozenset[str]().union(*self._phrases.values())
        """All labels."""

    def __len__(self) -> int:
        return len(self._phrases)

    def __call__(self, words: Sequence[Word]) -> Constraints | None:
        """Return the phrases found among the words."""
        keys = self._key([word.text for word in words])
        found: list[tuple[Names, int, int]] = []
        at = 0
        while at < len(keys):
            lengths = sorted(self._lengths.get(keys[at], ()), reverse=True)
            size = next((size for size in lengths if keys[at : at + size] in self._phrases), 0)
            if size:
                found.append((self._phrases[keys[at : at + size]], at, at + size))
            at += size or 1
        return Constraints(spans=found) if found else None

    def _key(self, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(word.casefold() if self._ignore_case else word for word in words)


class Permits:
    """Turns constraints into the tags that each word may have, in the scheme of a model."""

    def __init__(self, model_tags: Sequence[str], model_scheme: tags.Scheme, scheme: tags.Scheme) -> None:
        """``scheme`` is that of the user; the model's tags may be of another."""
        self._ids = {tag: number for number, tag in enumerate(model_tags)}
        self._scheme, self._model_scheme = scheme, model_scheme
        self._every = frozenset(self._ids.values())
        self._written = [frozenset(rewrite(tag, model_scheme, scheme)) for tag in model_tags]
        self._labels = sorted(tags.labels_of(model_tags, model_scheme))
        self._tags = tags.complete(self._labels, scheme)
        self.paths = Paths(tags.legal(model_tags, model_scheme))

    def allowed(self, sentence: Sentence, known: Constraints, number: int) -> Allowed:
        """Return what each word may have. DataError names the sentence by ``number``, and the word, from 1.

        That is for a place out of the sentence, a tag or label that is not known, and constraints that no legal
        sequence of tags obeys.
        """
        count = len(sentence.tokens)
        narrowed: dict[int, frozenset[int]] = {}

        def narrow(place: int, some: Iterable[int]) -> None:
            narrowed[place] = narrowed.get(place, self._every) & frozenset(some)

        try:
            for place, names in known.force.items():
                narrow(_inside(place, count), self._having(names))
            for place, names in known.forbid.items():
                narrow(_inside(place, count), self._lacking(names))
            for label, first, stop in self._spans(sentence, known):
                self._force_span(label, first, stop, count, narrow)
        except (ConfigError, DataError) as error:
            raise type(error)(f"sentence {number}: {error}") from None
        allowed: Allowed = [narrowed.get(place) for place in range(count)]
        self.check(sentence, allowed, 0, number)
        return allowed

    def check(self, sentence: Sentence, allowed: Allowed, first: int, number: int) -> None:
        """Raise DataError where the words from ``first`` on, as far as ``allowed`` goes, can have no legal tags."""
        stuck = self.paths.stuck(allowed)
        if stuck is not None:
            word = sentence.tokens[first + stuck].text
            raise DataError(f"sentence {number}, token {first + stuck + 1} ({word!r}): the constraints leave no legal "
                            f"tags up to here; {self._shown(allowed, stuck)}")

    def _shown(self, allowed: Allowed, stuck: int) -> str:
        names = list(self._ids)
        some = allowed[stuck]
        here = "any tag" if some is None else ", ".join(names[tag] for tag in sorted(some)[:10]) or "no tag at all"
        if not stuck:
            return f"it may have {here}"
        before = allowed[stuck - 1]
        left = "any tag" if before is None else ", ".join(names[tag] for tag in sorted(before)[:10])
        return f"it may have {here}, the token before {left} ({self._model_scheme})"

    def joined(self, allowed: Allowed) -> set[int]:
        """Return the words before which a sentence may not be cut: a span runs on there."""
        return {place for place in range(1, len(allowed))
                if not (self.paths.may_close(allowed[place - 1]) and self.paths.may_open(allowed[place]))}

    def _having(self, names: Names) -> list[int]:
        wanted = self._known(names, self._tags, "tag")
        return [tag for tag, written in enumerate(self._written) if written & wanted]

    def _lacking(self, names: Names) -> list[int]:
        unwanted = self._known(names, self._tags, "tag")
        return [tag for tag, written in enumerate(self._written) if written - unwanted]

    def _known(self, names: Names, known: Sequence[str], what: str) -> frozenset[str]:
        found = frozenset([names] if isinstance(names, str) else names)
        for name in sorted(found):
            if name not in known:
                raise DataError(f"the {what} {name!r} is not one of the model's{nearest(name, known)}")
        if not found:
            raise DataError(f"found no {what} at all for a word that is constrained; expected one or more")
        return found

    def _force_span(
        self, label: Names, first: int, stop: int, count: int, narrow: Callable[[int, Iterable[int]], None]
    ) -> None:
        if not 0 <= first < stop <= count:
            raise DataError(f"the span {label!r} from word {first} to {stop} does not fit; expected "
                            f"0 <= first < stop <= {count} words")
        if self._model_scheme == "none":
            raise ConfigError("the model's tags have no spans (its scheme is 'none'); expected tags of words (force)")
        ways = [tags.patterns(one, stop - first, self._model_scheme)[0]
                for one in sorted(self._known(label, self._labels, "label"))]
        for place in range(first, stop):
            narrow(place, [self._ids[way.tags[place - first]] for way in ways])
        if stop < count:
            beyond = frozenset[str]().union(*(way.not_after for way in ways))
            narrow(stop, [number for tag, number in self._ids.items() if tag not in beyond])

    def _spans(self, sentence: Sentence, known: Constraints) -> list[tuple[Names, int, int]]:
        found: list[tuple[Names, int, int]] = [
            (span.label, span.first, span.stop) if isinstance(span, TextSpan) else span for span in known.spans]
        starts = {token.start: number for number, token in enumerate(sentence.tokens)}
        ends = {token.end: number + 1 for number, token in enumerate(sentence.tokens)}
        for label, start, end in known.characters:
            if start not in starts or end not in ends:
                raise DataError(f"the span {label!r} from character {start} to {end}, {sentence.text[start:end]!r}, "
                                "does not begin and end with words")
            found.append((label, starts[start], ends[end]))
        return found


def _inside(place: int, count: int) -> int:
    if not 0 <= place < count:
        raise DataError(f"a constraint is on word {place}, counted from 0; there are {count} words")
    return place
