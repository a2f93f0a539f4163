"""Optimisers and learning-rate schedules, each a settings class with its ``build``. Knows no model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from seq2x.config import Config

Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamConfig(Config):
    """Adam (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"
    rate: float = Field(1e-3, gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.Adam(parameters, self.rate, self.betas, self.epsilon, fused=True)


class AdamWConfig(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    rate: float = Field(1e-3, gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.AdamW(
            parameters, self.rate, self.betas, self.epsilon, weight_decay=self.weight_decay, fused=True
        )


class SGDConfig(Config):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = Field(False, description="needs a momentum")
    weight_decay: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SGDConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true needs a momentum above 0")
        return self

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.SGD(
            parameters,
            self.rate,
            self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=True,
        )


OptimiserConfig = Annotated[AdamConfig | AdamWConfig | SGDConfig, Field(discriminator="kind")]


class Schedule:
    """The factor on the learning rate; may depend on the step and on the scores so far."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """``step`` counts updates from 1."""

    def evaluated(self, improved: bool) -> None:
        """Hear whether the dev score has just improved."""

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
    minimum: float = Field(0.01, ge=0, description="the factor falls no lower")

    def build(self, steps: int) -> Schedule:  # noqa: ARG002
        """``steps``: updates of the whole run, as far as known."""
        return _Plateau(self)


class _Plateau(Schedule):
    def __init__(self, config: PlateauConfig) -> None:
        self.config, self.scale, self.stale = config, 1.0, 0

    def factor(self, step: int) -> float:
        return self.scale * _warm(step, self.config.warmup)

    def evaluated(self, improved: bool) -> None:
        self.stale = 0 if improved else self.stale + 1
        if self.stale >= self.config.patience:
            self.scale, self.stale = max(self.scale * self.config.factor, self.config.minimum), 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "stale": self.stale}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self.stale = state["scale"], state["stale"]


ScheduleConfig = Annotated[
    ConstantConfig | InverseSqrtConfig | CosineConfig | PlateauConfig, Field(discriminator="kind")
]
