"""What a translation must be like, said in words: how it begins, terms that it must or must not hold. Knows no model.

A term is in a text where its characters stand there with no further letter or digit at either side: "mill" is in
"the mill." but not in "windmills". Upper and lower case differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from seq2x.errors import DataError
from seq2x.text import Processor, Subwords
from seq2x.text.vocabulary import UNK


@dataclass(frozen=True)
class Request:
    """A text to translate, and what its translation must be like."""

    text: str
    prefix: str = ""
    """How it begins."""
    must: tuple[str, ...] = ()
    """Terms that it holds, each at least once."""
    must_not: tuple[str, ...] = ()
    """Terms that it does not hold."""
    number: int = 0
    """What messages call it; 0 = by its place."""

    def __post_init__(self) -> None:
        for name in ("must", "must_not"):
            if isinstance(found := getattr(self, name), str):
                raise TypeError(f"{name}: found the str {found!r}; expected a tuple of terms, as ({found!r},)")


def beginning(prefix: str, target: Processor, number: int) -> tuple[int, ...]:
    """The tokens of a forced beginning; DataError where the vocabulary cannot write it."""
    ids = tuple(target.encode(prefix.strip()).ids[:-1])
    if _silent(target).intersection(ids):
        raise DataError(f"text {number}: the beginning {prefix!r} holds what the target vocabulary cannot write")
    return ids


class Terms:
    """The terms of one text, as the target vocabulary writes them."""

    def __init__(self, request: Request, target: Processor, number: int) -> None:
        """DataError for a term that the vocabulary cannot write."""
        self._target = target
        self.must, self.must_not = request.must, request.must_not
        self.ids = [_written(term, target, number) for term in self.must]
        self._wanted = [_pattern(_normal(term, target)) for term in self.must]
        self._unwanted = [_pattern(_normal(term, target)) for term in self.must_not if _writable(term, target)]
        self._needs = cache(self._need)

    def __str__(self) -> str:
        """What is asked for, for a message."""
        found = [f"must hold {', '.join(map(repr, self.must))}"] if self.must else []
        found += [f"must not hold {', '.join(map(repr, self.must_not))}"] if self.must_not else []
        return " and ".join(found)

    def need(self, tokens: tuple[int, ...], ended: bool) -> int | None:
        """As :meth:`seq2x.search.Guide.need`."""
        return self._needs(tokens, ended)

    def towards(self, tokens: tuple[int, ...]) -> set[int]:
        """As :meth:`seq2x.search.Guide.towards`."""
        text = self._target.decode(tokens)
        open_ = [ids for ids, wanted in zip(self.ids, self._wanted, strict=True) if not wanted.search(text)]
        most = max((_begun(ids, tokens) for ids in open_), default=0)
        nearer = {ids[most] for ids in open_ if _begun(ids, tokens) == most}
        return nearer | {ids[0] for ids in open_}

    def _need(self, tokens: tuple[int, ...], ended: bool) -> int | None:
        text = self._target.decode(tokens)
        for unwanted in self._unwanted:
            # the next token may still make another word of one at the end
            if any(ended or match.end() < len(text) or not re.match(r"\w", text[-1])
                   for match in unwanted.finditer(text)):
                return None
        open_ = [ids for ids, wanted in zip(self.ids, self._wanted, strict=True) if not wanted.search(text)]
        if ended:
            return None if open_ else 0
        return sum(map(len, open_)) - max((_begun(ids, tokens) for ids in open_), default=0)


@dataclass(frozen=True)
class Wordings:
    """The terms of each text of a batch, as a :class:`seq2x.search.Guide`."""

    terms: Sequence[Terms | None]

    def guides(self, sentence: int) -> bool:
        """Whether it has any."""
        return sentence < len(self.terms) and self.terms[sentence] is not None

    def need(self, sentence: int, tokens: tuple[int, ...], ended: bool) -> int | None:
        """How many tokens must follow before the output may end; None: it holds what it must not."""
        return self._of(sentence).need(tokens, ended)

    def towards(self, sentence: int, tokens: tuple[int, ...]) -> set[int]:
        """The tokens that begin a term, or go on with one."""
        return self._of(sentence).towards(tokens)

    def _of(self, sentence: int) -> Terms:
        found = self.terms[sentence]
        assert found is not None
        return found


def _normal(term: str, target: Processor) -> str:
    """The term as the target vocabulary reads and writes it."""
    return target.decode(target.encode(term.strip()).ids).strip()


def _writable(term: str, target: Processor) -> bool:
    ids = target.encode(term.strip()).ids[:-1]
    return bool(ids) and not _silent(target).intersection(ids)


def _silent(target: Processor) -> frozenset[int]:
    """What no translation holds: the unknown token, the tags of languages."""
    return frozenset({UNK, *(target.symbols.values() if isinstance(target, Subwords) else ())})


def _written(term: str, target: Processor, number: int) -> tuple[int, ...]:
    """The tokens of a term inside a text, behind another word."""
    if not _writable(term, target):
        raise DataError(f"text {number}: the term {term!r} is nothing that the target vocabulary can write")
    before = target.encode("a").ids[:-1]
    behind = target.encode(f"a {term.strip()}").ids[:-1]
    alone = target.encode(term.strip()).ids[:-1]
    return tuple(behind[len(before) :] if behind[: len(before)] == before else alone)


def _pattern(term: str) -> re.Pattern[str]:
    return re.compile((r"(?<!\w)" if re.match(r"\w", term) else "") + re.escape(term)
                      + (r"(?!\w)" if re.search(r"\w$", term) else ""))


def _begun(ids: tuple[int, ...], tokens: tuple[int, ...]) -> int:
    """How many tokens of a term stand at the end of an output, without all of it."""
    return next((count for count in range(len(ids) - 1, 0, -1) if tokens[-count:] == ids[:count]), 0)
