"""The recursions over a chain as machine code: what chains.py and decoding.py do in torch, a row at a time.

Needs numba; only fast.py imports this file. Knows arrays only: tags are padded to W, a multiple of 8, by factors of 0
or scores of -inf, so that inner loops run over whole vectors, and the outer ones take four tags at a time. A row is
computed alone, so that its bits depend on nothing else in the batch. All arrays that are written come from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]


def _compiled(function: F, fastmath: Any) -> F:
    """Compile at the first call, one thread; the result is kept where Python keeps compiled files, if it can be."""
    for cache in (True, False):
        try:
            return cast(F, numba.njit(cache=cache, nogil=True, fastmath=fastmath, error_model="numpy")(function))
        except RuntimeError:  # no folder to write to
            if not cache:
                raise
    raise AssertionError


def _relative(emissions: Floats, lengths: Ints, x: Floats, peaks: Floats) -> None:
    """Write the peak of each word, ``peaks`` [B, T], and the ``emissions`` [B, T, K] relative to it, ``x``."""
    for row in range(emissions.shape[0]):
        for t in range(lengths[row]):
            peak = emissions[row, t, 0]
            for j in range(emissions.shape[2]):
                peak = max(peak, emissions[row, t, j])
            peaks[row, t] = peak
            for j in range(emissions.shape[2]):
                x[row, t, j] = emissions[row, t, j] - peak
        x[row, lengths[row] :] = 0


def _factors(scores: Floats, factors: Floats) -> float:
    """Write exp of ``scores`` [A, C] relative to the greatest, with zeros around, and return that."""
    top = scores.max()
    factors[:] = 0
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            factors[i, j] = math.exp(scores[i, j] - top)
    return float(top)


def _forward(
    row: int, n: int, x: Floats, start: Floats, into: Floats, work: Floats, alpha: Floats, scales: Floats
) -> None:
    """Run ``row`` from its first word on. ``into`` [W, W], row: the tag that is entered. ``work`` [2, W]: two states.

    Indices are whole and count upwards where they can, as views cost more than all else in loops this short.
    """
    tags, width, kept = x.shape[2], len(start), row % len(alpha)
    for t in range(n):
        mass = x.dtype.type(0)
        for j in range(tags):
            reached = start[j]
            if t:
                reached = x.dtype.type(0)
                for i in range(width):
                    reached += work[0, i] * into[j, i]
            work[1, j] = reached * x[row, t, j]
            mass += work[1, j]
        scales[kept, t] = mass
        rescale = x.dtype.type(1) / mass
        for j in range(tags):
            work[0, j] = work[1, j] * rescale
            alpha[kept, t, j] = work[0, j]


def _backward(
    row: int, n: int, x: Floats, end: Floats, out_of: Floats, work: Floats, alpha: Floats, scales: Floats,
    meeting: Floats, ahead: Floats, pairs: Floats, weight: Any,
) -> None:
    """Run ``row`` from its last word back, and put both directions together. ``out_of`` [W, W], row: the tag left."""
    tags, width, one, kept = x.shape[2], len(end), x.dtype.type(1), row % len(alpha)
    for j in range(tags):
        work[1, j] = end[j]  # beta
    for t in range(n - 1, -1, -1):
        both, mass = x.dtype.type(0), x.dtype.type(0)
        for j in range(tags):
            both += alpha[kept, t, j] * work[1, j]
        meeting[kept, t] = both
        per_path = one / both
        for j in range(tags):
            work[0, j] = x[row, t, j] * work[1, j]
            mass += work[0, j]
            x[row, t, j] = alpha[kept, t, j] * work[1, j] * per_path
        rescale = one / mass
        if len(ahead):
            for j in range(tags):
                ahead[row, t, j] = work[0, j] * rescale
        if t and len(pairs):
            per_total = weight * per_path / scales[kept, t]
            for i in range(tags):
                share = alpha[kept, t - 1, i] * per_total
                for j in range(width):
                    pairs[i, j] += share * work[0, j]
        for j in range(tags if t else 0):
            left = x.dtype.type(0)
            for i in range(width):
                left += work[0, i] * out_of[j, i]
            work[1, j] = left * rescale


def _conclude(row: int, n: int, peaks: Floats, scales: Floats, meeting: Floats, least: float) -> tuple[float, bool]:
    """Return log Z of ``row`` but for the greatest scores of the chain, and whether all totals are above ``least``."""
    found, mass, exact, kept = 0.0, 1.0, True, row % len(scales)
    for t in range(n):
        exact = exact and scales[kept, t] * meeting[kept, t] > least
        found += peaks[row, t]
        mass *= scales[kept, t]
        if not mass > 1e-200:  # a logarithm now and then
            found += math.log(mass)
            mass = 1.0
    return found + math.log(mass) + math.log(meeting[kept, n - 1]), exact


def _passes(
    x: Floats, peaks: Floats, lengths: Ints, transitions: Floats, start: Floats, end: Floats, least: float,
    alpha: Floats, scales: Floats, meeting: Floats, ahead: Floats, pairs: Floats, weight: Floats,
    log_partition: NDArray[np.float64], exact: NDArray[np.bool_],
) -> None:
    """Run both recursions; all as in :class:`seq2x.nn.crf.chains.Chains`, but the tag ``stop`` is left out.

    Reads ``x`` [B, T, K], factors, ``peaks`` [B, T], ``lengths`` [B], ``transitions`` [K, K], ``start`` and ``end``
    [1, K], ``least``, the total above which a row is exact. Writes the marginals over ``x``, 0 at padding;
    ``log_partition`` and ``exact`` [B]; ``alpha`` [B, T, K], ``scales`` and ``meeting`` [B, T] (their product is
    total), or all of them of 1 row alone, where nobody wants them; ``ahead`` [B, T, K] or [0, T, K]. Adds to ``pairs``
    [W, W] or [0, W] how often rows that are exact make each transition, times their ``weight`` [B].
    """
    work, ends = np.zeros((2, pairs.shape[1]), x.dtype), np.empty((2, pairs.shape[1]), x.dtype)
    forth = np.empty((pairs.shape[1], pairs.shape[1]), x.dtype)
    between = factors(transitions, forth)
    outside = factors(start, ends[:1]) + factors(end, ends[1:])
    back = forth.T.copy()
    before = pairs.copy()
    for row in range(len(x)):
        n = lengths[row]
        x[row, n:] = 0
        forward(row, n, x, ends[0], back, work, alpha, scales)
        backward(row, n, x, ends[1], forth, work, alpha, scales, meeting, ahead, pairs, weight[row])
        log_z, exact[row] = conclude(row, n, peaks, scales, meeting, least)
        log_partition[row] = log_z + outside + (n - 1) * between
        if exact[row]:
            before[:] = pairs
        else:  # what was added may be anything
            pairs[:] = before
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            pairs[i, j] *= forth[i, j]


def _path_score(
    emissions: Floats, lengths: Ints, tags: Ints, transitions: Floats, start: Floats, end: Floats,
    scores: NDArray[np.float64],
) -> int:
    """Write the score of ``tags`` [B, T], [B]. Return -1, or the place (row * T + word) of one that is no tag."""
    for row in range(len(tags)):
        n, score = lengths[row], 0.0
        for t in range(n):
            tag = tags[row, t]
            if not 0 <= tag < len(transitions):
                return int(row * tags.shape[1] + t)
            score += emissions[row, t, tag]
            score += transitions[tags[row, t - 1], tag] if t else start[0, tag]
        scores[row] = score + end[0, tags[row, n - 1]]
    return -1


def _count(
    weight: Floats, lengths: Ints, tags: Ints, emissions: Floats, transitions: Floats, start: Floats, end: Floats,
) -> None:
    """Add ``weight`` [B] to the gradient of each score that the path ``tags`` [B, T] uses."""
    for row in range(len(tags)):
        n = lengths[row]
        start[tags[row, 0]] += weight[row]
        end[tags[row, n - 1]] += weight[row]
        for t in range(n):
            emissions[row, t, tags[row, t]] += weight[row]
            if t:
                transitions[tags[row, t - 1], tags[row, t]] += weight[row]


def _best_path(
    emissions: Floats, lengths: Ints, moves: Floats, start: Floats, end: Floats,
    path: Ints, found: Floats,
) -> None:
    """Viterbi, with the inner loop over the next tag; the arg-max is looked for along the best path only.

    Reads ``emissions`` [B, T, K], ``moves`` [W, W], ``start`` and ``end`` [W]. Writes ``path`` [B, T], 0 at padding,
    and its score, ``found`` [B].
    """
    rows, length, tags = emissions.shape
    width = len(start)
    best = np.full((length, width), -np.inf, emissions.dtype)
    for row in range(rows):
        last = lengths[row] - 1
        for j in range(tags):
            best[0, j] = start[j] + emissions[row, 0, j]
        for t in range(1, last + 1):
            best[t] = -np.inf
            for i in range(0, tags, 4):
                a, b, c, d = best[t - 1, i], best[t - 1, i + 1], best[t - 1, i + 2], best[t - 1, i + 3]
                for j in range(width):
                    p, q, r, s = a + moves[i, j], b + moves[i + 1, j], c + moves[i + 2, j], d + moves[i + 3, j]
                    p, r = q if q > p else p, s if s > r else r
                    p = r if r > p else p
                    best[t, j] = p if p > best[t, j] else best[t, j]
            for j in range(tags):
                best[t, j] += emissions[row, t, j]
        for t in range(last, -1, -1):
            top, tag = best[t, 0], 0
            top += end[0] if t == last else moves[0, path[row, t + 1]]
            for i in range(1, tags):
                score = best[t, i] + (end[i] if t == last else moves[i, path[row, t + 1]])
                if score > top:
                    top, tag = score, i
            path[row, t] = tag
            if t == last:
                found[row] = top
        path[row, last + 1 :] = 0


def _best_paths(
    emissions: Floats, lengths: Ints, moves: Floats, start: Floats, end: Floats,
    paths: Ints, found: Floats,
) -> None:
    """The k best: as above, with a list of k for each tag. Writes ``paths`` [B, k, T] and ``found`` [B, k]."""
    rows, length, tags = emissions.shape
    count = found.shape[1]
    old = np.empty((tags, count), emissions.dtype)
    new = np.empty((tags + 1, count), emissions.dtype)  # the last: behind the last word
    origins = np.zeros((length + 1, tags + 1, count), np.int64)  # tag * k + place in its list
    for row in range(rows):
        size = lengths[row]
        old[:] = -np.inf
        for j in range(tags):
            old[j, 0] = start[j] + emissions[row, 0, j]
        for t in range(1, size + 1):
            for j in range(tags, tags + 1) if t == size else range(tags):
                new[j] = -np.inf
                for i in range(tags):
                    move = end[i] if t == size else moves[i, j]
                    for rank in range(count):
                        score = old[i, rank] + move
                        if not score > new[j, count - 1]:
                            break  # those that follow are no better
                        place = count - 1
                        while place > 0 and score > new[j, place - 1]:  # behind its equals
                            new[j, place] = new[j, place - 1]
                            origins[t, j, place] = origins[t, j, place - 1]
                            place -= 1
                        new[j, place], origins[t, j, place] = score, i * count + rank
            if t < size:
                for j in range(tags):
                    old[j] = new[j] + emissions[row, t, j]
        for rank in range(count):
            found[row, rank] = new[tags, rank]
            paths[row, rank] = 0
            if new[tags, rank] > -np.inf:
                place = tags * count + rank
                for t in range(size - 1, -1, -1):
                    place = origins[t + 1, place // count, place % count]
                    paths[row, rank, t] = place // count


ANY_ORDER = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be taken in any order, which is the same for all rows. Scores of paths are as in torch, to the bit."""

factors = _compiled(_factors, False)
forward = _compiled(_forward, ANY_ORDER)
backward = _compiled(_backward, ANY_ORDER)
conclude = _compiled(_conclude, False)
relative = _compiled(_relative, {"nnan", "nsz"})  # or the peak is sought without vectors; NaN makes NaN all the same
passes = _compiled(_passes, False)
path_score = _compiled(_path_score, False)
count = _compiled(_count, False)
best_path = _compiled(_best_path, False)
best_paths = _compiled(_best_paths, False)
