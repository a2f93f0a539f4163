"""Turns examples into numbers: each side encoded, labels looked up, lengths held to a limit.

Knows no tensor, no file and no order, and imports no torch: worker processes are small and start quickly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple

import numpy as np
from pydantic import Field

from seq2x.config import Config
from seq2x.data.alignments import words_of
from seq2x.data.encodings import Encodings, Integers, Ragged
from seq2x.data.examples import E, Pair, Tagged, Text, Where
from seq2x.errors import DataError, nearest
from seq2x.text.partial import check_partial, choices
from seq2x.text.processor import Encoding, Processor
from seq2x.text.tags import Scheme, legal
from seq2x.text.vocabulary import BOS, Vocabulary

Input = str | Sequence[str]
"""What is encoded: a text, or a sentence given as words."""


class Limit(Config):
    """What happens to an example that is too long; never in silence."""

    max_tokens: int = Field(default=1000, ge=2, description="tokens of an example, its end symbol among them")
    on_long: Literal["error", "truncate", "skip"] = Field(
        default="error", description="refuse the data, cut the example, or skip it; the last two are counted and named")


class Coded(NamedTuple):
    """An example as numbers."""

    where: Where
    inputs: tuple[Input, ...]
    """What was encoded: the source, of a pair also the target."""
    encodings: tuple[Encoding, ...]
    labels: Sequence[int] | None
    """One of a text, one a word of a sentence (or see TaggedCoder); of an aligned pair i, j, i, j ... of words; other
    pairs and a text to be learnt by itself have none."""


class Coder(Generic[E]):
    """Examples of one task to numbers."""

    kind: ClassVar[Literal["classify", "tag", "translate", "language_model"]]
    labelled = False
    """Whether there are labels."""
    spanned = False
    """Whether it is of interest where words begin and end."""

    def __init__(self, sides: Sequence[Side], gate: Gate) -> None:
        self.sides, self.gate = sides, gate

    def code(self, example: E) -> Coded | None:
        """Return the example as numbers, or None where it is too long and left out; DataError for unknown labels."""
        raise NotImplementedError


class TextCoder(Coder[Text]):
    """Texts and their labels."""

    kind, labelled = "classify", True

    def __init__(
        self, processor: Processor, labels: Vocabulary, seed: int, limit: Limit | None, several: bool = False
    ) -> None:
        gate, self._labels = Gate(limit), labels
        self.several = len(labels) if several else None
        """The number of all labels, where a text may have several."""
        super().__init__([Side(processor, seed, gate.most)], gate)

    def code(self, example: Text) -> Coded | None:
        """See :class:`Coder`."""
        encoding = self.sides[0].encode(example.text)
        if not self.gate.keeps(example.where, len(encoding.ids)):
            return None
        if example.label is None:
            raise _missing("label", example.where)
        return Coded(example.where, (example.text,), (_cut(encoding, self.gate.most),),
                     _ids(example.labels, self._labels, "label", example.where))


class PlainCoder(Coder[Text]):
    """Texts alone."""

    kind = "language_model"

    def __init__(self, processor: Processor, seed: int, limit: Limit | None) -> None:
        gate = Gate(limit)
        super().__init__([Side(processor, seed, gate.most)], gate)

    def code(self, example: Text) -> Coded | None:
        """See :class:`Coder`."""
        encoding = self.sides[0].encode(example.text)
        if not self.gate.keeps(example.where, len(encoding.ids)):
            return None
        return Coded(example.where, (example.text,), (_cut(encoding, self.gate.most),), None)


class TaggedCoder(Coder[Tagged]):
    """Words and their tags.

    A sentence that is too long is cut between words, and only where ``scheme`` lets the tags end. Where tags may be
    ``partial`` (see seq2x.text.partial), the labels are lists put end to end, one a word: the number of its tags, then
    these; 0 = all.
    """

    kind, labelled, spanned = "tag", True, True

    def __init__(
        self, processor: Processor, tags: Vocabulary, seed: int, limit: Limit | None, scheme: Scheme,
        partial: bool = False,
    ) -> None:
        gate, self._tags, self._scheme = Gate(limit), tags, scheme
        self.choices = len(tags) if partial else None
        """The number of all tags, where a word may have several."""
        super().__init__([Side(processor, seed, gate.most)], gate)

    def code(self, example: Tagged) -> Coded | None:
        """See :class:`Coder`."""
        encoding = self.sides[0].encode(example.words)
        if not self.gate.keeps(example.where, len(encoding.ids)):
            return None
        if len(encoding.ids) > self.gate.most:
            shorten = _shorten if self.choices is None else _shorten_partial
            example = shorten(example, encoding, self.gate.most, self._scheme)
            encoding = self.sides[0].encode(example.words)
        if example.tags is None:
            raise _missing("tags", example.where)
        if self.choices is None:
            labels = _ids(example.tags, self._tags, "tag", example.where)
        else:
            each = [_ids(choices(tag), self._tags, "tag", example.where) for tag in example.tags]
            labels = [number for some in each for number in (len(some), *some)]
        return Coded(example.where, (example.words,), (encoding,), labels)


class PairCoder(Coder[Pair]):
    """Sentences and their translations, from BOS to EOS. Those that are ``aligned`` are encoded word by word."""

    kind = "translate"

    def __init__(
        self, source: Processor, target: Processor, seed: int, limit: Limit | None, aligned: bool = False
    ) -> None:
        gate = Gate(limit)
        self.labelled = self.spanned = aligned
        super().__init__([Side(source, seed, gate.most), Side(target, seed, gate.most, is_target=True)], gate)

    def code(self, example: Pair) -> Coded | None:
        """See :class:`Coder`."""
        if example.target is None:
            raise _missing("target", example.where)
        inputs: tuple[Input, ...] = (example.source, example.target)
        labels = None
        if self.labelled:
            if example.alignment is None:
                raise _missing("alignment", example.where)
            inputs = (words_of(example.source), words_of(example.target))
            labels = [place for link in example.alignment for place in link]
        encodings = [side.encode(text) for side, text in zip(self.sides, inputs, strict=True)]
        if not self.gate.keeps(example.where, max(len(encoding.ids) for encoding in encodings)):
            return None
        return Coded(example.where, inputs, tuple(_cut(encoding, self.gate.most) for encoding in encodings), labels)


class Side:
    """One side of the examples: how it is encoded and, under BPE-dropout, drawn anew in each epoch."""

    def __init__(self, processor: Processor, seed: int, most: int, is_target: bool = False) -> None:
        self.processor, self._seed, self._most, self._is_target = processor, seed, most, is_target

    @property
    def drops(self) -> bool:
        """Whether there is a dropout."""
        return getattr(self.processor, "dropout", 0.0) > 0  # of all processors, only Subwords has one

    def encode(self, example: Input, sample: int | None = None) -> Encoding:
        """Encode a text, or a sentence given as words; a target opens with BOS and needs no characters."""
        if isinstance(example, str):
            encoding = self.processor.encode(example, sample)
        else:
            encoding = self.processor.encode_words(example, sample)
        if not self._is_target:
            return encoding
        spans = None if encoding.spans is None else [(start + 1, end + 1) for start, end in encoding.spans]
        return Encoding([BOS, *encoding.ids], spans)

    def draw(self, example: Input, epoch: int, index: int) -> Encoding:
        """Encode as the dropout of an epoch says: the same for the same seed, epoch and index."""
        encoding = self.encode(example, _sample(self._seed, epoch, index, self._is_target))
        if len(encoding.ids) > self._most:  # no draw may break the limit, or lose text to it
            encoding = _cut(self.encode(example), self._most)
        return encoding


class Drawing:
    """The sides of a dataset that are drawn anew in each epoch; all that a worker process needs for it."""

    def __init__(self, sides: Sequence[Side], inputs: Sequence[Sequence[Input]]) -> None:
        """``inputs`` are the texts of each side; of one without dropout nothing is kept."""
        self._sides = [(side, texts if side.drops else ()) for side, texts in zip(sides, inputs, strict=True)]

    @property
    def needed(self) -> bool:
        """Whether any side has a dropout."""
        return any(side.drops for side, _ in self._sides)

    def __call__(self, indices: Sequence[int], epoch: int | None) -> list[Encodings | None]:
        """Return of each side the examples at ``indices``, in that order; None of one that is not drawn."""
        return [self._drawn(side, texts, indices, epoch) if epoch is not None and side.drops else None
                for side, texts in self._sides]

    @staticmethod
    def _drawn(side: Side, texts: Sequence[Input], indices: Sequence[int], epoch: int) -> Encodings:
        drawn = Encodings()
        for index in indices:
            drawn.add(side.draw(texts[index], epoch, index))
        return drawn


class Store:
    """Coded examples: in memory, or on disk."""

    def __init__(
        self, sides: Sequence[Encodings], labels: Ragged | None, inputs: Sequence[Sequence[Input]],
        lengths: Sequence[int] | Integers, where: Sequence[Where],
    ) -> None:
        """``lengths`` is what batching counts of each example: its tokens, of a pair those of the longer side."""
        self.sides, self.labels, self.inputs, self.lengths, self.where = sides, labels, inputs, lengths, where

    def used(self, rows: int) -> None:
        """Hear that so many examples were read."""


def code(coder: Coder[E], examples: Iterable[E]) -> Store:
    """Return examples as numbers, in memory; those that the coder leaves out are not there."""
    sides, labels = [Encodings() for _ in coder.sides], Ragged()
    inputs: list[list[Input]] = [[] for _ in coder.sides]
    where: list[Where] = []
    for example in examples:
        coded = coder.code(example)
        if coded is None:
            continue
        where.append(coded.where)
        for side, texts, encoding, text in zip(sides, inputs, coded.encodings, coded.inputs, strict=True):
            side.add(encoding)
            texts.append(text)
        if coded.labels is not None:
            labels.add(coded.labels)
    lengths = [max(each) for each in zip(*(side.lengths for side in sides), strict=True)]
    return Store(sides, labels if coder.labelled else None, inputs, lengths, where)


class Gate:
    """Lets examples through or not, by their length, and tells of those that are too long."""

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit or Limit()
        self.most = self._limit.max_tokens
        self.count = 0
        """How many were too long."""
        self.first: tuple[int, Where] | None = None
        """The length and the place of the first of them."""

    def keeps(self, where: Where, length: int) -> bool:
        """Return whether the example is kept: it is short enough, or cut."""
        if length <= self.most:
            return True
        self.count += 1
        self.first = self.first or (length, where)
        return self._limit.on_long == "truncate"

    def take(self) -> tuple[int, tuple[int, Where] | None]:
        """Return the count and the first, and begin anew."""
        taken = self.count, self.first
        self.count, self.first = 0, None
        return taken

    def add(self, count: int, first: tuple[int, Where] | None) -> None:
        """Count what another gate took."""
        self.count, self.first = self.count + count, self.first or first

    def close(self, total: int, among: str = "") -> str:
        """Return the report on ``total`` examples; DataError where long ones are refused."""
        if self.first is None:
            return ""
        length, (path, line) = self.first
        count = f"{self.count:,} of {among}{total:,} examples"
        if self._limit.on_long == "error":
            raise DataError(f"found {length:,} tokens, expected at most {self.most:,}; {count} are longer than that. "
                            "Raise max_tokens, or set on_long to 'truncate' or 'skip'", path, line)
        done = "cut" if self._limit.on_long == "truncate" else "left out"
        return f"{count} have more than {self.most:,} tokens and were {done}; the first: {path}, line {line}"

    @property
    def refuses(self) -> bool:
        """Whether an example has come that may not be."""
        return self.first is not None and self._limit.on_long == "error"


def _sample(seed: int, epoch: int, index: int, is_target: bool) -> int:
    """The seed of one drawing of BPE-dropout, 32 bits: the same on every machine, unlike for every argument."""
    key = f"{seed} {epoch} {index} {is_target}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")


def _cut(encoding: Encoding, most: int) -> Encoding:
    """Keep the first tokens and the end symbol."""
    ids, spans, characters, shapes = encoding
    if len(ids) <= most:
        return encoding
    return Encoding([*ids[: most - 1], ids[-1]],
                    None if spans is None else [(min(start, most - 1), min(end, most - 1)) for start, end in spans],
                    None if characters is None else [*characters[: most - 1], characters[-1]],
                    None if shapes is None else [*shapes[: most - 1], shapes[-1]])


def _shorten(example: Tagged, encoding: Encoding, most: int, scheme: Scheme) -> Tagged:
    """Keep the first words, as many as fit and may end a sentence in the scheme."""
    count = sum(end < most for _, end in encoding.spans or ())
    if example.tags is not None:
        ends = dict(zip(example.tags, legal(example.tags, scheme).end, strict=True))
        while count and not ends[example.tags[count - 1]]:
            count -= 1
    if not count:
        raise DataError(f"cannot be cut to {most:,} tokens between two words outside of a span", *example.where)
    return Tagged(example.words[:count], None if example.tags is None else example.tags[:count], example.where)


def _shorten_partial(example: Tagged, encoding: Encoding, most: int, scheme: Scheme) -> Tagged:
    """The same where tags leave something open: what is kept must have a valid sequence of tags."""
    for count in range(sum(end < most for _, end in encoding.spans or ()), 0, -1):
        cut = Tagged(example.words[:count], None if example.tags is None else example.tags[:count], example.where)
        try:
            check_partial(cut.tags or (), scheme)
        except DataError:
            continue
        return cut
    raise DataError(f"cannot be cut to {most:,} tokens between two words outside of a span", *example.where)


def _ids(found: Sequence[str], vocabulary: Vocabulary, what: str, where: Where) -> list[int]:
    for number, entry in enumerate(found, start=1):
        if entry not in vocabulary:
            place = f" of word {number}" if len(found) > 1 and what == "tag" else ""
            raise DataError(f"the {what} {entry!r}{place} is not known (the training data have none)"
                            f"{nearest(entry, vocabulary.entries)}", *where)
    return [vocabulary.id(entry) for entry in found]


def _missing(what: str, where: Where) -> DataError:
    return DataError(f"this example has no {what}; to learn from it, one was expected", *where)


def smallest(numbers: int) -> np.dtype[Any]:
    """Return the smallest type that can count 0, 1 ... ``numbers`` - 1."""
    return np.min_scalar_type(max(numbers - 1, 0))
