"""Shows a training to a person: one line that moves on a terminal, a plain line now and then elsewhere.

Knows no model and no data: only the updates and evaluations that fit tells of.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TextIO

from seq2x.reports.line import Part, joined
from seq2x.training.progress import FitConfig, Progress, Score, Update

if TYPE_CHECKING:
    from seq2x.reports.terminal import Terminal

REFRESH = 0.2
"""Seconds between two drawings of the moving line."""
INTERVAL = 10.0
"""Seconds between two plain lines."""
WIDTH = 20
"""Cells of the bar."""
WARM_UP = 20, 5.0
"""Updates and seconds before the time left is worth showing."""


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
        self._terminal = None if quiet else _terminal(self._stream)
        self._steps = None if limits is None else limits.max_steps
        self._shown = self._since = clock()
        self._first: tuple[int, float] | None = None
        self._units, self._speed = 0, 0.0
        self._losses = self._dev = ""
        self._estimated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._terminal is not None:
            self._terminal.wipe()

    def started(self, steps: int, limits: FitConfig) -> None:
        """Hear of the updates of the whole run and its limits; else time left is known from the second epoch on."""
        self._steps, self._limits = steps, limits
        self._shown = self._since = self._clock()

    def say(self, line: str) -> None:
        """Print a line that stays; a warning is seen."""
        self._print([Part(line, style="yellow" if line.startswith("warning") else "")])

    def updated(self, update: Update) -> None:
        """Show an update, unless the last was shown only just now."""
        progress, now = update.progress, self._clock()
        self._units += update.units
        self._losses = _shown(update.losses)
        self._learn(progress)
        if self._quiet or now - self._shown < (REFRESH if self._terminal else INTERVAL):
            return
        self._measure(now)
        self._shown = now
        left = self._left(progress)
        self._estimate(progress, left)
        self._move([
            Part(self._epoch(progress), style="bold"),
            Part(self._bar(progress.step), 5, "green"),
            Part(f"update {progress.step:,}", 3),
            Part(self._losses, 1),
            Part(f"rate {update.rate:.2g}", 6),
            Part(f"{self._speed:,.0f} {self._unit}/s", 4),
            Part(self._dev, 2, "bold"),
            Part("" if left is None else f"{clock(left)} left", 0),
        ])

    def evaluating(self, progress: Progress) -> None:
        """Show that an evaluation runs: it may take a while."""
        self._measure(self._clock())
        if self._terminal is not None:
            self._move([Part("evaluating", style="bold"), Part(self._bar(progress.step), 5, "green"),
                        Part(f"update {progress.step:,}", 3), Part(self._losses, 1), Part(self._dev, 2)])

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        """Print the score on a line that stays, and the examples that came with it."""
        best = "best so far" if improved else f"best {progress.best or 0:.2f} at update {progress.best_step:,}"
        self._dev = f"dev {score.value:.2f}" if improved else f"dev {score.value:.2f} (best {progress.best or 0:.2f})"
        alone = f"dev {score.names} {score.value:.2f}".replace("  ", " ")
        several = f"dev {score.value:.2f} ({score.names})"
        self._print([
            Part(self._epoch(progress), style="bold"), Part(f"update {progress.step:,}"), Part(self._losses),
            Part(several if "," in score.names else alone, style="bold"),
            Part(best, style="green" if improved else ""), Part(f"after {clock(progress.seconds)}"),
        ])
        for line in score.examples:
            self._print([Part(line, style="dim")])
        self._shown = self._since = self._clock()  # the time of an evaluation is no time of training
        self._units = 0

    def _print(self, parts: Sequence[Part]) -> None:
        if self._quiet:
            return
        if self._terminal is not None:
            self._terminal.say(parts)
        else:
            print(joined(parts), file=self._stream, flush=True)

    def _move(self, parts: Sequence[Part]) -> None:
        if self._terminal is not None:
            self._terminal.draw(parts)
        else:
            self._print(parts)

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

    def _left(self, progress: Progress) -> float | None:
        """Seconds left at most, at the pace since this process began, evaluations included."""
        assert self._first is not None
        left = []
        steps, seconds = progress.step - self._first[0], progress.seconds - self._first[1]
        if self._steps is not None and steps >= WARM_UP[0] and seconds >= WARM_UP[1]:
            left.append(seconds / steps * max(0, self._steps - progress.step))
        if self._limits is not None and self._limits.max_minutes is not None:
            left.append(max(0.0, self._limits.max_minutes * 60 - progress.seconds))
        return min(left) if left else None

    def _estimate(self, progress: Progress, left: float | None) -> None:
        """Say once how long it will take."""
        assert self._first is not None
        if self._estimated or left is None or self._limits is None or progress.step - self._first[0] < WARM_UP[0]:
            return
        self._estimated = True
        without = "" if self._dev else ", evaluations not counted"
        end = f"epoch {self._limits.max_epochs}{without}"
        if self._steps is not None and self._limits.max_steps == self._steps:
            end = f"update {self._steps:,}{without}"
        minutes = self._limits.max_minutes
        if minutes is not None and left >= minutes * 60 - progress.seconds:
            end = f"the end of {minutes:g} minutes"
        self.say(f"{'time':<12}about {about(left)} to {end}")

    def _epoch(self, progress: Progress) -> str:
        """The epoch of the last update, counted from 1; progress tells of the next batch, counted from 0."""
        of = "" if self._limits is None else f"/{self._limits.max_epochs}"
        return f"epoch {progress.epoch + (progress.batch > 0)}{of}"

    def _bar(self, step: int) -> str:
        if self._steps is None or self._terminal is None:
            return ""
        done = min(WIDTH, WIDTH * step // self._steps)
        full, empty = ("\u2501", "\u2500") if self._terminal.unicode else ("#", "-")
        return full * done + empty * (WIDTH - done)


def _terminal(stream: TextIO) -> Terminal | None:
    """The terminal that ``stream`` is, unless no line can be drawn anew on it; rich is read only here."""
    if not stream.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return None
    from seq2x.reports.terminal import Terminal

    return Terminal(stream)


def clock(seconds: float) -> str:
    """Return a time as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """Return a time as one would say it: 45 s, 38 min, 2 h 10 min, 3 days 4 h."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 90:
        return f"{round(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


def _shown(losses: Mapping[str, float]) -> str:
    """The losses by name; the task only where there are several, and no part that is all of the loss."""
    tasks = [name.partition(" ")[0] for name in losses]
    several = len(set(tasks)) > 1
    shown = []
    for task, (name, value) in zip(tasks, losses.items(), strict=True):
        part = name.removeprefix(f"{task} ")
        if part == "loss" or value != losses.get(f"{task} loss"):
            shown.append(f"{name if several else part} {value:.3f}")
    return " ".join(shown)
