"""The forward and the backward recursion of a chain, in torch. Knows nothing of parameters and of autograd.

The end of a sentence is one more tag, ``stop``, which padding has too and which nothing leaves: every row of a batch
then has T + 1 steps, no step asks for a mask, and the letters below are L = T + 1 steps and Q = K + 1 tags.

Speed: the forward recursion ``a_t = x_t (a_t-1 E)`` and the backward one have the same form, so one product with a
block matrix advances both. They run on probabilities, rescaled every step (Rabiner 1989, section V.A), and the
marginals they give *are* the gradient of log Z, so nothing is recorded for autograd. Probabilities can underflow;
a certificate says when (:class:`Chains`), and then log space answers (:func:`in_log_space`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.errors import DataError

NOTHING = -1e30
"""Stands for the log-sum of nothing, so that -inf minus it is -inf and no NaN."""


class ImpossibleError(DataError, ValueError):
    """No sequence of tags is legal and allowed for a row of the batch."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(f"row {row} of the batch: {why}")
        self.row, self.why = row, why


class Scores(NamedTuple):
    """What a chain scores whatever the words are; -inf = not legal."""

    transitions: Tensor
    """[K, K], from row to column."""
    start: Tensor
    """[K]"""
    end: Tensor
    """[K]"""


class Chains(NamedTuple):
    """Both recursions over a batch, in probability space. Factors are relative to the greatest of their kind."""

    log_partition: Tensor
    """[B], in the widest float type."""
    unary: Tensor
    """[L, B, Q]: the marginals."""
    states: Tensor
    """[L, B, Q]: ``x_t (a_t-1 E)``, where the forward probabilities a are these, scaled to a sum of 1 at every step."""
    scales: Tensor
    """[L, B]: the sums of ``states``."""
    onward: Tensor
    """[L, B, Q]: x_t beta_t, scaled so that the marginal of a transition is ``states_t-1 E onward_t``."""
    total: Tensor
    """[L, B]: the mass of all paths at a step, as scaled as the states are; from below that of two scaled sides."""
    moves: Tensor
    """[Q, Q]: E, the transitions as factors."""

    @property
    def exact(self) -> Tensor:
        """Where nothing that counts has underflowed, [B] bool."""
        return (self.total > least_total(self.total.dtype)).all(0)


class LogChains(NamedTuple):
    """The same as logarithms: right for any scores, and slow."""

    log_partition: Tensor
    """[B]; -inf where no path is possible. All else is then without meaning."""
    alpha: Tensor
    """[L, B, Q]"""
    ahead: Tensor
    """[L, B, Q]"""
    scales: Tensor
    """[L, B]"""
    total: Tensor
    """[L, B]: the sum of ``scale_t alpha_t E ahead_t+1``."""
    unary: Tensor
    """[L, B, Q]: the marginals; these are probabilities."""
    pairs: Tensor
    """[B, Q, Q]: the expected number of each transition; as probabilities, too."""


def least_total(dtype: torch.dtype) -> float:
    """Return the total above which nothing that counts has underflowed.

    What underflows is below the least normal number, beside factors of at most 1, so it is nothing beside the total,
    the scaled mass of all paths, where that is 1e10 times greater.
    """
    return 1e10 * torch.finfo(dtype).tiny


def inexact(exact: Tensor) -> Tensor | None:
    """Return the rows to be counted again in log space, only these, so that the others keep their bits."""
    return None if exact.all() else (~exact).nonzero()[:, 0]


