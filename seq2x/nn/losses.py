"""Losses over a vocabulary. Knows no task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, gold: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return (label-smoothed cross-entropy, negative log-likelihood), summed over N; only the first has a gradient.

    ``logits`` [N, V], ``gold`` [N] long. With smoothing e the target is (1 - e) on the gold token and e / V on each
    token (Szegedy et al. 2016, section 7). Computed in float32 under autocast.
    """
    total, likelihood = _CrossEntropy.apply(logits.float(), gold, smoothing)  # type: ignore[no-untyped-call]
    return total, likelihood


class _CrossEntropy(torch.autograd.Function):
    """The gradient is softmax - target: one [N, V] tensor, where autograd through log-softmax needs four."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, gold: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        log_probs = F.log_softmax(logits, dim=-1)
        likelihood = -log_probs.gather(1, gold[:, None]).sum()
        total = (1 - smoothing) * likelihood
        if smoothing:
            total = total - smoothing / logits.shape[1] * log_probs.sum()
        ctx.save_for_backward(log_probs, gold)
        ctx.smoothing = smoothing
        ctx.mark_non_differentiable(likelihood)
        return total, likelihood

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        log_probs, gold = ctx.saved_tensors
        difference = log_probs.exp()
        if ctx.smoothing:
            difference -= ctx.smoothing / difference.shape[1]
        difference[torch.arange(len(gold), device=gold.device), gold] -= 1 - ctx.smoothing
        return difference.mul_(gradient), None, None
