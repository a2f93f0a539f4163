"""Which examples go together, and when: length buckets, a token budget, seeded order, an exact place to resume at.

Knows no text and no tensor: an example is its index and its length here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from seq2x.data.examples import E
from seq2x.errors import ConfigError, DataError, nearest

T = TypeVar("T")
R = TypeVar("R")

Indices = NDArray[np.int64]

NOISE = 0.03
"""How far an example may stray from its place in the order of lengths: one token, and this share of its length.

0.03 costs 2 to 3 % of a batch in padding, 0.1 costs 5 to 6 % (log-normal lengths around 14, budgets 1024 and 4096);
equal lengths are in random order anyway."""


class Position(NamedTuple):
    """A place in the endless sequence of batches: the number of the epoch and of a batch in it, from 0."""

    epoch: int = 0
    batch: int = 0


class Batches:
    """The batches of one or more tasks, epoch after epoch; the same for the same lengths, budget and seed.

    An epoch holds each example of a task once, or ``weights[task]`` times on average: with 0.5 the halves of the
    data take turns, with 2 each example comes twice. ``tokens`` bounds rows * (longest example) of each batch.
    Raises DataError for a task without examples, or with one that is longer than ``tokens``.
    """

    def __init__(
        self, lengths: Mapping[str, Sequence[int]], tokens: int, seed: int, weights: Mapping[str, float] | None = None
    ) -> None:
        self._lengths = {task: np.asarray(values, dtype=np.int64) for task, values in lengths.items()}
        self._weights = {**dict.fromkeys(lengths, 1.0), **(weights or {})}
        self._tokens, self._seed = tokens, seed
        for task, weight in self._weights.items():
            if task not in lengths:
                raise ConfigError(f"weights: there is no task {task!r}{nearest(task, lengths)}")
            if not 0 < weight < float("inf"):
                raise ConfigError(f"weights: found {weight} for the task {task!r}, expected a number above 0")
        for task, values in self._lengths.items():
            if not len(values):
                raise DataError(f"the task {task!r} has no examples")
            if (longest := values.max()) > tokens:
                count = int((values > tokens).sum())
                raise DataError(
                    f"{count:,} of {len(values):,} examples of the task {task!r} do not fit into a batch of {tokens:,} "
                    f"tokens; the longest has {longest:,}, the first is number {int((values > tokens).argmax()) + 1}")

    def epoch(self, number: int) -> list[tuple[str, list[int]]]:
        """Return (task, indices of examples) of each batch of an epoch, in order."""
        batches = [(task, batch) for task in self._lengths for part in self._parts(task, number)
                   for batch in self._bucket(task, number, part)]
        order = self._generator(number).permutation(len(batches))
        return [batches[index] for index in order]

    def from_(self, position: Position = Position()) -> Iterator[tuple[Position, str, list[int]]]:  # noqa: B008 - frozen
        """Yield (position, task, indices) without end, from ``position`` on.

        The position that comes with a batch is that of the next one: what to resume at once this one is done.
        """
        epoch, start = position
        while True:
            batches = self.epoch(epoch)
            if start > len(batches):
                raise DataError(f"cannot go on at batch {start:,} of epoch {epoch}: the epoch has {len(batches):,} "
                                "batches; the data or the batch size are not those the position was taken with")
            for number in range(start, len(batches)):
                following = Position(epoch, number + 1) if number + 1 < len(batches) else Position(epoch + 1)
                yield following, *batches[number]
            epoch, start = epoch + 1, 0

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, *key))

    def _parts(self, task: str, epoch: int) -> Iterator[Indices]:
        """Indices of the examples of an epoch: its stretch of an endless row of shuffled passes over the data."""
        size, weight = len(self._lengths[task]), self._weights[task]
        start, stop = round(epoch * weight * size), round((epoch + 1) * weight * size)
        for turn in range(start // size, -(-stop // size)):
            order = self._generator(turn, zlib.crc32(task.encode())).permutation(size)
            yield order[max(start - turn * size, 0) : stop - turn * size]

    def _bucket(self, task: str, epoch: int, part: Indices) -> list[list[int]]:
        """Cut ``part`` into batches of similar lengths; the noise makes them others in each epoch."""
        lengths = self._lengths[task][part]
        noise = self._generator(epoch, zlib.crc32(task.encode()), 1).random(len(part))
        order = np.argsort(lengths + noise * (1 + NOISE * lengths), kind="stable")
        return _pack(part[order].tolist(), lengths[order].tolist(), self._tokens)


def _pack(items: Sequence[T], lengths: Sequence[int], tokens: int) -> list[list[T]]:
    """Cut ``items`` into batches in their order, rows * longest <= tokens; an item longer than that is alone."""
    batches: list[list[T]] = []
    longest = 0
    for item, length in zip(items, lengths, strict=True):
        longest = max(longest, length)
        if not batches or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = length
        batches[-1].append(item)
    return batches


class Split(NamedTuple, Generic[E]):
    """Examples to train on and examples to hold out, each side in the order it came in."""

    train: list[E]
    dev: list[E]

    @property
    def repeats(self) -> int:
        """How many of the examples repeat the contents of an earlier one; each stays on one side with it."""
        examples = [*self.train, *self.dev]
        return len(examples) - len(set(_groups(examples)))


def hold_out(examples: Sequence[E], amount: int | float, seed: int) -> Split[E]:
    """Draw ``amount`` examples (an int), or that share of them (a float), to hold out.

    Equal contents never stand on both sides, whatever their labels: equal texts, equal words, and pairs with an equal
    source or an equal target. So a little fewer may be held out than asked for. Raises DataError where it is none.
    """
    wanted = amount if isinstance(amount, int) else round(amount * len(examples))
    if not 0 < wanted < len(examples):
        raise DataError(f"cannot hold out {amount} of {len(examples):,} examples, which is {wanted:,}; at least "
                        "one must be held out and one be left: set hold_out to a number or a share, or give a dev file")
    members: dict[int, list[int]] = {}
    for index, group in enumerate(_groups(examples)):
        members.setdefault(group, []).append(index)
    groups = list(members.values())
    held: set[int] = set()
    for chosen in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) + len(groups[chosen]) <= wanted:
            held.update(groups[chosen])
    if not held:
        raise DataError(f"cannot hold out {wanted:,} of {len(examples):,} examples: all of them repeat each other in "
                        f"groups of {min(map(len, groups)):,} or more, and equal contents are kept on one side")
    return Split([example for index, example in enumerate(examples) if index not in held],
                 [example for index, example in enumerate(examples) if index in held])


def _groups(examples: Sequence[E]) -> list[int]:
    """Number each example by the first that it is joined to through equal contents (union-find, path halving)."""
    parent = list(range(len(examples)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first: dict[Hashable, int] = {}
    for index, example in enumerate(examples):
        for content in example.contents:
            left, right = root(index), root(first.setdefault(content, index))
            parent[max(left, right)] = min(left, right)
    return [root(index) for index in range(len(examples))]


def in_windows(
    items: Iterable[T], length: Callable[[T], int], run: Callable[[list[T]], list[R]], tokens: int, window: int = 2048
) -> Iterator[R]:
    """Yield one result an item, in the order of the items, in constant memory.

    ``window`` items are read, sorted by length, longest first, and handed to ``run`` in batches of at most
    ``tokens`` = rows * longest; an item longer than that goes alone. Their results come out before the next item is
    read: with ``window=1``, each result before the next item.
    """
    source = iter(items)
    while waiting := list(islice(source, window)):
        lengths = [length(item) for item in waiting]
        order = sorted(range(len(waiting)), key=lambda index: -lengths[index])  # the most memory is needed first
        results: dict[int, R] = {}
        for batch in _pack(order, [lengths[index] for index in order], tokens):
            results.update(zip(batch, run([waiting[index] for index in batch]), strict=True))
        for index in range(len(waiting)):
            yield results.pop(index)
