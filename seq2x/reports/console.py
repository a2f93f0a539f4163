"""Shows a training to a person: one line that moves on a terminal, a plain line now and then elsewhere.

Knows no model and no data: only the updates and evaluations that fit tells of.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Self, TextIO

from seq2x.training.fit import FitConfig, Progress, Score, Update

REFRESH = 0.2
"""Seconds between two drawings of the moving line."""
INTERVAL = 5.0
"""Seconds between two plain lines."""
WIDTH = 20
"""Cells of the bar."""
WARM_UP = 20
"""Updates before the time left is worth showing."""


class ConsoleDisplay:
    """The Display of :func:`seq2x.training.fit.fit` on a stream, by default standard error.

    The moving line is wiped when training ends, and at the end of a ``with``. ``say`` prints a line past it.
    """

    def __init__(
        self,
        limits: FitConfig | None = None,
        *,
        unit: str = "units",
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``unit`` is what the losses count: "texts", "words", "tokens"; ``quiet`` shows nothing at all."""
        self._limits, self._unit, self._quiet, self._clock = limits, unit, quiet, clock
        self._stream = stream or sys.stderr
        self._moves = self._stream.isatty()
        self._steps = None if limits is None else limits.max_steps
        self._shown = self._since = clock()
        self._first: tuple[int, float] | None = None
        self._units, self._speed = 0, 0.0
        self._losses = self._dev = ""
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._wipe()

    def started(self, steps: int, limits: FitConfig) -> None:
        """Hear of the updates of the whole run and its limits; else time left is known from the second epoch on."""
        self._steps, self._limits = steps, limits

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if not self._quiet:
            self._wipe()
            print(line, file=self._stream, flush=True)

    def updated(self, update: Update) -> None:
        """Show an update, unless the last was shown only just now."""
        progress, now = update.progress, self._clock()
        self._units += update.units
        self._losses = _shown(update.losses)
        self._learn(progress)
        if self._quiet or now - self._shown < (REFRESH if self._moves else INTERVAL):
            return
        self._measure(now)
        self._shown = now
        parts = [f"update {progress.step:,}", self._losses, f"rate {update.rate:.2g}",
                 f"{self._speed:,.0f} {self._unit}/s", self._dev, self._left(progress)]
        if self._moves:
            self._draw([self._epoch(progress), self._bar(progress.step), *parts])
        else:
            self.say(_line([self._epoch(progress), *parts]))

    def evaluating(self, progress: Progress) -> None:
        """Show that an evaluation runs: it may take a while."""
        self._measure(self._clock())
        if self._moves and not self._quiet:
            self._draw(["evaluating", self._bar(progress.step), f"update {progress.step:,}", self._losses, self._dev])

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        """Print the score on a line that stays."""
        best = "best so far" if improved else f"best {progress.best or 0:.2f} at update {progress.best_step:,}"
        self._dev = f"dev {score.value:.2f}" if improved else f"dev {score.value:.2f} (best {progress.best or 0:.2f})"
        self.say(_line([self._epoch(progress), f"update {progress.step:,}", self._losses, f"dev {score.value:.2f}",
                        best, f"after {clock(progress.seconds)}"]))
        self._since, self._units = self._clock(), 0  # the time of an evaluation is no time of training

    def _learn(self, progress: Progress) -> None:
        """Remember where this process began, and once an epoch is over, how many updates the whole run has."""
        if self._first is None:
            self._first = progress.step, progress.seconds
        if self._steps is None and self._limits is not None and progress.batch == 0 and progress.epoch:
            self._steps = round(progress.step / progress.epoch) * self._limits.max_epochs

    def _measure(self, now: float) -> None:
        """Units a second, smoothed: half of it is the last stretch."""
        if now > self._since and self._units:
            latest = self._units / (now - self._since)
            self._speed = latest if not self._speed else (self._speed + latest) / 2
        self._since, self._units = now, 0

    def _left(self, progress: Progress) -> str:
        """The time left at most, at the pace since this process began, evaluations included."""
        assert self._first is not None
        left = []
        steps, seconds = progress.step - self._first[0], progress.seconds - self._first[1]
        if self._steps is not None and steps >= WARM_UP:
            left.append(seconds / steps * max(0, self._steps - progress.step))
        if self._limits is not None and self._limits.max_minutes is not None:
            left.append(max(0.0, self._limits.max_minutes * 60 - progress.seconds))
        return f"{clock(min(left))} left" if left else ""

    def _epoch(self, progress: Progress) -> str:
        """The epoch of the last update, counted from 1; progress tells of the next batch, counted from 0."""
        of = "" if self._limits is None else f"/{self._limits.max_epochs}"
        return f"epoch {progress.epoch + (progress.batch > 0)}{of}"

    def _bar(self, step: int) -> str:
        if self._steps is None:
            return ""
        done = min(WIDTH, WIDTH * step // self._steps)
        return "\u2501" * done + "\u2500" * (WIDTH - done)

    def _draw(self, parts: list[str]) -> None:
        """Draw the moving line; the cursor goes back to its start, so that whatever is printed next overwrites it."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 80
        self._stream.write(f"\r{_line(parts)[: columns - 1]}\x1b[K\r")
        self._stream.flush()
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False


def clock(seconds: float) -> str:
    """Return a time as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(parts: list[str]) -> str:
    return "  ".join(part for part in parts if part)


def _shown(losses: Mapping[str, float]) -> str:
    """The losses by name; the name of the task only where there are several."""
    several = len({name.partition(" ")[0] for name in losses}) > 1
    names = {name: name if several else name.partition(" ")[2] for name in losses}
    return " ".join(f"{names[name]} {value:.3f}" for name, value in losses.items())
