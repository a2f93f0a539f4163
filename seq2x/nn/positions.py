"""Where a token stands, in the forms of the field: added to its embedding, or turned into queries and keys.

Knows no task.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

PositionKind = Literal["sinusoidal", "learned", "rotary"]

Turns = tuple[Tensor, Tensor]
"""Cosines and sines, both [S, d / 2], of the angles at S positions."""


class Positions(nn.Module):
    """Embeddings in, those with positions out; what they are scaled by is sqrt(D) (Vaswani et al. 2017, section 3.4).

    ``most`` is how many there are: of learned ones ``length``, else None.
    """

    def __init__(self, kind: PositionKind, width: int, length: int) -> None:
        super().__init__()
        self.kind = kind
        self.most = length if kind == "learned" else None
        if kind == "learned":
            self.weight = nn.Parameter(torch.randn(length, width))

    def forward(self, embedded: Tensor, order: Tensor) -> Tensor:
        """``embedded`` [..., S, D] at the positions ``order`` [S]; padding may reach beyond the last."""
        width = embedded.shape[-1]
        scaled = embedded * math.sqrt(width)
        if self.kind == "rotary":
            return scaled
        if self.most is None:
            return scaled + sinusoids(order, width)
        return scaled + self.weight[order.clamp(max=self.most - 1)]

    def turns(self, order: Tensor, width: int) -> Turns | None:
        """Return how far heads ``width`` wide turn at the positions ``order`` [S]; None where positions are added."""
        if self.kind != "rotary":
            return None
        found = _angles(order, width)
        return found.cos(), found.sin()


def turned(states: Tensor, turns: Turns) -> Tensor:
    """Turn queries or keys [..., S, d] by their positions (Su et al. 2021, equation 34; halves of d in pairs).

    The product of a query and a key then depends on how far apart they stand, not on where.
    """
    (cosines, sines), (first, second) = turns, states.float().chunk(2, dim=-1)
    both = torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)
    return both.to(states.dtype)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return [..., width] for ``positions`` [...]: sines and cosines in turn (Vaswani et al. 2017, section 3.5)."""
    angles = _angles(positions, width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


def _angles(positions: Tensor, width: int) -> Tensor:
    """[..., width / 2], rounded up."""
    steps = torch.arange(0, width, 2, device=positions.device)
    return positions[..., None] * torch.exp(steps * (-math.log(10000.0) / width))
