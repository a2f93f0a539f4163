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
    alpha: Tensor
    """[L, B, Q]: the forward probabilities, scaled to a sum of 1 at every step."""
    ahead: Tensor
    """[L, B, Q]: ``x_t beta_t``, scaled to a sum of 1."""
    onward: Tensor
    """[L, B, Q]: ``x_t beta_t / total_t``, so that the marginal of a transition is ``alpha_t-1 E onward_t``."""
    scales: Tensor
    """[L, B]: what alpha was divided by."""
    total: Tensor
    """[L, B]: the mass of all paths at a step; the sum of ``scale_t alpha_t E ahead_t+1``."""
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
    """[L, B]: as in Chains."""
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
    if not mask[:, 0].all():
        row = int((~mask[:, 0]).nonzero()[0])
        if not mask[row].any():
            raise ValueError(f"row {row} of the batch has no words; a CRF needs at least one")
    if (mask[:, 1:] > mask[:, :1]).any() or (mask[:, 1:] > mask[:, :-1]).any():
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


def _constant(steps: Tensor, tops: Scores) -> Tensor:
    """Return what was taken out of every path's score, [B]."""
    words = torch.isneginf(steps[..., -1]).sum(0)
    peaks = sum_in_order(steps.amax(2))
    return peaks + tops.start + tops.end + tops.transitions * (words - 1)


@torch.no_grad()
def run(steps: Tensor, scores: Scores) -> Chains:
    """Run both recursions over ``steps`` [L, B, Q]."""
    tags = steps.shape[2]
    tops, rest = relative(scores)
    start, moves = with_stop(rest)
    start, moves = start.exp(), moves.exp()
    x = (steps - steps.amax(2, keepdim=True)).exp_()
    begin = torch.cat([start, start.new_zeros(tags)])
    begin[-1] = 1  # the backward chain begins with "stop"
    block = torch.cat([F.pad(moves, (0, tags)), F.pad(moves.t(), (tags, 0))])
    before, states, scales = _recur(torch.cat([x, x.flip(0)], 2), begin, block)
    onward = before[..., tags:].flip(0).mul_(x)
    unary = before[..., :tags] * onward
    total = unary.sum(2, keepdim=True)  # [L, B, 1]
    log_partition = sum_in_order(scales.log()) + _constant(steps, tops)
    return Chains(log_partition, unary.div_(total), states[..., :tags], states[..., tags:].flip(0),
                  onward.div_(total), scales, total[..., 0], moves)


def _recur(steps: Tensor, begin: Tensor, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Advance two chains side by side: ``steps`` [L, B, 2Q], ``begin`` [2Q], ``block`` [2Q, 2Q].

    Return the states before a step's factors and after them, both [L, B, 2Q], and the forward chain's scales [L, B].
    """
    length, rows, width = steps.shape
    before, states, scales = torch.empty_like(steps), torch.empty_like(steps), steps.new_empty(length, rows, 2, 1)
    before[0] = begin
    views = (steps, before, states, states.view(length, rows, 2, width // 2), scales)
    previous: Tensor | None = None
    for step, predicted, state, halves, scale in zip(*(view.unbind() for view in views), strict=True):
        if previous is not None:
            torch.mm(previous, block, out=predicted)
        torch.mul(predicted, step, out=state)
        torch.sum(halves, 2, keepdim=True, out=scale)
        halves.div_(scale)
        previous = state
    return before, states, scales[:, :, 0, 0]


@torch.no_grad()
def in_log_space(steps: Tensor, scores: Scores) -> LogChains:
    """Run both recursions on logarithms, over ``steps`` [L, B, Q], in the widest float type."""
    steps, scores = steps.to(wide(steps.device)), Scores(*(part.to(wide(steps.device)) for part in scores))
    tops, rest = relative(scores)
    start, moves = with_stop(rest)
    x = steps - steps.amax(2, keepdim=True)
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
    log_partition = sum_in_order(scale) + _constant(steps, tops)
    log_partition = log_partition.masked_fill(log_partition < NOTHING / 2, -torch.inf)
    totals.insert(0, torch.zeros_like(totals[0]))
    unary.insert(0, last.exp())
    return LogChains(log_partition, torch.stack(alpha), torch.stack(ahead[::-1]), scale,
                     torch.stack(totals[::-1]) + scale, torch.stack(unary[::-1]), pairs)


def _log_sum(scores: Tensor) -> Tensor:
    """Return the log-sum over dimension 1, [B]; a finite number where all are -inf, so that they stay -inf."""
    return torch.logsumexp(scores, 1).clamp(min=NOTHING)