def wide(device: torch.device) -> torch.dtype:
    """Return the widest float type of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


def refuse(scores: Tensor, emissions: Tensor, mask: Tensor) -> None:
    """Raise ImpossibleError for the first row whose best or summed score [B] is -inf, or not a number."""
    impossible = ~(scores > -torch.inf)
    if impossible.any():
        row = int(impossible.nonzero()[0])
        raise ImpossibleError(row, "its scores are not numbers" if emissions[row, mask[row]].isnan().any()
                              else "no sequence of tags of its length is legal and allowed")


def checked(emissions: Tensor, mask: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return emissions in float32 or more, -inf where not ``allowed`` [B, T, K].

    ValueError where the mask is not one of right-padded, non-empty rows; ImpossibleError where a word has no tag.
    """
    begun = mask[:, 0].all()
    if not begun and not mask.any(1).all():
        row = int((~mask.any(1)).nonzero()[0])
        raise ValueError(f"row {row} of the batch has no words; a CRF needs at least one")
    if not begun or (mask[:, 1:] > mask[:, :-1]).any():
        raise ValueError("the mask of a CRF is True first, then False; a row here has padding before a word")
    emissions = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
    if allowed is None:
        return emissions
    if allowed.shape != emissions.shape or allowed.dtype != torch.bool:
        raise ValueError(f"the allowed tags are {allowed.dtype} {list(allowed.shape)}; expected bool, as many as the "
                         f"emissions: {list(emissions.shape)}")
    none = mask & ~allowed.any(2)
    if none.any():
        row, word = (int(place) for place in none.nonzero()[0])
        raise ImpossibleError(row, f"word {word + 1} is allowed no tag at all")
    return emissions.masked_fill(~allowed, -torch.inf)


def with_steps(emissions: Tensor, mask: Tensor) -> Tensor:
    """Return emissions [L, B, Q] with the tag ``stop``: -inf at words, the only choice (0) after them."""
    padded = F.pad(emissions, (0, 1, 0, 1), value=-torch.inf).transpose(0, 1)
    stopped = F.pad(~mask, (0, 1), value=True).t()
    stop = emissions.new_full((padded.shape[2],), -torch.inf)
    stop[-1] = 0
    return torch.where(stopped[..., None], stop, padded)


def with_stop(scores: Scores) -> tuple[Tensor, Tensor]:
    """Return start [Q] and transitions [Q, Q] with the tag ``stop``, entered at the cost of an end, never left."""
    moves = F.pad(torch.cat([scores.transitions, scores.end[:, None]], 1), (0, 0, 0, 1), value=-torch.inf)
    moves[-1, -1] = 0
    return F.pad(scores.start, (0, 1), value=-torch.inf), moves


def relative(scores: Scores) -> tuple[Scores, Scores]:
    """Return the greatest score of each kind, and all scores relative to it: no factor is then above 1."""
    tops = Scores(*(part.amax() for part in scores))
    return tops, Scores(*(part - top for part, top in zip(scores, tops, strict=True)))


def sum_in_order(values: Tensor) -> Tensor:
    """Return the sum over dimension 0 in the widest type, whose bits do not depend on zeros at the end."""
    return values.to(wide(values.device)).cumsum(0)[-1]


def _constant(peaks: Tensor, mask: Tensor, tops: Scores) -> Tensor:
    """Return what was taken out of every path's score, [B]; ``peaks`` [B, T]."""
    taken = sum_in_order(peaks.masked_fill(~mask, 0.0).t())
    return taken + tops.start + tops.end + tops.transitions * (mask.sum(1) - 1)


@torch.no_grad()
def run(emissions: Tensor, mask: Tensor, scores: Scores) -> Chains:
    """Run both recursions over ``emissions`` [B, T, K]."""
    rows, length, tags = emissions.shape
    tops, rest = relative(scores)
    start, block = _as_block(Scores(*(part.exp() for part in rest)))
    peaks = emissions.amax(2)
    factors = (emissions - peaks[..., None]).exp_().masked_fill_(~mask[..., None], 0.0)
    x = emissions.new_zeros(length + 1, rows, 2, tags + 2)  # [L, B, ways, Q + 1]
    x[:-1, :, 0, :-2] = factors.transpose(0, 1)
    x[-1, :, 0, -2] = 1  # the tag "stop"
    x[:-1, :, 0, -2] = ~mask.t()
    x[:, :, 1] = x[:, :, 0].flip(0)
    before = _recur(x, start, block)
    states, onward = x[:, :, 0, :-1], x[:, :, 1, :-1].flip(0)
    scales = states.sum(2)
    unary = before[:, :, 0, :-1].mul_(onward)
    total = unary.sum(2, keepdim=True)  # [L, B, 1]
    unary.div_(total)
    unscaled = torch.cat([total[:1], total[1:] * scales[:-1, :, None]])  # as the states are
    log_partition = sum_in_order(scales.log()) + _constant(peaks, mask, tops)
    return Chains(log_partition, unary, states, scales, onward.div_(unscaled), unscaled[..., 0],
                  block[: tags + 1, : tags + 1])


