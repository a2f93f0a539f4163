"""Optimisers, each a settings class with its ``build``. Knows no model.

``build`` takes torch's parameter groups. ``at(step)`` says which settings make update ``step`` (from 1): those of one
optimiser are always its own; where they change, the engine builds the new optimiser, which starts afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator

from seq2x.config import Config, kind_by_default

Decay = Annotated[float, Field(ge=0, lt=1)]

_OPEN = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


def _light(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return the optimiser ``kind`` without what keeps torch's compiler out of it, which it loads to do so.

    We compile no optimiser; the compiler takes 70 MiB and more than a second (measured: torch 2.13).
    """
    methods = {name: _unwrapped(getattr(kind, name)) for name in _OPEN}
    methods["step"] = torch.no_grad()(_unwrapped(kind.step))
    return type(kind.__name__, (kind,), methods)


def _unwrapped(method: Any) -> Any:
    return getattr(method, "__wrapped__", method)


_LIGHT = {kind: _light(kind) for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)}


class AdamConfig(Config):
    """Adam (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"
    rate: float = Field(1e-3, gt=0)
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="the second is better lower, such as 0.9, in some "
                                                                 "models (Dozat & Manning 2017)")
    epsilon: float = Field(1e-8, gt=0)

    def build(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return _LIGHT[torch.optim.Adam](groups, self.rate, self.betas, self.epsilon, fused=True)

    def at(self, step: int) -> Self:  # noqa: ARG002 - the contract of an optimiser's config
        """Return what makes update ``step``."""
        return self


class AdamWConfig(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    rate: float = Field(1e-3, gt=0)
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)

    def build(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return _LIGHT[torch.optim.AdamW](
            groups, self.rate, self.betas, self.epsilon, weight_decay=self.weight_decay, fused=True
        )

    def at(self, step: int) -> Self:  # noqa: ARG002 - the contract of an optimiser's config
        """Return what makes update ``step``."""
        return self


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

    def build(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return _LIGHT[torch.optim.SGD](
            groups,
            self.rate,
            self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=not self.momentum,  # torch 2.13: fused, parameters that have had no gradient yet are a TypeError
        )

    def at(self, step: int) -> Self:  # noqa: ARG002 - the contract of an optimiser's config
        """Return what makes update ``step``."""
        return self


class AdamThenSGDConfig(Config):
    """Adam while it is fast, then plain SGD, which ends lower (Wu et al. 2016, section 5: GNMT)."""

    kind: Literal["adam_then_sgd"] = "adam_then_sgd"
    rate: float = Field(2e-4, gt=0, description="of Adam")
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    switch: int = Field(60_000, ge=1, description="updates made by Adam")
    sgd_rate: float = Field(0.5, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1, description="of SGD")

    def at(self, step: int) -> AdamConfig | SGDConfig:
        """Return what makes update ``step``."""
        if step <= self.switch:
            return AdamConfig(rate=self.rate, betas=self.betas, epsilon=self.epsilon)
        return SGDConfig(rate=self.sgd_rate, momentum=self.momentum)


OptimiserConfig = Annotated[
    AdamConfig | AdamWConfig | SGDConfig | AdamThenSGDConfig, Field(discriminator="kind"), kind_by_default("adam")
]
