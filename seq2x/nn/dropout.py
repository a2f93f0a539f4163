"""Dropout in the forms of the field. Identity in evaluation. Knows no task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seq2x.batch import Tokens


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


SPECIAL, HIDDEN = 4, 1
"""Tokens below SPECIAL are symbols; HIDDEN, the unknown one, stands for what is hidden (in characters and shapes too).
"""


def hide_some(tokens: Tokens, share: float, size: int) -> tuple[Tokens, Tensor]:
    """Return ``tokens`` with a ``share`` of them hidden at random, and which are to be guessed, [B, T] bool.

    Of those, 80 % are hidden, 10 % replaced by one of ``size`` tokens, 10 % left (Devlin et al. 2019, section 3.1). At
    least one a row is to be guessed, and never its end symbol.
    """
    inner, shape = _inner(tokens), tokens.ids.shape
    drawn = torch.rand(shape, device=tokens.ids.device).masked_fill(~inner, 2.0)
    chosen = inner & ((drawn < share) | (drawn == drawn.amin(1, keepdim=True)))
    kind = torch.rand(shape, device=tokens.ids.device)
    others = torch.randint(min(SPECIAL, size - 1), size, shape, device=tokens.ids.device)
    replaced = chosen & (kind >= 0.8) & (kind < 0.9)
    ids = others.where(replaced, tokens.ids.masked_fill(chosen & (kind < 0.8), HIDDEN))
    return _veiled(tokens, ids, chosen & (kind < 0.9)), chosen


def hide_each(tokens: Tokens, turn: int, turns: int) -> tuple[Tokens, Tensor]:
    """Return ``tokens`` with every ``turns``-th of a row hidden, number ``turn`` the first, and which these are."""
    position = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    chosen = _inner(tokens) & (position % turns == turn)
    return _veiled(tokens, tokens.ids.masked_fill(chosen, HIDDEN), chosen), chosen


def _inner(tokens: Tokens) -> Tensor:
    """The tokens of a row but the last, which is its end symbol."""
    position = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
    return position < tokens.lengths[:, None] - 1


def _veiled(tokens: Tokens, ids: Tensor, hidden: Tensor) -> Tokens:
    """The same with other ``ids``, and without the spelling of what is ``hidden``."""
    characters, shapes = tokens.characters, tokens.shapes
    if characters is not None:
        unknown = torch.zeros_like(characters)
        unknown[..., 0] = HIDDEN
        characters = unknown.where(hidden[..., None], characters)
    if shapes is not None:
        shapes = shapes.masked_fill(hidden, HIDDEN)
    return replace(tokens, ids=ids, characters=characters, shapes=shapes)
