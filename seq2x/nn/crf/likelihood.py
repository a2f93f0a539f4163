"""The log-likelihood of tags, or of sets of tags, and its gradient: expected counts. Knows no parameters."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2x.nn.crf.chains import Chains, Scores, in_log_space, run, wide, with_steps


class Gradient(NamedTuple):
    """Of a weighted sum over the batch."""

    emissions: Tensor
    """[B, T, K]"""
    transitions: Tensor
    """[K, K]"""
    start: Tensor
    """[K]"""
    end: Tensor
    """[K]"""


class Sum(Protocol):
    """The log-sum of some paths' scores. Its gradient is how often they use each score (Lafferty et al. 2001)."""

    value: Tensor
    """[B], in the widest float type."""

    def gradient(self, weight: Tensor) -> Gradient:
        """``weight`` [B]: that of each row."""
        ...


class Likelihood(torch.autograd.Function):
    """The sum over paths that are right minus that over all: log p, [B]."""

    @staticmethod
    def forward(ctx: Any, right: Path | Paths, free: Paths, emissions: Tensor, *_of: Tensor) -> Tensor:
        """``emissions`` and the three of Scores are what the gradient belongs to."""
        ctx.right, ctx.free = right, free
        return (right.value - free.value).to(emissions.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """``weight`` [B]."""
        found = ctx.right.add(ctx.free.gradient(-weight), weight)
        return None, None, *found


class Path:
    """One path a row."""

    def __init__(self, emissions: Tensor, tags: Tensor, mask: Tensor, scores: Scores) -> None:
        """``tags`` [B, T]; any value at padding."""
        self._mask = mask
        self._tags = tags.masked_fill(~mask, 0)
        self._last = self._tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        self._moves = (self._tags[:, :-1] * emissions.shape[2]).add_(self._tags[:, 1:])  # [B, T - 1]
        emitted = emissions.gather(2, self._tags[..., None])[..., 0].masked_fill(~mask, 0.0)
        moved = scores.transitions.flatten()[self._moves].masked_fill(~mask[:, 1:], 0.0)
        exact = wide(emissions.device)
        self.value = (emitted.to(exact).sum(1) + moved.to(exact).sum(1)
                      + scores.start[self._tags[:, 0]] + scores.end[self._last])

    def add(self, found: Gradient, weight: Tensor) -> Gradient:
        """Add the gradient, times ``weight`` [B], to what was ``found``, in place."""
        weights = weight[:, None] * self._mask
        found.emissions.scatter_add_(2, self._tags[..., None], weights[..., None])
        found.transitions.view(-1).index_add_(0, self._moves.flatten(), weights[:, 1:].flatten())
        found.start.index_add_(0, self._tags[:, 0], weight)
        found.end.index_add_(0, self._last, weight)
        return found


class Paths:
    """Every path."""

    def __init__(self, emissions: Tensor, mask: Tensor, scores: Scores) -> None:
        """-inf among the ``emissions`` [B, T, K] forbids a tag."""
        steps = with_steps(emissions, mask)
        self._chains, self._pairs = _mended(run(steps, scores), steps, scores)
        self.value = self._chains.log_partition

    def gradient(self, weight: Tensor) -> Gradient:
        """See Sum."""
        chains = self._chains
        unary = chains.unary[:-1, :, :-1] * weight[:, None]
        onward = chains.onward[1:] * weight[:, None]
        pairs = (chains.alpha[:-1].flatten(0, 1).t() @ onward.flatten(0, 1)) * chains.moves  # [Q, Q]
        if self._pairs is not None:
            pairs += (self._pairs * weight[:, None, None]).sum(0)
        return Gradient(unary.transpose(0, 1), pairs[:-1, :-1].contiguous(), unary[0].sum(0), pairs[:-1, -1])

    def add(self, found: Gradient, weight: Tensor) -> Gradient:
        """Add the gradient, times ``weight`` [B], to what was ``found``, in place."""
        for part, more in zip(found, self.gradient(weight), strict=True):
            part += more
        return found


def _mended(chains: Chains, steps: Tensor, scores: Scores) -> tuple[Chains, Tensor | None]:
    """Put rows that are not exact right; return their expected transitions [B, Q, Q] too, 0 for all others."""
    exact = chains.exact
    if exact.all():
        return chains, None
    rows = (~exact).nonzero()[:, 0]  # only these, so that the other rows keep their bits
    right = in_log_space(steps[:, rows], scores)
    pairs = chains.unary.new_zeros(len(exact), *right.pairs.shape[1:])
    pairs[rows] = right.pairs.to(pairs.dtype)
    chains.log_partition[rows] = right.log_partition
    chains.unary[:, rows] = right.unary.to(pairs.dtype)
    chains.alpha[:, rows] = chains.onward[:, rows] = 0
    return chains, pairs
