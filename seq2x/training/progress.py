"""What training, the run around it and the display say to each other: settings, counters, states. Does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field
from torch import Tensor

from seq2x.batch import Batch
from seq2x.config import Config


class FitConfig(Config):
    """When to update, to evaluate, to stop."""

    batch_tokens: int = Field(
        2048, ge=1, description="padded tokens a batch, of all processes together: rows * longest, on either side")
    accumulate: int = Field(1, ge=1, description="batches an update")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="bf16: matrix products in bfloat16; weights, softmax, losses and the CRF stay float32. "
                            "auto: bf16 where the processor or the GPU has such instructions, else fp32")
    compile: bool = Field(False, description="torch.compile the model: pays on long trainings, needs a C++ compiler")
    max_epochs: int = Field(20, ge=1)
    max_steps: int | None = Field(None, ge=1, description="updates at most")
    max_minutes: float | None = Field(None, gt=0, description="wall minutes at most, over all resumes")
    max_skipped: int = Field(
        10, ge=0, description="updates that may be skipped, their loss or gradient not finite, before training stops")
    evaluate_every: int = Field(0, ge=0, description="updates between evaluations; 0 = once an epoch")
    save_minutes: float = Field(5.0, gt=0, description="minutes between saves of what a resume needs; also saved at "
                                                       "every evaluation")
    patience: int = Field(0, ge=0, description="evaluations without a better score before stopping; 0 = never")
    clip: float = Field(1.0, ge=0, description="greatest global gradient norm (Pascanu et al. 2013); 0 = no clipping")
    clip_value: float = Field(
        0.0, ge=0, description="greatest absolute value of each number of the gradient, cut after clip (Mikolov 2012); "
                               "0 = none. It bends the gradient's direction, which the global norm leaves as it is")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the moving average that is evaluated and kept; 0 = off")
    show_examples: int = Field(2, ge=0, description="dev examples of each task shown with the model's output at each "
                                                    "evaluation, always the same ones")
    average: int = Field(
        0, ge=0, description="the mean of the weights of the last so many evaluations is tried at the end, and kept "
                             "where it is better (Vaswani et al. 2017, section 6.1); 0 = off")


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
    skipped: int = 0
    """Updates not made: their loss or gradient was not finite."""
    budget: int = 0
    """Tokens that go through the model at a time since memory ran out; 0 = whole batches."""
    evaluations: int = 0
    stale: int = 0
    """Evaluations since the best."""
    best: float | None = None
    best_step: int = 0
    """Of the weights that are kept."""
    bar: float | None = None
    """The best score of a regular evaluation. One that a limit adds in between keeps its weights where they are the
    best, but tells patience and schedule nothing, so that a run that goes on is one that never stopped."""
    schedule: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    """Of each loss since the last evaluation."""
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
    """Averages of this update alone; none where it was skipped."""


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

    def say(self, line: str) -> None:
        """Show a line that stays: what was skipped, split, begun anew."""


class Silent:
    """A display that shows nothing but the lines that stay."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def started(self, steps: int, limits: FitConfig) -> None:
        """See :class:`Display`."""

    def updated(self, update: Update) -> None:
        """See :class:`Display`."""

    def evaluating(self, progress: Progress) -> None:
        """See :class:`Display`."""

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        """See :class:`Display`."""


class Item(NamedTuple):
    """One batch, or this process's share of it."""

    following: tuple[int, int]
    """(epoch, batch) of the NEXT batch."""
    task: str
    batch: Batch
    weight: float = 1.0
    """0 for the stand-in of a process that has no row of the batch: it is computed, and counts nothing."""
    names: Callable[[], Sequence[str]] = tuple
    """Says which examples these are, for messages."""


Stream = Callable[[int, int], Iterator[Item]]
"""(epoch, batch) -> endless items from that position on."""

Save = Callable[[State, Mapping[str, dict[str, Tensor]]], None]
"""(state, weights to keep by name: "best", "snapshot-N" of cycle N, "checkpoint-N" after update N)."""
