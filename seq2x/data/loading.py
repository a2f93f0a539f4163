"""Batches in their order, made ahead of their use where there are workers. Knows no training.

What is drawn anew in each epoch (BPE-dropout) is drawn by worker processes, the tensors are laid out by a thread.
Neither changes the order, nor what is in a batch.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

from seq2x.batch import Batch
from seq2x.data.batching import Epochs, Position
from seq2x.data.coding import Drawing
from seq2x.data.datasets import Dataset
from seq2x.data.encodings import Encodings
from seq2x.data.workers import Workers

T = TypeVar("T")

DEPTH = 4
"""Batches that lie ready at most."""

Share = Callable[[list[int]], Sequence[int]]
"""Which of the examples of a batch are wanted: of several processes, each has its own."""


class Item(NamedTuple):
    """One batch."""

    position: Position
    """Of the next batch: what to resume at once this one is done."""
    task: str
    indices: list[int]
    """All examples of the batch, also those of other processes."""
    batch: Batch
    """Those of ``share(indices)``."""


class _Step(NamedTuple):
    position: Position
    task: str
    indices: list[int]
    own: Sequence[int]
    epoch: int


def load(
    datasets: Mapping[str, Dataset], batches: Epochs, position: Position, workers: int = 0, share: Share = list
) -> Iterator[Item]:
    """Yield the batches from ``position`` on, without end. With ``workers`` they are made ahead of their use.

    Errors come in their place. Closing the iterator ends the processes and the thread.
    """
    steps = _steps(batches, position, share)
    if not workers:
        for step in steps:
            yield _item(datasets, step, None)
        return
    with closing(_ahead(_drawn(datasets, steps, workers), DEPTH)) as items:
        yield from items


def _steps(batches: Epochs, position: Position, share: Share) -> Iterator[_Step]:
    epoch = position.epoch
    for following, task, indices in batches.from_(position):
        yield _Step(following, task, indices, share(indices), epoch)
        epoch = following.epoch


def _item(datasets: Mapping[str, Dataset], step: _Step, drawn: list[Encodings | None] | None) -> Item:
    batch = datasets[step.task].batch(step.own, step.epoch, drawn)
    return Item(step.position, step.task, step.indices, batch)


def _drawn(datasets: Mapping[str, Dataset], steps: Iterator[_Step], workers: int) -> Generator[Item]:
    """The batches, with what is drawn anew coming from worker processes."""
    drawings = {task: dataset.drawing for task, dataset in datasets.items() if dataset.drawing.needed}
    if not drawings:
        for step in steps:
            yield _item(datasets, step, None)
        return
    waiting = deque[_Step]()

    def sent() -> Iterator[tuple[str, Sequence[int], int]]:
        for step in steps:
            waiting.append(step)
            yield step.task, step.own, step.epoch

    with Workers(Draw(drawings), workers) as pool:
        for drawn in pool.map(sent()):
            yield _item(datasets, waiting.popleft(), drawn)


class Draw:
    """The job of a worker: what is drawn anew of some examples of a task in an epoch."""

    def __init__(self, drawings: Mapping[str, Drawing]) -> None:
        self._drawings = drawings

    def __call__(self, wanted: tuple[str, Sequence[int], int]) -> list[Encodings | None] | None:
        """Return it, or None for a task of which nothing is."""
        task, indices, epoch = wanted
        return self._drawings[task](indices, epoch) if task in self._drawings else None


def _ahead(items: Generator[T], depth: int) -> Generator[T]:
    """Yield what ``items`` yields; a thread takes up to ``depth`` of them ahead."""
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def run() -> None:
        with closing(items):
            try:
                for item in items:
                    put(item, None)
                    if stopped.is_set():
                        return
                put(None, StopIteration())
            except BaseException as error:
                put(None, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            assert item is not None
            yield item
    finally:
        stopped.set()
        thread.join()
