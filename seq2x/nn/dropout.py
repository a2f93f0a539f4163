"""Dropout in the forms of the field. Identity in evaluation. Knows no task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Each value alone (Srivastava et al. 2014); as torch's, with masks that a processor draws faster."""

    def forward(self, input: Tensor) -> Tensor:
        """``input`` of any shape."""
        if not self.training or self.p == 0:
            return input
        dropped: Tensor = _Dropout.apply(input, self.p)  # type: ignore[no-untyped-call]
        return dropped


class _Dropout(torch.autograd.Function):
    """Training keeps a byte for each value."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, rate: float) -> Tensor:
        kept = _kept(input, rate)
        ctx.save_for_backward(kept)
        ctx.rate = _rounded(rate, input)
        return kept.to(input.dtype).mul_(input).mul_(1 / (1 - ctx.rate))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(gradient.dtype).mul_(gradient).mul_(1 / (1 - ctx.rate)), None


class RectifiedDropout(Dropout):
    """``dropout(relu(x))``, of which training keeps only the result: it says by itself where the gradient passes."""

    def forward(self, input: Tensor) -> Tensor:
        """``input`` of any shape."""
        if not self.training or self.p == 0:
            return input.relu()
        dropped: Tensor = _RectifiedDropout.apply(input, self.p)  # type: ignore[no-untyped-call]
        return dropped


class _RectifiedDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, rate: float) -> Tensor:
        ctx.rate = _rounded(rate, input)
        output = _kept(input, rate).to(input.dtype).mul_(input).clamp_min_(0).mul_(1 / (1 - ctx.rate))
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, output, 0)
        return passed.mul_(1 / (1 - ctx.rate)), None


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
    return _kept(tensor, rate).to(tensor.dtype).mul_(1 / (1 - _rounded(rate, tensor)))


def _kept(tensor: Tensor, rate: float) -> Tensor:
    """Which values of a tensor like this stay, bool.

    Each number that a processor's generator draws decides over four of them: 7 times as fast as Bernoulli draws one
    by one, and exact to 16 bits of ``rate``.
    """
    rate = _rounded(rate, tensor)
    if tensor.device.type != "cpu":
        return torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device).bernoulli_(1 - rate)
    count = tensor.numel()
    numbers = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return (numbers.view(torch.int16)[:count] >= rate * 2**16 - 2**15).view(tensor.shape)


def _rounded(rate: float, tensor: Tensor) -> float:
    """The rate that a mask for ``tensor`` has."""
    return round(rate * 2**16) / 2**16 if tensor.device.type == "cpu" else rate
