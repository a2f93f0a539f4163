"""Writes a training's figures as TensorBoard event files, where the package ``tensorboard`` is installed.

Knows no model and no data: only the updates and evaluations that fit tells of. What an earlier process of the same run
wrote beyond the point from which this one goes on is purged, so that every step has one value.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from seq2x.reports.console import ConsoleDisplay
from seq2x.training.progress import FitConfig, Progress, Score, Update

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

EVERY = 10
"""Updates between two points of a curve, each the mean of the updates since the last."""


class TensorBoard:
    """A Display of :func:`seq2x.training.fit.fit` that draws curves, beside another that speaks.

    train/loss and its parts (train/TASK/loss where there are several tasks), train/rate, train/UNIT per second,
    dev/score, and every figure of an evaluation as dev/TASK/NAME.
    """

    def __init__(
        self, display: ConsoleDisplay, directory: Path, *, unit: str = "units",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``directory`` is that of the event files, made at the first update; ``unit`` is what the losses count."""
        self._display, self._directory, self._unit, self._clock = display, directory, unit, clock
        self._writer: SummaryWriter | None = None
        self._sums: Counter[str] = Counter()
        self._updates: Counter[str] = Counter()
        self._units, self._since = 0, clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def started(self, steps: int, limits: FitConfig) -> None:
        """Pass on the start."""
        self._display.started(steps, limits)
        self._since = self._clock()

    def say(self, line: str) -> None:
        """Pass on a line."""
        self._display.say(line)

    def updated(self, update: Update) -> None:
        """Gather an update; every so often, write."""
        self._display.updated(update)
        if self._writer is None:
            self._writer = _writer(self._directory, update.progress.step)
            self._since = self._clock()  # reading the package took a while
        for name, value in update.latest.items():
            self._sums[name] += value  # type: ignore[assignment]  # a Counter adds floats as well
            self._updates[name] += 1
        self._units += update.units
        if update.progress.step % EVERY == 0:
            self._write(update.progress.step, update.rate)

    def evaluating(self, progress: Progress) -> None:
        """Pass on that an evaluation begins."""
        self._display.evaluating(progress)

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        """Write the score and all that it is made of."""
        self._display.evaluated(progress, score, improved)
        if self._writer is not None:
            for name, value in (("score", score.value), *_figures(score.scores)):
                self._writer.add_scalar(f"dev/{name}", value, progress.step)
            self._writer.flush()
        self._units, self._since = 0, self._clock()  # the time of an evaluation is no time of training

    def _write(self, step: int, rate: float) -> None:
        assert self._writer is not None
        several = len({name.partition(" ")[0] for name in self._sums}) > 1
        for name, total in self._sums.items():
            task, _, part = name.partition(" ")
            self._writer.add_scalar(f"train/{task}/{part}" if several else f"train/{part}",
                                    total / self._updates[name], step)
        self._writer.add_scalar("train/rate", rate, step)
        now = self._clock()
        if now > self._since and self._units:
            self._writer.add_scalar(f"train/{self._unit} per second", self._units / (now - self._since), step)
        self._sums.clear()
        self._updates.clear()
        self._units, self._since = 0, now


def installed() -> bool:
    """Whether there is a TensorBoard to write for."""
    return find_spec("tensorboard") is not None


def _writer(directory: Path, step: int) -> SummaryWriter:
    """A writer whose first record says that whatever stands at ``step`` or later no longer counts."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(directory), purge_step=step)


def _figures(scores: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The figures of an evaluation by path: task/f1, task/labels/PER/f1; counts, words and settings are none."""
    for name, value in scores.items():
        if isinstance(value, Mapping) and name != "search":
            yield from _figures(value, f"{prefix}{name}/")
        elif isinstance(value, float):
            yield f"{prefix}{name}", value
