"""Which examples go together, and when: length buckets, a token budget, seeded order, an exact place to resume at.

Knows no text and no tensor: an example is its index and its length here.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from seq2x.config import Config
from seq2x.data.examples import E
from seq2x.errors import ConfigError, DataError, nearest

T = TypeVar("T")
R = TypeVar("R")

Indices = NDArray[Any]

NOISE = 0.03
"""How far an example may stray from its place in the order of lengths: one token, and this share of its length.

0.03 costs 2 to 3 % of a batch in padding, 0.1 costs 5 to 6 % (log-normal lengths around 14, budgets 1024 and 4096);
equal lengths are in random order anyway."""

BLOCKS = 100
"""Blocks in a buffer: from so many places of the data come the examples that are shuffled together."""


class Position(NamedTuple):
    """A place in the endless sequence of batches: the number of the epoch and of a batch in it, from 0."""

    epoch: int = 0
    batch: int = 0


class MixingConfig(Config):
    """How often each of several tasks comes."""

    sampling: Literal["proportional", "temperature", "alternate"] = Field(
        default="proportional", description="proportional: each example once an epoch; temperature: a task's share of "
        "an epoch goes with (tokens of its data) ** (1 / temperature); alternate: as many tokens of each, in turns")
    temperature: float = Field(
        default=5.0, ge=1, description="of 'temperature': 1 is proportional, the greater the more even "
        "(Arivazhagan et al. 2019: 5)")


class Epochs:
    """Batches, epoch after epoch, in an order that can be gone on with from any place."""

    def epoch(self, number: int) -> list[tuple[str, list[int]]]:
        """Return (task, indices of examples) of each batch of an epoch, in order."""
        return list(self._walk(number))

    def count(self, number: int) -> int:
        """Return how many batches an epoch has, in constant memory."""
        return sum(1 for _ in self._walk(number))

    def from_(self, position: Position = Position()) -> Iterator[tuple[Position, str, list[int]]]:  # noqa: B008 - frozen
        """Yield (position, task, indices) without end, from ``position`` on; what lies before is counted, not read.

        The position that comes with a batch is that of the next one: what to resume at once this one is done.
        """
        epoch, start = position
        while True:
            batches = enumerate(self._walk(epoch))
            passed = sum(1 for _ in islice(batches, start))
            if passed < start:
                raise DataError(f"cannot go on at batch {start:,} of epoch {epoch}: the epoch has {passed:,} "
                                "batches; the data or the batch size are not those the position was taken with")
            ready = next(batches, None)
            while ready is not None:
                number, batch = ready
                ready = next(batches, None)
                yield Position(epoch + 1) if ready is None else Position(epoch, number + 1), *batch
            epoch, start = epoch + 1, 0

    @abstractmethod
    def _walk(self, epoch: int) -> Iterator[tuple[str, list[int]]]:
        """The batches of an epoch."""


class Batches(Epochs):
    """The batches of one or more tasks, epoch after epoch; the same for the same lengths, budget, seed and buffer.

    An epoch holds each example of a task once, or ``weights[task]`` times on average: with 0.5 the halves of the
    data take turns, with 2 each example comes twice. ``mixing`` may shift these shares; an epoch keeps its size.
    ``tokens`` bounds rows * (longest example) of each batch.

    More examples than ``buffer`` are shuffled without being held: an epoch is cut into windows of about ``buffer``
    examples of all tasks, each window takes blocks of neighbouring examples from random places of the data
    (:data:`BLOCKS` in a buffer), and examples are shuffled and put together by length within a window. Raises
    DataError for a task without examples, or with one that is longer than ``tokens``.
    """

    def __init__(
        self, lengths: Mapping[str, Sequence[int] | Indices], tokens: int, seed: int,
        weights: Mapping[str, float] | None = None, mixing: MixingConfig | None = None, buffer: int | None = None,
    ) -> None:
        self._lengths = {task: np.asarray(values) for task, values in lengths.items()}
        self._tokens, self._seed, self._buffer = tokens, seed, buffer
        for task, weight in (weights or {}).items():
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
        mixing = mixing or MixingConfig()
        shares = _shares({task: int(values.sum()) for task, values in self._lengths.items()}, mixing)
        self._weights = {task: share * (weights or {}).get(task, 1.0) for task, share in shares.items()}
        self._in_turns = mixing.sampling == "alternate"
        self._passes: dict[str, tuple[int, Indices, Indices]] = {}

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, *key))

    def _walk(self, epoch: int) -> Iterator[tuple[str, list[int]]]:
        """The batches of an epoch, window after window."""
        total = sum(stop - start for start, stop in (self._stretch(task, epoch) for task in self._lengths))
        windows = 1 if self._buffer is None else max(1, -(-total // self._buffer))
        for window in range(windows):
            key = (window,) if window else ()
            generator = self._generator(epoch, *key)
            batches = {task: [batch for part in self._parts(task, epoch, window, windows)
                              for batch in self._bucket(task, part, epoch, zlib.crc32(task.encode()), 1, *key)]
                       for task in self._lengths}
            if self._in_turns:
                yield from _turns({task: [own[index] for index in generator.permutation(len(own))]
                                   for task, own in batches.items()})
                continue
            flat = [(task, batch) for task, own in batches.items() for batch in own]
            yield from (flat[index] for index in generator.permutation(len(flat)))

    def _stretch(self, task: str, epoch: int) -> tuple[int, int]:
        """Where an epoch begins and ends in the endless row of shuffled passes over the data of a task."""
        size, weight = len(self._lengths[task]), self._weights[task]
        return round(epoch * weight * size), round((epoch + 1) * weight * size)

    def _parts(self, task: str, epoch: int, window: int, windows: int) -> Iterator[Indices]:
        """Indices of the examples of a window: its share of the epoch's stretch, cut where a pass ends."""
        size, (start, stop) = len(self._lengths[task]), self._stretch(task, epoch)
        start, stop = (start + (stop - start) * edge // windows for edge in (window, window + 1))
        for turn in range(start // size, -(-stop // size)):
            yield self._order(task, turn, max(start - turn * size, 0), min(stop - turn * size, size))

    def _order(self, task: str, turn: int, start: int, stop: int) -> Indices:
        """From ``start`` to ``stop`` of a shuffled pass: of examples where they fit into the buffer, else of blocks."""
        size = len(self._lengths[task])
        if self._buffer is None or size <= self._buffer:
            return self._generator(turn, zlib.crc32(task.encode())).permutation(size)[start:stop]
        block = max(1, self._buffer // BLOCKS)
        blocks, ends = self._blocks(task, turn, block)
        first, last = np.searchsorted(ends, (start, stop - 1), side="right")
        chosen = blocks[first : last + 1, None] * block + np.arange(block)
        kept = chosen[chosen < size]  # the last block of the data may be shorter
        before = ends[first - 1] if first else 0
        return kept[start - before : stop - before]

    def _blocks(self, task: str, turn: int, block: int) -> tuple[Indices, Indices]:
        """The blocks of a pass in their shuffled order, and where each ends in it; kept, as every window asks."""
        if self._passes.get(task, (-1,))[0] != turn:
            size = len(self._lengths[task])
            blocks = self._generator(turn, zlib.crc32(task.encode())).permutation(-(-size // block))
            ends = np.cumsum(np.minimum((blocks + 1) * block, size) - blocks * block)
            self._passes[task] = turn, blocks, ends
        _, blocks, ends = self._passes[task]
        return blocks, ends

    def _bucket(self, task: str, part: Indices, *key: int) -> list[list[int]]:
        """Cut ``part`` into batches of similar lengths; the noise makes them others in each epoch."""
        lengths = self._lengths[task][part].astype(np.int64)
        noise = self._generator(*key).random(len(part))
        order = np.argsort(lengths + noise * (1 + NOISE * lengths), kind="stable")
        return _pack(part[order].tolist(), lengths[order].tolist(), self._tokens)


def _shares(tokens: Mapping[str, int], mixing: MixingConfig) -> dict[str, float]:
    """How often the data of each task come in an epoch, so that the tokens of all epochs stay as many."""
    if mixing.sampling == "proportional":
        return dict.fromkeys(tokens, 1.0)
    exponent = 0.0 if mixing.sampling == "alternate" else 1 / mixing.temperature
    sizes = {task: count**exponent for task, count in tokens.items()}
    whole = sum(tokens.values()) / sum(sizes.values())
    return {task: whole * size / tokens[task] for task, size in sizes.items()}


def _turns(batches: Mapping[str, Sequence[list[int]]]) -> Iterator[tuple[str, list[int]]]:
    """All batches, those of each task spread evenly: a, b, a, b where there are as many of each."""
    order = sorted(((number + 0.5) / len(own), place, number)
                   for place, own in enumerate(batches.values()) for number in range(len(own)))
    names = list(batches)
    return ((names[place], batches[names[place]][number]) for _, place, number in order)


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
