"""Processes that do one job each on what they are sent, and answer in order. Knows nothing of the job.

Every process has a pipe of its own, whose other end nobody but the parent holds: when the parent is gone, however it
went, the pipe closes and the process ends. Ctrl-C goes to the parent alone, who closes the pipes.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from seq2x.errors import RunError, Seq2xError

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Items that a process has at a time: one it works at, one that waits, one whose answer waits."""


class Workers(Generic[T, R]):
    """``count`` processes (spawned, so the job must be picklable); with 0 the job is done here.

    ``with Workers(job, 2) as workers: for answer in workers.map(items)``. A script that uses them needs the guard
    ``if __name__ == "__main__":``, as spawned processes import it anew.
    """

    def __init__(self, job: Callable[[T], R], count: int) -> None:
        self._job = job
        context = multiprocessing.get_context("spawn")
        self._processes, self._pipes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, job), daemon=True)
            self._pipes.append(ours)
            self._processes.append(process)
            try:
                process.start()
            finally:
                theirs.close()

    def map(self, items: Iterable[T]) -> Iterator[R]:
        """Yield the answer to each item, in order; few items are read ahead of the answers.

        An error of the job, or of ``items``, is raised in its place, after the answers to what came before.
        """
        if not self._processes:
            yield from map(self._job, items)
            return
        source, waiting = enumerate(items), deque[int]()
        failure: BaseException | None = None
        while True:
            while failure is None and len(waiting) < AHEAD * len(self._pipes):
                try:
                    number, item = next(source)
                except StopIteration:
                    break
                except Exception as error:  # its place is behind the answers that are still to come
                    failure = error
                    break
                self._send(number % len(self._pipes), item)
                waiting.append(number % len(self._pipes))
            if not waiting:
                break
            yield self._receive(waiting.popleft())
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._processes, self._pipes = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, place: int, item: T) -> None:
        try:
            self._pipes[place].send(item)
        except OSError:
            raise self._lost(place) from None

    def _receive(self, place: int) -> R:
        try:
            done, answer = self._pipes[place].recv()
        except (EOFError, OSError):
            raise self._lost(place) from None
        if not done:
            raise answer
        result: R = answer
        return result

    def _lost(self, place: int) -> RunError:
        self._processes[place].join(timeout=5)
        code = self._processes[place].exitcode
        return RunError(f"a worker process ended without an answer (exit code {code}); out of memory, or a script that "
                        "starts workers without `if __name__ == \"__main__\":`? workers = 0 goes without them")


def _serve(pipe: Connection, job: Callable[[Any], Any]) -> None:
    """Answer until the pipe closes. A thread empties the pipe, so that the parent can always send."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    items: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(pipe, items), daemon=True).start()
    while True:
        more, item = items.get()
        if not more:
            return
        try:
            answer = True, job(item)
        except Exception as error:
            if not isinstance(error, Seq2xError):  # which says all by itself
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            answer = False, error
        try:
            pipe.send(answer)
        except OSError:  # nobody waits for it any more
            return


def _take(pipe: Connection, items: queue.SimpleQueue[tuple[bool, Any]]) -> None:
    while True:
        try:
            items.put((True, pipe.recv()))
        except (EOFError, OSError):
            items.put((False, None))
            return
