"""Fits what turns a classifier's outputs into probabilities that can be believed. Knows no model and no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 60
"""Of the search for a temperature; each leaves 0.62 of the range."""
RANGE = (math.log(0.05), math.log(20.0))
"""Of the logarithm of a temperature."""


def fit_temperature(
    parts: Sequence[tuple[Sequence[int], Sequence[Sequence[float]]]], gold: Sequence[Sequence[bool]], several: bool
) -> float:
    """Return the T with the greatest likelihood of ``gold``, probabilities being softmax(z / T) (Guo et al. 2017).

    ``parts``: of each text the tokens and the logits [K] of the parts it was read in; its probabilities are the means
    of theirs, weighted by tokens. ``several``: sigmoid(z / T) of each label. 1 where there is no such T, as where the
    likeliest label is always the right one.
    """
    logits = torch.tensor([row for _, rows in parts for row in rows], dtype=torch.float64)
    texts = torch.tensor([text for text, (_, rows) in enumerate(parts) for _ in rows])
    weights = torch.tensor([length / sum(lengths) for lengths, _ in parts for length in lengths], dtype=torch.float64)
    wanted = torch.tensor([list(row) for row in gold])

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        found = scaled.sigmoid() if several else scaled.softmax(-1)
        means = found.new_zeros(len(wanted), found.shape[1]).index_add(0, texts, weights[:, None] * found)
        return _loss(means.clamp(1e-12, 1 - 1e-12), wanted, several)

    best = _lowest(loss, *RANGE)
    return math.exp(best) if min(best - RANGE[0], RANGE[1] - best) > 1e-3 else 1.0


def fit_threshold(probabilities: Sequence[Sequence[float]], gold: Sequence[Sequence[bool]]) -> float:
    """Return the threshold with the best micro F1, half-way between two probabilities; 0.5 where none is right."""
    found, wanted = torch.tensor(probabilities, dtype=torch.float64).flatten(), torch.tensor(gold).flatten()
    order = found.argsort(descending=True, stable=True)
    sorted_, right = found[order], wanted[order].cumsum(0).double()
    given = torch.arange(1, len(found) + 1, dtype=torch.float64)
    scores = 2 * right / (given + wanted.sum())
    scores[:-1][sorted_[:-1] == sorted_[1:]] = 0  # no threshold parts two equal ones
    best = int(scores.argmax())
    if not scores[best]:
        return 0.5
    below = float(sorted_[best + 1]) if best + 1 < len(found) else 0.0
    return min(max((float(sorted_[best]) + below) / 2, 1e-6), 1 - 1e-6)


def _loss(probabilities: Tensor, wanted: Tensor, several: bool) -> float:
    if several:
        return float(F.binary_cross_entropy(probabilities, wanted.double()))
    return float(-probabilities[wanted].log().mean())


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest (golden-section search, Kiefer 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    values = function(left), function(right)
    for _ in range(STEPS):
        if values[0] <= values[1]:
            high, right = right, left
            left = high - ratio * (high - low)
            values = function(left), values[0]
        else:
            low, left = left, right
            right = low + ratio * (high - low)
            values = values[1], function(right)
    return (low + high) / 2
