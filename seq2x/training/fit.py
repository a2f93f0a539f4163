"""Training as a function: a model, a stream of batches, an evaluation, a place to save. Writes no file itself."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from seq2x.model import Model
from seq2x.training.distributed import Ranks
from seq2x.training.engine import ENDED, Engine
from seq2x.training.optimisers import OptimiserConfig
from seq2x.training.progress import Display, FitConfig, Progress, Save, Score, State, Stream, Update
from seq2x.training.schedules import ScheduleConfig


def fit(
    model: Model,
    stream: Stream,
    evaluate: Callable[[Model], Score],
    save: Save,
    config: FitConfig,
    optimiser: OptimiserConfig,
    schedule: ScheduleConfig,
    *,
    steps: int,
    display: Display,
    state: State | None = None,
    ranks: Ranks | None = None,
) -> Progress:
    """Train until a limit, patience, or Ctrl-C (then ``progress.done`` is "interrupted" and all is saved).

    ``steps`` is the number of updates of the whole run, for schedules that end. Losses are summed and divided by true
    counts over the batches of an update. With ``state`` it goes on as if it had never stopped. With several ``ranks``,
    ``stream`` gives each its share, ``evaluate`` the same value to all, and ``save`` is called in all of them.
    """
    ranks = ranks or Ranks()
    engine = Engine(model, config, optimiser, schedule, steps, ranks, display)
    if state is not None:
        engine.restore(state)
    progress, began = engine.progress, time.monotonic() - engine.progress.seconds
    saved = progress.seconds
    ended = ENDED if progress.done == ENDED else ""
    progress.done = ended or _limit(progress, config) or _stale(progress, config) if progress.step else ""
    display.started(steps, config)
    model.train()
    batches = stream(progress.epoch, progress.batch)
    with _interruptible() as interrupted:
        while not progress.done:
            latest, units = engine.update(batches)
            (progress.seconds,) = ranks.total([time.monotonic() - began if ranks.first else 0.0])  # all agree on it
            display.updated(Update(progress, engine.rate, engine.losses(), units, latest))
            last = progress.epoch >= config.max_epochs  # epochs differ in length by a few updates, the run from steps
            cycle = engine.schedule.snapshot(steps if last else progress.step) if latest or last else 0
            kept = {f"snapshot-{cycle}": engine.weights()} if cycle else {}
            due = _due(progress, config, made=bool(latest))
            progress.done = _limit(progress, config)
            if due or progress.done:
                kept |= _evaluate(engine, evaluate, display, regular=due)
                progress.done = progress.done or _stale(progress, config)
            if any(ranks.total([float(bool(interrupted))])) and not progress.done:
                progress.done = "interrupted"
            if due or kept or progress.done or progress.seconds - saved >= 60 * config.save_minutes:
                save(engine.state(), kept)
                saved = progress.seconds
    return progress


def _evaluate(
    engine: Engine, evaluate: Callable[[Model], Score], display: Display, *, regular: bool
) -> dict[str, dict[str, Tensor]]:
    """Evaluate, judge and show it; return the weights to keep by name."""
    display.evaluating(engine.progress)
    engine.model.eval()
    try:
        with torch.no_grad(), engine.averaged():
            score = evaluate(engine.model)
    finally:
        engine.model.train()
    kept = {}
    if regular and engine.config.average:
        kept[f"checkpoint-{engine.progress.step}"] = engine.copy()
    best = engine.judge(score, regular=regular)
    if best:
        kept["best"] = engine.weights()
    display.evaluated(engine.progress, score, best)
    return kept


def _due(progress: Progress, config: FitConfig, *, made: bool) -> bool:
    """Whether a regular evaluation follows the update, which was ``made`` or skipped."""
    if not config.evaluate_every:
        return progress.batch == 0
    return made and progress.step % config.evaluate_every == 0


def _limit(progress: Progress, config: FitConfig) -> str:
    if progress.epoch >= config.max_epochs:
        return f"{config.max_epochs} epochs"
    if config.max_steps is not None and progress.step >= config.max_steps:
        return f"{config.max_steps} updates"
    if config.max_minutes is not None and progress.seconds >= config.max_minutes * 60:
        return f"{config.max_minutes:g} minutes"
    return ""


def _stale(progress: Progress, config: FitConfig) -> str:
    stop = config.patience and progress.stale >= config.patience
    return f"no better score in {progress.stale} evaluations" if stop else ""


class _Flag:
    def __init__(self) -> None:
        self.raised = False

    def __bool__(self) -> bool:
        return self.raised


@contextmanager
def _interruptible() -> Iterator[_Flag]:
    """Let Ctrl-C finish the update that runs, so that what is saved is whole; a second Ctrl-C stops at once."""
    flag = _Flag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.getsignal(signal.SIGINT)

    def raise_flag(number: int, frame: Any) -> None:  # noqa: ARG001 - the signature of a signal handler
        flag.raised = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, raise_flag)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
