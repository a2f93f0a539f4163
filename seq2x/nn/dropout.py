"""Dropout in the forms of the field. Identity in evaluation. Knows no task."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VariationalDropout(nn.Module):
    """One mask a sequence, the same at every time step (Gal & Ghahramani 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, states: Tensor) -> Tensor:
        """``states`` [B, T, D]."""
        if not self.training or self.rate == 0:
            return states
        return states * mask_like(states[:, :1], self.rate)


class WordDropout(nn.Module):
    """Read a share of the tokens as unknown in training (Iyyer et al. 2015); ids below ``first`` are kept."""

    def __init__(self, rate: float, unknown: int = 1, first: int = 4) -> None:
        super().__init__()
        self.rate, self.unknown, self.first = rate, unknown, first

    def forward(self, ids: Tensor) -> Tensor:
        """``ids`` [B, T] long."""
        if not self.training or self.rate == 0:
            return ids
        dropped = (torch.rand(ids.shape, device=ids.device) < self.rate) & (ids >= self.first)
        return ids.masked_fill(dropped, self.unknown)


class TypeDropout(nn.Module):
    """Drop whole words of the vocabulary, wherever they stand in the batch (Gal & Ghahramani 2016; Merity 2018)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, embedded: Tensor, ids: Tensor, size: int) -> Tensor:
        """``embedded`` [B, T, D] are the vectors of ``ids`` [B, T] out of ``size``."""
        if not self.training or self.rate == 0:
            return embedded
        return embedded * mask_like(embedded.new_empty(size), self.rate)[ids][..., None]


def mask_like(tensor: Tensor, rate: float) -> Tensor:
    """Return an inverted dropout mask: 0 with probability ``rate``, else 1 / (1 - rate)."""
    return torch.empty_like(tensor).bernoulli_(1 - rate).div_(1 - rate)
