"""Training as a function: a model, a stream of batches, an evaluation, a place to save. Writes no file itself."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import Batch, Loss
from seq2x.config import Config
from seq2x.errors import Seq2xError
from seq2x.model import Model
from seq2x.training.averaging import MovingAverage
from seq2x.training.optimisers import OptimiserConfig, Schedule, ScheduleConfig


class FitConfig(Config):
    """When to update, to evaluate, to stop."""

    batch_tokens: int = Field(2048, ge=1, description="padded tokens a batch: rows * longest, on either side")
    accumulate: int = Field(1, ge=1, description="batches an update")
    max_epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1, description="updates at most")
    max_minutes: float | None = Field(None, gt=0, description="wall minutes at most, over all resumes")
    evaluate_every: int = Field(0, ge=0, description="updates between evaluations; 0 = once an epoch")
    patience: int = Field(0, ge=0, description="evaluations without a better score before stopping; 0 = never")
    clip: float = Field(1.0, ge=0, description="greatest global gradient norm (Pascanu et al. 2013); 0 = no clipping")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the moving average that is evaluated and kept; 0 = off")
    show_examples: int = Field(2, ge=0, description="dev examples of each task shown with the model's output at each "
                                                    "evaluation, always the same ones")


class Score(NamedTuple):
    """What an evaluation says: ``value`` decides (higher is better), ``scores`` are for the record."""

    value: float
    scores: dict[str, Any]
    names: str = ""
    """What ``value`` is, for a person: "f1", or "f1 91.20, accuracy 80.00" where it is the mean of several."""
    examples: tuple[str, ...] = ()
    """Lines that show what the model makes of a few examples."""


@dataclass
class Progress:
    """Where training stands; with the tensors of :class:`State`, all that a resume needs."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    batch: int = 0
    """Position of the next batch."""
    seconds: float = 0.0
    """Wall seconds over all resumes."""
    evaluations: int = 0
    stale: int = 0
    """Evaluations since the best."""
    best: float | None = None
    best_step: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    done: str = ""
    """Why training ended, "" while it has not."""


class State(NamedTuple):
    """All of a training state: JSON-able progress and named tensors."""

    progress: Progress
    tensors: dict[str, Tensor]


class Update(NamedTuple):
    """One update, for the progress display."""

    progress: Progress
    rate: float
    losses: dict[str, float]
    """Averages by count since the last evaluation."""
    units: int
    """Sequences, words or tokens of this update."""
    latest: Mapping[str, float] = MappingProxyType({})
    """Averages of this update alone."""


class Display(Protocol):
    """What shows the training to a person."""

    def started(self, steps: int, limits: FitConfig) -> None:
        """Before the first update: the updates of the whole run, and its limits."""

    def updated(self, update: Update) -> None:
        """After every update."""

    def evaluating(self, progress: Progress) -> None:
        """Before an evaluation."""

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        """After an evaluation."""


Stream = Callable[[int, int], Iterator[tuple[tuple[int, int], str, Batch]]]
"""(epoch, batch) -> endless ((epoch, batch) of the NEXT batch, task, batch) from that position on."""

Save = Callable[[State, dict[str, Tensor] | None], None]
"""(state, the weights to keep where they are the best so far, else None)."""


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
) -> Progress:
    """Train until a limit, patience, or Ctrl-C (then ``progress.done`` is "interrupted" and all is saved).

    ``steps`` is the number of updates of the whole run, for schedules that end. Losses are summed and divided by true
    counts over the batches of an update. With ``state`` it goes on as if it had never stopped.
    """
    engine = _Engine(model, config, optimiser, schedule, steps)
    if state is not None:
        engine.restore(state)
    progress, began = engine.progress, time.monotonic() - engine.progress.seconds
    progress.done = _limit(progress, config) or _stale(progress, config) if progress.step else ""
    display.started(steps, config)
    model.train()
    batches = stream(progress.epoch, progress.batch)
    with _interruptible() as interrupted:
        while not progress.done:
            latest, units = engine.update(batches)
            progress.seconds = time.monotonic() - began
            display.updated(Update(progress, engine.rate, engine.losses(), units, latest))
            due = progress.step % config.evaluate_every == 0 if config.evaluate_every else progress.batch == 0
            progress.done = _limit(progress, config)
            if due or progress.done:
                display.evaluating(progress)
                with engine.averaged():
                    score = _evaluate(model, evaluate)
                improved = engine.judge(score)
                progress.seconds = time.monotonic() - began
                progress.done = progress.done or _stale(progress, config)
                display.evaluated(progress, score, improved)
                save(engine.state(), engine.weights() if improved else None)
            if interrupted and not progress.done:
                progress.done = "interrupted"
                save(engine.state(), None)
    return progress