def _as_block(factors: Scores) -> tuple[Tensor, Tensor]:
    """Return where both ways begin, [2, Q + 1], and the product that advances them, [2 (Q + 1), 2 (Q + 1)].

    The last column of each way sums up the states before the product.
    """
    tags = len(factors.start)
    start, block = factors.start.new_zeros(2, tags + 2), factors.start.new_zeros(2 * tags + 4, 2 * tags + 4)
    start[0, :-2] = factors.start
    start[1, -2] = 1  # "stop"
    forth, back = block[: tags + 2, : tags + 2], block[tags + 2 :, tags + 2 :]
    for way, stop in ((forth, forth), (back, back.t())):
        stop[:-2, :-2] = factors.transitions
        stop[:-2, -2] = factors.end
        way[-2, -2] = 1
        way[:-1, -1] = 1
    return start, block


def _recur(x: Tensor, start: Tensor, block: Tensor) -> Tensor:
    """Advance two chains side by side, the forward one and the one that begins with "stop".

    ``x`` [L, B, 2, Q + 1] holds the factors of each step, and afterwards the states; its last column is 0. Return what
    each step began with, as large: the state before, scaled to a sum of 1, times the transitions. (Memory is reused,
    and the sum is one more column of the product: both, not the arithmetic, are what costs.)
    """
    before, product = torch.empty_like(x), torch.empty_like(x[0])
    before[0] = start
    x[0].mul_(before[0])
    flat, sums = product.flatten(1), product[..., -1:]
    for previous, state, scaled in zip(x.flatten(2)[:-1].unbind(), x[1:].unbind(), before[1:].unbind(), strict=True):
        torch.mm(previous, block, out=flat)
        torch.div(product, sums, out=scaled)
        state.mul_(scaled)
    return before


@torch.no_grad()
def in_log_space(steps: Tensor, scores: Scores) -> LogChains:
    """Run both recursions on logarithms, over ``steps`` [L, B, Q], in the widest float type."""
    steps, scores = steps.to(wide(steps.device)), Scores(*(part.to(wide(steps.device)) for part in scores))
    tops, rest = relative(scores)
    start, moves = with_stop(rest)
    peaks = steps.amax(2)
    x = steps - peaks[..., None]
    alpha: list[Tensor] = []
    scales: list[Tensor] = []
    for number, step in enumerate(x.unbind()):
        state = step + (start if number == 0 else torch.logsumexp(alpha[-1][:, :, None] + moves, 1))
        scales.append(_log_sum(state))
        alpha.append(state - scales[-1][:, None])
    last = x.new_full(x.shape[1:], -torch.inf)
    last[:, -1] = 0
    ahead, totals, unary = [last], [], []  # the last step first
    pairs = x.new_zeros(x.shape[1], *moves.shape)
    for step, state in zip(x[:-1].flip(0).unbind(), alpha[-2::-1], strict=True):
        both = moves + ahead[-1][:, None]  # [B, Q, Q]
        meeting = state[:, :, None] + both
        totals.append(_log_sum(meeting.flatten(1)))
        meeting = (meeting - totals[-1][:, None, None]).exp()
        pairs += meeting
        unary.append(meeting.sum(2))
        behind = step + torch.logsumexp(both, 2)
        ahead.append(behind - _log_sum(behind)[:, None])
    scale = torch.stack(scales)
    words = torch.isneginf(steps[..., -1]).t()  # [B, L]
    log_partition = sum_in_order(scale) + _constant(peaks.t(), words, tops)
    log_partition = log_partition.masked_fill(log_partition < NOTHING / 2, -torch.inf)
    totals.insert(0, torch.zeros_like(totals[0]))
    unary.insert(0, last.exp())
    return LogChains(log_partition, torch.stack(alpha), torch.stack(ahead[::-1]), scale,
                     torch.stack(totals[::-1]) + scale, torch.stack(unary[::-1]), pairs)


def _log_sum(scores: Tensor) -> Tensor:
    """Return the log-sum over dimension 1, [B]; a finite number where all are -inf, so that they stay -inf."""
    return torch.logsumexp(scores, 1).clamp(min=NOTHING)
