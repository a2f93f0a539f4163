"""Turns examples into the tensors of a batch. Knows no file, no model and no order of training.

Every example is encoded once, when the dataset is made, and a batch is cut out of what was kept. Only under
BPE-dropout is an example encoded anew in each epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import Field

from seq2x.batch import Batch
from seq2x.config import Config
from seq2x.data.encodings import Encodings, Integers, Ragged
from seq2x.data.examples import Pair, Tagged, Text, Where
from seq2x.errors import DataError, nearest
from seq2x.text.processor import Encoding, Processor
from seq2x.text.tags import Scheme, legal
from seq2x.text.vocabulary import BOS, Vocabulary


class Limit(Config):
    """What happens to an example that is too long; never in silence."""

    max_tokens: int = Field(default=1000, ge=2, description="tokens of an example, its end symbol among them")
    on_long: Literal["error", "truncate", "skip"] = Field(
        default="error", description="refuse the data, cut the example, or skip it; the last two are counted and named")


class Dataset(Protocol):
    """Examples of one task as tensors."""

    report: str
    """What was cut or left out, in a sentence; empty where nothing was."""
    lengths: list[int]
    """What batching counts of each example: its tokens, of a pair those of the longer side."""

    def __len__(self) -> int:
        """The number of examples kept."""

    def batch(self, indices: Sequence[int], epoch: int | None) -> Batch:
        """Return the examples at ``indices`` as one Batch, in that order.

        ``epoch`` seeds the BPE-dropout, where there is any, together with the dataset's seed and the index; None
        switches it off. ``lengths`` are those without dropout: with it, a batch may be some tokens longer.
        """

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""


class TextDataset:
    """Texts and, unless they have none, the ids of their labels: target [B]."""

    def __init__(
        self, examples: Sequence[Text], processor: Processor, labels: Vocabulary, seed: int = 0,
        limit: Limit | None = None,
    ) -> None:
        gate = _Gate(limit)
        self._source = _Side(processor, seed, gate.most)
        self.examples = []
        for example in examples:
            encoding = self._source.encode(example.text)
            if gate.keeps(example.where, len(encoding.ids)):
                self._source.add(example.text, encoding)
                self.examples.append(example)
        self.report, self.lengths = gate.close(len(examples)), self._source.lengths
        self._labels = None
        if _known([(example.label, example.where) for example in self.examples], "label"):
            ids = [_ids([example.label or ""], labels, "label", example.where)[0] for example in self.examples]
            self._labels = torch.tensor(ids, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.examples)

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""
        return self.examples[index].where

    def batch(self, indices: Sequence[int], epoch: int | None) -> Batch:
        """Return source tokens and target [B]; see :class:`Dataset`."""
        encodings, rows = self._source.at(indices, epoch)
        return Batch(encodings.tokens(rows), target=None if self._labels is None else self._labels[list(indices)])


class TaggedDataset:
    """Words with the range of their tokens and, unless they have none, the ids of their tags: target [B, W].

    A sentence that is too long is cut between words, and only where ``scheme`` lets the tags end; ``examples`` holds
    it as it was cut.
    """

    def __init__(
        self, examples: Sequence[Tagged], processor: Processor, tags: Vocabulary, seed: int = 0,
        limit: Limit | None = None, scheme: Scheme = "none",
    ) -> None:
        gate = _Gate(limit)
        self._source = _Side(processor, seed, gate.most)
        self.examples = []
        for example in examples:
            encoding = self._source.encode(example.words)
            if gate.keeps(example.where, len(encoding.ids)):
                if len(encoding.ids) > gate.most:
                    example = _shorten(example, encoding, gate.most, scheme)
                    encoding = self._source.encode(example.words)
                self._source.add(example.words, encoding)
                self.examples.append(example)
        self.report, self.lengths = gate.close(len(examples)), self._source.lengths
        self._tags = None
        if _known([(example.tags, example.where) for example in self.examples], "tags"):
            self._tags = Ragged(_ids(example.tags or (), tags, "tag", example.where) for example in self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""
        return self.examples[index].where

    def batch(self, indices: Sequence[int], epoch: int | None) -> Batch:
        """Return source tokens, spans [B, W, 2] and target [B, W]; see :class:`Dataset`."""
        encodings, rows = self._source.at(indices, epoch)
        target = None if self._tags is None else self._tags.padded(np.asarray(indices, dtype=np.int64))[0]
        return Batch(encodings.tokens(rows), encodings.spans(rows), target)


class PairDataset:
    """Sentences and, unless they have none, their translations: target Tokens from BOS to EOS, both counted."""

    def __init__(
        self, examples: Sequence[Pair], source: Processor, target: Processor, seed: int = 0, limit: Limit | None = None
    ) -> None:
        gate = _Gate(limit)
        self._source = _Side(source, seed, gate.most)
        self._target = None
        if _known([(example.target, example.where) for example in examples], "target"):
            self._target = _Side(target, seed, gate.most, is_target=True)
        self.examples = []
        for example in examples:
            left = self._source.encode(example.source)
            right = left if self._target is None else self._target.encode(example.target or "")
            if gate.keeps(example.where, max(len(left.ids), len(right.ids))):
                self._source.add(example.source, left)
                if self._target is not None:
                    self._target.add(example.target or "", right)
                self.examples.append(example)
        self.report, self.lengths = gate.close(len(examples)), self.source_lengths
        if self._target is not None:
            self.lengths = list(map(max, self.lengths, self._target.lengths))

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def source_lengths(self) -> list[int]:
        """Tokens of each source, its end symbol among them."""
        return self._source.lengths

    @property
    def target_lengths(self) -> list[int]:
        """Tokens of each target as an output has them: its end symbol is one, its beginning is none."""
        return [] if self._target is None else [length - 1 for length in self._target.lengths]

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""
        return self.examples[index].where

    def batch(self, indices: Sequence[int], epoch: int | None) -> Batch:
        """Return source tokens and target tokens; see :class:`Dataset`."""
        encodings, rows = self._source.at(indices, epoch)
        source, target = encodings.tokens(rows), None
        if self._target is not None:
            encodings, rows = self._target.at(indices, epoch)
            target = encodings.tokens(rows)
        return Batch(source, target=target)


class _Side:
    """One side of the examples: encoded once and kept or, under BPE-dropout, drawn anew in each epoch."""

    def __init__(self, processor: Processor, seed: int, most: int, is_target: bool = False) -> None:
        self._processor, self._seed, self._most, self._is_target = processor, seed, most, is_target
        self._drops = getattr(processor, "dropout", 0.0) > 0  # of all processors, only Subwords has one
        self._inputs: list[str | Sequence[str]] = []
        self._kept = Encodings()

    @property
    def lengths(self) -> list[int]:
        return self._kept.lengths

    def encode(self, example: str | Sequence[str], sample: int | None = None) -> Encoding:
        """Encode a text, or a sentence given as words; a target opens with BOS and needs no characters."""
        if not isinstance(example, str):
            return self._processor.encode_words(example, sample)
        encoding = self._processor.encode(example, sample)
        return Encoding([BOS, *encoding.ids]) if self._is_target else encoding

    def add(self, example: str | Sequence[str], encoding: Encoding) -> None:
        """Keep an example and its encoding; tokens beyond the limit are cut off, up to the end symbol."""
        self._inputs.append(example)
        self._kept.add(_cut(encoding, self._most))

    def at(self, indices: Sequence[int], epoch: int | None) -> tuple[Encodings, Integers]:
        """Return encodings, and which rows of them [B] are the examples at ``indices``."""
        if epoch is None or not self._drops:
            return self._kept, np.asarray(indices, dtype=np.int64)
        drawn = Encodings()
        for index in indices:
            encoding = self.encode(self._inputs[index], _sample(self._seed, epoch, index, self._is_target))
            if len(encoding.ids) > self._most:  # no draw may break the limit, or lose text to it
                encoding = _cut(self.encode(self._inputs[index]), self._most)
            drawn.add(encoding)
        return drawn, np.arange(len(indices))


class _Gate:
    """Lets examples through or not, by their length, and tells of those that are too long."""

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit or Limit()
        self.most = self._limit.max_tokens
        self._long: list[tuple[int, Where]] = []

    def keeps(self, where: Where, length: int) -> bool:
        if length <= self.most:
            return True
        self._long.append((length, where))
        return self._limit.on_long == "truncate"

    def close(self, total: int) -> str:
        """Return the report on ``total`` examples; DataError where long ones are refused."""
        if not self._long:
            return ""
        length, (path, line) = self._long[0]
        count = f"{len(self._long):,} of {total:,} examples"
        if self._limit.on_long == "error":
            raise DataError(f"found {length:,} tokens, expected at most {self.most:,}; {count} are longer than that. "
                            "Raise max_tokens, or set on_long to 'truncate' or 'skip'", path, line)
        done = "cut" if self._limit.on_long == "truncate" else "left out"
        return f"{count} have more than {self.most:,} tokens and were {done}; the first: {path}, line {line}"


def _sample(seed: int, epoch: int, index: int, is_target: bool) -> int:
    """The seed of one drawing of BPE-dropout, 32 bits: the same on every machine, unlike for every argument."""
    key = f"{seed} {epoch} {index} {is_target}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big")


def _cut(encoding: Encoding, most: int) -> Encoding:
    """Keep the first tokens and the end symbol."""
    ids, _, characters, shapes = encoding
    if len(ids) <= most:
        return encoding
    return Encoding([*ids[: most - 1], ids[-1]], None,
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


def _ids(found: Sequence[str], vocabulary: Vocabulary, what: str, where: Where) -> list[int]:
    for number, entry in enumerate(found, start=1):
        if entry not in vocabulary:
            place = f" of word {number}" if len(found) > 1 else ""
            raise DataError(f"the {what} {entry!r}{place} is not known (the training data have none)"
                            f"{nearest(entry, vocabulary.entries)}", *where)
    return [vocabulary.id(entry) for entry in found]


def _known(values: Sequence[tuple[object, Where]], what: str) -> bool:
    """Whether the targets are there: all of them, or none."""
    missing = [where for value, where in values if value is None]
    if missing and len(missing) < len(values):
        raise DataError(f"the {what} of this example is missing, while others have theirs", *missing[0])
    return bool(values) and not missing
