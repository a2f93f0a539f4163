"""Calls the compiled recursions of kernels.py, where there are any; chains.py and decoding.py are their equal twins.

Knows tensors on one side and arrays on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seq2x.nn.crf.chains import Scores, least_total, wide

Array = NDArray[Any]

_wanted = True


def use_kernels(wanted: bool) -> bool:
    """Say whether this process may use compiled recursions, and return what it was told before; at first it may.

    They need the extra ``fast``. Loading them takes half a second, and once, when they are compiled, some seconds: a
    process that tags one line and ends is quicker without. A process that changes its mind may see other last bits.
    """
    global _wanted
    before, _wanted = _wanted, wanted
    return before


def kernels(emissions: Tensor) -> ModuleType | None:
    """Return the compiled recursions where they are wanted, there, and made for these emissions."""
    suited = emissions.device.type == "cpu" and emissions.dtype in (torch.float32, torch.float64)
    return _load() if _wanted and suited else None


@cache
def _load() -> ModuleType | None:
    try:
        from seq2x.nn.crf import kernels as module
    except (ImportError, AttributeError):  # no numba, or none for this numpy or beside these modules
        return None
    return module


def rows_alone(device: torch.device) -> bool:
    """Whether predictions take each row by itself there, so that its bits do not hang on how many rows there are."""
    return kernels(torch.empty(0, dtype=wide(device), device=device)) is not None


class Sums(NamedTuple):
    """What the log-sum of all paths and its gradient are made of."""

    log_partition: Tensor
    """[B]"""
    unary: Tensor
    """[B, T, K]: the marginals, 0 at padding."""
    pairs: Tensor
    """[K, K]: how often the rows that are exact make each transition, in all, each row times its weight."""
    exact: Tensor
    """[B]: as in Chains."""


class Passes(NamedTuple):
    """Both recursions, as in Chains, without the tag ``stop``; what stands at padding may be anything."""

    log_partition: Tensor
    """[B]"""
    unary: Tensor
    """[B, T, K]: the marginals, 0 at padding."""
    alpha: Tensor
    """[B, T, K]"""
    ahead: Tensor
    """[B, T, K]"""
    scales: Tensor
    """[B, T]"""
    meeting: Tensor
    """[B, T]: total / scale."""
    exact: Tensor
    """[B]"""


def sums(module: ModuleType, emissions: Tensor, lengths: Tensor, scores: Scores, weight: Tensor) -> Sums:
    """Sum over the paths of ``emissions`` [B, T, K], rows of ``lengths`` [B]; ``weight`` [B] is for the pairs."""
    _, length, tags = emissions.shape
    width = tags + -tags % 8
    x = emissions.detach().numpy()
    pairs = np.zeros((width, width), x.dtype)
    kept = [np.empty(shape, x.dtype) for shape in ((1, length, tags), (1, length), (1, length), (0, length, tags))]
    log_partition, unary, exact = _run(module, emissions, lengths, scores, kept, pairs, weight)
    return Sums(log_partition, unary, torch.from_numpy(pairs)[:tags, :tags], exact)


def passes(module: ModuleType, emissions: Tensor, lengths: Tensor, scores: Scores) -> Passes:
    """Run both recursions over ``emissions`` [B, T, K], rows of ``lengths`` [B]."""
    rows, length, tags = emissions.shape
    x = emissions.detach().numpy()
    alpha, scales, meeting, ahead = kept = [
        np.ones(shape, x.dtype) for shape in (x.shape, (rows, length), (rows, length), x.shape)]
    none = np.empty((0, tags + -tags % 8), x.dtype)
    log_partition, unary, exact = _run(module, emissions, lengths, scores, kept, none, emissions.new_zeros(rows))
    of = torch.from_numpy
    return Passes(log_partition, unary, of(alpha), of(ahead), of(scales), of(meeting), exact)


def _run(
    module: ModuleType, emissions: Tensor, lengths: Tensor, scores: Scores, kept: Sequence[Array], pairs: Array,
    weight: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log Z, the marginals and what is exact, and fill the rest."""
    x = torch.empty(emissions.shape, dtype=emissions.dtype)
    unary, (read, long, given) = x.numpy(), _arrays(emissions, lengths, weight)
    peaks = np.empty(unary.shape[:2], unary.dtype)
    module.relative(read, long, unary, peaks)
    x.exp_()
    log_partition, exact = np.empty(len(unary), np.float64), np.empty(len(unary), np.bool_)
    module.passes(unary, peaks, long, *_arrays(*_rows(scores)), least_total(emissions.dtype), *kept, pairs, given,
                  log_partition, exact)
    return torch.from_numpy(log_partition), x, torch.from_numpy(exact)


def path_score(module: ModuleType, emissions: Tensor, lengths: Tensor, tags: Tensor, scores: Scores) -> Tensor:
    """Return the score of ``tags`` [B, T], [B], in float64; IndexError for what is no tag."""
    found = torch.empty(len(tags), dtype=torch.float64)
    place = module.path_score(*_arrays(emissions, lengths, tags, *_rows(scores), found))
    if place >= 0:
        row, word = divmod(place, tags.shape[1])
        raise IndexError(f"row {row} of the batch: word {word + 1} has the tag {int(tags[row, word])}; expected 0 to "
                         f"{emissions.shape[2] - 1}")
    return found


def count(module: ModuleType, weight: Tensor, lengths: Tensor, tags: Tensor, gradient: Sequence[Tensor]) -> None:
    """Add ``weight`` [B] to the ``gradient`` of what ``tags`` [B, T] use: emissions, transitions, start, end."""
    module.count(*_arrays(weight, lengths, tags), *(part.numpy() for part in gradient))


def best_path(module: ModuleType, emissions: Tensor, mask: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return the best tags, [B, T] long, 0 at padding, and their scores, [B]."""
    path, found = torch.empty(mask.shape, dtype=torch.long), emissions.new_empty(len(mask))
    module.best_path(*_arrays(emissions, mask.sum(1), *_padded(scores), path, found))
    return path, found


def best_paths(
    module: ModuleType, emissions: Tensor, mask: Tensor, scores: Scores, count: int
) -> tuple[Tensor, Tensor]:
    """Return the ``count`` best tags [B, k, T], and their scores [B, k], -inf where there are no more."""
    paths = torch.empty(len(mask), count, mask.shape[1], dtype=torch.long)
    found = emissions.new_empty(len(mask), count)
    module.best_paths(*_arrays(emissions, mask.sum(1), *_padded(scores), paths, found))
    return paths, found


def _arrays(*tensors: Tensor) -> list[Array]:
    """The same memory, where a tensor is contiguous: kernels are compiled for that."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _rows(scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    return scores.transitions, scores.start[None], scores.end[None]


def _padded(scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """Return transitions [W, W], start [W] and end [W], W the next multiple of 8, with -inf."""
    missing = -len(scores.start) % 8
    return (F.pad(scores.transitions, (0, missing, 0, missing), value=-torch.inf),
            F.pad(scores.start, (0, missing), value=-torch.inf), F.pad(scores.end, (0, missing), value=-torch.inf))
