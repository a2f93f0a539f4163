"""Learning-rate schedules, each a settings class with its ``build``. Knows no optimiser and no model."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import Field

from seq2x.config import Config, kind_by_default
from seq2x.errors import ConfigError

Verdict = Literal["go on", "restart", "end"]
"""What a schedule makes of an evaluation: "restart" = from the best weights, with a fresh optimiser."""


class Schedule:
    """The factor on the learning rate; may depend on the step and on the scores so far."""

    restarts: bool = False
    """Whether it may say "restart", for which the best weights must be kept at hand."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """``step`` counts updates from 1."""

    def evaluated(self, improved: bool) -> Verdict:  # noqa: ARG002 - the contract of a schedule
        """Hear whether the dev score has just improved; say what follows."""
        return "go on"

    def snapshot(self, step: int) -> int:  # noqa: ARG002
        """Return the number, from 1, of the cycle that ends with update ``step``; 0 where none does."""
        return 0

    def state(self) -> dict[str, Any]:
        """What a resume needs, in JSON's types."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""


class _Formula(Schedule):
    def __init__(self, formula: Any) -> None:
        self.formula = formula

    def factor(self, step: int) -> float:
        factor: float = self.formula(step)
        return factor


def _warm(step: int, warmup: int) -> float:
    return min(1.0, step / warmup) if warmup else 1.0


class ConstantConfig(Config):
    """A linear warm-up, then the full rate."""

    kind: Literal["constant"] = "constant"
    warmup: int = Field(0, ge=0, description="updates")

    def build(self, steps: int) -> Schedule:  # noqa: ARG002 - the contract of a schedule's config
        """``steps``: updates of the whole run, as far as known."""
        return _Formula(lambda step: _warm(step, self.warmup))


class InverseSqrtConfig(Config):
    """A linear warm-up, then falling with the inverse square root of the step (Vaswani et al. 2017, equation 3)."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup: int = Field(4000, ge=1, description="updates")

    def build(self, steps: int) -> Schedule:  # noqa: ARG002
        """``steps``: updates of the whole run, as far as known."""
        return _Formula(lambda step: min(step / self.warmup, math.sqrt(self.warmup / step)))


class CosineConfig(Config):
    """A linear warm-up, then half a cosine down to ``final`` at the last step (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warmup: int = Field(0, ge=0, description="updates")
    final: float = Field(0.0, ge=0, le=1, description="factor at the end")

    def build(self, steps: int) -> Schedule:
        """``steps``: updates of the whole run."""
        length = max(1, steps - self.warmup)

        def formula(step: int) -> float:
            done = min(1.0, max(0, step - self.warmup) / length)
            return _warm(step, self.warmup) * (self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2)

        return _Formula(formula)


class PlateauConfig(Config):
    """A linear warm-up, then the rate falls by ``factor`` after ``patience`` evaluations without a better score."""

    kind: Literal["plateau"] = "plateau"
    warmup: int = Field(0, ge=0, description="updates")
    factor: float = Field(0.5, gt=0, lt=1)
    patience: int = Field(1, ge=1, description="evaluations without a better score")
    minimum: float = Field(0.01, ge=0, le=1, description="the factor falls no lower")

    def build(self, steps: int) -> Schedule:  # noqa: ARG002
        """``steps``: updates of the whole run, as far as known."""
        return _Plateau(self.warmup, self.factor, self.patience, self.minimum)


class _Plateau(Schedule):
    def __init__(self, warmup: int, factor: float, patience: int, minimum: float = 0.0) -> None:
        self.warmup, self.fall, self.patience, self.minimum = warmup, factor, patience, minimum
        self.scale, self.stale = 1.0, 0

    def factor(self, step: int) -> float:
        return self.scale * _warm(step, self.warmup)

    def evaluated(self, improved: bool) -> Verdict:
        self.stale = 0 if improved else self.stale + 1
        if self.stale < self.patience:
            return "go on"
        return self._stuck()

    def _stuck(self) -> Verdict:
        self.scale, self.stale = max(self.scale * self.fall, self.minimum), 0
        return "go on"

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "stale": self.stale}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self.stale = state["scale"], state["stale"]


