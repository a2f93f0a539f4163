"""The log-likelihood of tags, or of sets of tags, and its gradient: expected counts. Knows no parameters."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2x.nn.crf import fast
from seq2x.nn.crf.chains import LogChains, Scores, in_log_space, inexact, run, wide, with_steps


class Counts(NamedTuple):
    """How often each score is used, expected, in a weighted sum over the batch; so the gradient of that sum, too."""

    emissions: Tensor
    """[B, T, K]"""
    transitions: Tensor
    """[K, K]"""
    start: Tensor
    """[K]"""
    end: Tensor
    """[K]"""


class Likelihood(torch.autograd.Function):
    """The log-sum over the paths that are right minus that over all: log p, [B]."""

    @staticmethod
    def forward(ctx: Any, right: Path | Paths | Expected, free: Paths, emissions: Tensor, *_of: Tensor) -> Tensor:
        """``emissions``, transitions, start and end are what the gradient belongs to."""
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
        self._module, self._mask, self._lengths = fast.kernels(emissions), mask, mask.sum(1)
        if self._module is not None:
            self._tags = tags
            self.value = fast.path_score(self._module, emissions, self._lengths, tags, scores)
            return
        self._tags = tags.masked_fill(~mask, 0)
        self._last = self._tags.gather(1, self._lengths[:, None] - 1)[:, 0]
        self._moves = (self._tags[:, :-1] * emissions.shape[2]).add_(self._tags[:, 1:])  # [B, T - 1]
        used = emissions.gather(2, self._tags[..., None])[..., 0].to(wide(emissions.device))
        used[:, 1:] += torch.take(scores.transitions, self._moves)
        used[:, 0] += torch.take(scores.start, self._tags[:, 0])
        self.value = used.masked_fill_(~mask, 0.0).sum(1) + torch.take(scores.end, self._last)

    def add(self, found: Counts, weight: Tensor) -> Counts:
        """Add the gradient, times ``weight`` [B], to what was ``found``, in place."""
        if self._module is not None:
            fast.count(self._module, weight, self._lengths, self._tags, found)
            return found
        weights = weight[:, None] * self._mask
        found.emissions.scatter_add_(2, self._tags[..., None], weights[..., None])
        found.transitions.view(-1).index_add_(0, self._moves.flatten(), weights[:, 1:].flatten())
        found.start.index_add_(0, self._tags[:, 0], weight)
        found.end.index_add_(0, self._last, weight)
        return found


class Paths:
    """Every path. The gradient of their log-sum is how often they use each score (Lafferty et al. 2001)."""

    value: Tensor
    """[B]: log Z, in the widest float type."""

    def gradient(self, weight: Tensor) -> Counts:
        """Return that of log Z times ``weight`` [B]."""
        raise NotImplementedError

    def add(self, found: Counts, weight: Tensor) -> Counts:
        """Add the gradient, times ``weight`` [B], to what was ``found``, in place."""
        for part, more in zip(found, self.gradient(weight), strict=True):
            part += more
        return found


class Expected:
    """The paths that others believe in, of which no more need be known than how often they use each score."""

    def __init__(self, counts: Counts, emissions: Tensor, scores: Scores) -> None:
        """``counts`` of the whole batch: what does not belong to single rows is shared out among them."""
        self._counts = counts
        kind = wide(emissions.device)
        used = sum(_used(part, score) for part, score in zip(counts[1:], scores, strict=True))
        own = (counts.emissions.to(kind) * emissions.to(kind)).sum((1, 2))
        self.value = own + used / len(emissions)

    def add(self, found: Counts, weight: Tensor) -> Counts:
        """Add the gradient to what was ``found``, in place; the ``weight`` [B] of all rows is the same."""
        for part, more in zip(found, self._counts, strict=True):
            part += weight[0] * more.to(part.dtype)
        return found


def _used(counts: Tensor, scores: Tensor) -> Tensor:
    """The sum of scores, each as often as it is used; what is not legal is never."""
    return (counts * scores.masked_fill(counts == 0, 0.0)).sum()


def paths(emissions: Tensor, mask: Tensor, scores: Scores) -> Paths:
    """Sum over all paths; -inf among the ``emissions`` [B, T, K] forbids a tag."""
    module = fast.kernels(emissions)
    if module is not None:
        return _Compiled(module, emissions, mask, scores)
    return _InTorch(emissions, mask, scores)


class _InTorch(Paths):
    def __init__(self, emissions: Tensor, mask: Tensor, scores: Scores) -> None:
        self._chains = run(emissions, mask, scores)
        self.value = self._chains.log_partition
        rows = inexact(self._chains.exact)
        self._pairs = None if rows is None else self._mend(
            rows, in_log_space(with_steps(emissions[rows], mask[rows]), scores))

    def gradient(self, weight: Tensor) -> Counts:
        chains = self._chains
        length, rows, tags = chains.unary.shape
        alike = bool((weight == weight[0]).all())  # nearly always
        unary = weight.new_empty(rows, length - 1, tags - 1)
        torch.mul(chains.unary[:-1, :, :-1], weight[:, None], out=unary.transpose(0, 1))
        onward = chains.onward[1:] if alike else chains.onward[1:] * weight[:, None]
        pairs = (chains.states[:-1].flatten(0, 1).t() @ onward.flatten(0, 1)) * chains.moves  # [Q, Q]
        if alike:
            pairs *= weight[0]
        if self._pairs is not None:
            pairs += (self._pairs * weight[:, None, None]).sum(0)
        return Counts(unary, pairs[:-1, :-1].contiguous(), unary[:, 0].sum(0), pairs[:-1, -1])

    def _mend(self, rows: Tensor, right: LogChains) -> Tensor:
        """Put ``rows`` right; return the expected transitions [B, Q, Q] of these, 0 for the others."""
        chains = self._chains
        chains.log_partition[rows] = right.log_partition
        chains.unary[:, rows] = right.unary.to(chains.unary.dtype)
        chains.states[:, rows] = chains.onward[:, rows] = 0
        pairs = chains.unary.new_zeros(len(chains.exact), *right.pairs.shape[1:])
        pairs[rows] = right.pairs.to(pairs.dtype)
        return pairs


class _Compiled(Paths):
    def __init__(self, module: ModuleType, emissions: Tensor, mask: Tensor, scores: Scores) -> None:
        self._again = (module, emissions.detach(), mask.sum(1), Scores(*(part.detach() for part in scores)))
        self._sums = fast.sums(*self._again, torch.ones(len(mask), dtype=emissions.dtype))
        self.value = self._sums.log_partition
        rows = inexact(self._sums.exact)
        self._pairs = None if rows is None else self._mend(
            rows, in_log_space(with_steps(emissions[rows], mask[rows]), scores))

    def gradient(self, weight: Tensor) -> Counts:
        alike = bool((weight == weight[0]).all())  # nearly always
        pairs = self._sums.pairs * weight[0] if alike else fast.sums(*self._again, weight).pairs
        if self._pairs is not None:
            pairs += (self._pairs * weight[:, None, None]).sum(0)
        unary = self._sums.unary * (weight[0] if alike else weight[:, None, None])
        last = unary[torch.arange(len(unary)), self._again[2] - 1]
        return Counts(unary, pairs, unary[:, 0].sum(0), last.sum(0))

    def _mend(self, rows: Tensor, right: LogChains) -> Tensor:
        """As above, without the tag ``stop``."""
        found = self._sums
        found.log_partition[rows] = right.log_partition
        found.unary[rows] = right.unary[:-1, :, :-1].transpose(0, 1).to(found.unary.dtype)
        pairs = found.unary.new_zeros(len(found.exact), *found.pairs.shape)
        pairs[rows] = right.pairs[:, :-1, :-1].to(pairs.dtype)
        return pairs