def _evaluate(model: Model, evaluate: Callable[[Model], Score]) -> Score:
    model.eval()
    try:
        with torch.no_grad():
            return evaluate(model)
    finally:
        model.train()


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


class _Engine:
    """The moving parts of one training: optimiser, schedule, average, counters."""

    def __init__(
        self, model: Model, config: FitConfig, optimiser: OptimiserConfig, schedule: ScheduleConfig, steps: int
    ) -> None:
        self.model, self.config, self.progress = model, config, Progress()
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = optimiser.build(self.parameters)
        self.schedule: Schedule = schedule.build(steps)
        self.base, self.rate = optimiser.rate, optimiser.rate
        self.average = MovingAverage(model, config.ema) if config.ema else None
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def update(self, batches: Iterator[tuple[tuple[int, int], str, Batch]]) -> tuple[dict[str, float], int]:
        """Take ``accumulate`` batches, make one step; return its average losses and the units seen.

        The gradient is the sum over tasks of the mean over all units that the update has of the task.
        """
        taken: list[tuple[str, Batch]] = []
        counts: Counter[str] = Counter()  # known before the first backward pass, so that every mean is exact
        while len(taken) < self.config.accumulate:
            (self.progress.epoch, self.progress.batch), task, batch = next(batches)
            taken.append((task, batch))
            counts[task] += self.model.head(task).count(batch)
            if self.progress.batch == 0:
                break  # an update never crosses the end of an epoch
        sums, seen = dict(self.sums), dict(self.counts)
        for task, batch in taken:
            loss = self.model(task, batch)
            (loss.total / counts[task]).backward()
            self._record(task, loss)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip or float("inf"))
        if not norm.isfinite():
            raise Seq2xError(
                f"the gradient of update {self.progress.step + 1} is not finite (loss: {self.losses()}); "
                "a lower learning rate or a lower training.clip usually helps"
            )
        self.progress.step += 1
        self.rate = self.base * self.schedule.factor(self.progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.progress.step)
        latest = {key: (total - sums.get(key, 0.0)) / (self.counts[key] - seen.get(key, 0))
                  for key, total in self.sums.items() if self.counts[key] > seen.get(key, 0)}
        return latest, counts.total()

    def _record(self, task: str, loss: Loss) -> None:
        count = int(loss.count)
        for name, value in {"loss": loss.total.detach(), **loss.parts}.items():
            key = f"{task} {name}"
            self.sums[key] = self.sums.get(key, 0.0) + float(value)
            self.counts[key] = self.counts.get(key, 0) + count

    def losses(self) -> dict[str, float]:
        """Averages since the last evaluation."""
        return {key: total / self.counts[key] for key, total in self.sums.items()}

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model holds the weights that are evaluated and kept."""
        return nullcontext() if self.average is None else self.average.applied()

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are evaluated and kept, by name."""
        if self.average is not None:
            return self.average.state()
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def judge(self, score: Score) -> bool:
        """Count the evaluation; return whether it is the best."""
        progress = self.progress
        improved = progress.best is None or score.value > progress.best
        progress.evaluations += 1
        progress.stale = 0 if improved else progress.stale + 1
        if improved:
            progress.best, progress.best_step = score.value, progress.step
        self.schedule.evaluated(improved)
        self.sums.clear()
        self.counts.clear()
        return improved

    def state(self) -> State:
        """Return everything a resume needs."""
        tensors = {f"model.{name}": parameter.detach() for name, parameter in self.model.named_parameters()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in values.items() if value is not None}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state().items()}
        tensors["random"] = torch.get_rng_state()
        return State(replace(self.progress, schedule=self.schedule.state()), tensors)

    def restore(self, state: State) -> None:
        """Go back to a state that :meth:`state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "average": {}}
        for key, tensor in state.tensors.items():
            part, _, name = key.partition(".")
            if part in parts:
                parts[part][name] = tensor
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(parts["model"][name])
        self.optimiser.load_state_dict(
            {"state": _by_index(parts["optimiser"]), "param_groups": self.optimiser.state_dict()["param_groups"]}
        )
        if self.average is not None:
            self.average.restore(parts["average"])
        self.schedule.restore(state.progress.schedule)
        self.progress = Progress(**asdict(state.progress))
        torch.set_rng_state(state.tensors["random"])


def _by_index(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    grouped: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        grouped.setdefault(int(index), {})[name] = tensor
    return grouped


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