class RestartsConfig(Config):
    """Annealing with restarts (Denkowski & Neubig 2017, section 3.2).

    Where the score has stopped rising, the rate is halved, the best weights come back and the optimiser starts afresh;
    after the last restart, training ends there.
    """

    kind: Literal["restarts"] = "restarts"
    warmup: int = Field(0, ge=0, description="updates")
    factor: float = Field(0.5, gt=0, lt=1)
    patience: int = Field(2, ge=1, description="evaluations without a better score")
    restarts: int = Field(2, ge=1, description="how many; training ends where another would come")

    def build(self, steps: int) -> Schedule:  # noqa: ARG002
        """``steps``: updates of the whole run, as far as known."""
        return _Restarts(self)


class _Restarts(_Plateau):
    restarts = True

    def __init__(self, config: RestartsConfig) -> None:
        super().__init__(config.warmup, config.factor, config.patience)
        self.left = config.restarts

    def _stuck(self) -> Verdict:
        if not self.left:
            return "end"
        self.scale, self.stale, self.left = self.scale * self.fall, 0, self.left - 1
        return "restart"

    def state(self) -> dict[str, Any]:
        return {**super().state(), "left": self.left}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.left = state["left"]


class CyclicConfig(Config):
    """A cosine from the full rate to 0, again and again (Huang et al. 2017, equation 2).

    The weights at the end of cycle N are kept as snapshots/N.safetensors; all of them are an ensemble.
    """

    kind: Literal["cyclic"] = "cyclic"
    cycles: int = Field(5, ge=1, description="in the whole run")

    def build(self, steps: int) -> Schedule:
        """``steps``: updates of the whole run. ConfigError where there are fewer of them than cycles."""
        if steps < self.cycles:
            raise ConfigError(f"schedule.cycles = {self.cycles:,}: the run has {steps:,} updates; expected so many "
                              "cycles at most")
        return _Cyclic(self.cycles, steps)


class _Cyclic(Schedule):
    def __init__(self, cycles: int, steps: int) -> None:
        self.cycles, self.steps = cycles, steps

    def factor(self, step: int) -> float:
        step = min(step, self.steps)  # a run may be some updates longer, for which no cycle begins
        cycle = (step - 1) * self.cycles // self.steps
        first, after = (-(-number * self.steps // self.cycles) for number in (cycle, cycle + 1))  # updates before each
        return (math.cos(math.pi * (step - 1 - first) / (after - first)) + 1) / 2

    def snapshot(self, step: int) -> int:
        ended = step * self.cycles // self.steps
        return ended if step <= self.steps and ended > (step - 1) * self.cycles // self.steps else 0


class StepsConfig(Config):
    """The full rate, then ``factor`` of it more with every ``every`` updates (Wu et al. 2016, section 8.4: halved)."""

    kind: Literal["steps"] = "steps"
    warmup: int = Field(0, ge=0, description="updates")
    start: int = Field(ge=0, description="updates at the full rate")
    every: int = Field(ge=1, description="updates between the falls after that")
    factor: float = Field(0.5, gt=0, lt=1)

    def build(self, steps: int) -> Schedule:  # noqa: ARG002
        """``steps``: updates of the whole run, as far as known."""

        def formula(step: int) -> float:
            falls = -(-max(0, step - self.start) // self.every)
            return _warm(step, self.warmup) * self.factor**falls

        return _Formula(formula)


ScheduleConfig = Annotated[
    ConstantConfig | InverseSqrtConfig | CosineConfig | PlateauConfig | RestartsConfig | CyclicConfig | StepsConfig,
    Field(discriminator="kind"),
    kind_by_default("cosine"),
]
