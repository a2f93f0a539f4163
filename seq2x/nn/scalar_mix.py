"""A learnt mixture of layers. Knows no encoder and no task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ScalarMix(nn.Module):
    """gamma * sum_l softmax(w)_l h_l (ELMo: Peters et al. 2018, equation 1); at first the plain mean."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """As many ``layers`` as it was made for, each [..., D] -> [..., D]."""
        shares = torch.softmax(self.weights, dim=0).unbind()
        mixed: Tensor = sum(  # type: ignore[assignment]  # there is at least one layer
            share * layer for share, layer in zip(shares, layers, strict=True))
        return self.gamma * mixed
