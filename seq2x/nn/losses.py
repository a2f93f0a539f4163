"""Losses over a vocabulary. Knows no task."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.nn.linear import fast_products, filled

LOGITS = {"cpu": 2**21}
"""How many stand in memory at once, by device: on a processor as many as its caches hold."""
LOGITS_ELSEWHERE = 2**26
STEP = 64
"""The rows of a chunk are a multiple."""


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


def vocabulary_loss(
    vectors: Tensor, weight: Tensor, bias: Tensor, gold: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return what :func:`cross_entropy` does of the logits ``vectors weight' + bias``, of which few stand in memory.

    ``vectors`` [N, D], ``weight`` [V, D], ``bias`` [V], ``gold`` [N] long. The gradients are made with the loss, chunk
    by chunk. Under autocast the three products are in its type, the softmax and all sums in float32.
    """
    device = vectors.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else vectors.dtype
    with torch.autocast(device, enabled=False), fast_products():
        total, likelihood = _VocabularyLoss.apply(  # type: ignore[no-untyped-call]
            vectors, weight, bias, gold, smoothing, kind, torch.is_grad_enabled()
        )
    return total, likelihood


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        weight: Tensor,
        bias: Tensor,
        gold: Tensor,
        smoothing: float,
        kind: torch.dtype,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        states, table, offset = filled(vectors, kind), weight.to(kind), bias.to(kind)
        most = LOGITS.get(vectors.device.type, LOGITS_ELSEWHERE) // len(weight)
        rows = max(1, most // STEP) * STEP
        room = _Room.of(min(rows, len(states)), len(weight), kind, vectors.device)
        sums = vectors.new_zeros(2, dtype=torch.float32)
        gradients = _Gradients.of(states, weight) if learns else None
        for start in range(0, len(gold), rows):
            some, right = states[start : start + rows], gold[start : start + rows, None]
            part = room.first(len(some))
            torch.addmm(offset, some, table.t(), out=part.products)
            sums += part.losses(right, smoothing)
            if gradients is not None:
                gradients.add(part.difference(right, smoothing), some, table, start)
        if gradients is not None:
            ctx.save_for_backward(gradients.vectors[: len(gold)], gradients.weight, gradients.bias)
        ctx.kinds = vectors.dtype, weight.dtype, bias.dtype
        total, likelihood = (part.clone() for part in sums)
        ctx.mark_non_differentiable(likelihood)
        return total, likelihood

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        found = (saved.to(kind) * gradient for saved, kind in zip(ctx.saved_tensors, ctx.kinds, strict=True))
        return *found, None, None, None, None


class _Room(NamedTuple):
    """Tensors [n, V] for the numbers of a few rows, used again for the next rows."""

    products: Tensor
    logits: Tensor
    """float32; where the products are too, the same tensor"""

    @staticmethod
    def of(rows: int, size: int, kind: torch.dtype, device: torch.device) -> _Room:
        logits = torch.empty(rows, size, device=device)
        return _Room(logits if kind == logits.dtype else torch.empty_like(logits, dtype=kind), logits)

    def first(self, rows: int) -> _Room:
        return _Room(*(tensor[:rows] for tensor in self))

    def losses(self, gold: Tensor, smoothing: float) -> Tensor:
        """[2]: sums of both losses over the rows whose products stand here and that have a ``gold`` [n, 1].

        Leaves the softmax in place of the logits.
        """
        if self.logits is not self.products:
            self.logits.copy_(self.products)
        logits = self.logits[: len(gold)]
        most, right = logits.amax(1), logits.gather(1, gold)[:, 0].sum()
        mean = logits.mean(1).sum() if smoothing else right
        torch.softmax(self.logits, dim=-1, out=self.logits)
        partition = (most - logits.amax(1).log()).sum()  # the greatest probability cannot underflow
        return torch.stack([partition - (1 - smoothing) * right - smoothing * mean, partition - right])

    def difference(self, gold: Tensor, smoothing: float) -> Tensor:
        """Softmax - target, in place of the softmax; 0 in the rows that have no ``gold`` [n, 1]."""
        if smoothing:
            self.logits.sub_(smoothing / self.logits.shape[1])
        self.logits[: len(gold)].scatter_add_(1, gold, self.logits.new_full(gold.shape, smoothing - 1))
        self.logits[len(gold) :] = 0
        return self.logits


class _Gradients(NamedTuple):
    vectors: Tensor
    weight: Tensor
    bias: Tensor

    @staticmethod
    def of(states: Tensor, weight: Tensor) -> _Gradients:
        sums = torch.zeros_like(weight, dtype=torch.float32)
        return _Gradients(torch.empty_like(states), sums, sums.new_zeros(len(weight)))

    def add(self, difference: Tensor, states: Tensor, table: Tensor, start: int) -> None:
        """``difference`` [n, V] float32 is that of the rows ``states`` [n, D], the first of which is row ``start``."""
        self.bias.add_(difference.sum(0))
        rounded = difference.to(table.dtype)
        torch.mm(rounded, table, out=self.vectors[start : start + len(states)])
        if rounded is difference:
            self.weight.addmm_(rounded.t(), states)
        else:
            self.weight.add_(rounded.t() @ states)
