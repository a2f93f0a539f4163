"""Coverage: what the attention has already looked at, fed back into its score, and the losses on it.

Knows no task. A coverage module says how many features a source position has, and how they change with each step.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.config import Config


class SumCoverageConfig(Config):
    """c_t = sum of all earlier attention weights (See et al. 2017, equation 10; Tu et al. 2016, equation 6)."""

    kind: Literal["sum"] = "sum"
    loss: Literal["none", "min", "one"] = Field(
        "min",
        description="min: sum_j min(a_tj, c_tj) a target token (See et al. 2017, equation 12); "
        "one: sum_j (1 - sum_t a_tj)^2 a sentence (Tu et al. 2016)",
    )
    weight: float = Field(0.1, ge=0, description="weight of that loss; See et al. 2017 add it late, at 1.0")

    def build(self) -> SumCoverage:
        """Make the module."""
        return SumCoverage()


class NoCoverageConfig(Config):
    """The attention does not know where it has been."""

    kind: Literal["none"] = "none"

    def build(self) -> None:
        """There is nothing to make."""


CoverageConfig = Annotated[SumCoverageConfig | NoCoverageConfig, Field(discriminator="kind")]


class SumCoverage(nn.Module):
    """The plain sum: one number a source position, no parameters of its own (``W3`` belongs to the attention)."""

    features = 1

    def start(self, rows: int, length: int, like: Tensor) -> Tensor:
        """Return the coverage before the first step, [N, T, features]."""
        return like.new_zeros(rows, length, self.features)

    def forward(self, coverage: Tensor, attention: Tensor) -> Tensor:
        """``coverage`` [N, T, F] and the step's ``attention`` [N, T] -> the coverage of the next step."""
        return coverage + attention[..., None]


def coverage_loss(kind: Literal["none", "min", "one"], attention: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return the summed loss (a scalar) and never a mean; see :class:`SumCoverageConfig` for the two formulas.

    ``attention`` [B, S, T], the masks ``source`` [B, T] and ``target`` [B, S] (True = real).
    """
    attention = attention * target[..., None]
    if kind == "min":
        before = attention.cumsum(1) - attention
        return torch.minimum(attention, before).sum()
    if kind == "one":
        return ((1 - attention.sum(1)) * source).square().sum()
    return attention.new_zeros(())
