"""Turns coded examples into the tensors of a batch. Knows no file, no model and no order of training.

Every example is encoded once, when the dataset is made, and a batch is cut out of what was kept. Only under
BPE-dropout is an example encoded anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seq2x.batch import Batch, Tokens
from seq2x.data.alignments import matrix
from seq2x.data.coding import Coder, Drawing, Store, TaggedCoder, TextCoder, code
from seq2x.data.encodings import Encodings, Integers, Padded
from seq2x.data.examples import E, Where

SPREAD = 100_000
"""Examples, spread evenly, whose lengths stand for those of all."""


class Dataset(Protocol):
    """Examples of one task as tensors."""

    report: str
    """What was cut or left out, in a sentence; empty where nothing was."""

    @property
    def lengths(self) -> Sequence[int] | Integers:
        """What batching counts of each example: its tokens, of a pair those of the longer side."""

    def side_lengths(self) -> list[list[int]]:
        """Return the tokens of each side of the examples, or of :data:`SPREAD` of them where they are more."""

    @property
    def drawing(self) -> Drawing:
        """What is drawn anew in each epoch; a worker process may call it ahead of :meth:`batch`."""

    def label_counts(self, labels: int) -> list[int]:
        """Return how many texts have each of ``labels`` labels."""

    def __len__(self) -> int:
        """The number of examples kept."""

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""

    def batch(
        self, indices: Sequence[int], epoch: int | None, drawn: Sequence[Encodings | None] | None = None
    ) -> Batch:
        """Return the examples at ``indices`` as one Batch, in that order.

        ``epoch`` seeds the BPE-dropout, where there is any, together with the dataset's seed and the index; None
        switches it off. ``drawn`` is what ``drawing(indices, epoch)`` gave, where that was called before. ``lengths``
        are those without dropout: with it, a batch may be some tokens longer.
        """


class CodedDataset:
    """Any examples, once they are coded. See :class:`Dataset`.

    Target: [B] ids of labels, [B, K] bool where a text may have several, [B, W] ids of tags or [B, W, K]
    bool, the tags that each word may have, the Tokens of translations, from BOS to EOS, with their alignment where it
    is given, or of texts without labels these themselves.
    """

    def __init__(self, coder: Coder[Any], store: Store, report: str = "") -> None:
        self.report, self._store = report, store
        self._is_tagged, self._is_aligned = coder.kind == "tag", coder.kind == "translate" and coder.labelled
        self._choices = coder.choices if isinstance(coder, TaggedCoder) else None
        self._several = coder.several if isinstance(coder, TextCoder) else None
        self.drawing = Drawing(coder.sides, store.inputs)

    def __len__(self) -> int:
        return len(self._store.lengths)

    @property
    def lengths(self) -> Sequence[int] | Integers:
        """What batching counts of each example."""
        return self._store.lengths

    @property
    def tokens(self) -> int:
        """The tokens of all sources together."""
        return len(self._store.sides[0].ids.flat)

    def side_lengths(self) -> list[list[int]]:
        """Return the tokens of each side, the BOS of a target among them."""
        rows = np.linspace(0, len(self) - 1, min(len(self), SPREAD)).astype(np.int64)
        return [side.ids.lengths_of(rows).tolist() for side in self._store.sides]

    def where(self, index: int) -> Where:
        """Return the file and the line of an example."""
        return self._store.where[index]

    def label_counts(self, labels: int) -> list[int]:
        """Return how many texts have each of ``labels`` labels."""
        assert self._store.labels is not None
        counts: list[int] = np.bincount(self._store.labels.flat, minlength=labels).tolist()
        return counts

    def batch(
        self, indices: Sequence[int], epoch: int | None, drawn: Sequence[Encodings | None] | None = None
    ) -> Batch:
        """Return the examples at ``indices``; see :class:`Dataset`."""
        rows = np.asarray(indices, dtype=np.int64)
        if drawn is None:
            drawn = self.drawing(indices, epoch)
        sides = [(kept, rows) if new is None else (new, np.arange(len(rows)))
                 for kept, new in zip(self._store.sides, drawn, strict=True)]
        spans: Tensor | None = None
        target: Tensor | Tokens
        if self._is_tagged:
            encodings, at = sides[0]
            spans = torch.from_numpy(encodings.spans.padded(at)[0]).view(len(rows), -1, 2)
        source = _tokens(*sides[0])
        if self._store.labels is None:
            target = _tokens(*sides[1]) if len(sides) > 1 else source
        elif self._is_aligned:
            target = self._aligned([self._store.labels.row(int(row)) for row in rows], sides, source)
        elif self._choices is not None:
            assert spans is not None
            target = _some_of([self._store.labels.row(int(row)) for row in rows], spans.shape[1], self._choices)
        elif self._several is not None:
            labels, real = map(torch.from_numpy, self._store.labels.padded(rows))
            target = torch.zeros(len(rows), self._several + 1, dtype=torch.bool)
            target = target.scatter(1, labels.masked_fill(~real, self._several), True)[:, :-1]
        else:
            labels = torch.from_numpy(self._store.labels.padded(rows)[0])
            target = labels if self._is_tagged else labels[:, 0]
        self._store.used(len(rows))
        return Batch(source, spans, target)

    @staticmethod
    def _aligned(
        links: Sequence[Integers], sides: Sequence[tuple[Encodings, Integers]], source: Tokens
    ) -> Tokens:
        """The target with its alignment to the source."""
        target = _tokens(*sides[1])
        spans = [[encodings.spans.row(int(row)) for row in rows] for encodings, rows in sides]
        found = matrix(links, list(zip(*spans, strict=True)), (target.ids.shape[1], source.ids.shape[1]))
        return replace(target, alignment=torch.from_numpy(found))


def in_memory(coder: Coder[E], examples: Sequence[E]) -> CodedDataset:
    """Return a dataset whose examples are all in memory."""
    store = code(coder, examples)
    return CodedDataset(coder, store, coder.gate.close(len(examples)))


def _some_of(rows: Sequence[Integers], words: int, tags: int) -> Tensor:
    """The tags that each word may have, [B, W, K]; at padding none."""
    target = torch.zeros(len(rows), words, tags, dtype=torch.bool)
    for row, numbers in enumerate(rows):
        rest = iter(numbers.tolist())
        for word, count in enumerate(rest):
            target[row, word, [next(rest) for _ in range(count)] or slice(None)] = True
    return target


def _tokens(encodings: Encodings, rows: Integers) -> Tokens:
    return tokens_of(encodings.tokens(rows))


def tokens_of(padded: Padded) -> Tokens:
    """Return the same as tensors."""
    ids, mask, *more = padded
    characters, shapes = (None if values is None else torch.from_numpy(values) for values in more)
    return Tokens(torch.from_numpy(ids), torch.from_numpy(mask), characters, shapes)
