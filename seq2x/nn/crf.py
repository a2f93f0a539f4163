"""A linear-chain conditional random field: log-likelihood, marginals and Viterbi, all exact. Knows no task.

The score of tags y for emissions P is ``s(y) = start[y_1] + sum_i P[i, y_i] + sum_i A[y_i, y_i+1] + end[y_n]`` and
``log p(y) = s(y) - log Z`` (Lafferty et al. 2001; over a BiLSTM: Huang et al. 2015; Lample et al. 2016, section 2.2).
Which tag may follow which is told as bool matrices; what is not legal scores -inf, in training as in decoding.

The end of a sentence is one more tag, ``stop``, which padding has too and which nothing leaves: every row of a batch
then has T + 1 steps, no step asks for a mask, and the letters below are L = T + 1 steps and Q = K + 1 tags.

Speed: the forward recursion ``a_t = x_t (a_t-1 E)`` and the backward one have the same form, so one product with a
block matrix advances both. They run on probabilities, rescaled every step (Rabiner 1989, section V.A), and the
marginals they give *are* the gradient of log Z, so nothing is recorded for autograd. Probabilities can underflow;
a certificate says when (:class:`_Chains`), and then log space answers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seq2x.batch import mask_of

LOWEST = -1e30
"""Stands for -inf where autograd looks: the gradient of a log-sum over nothing but -inf is not a number."""


class Legal(NamedTuple):
    """Which tag may follow which; True = legal."""

    transitions: Tensor
    """[K, K] bool, from row to column."""
    start: Tensor
    """[K] bool"""
    end: Tensor
    """[K] bool"""


class Scores(NamedTuple):
    """What a chain scores whatever the words are; -inf = not legal."""

    transitions: Tensor
    """[K, K], from row to column."""
    start: Tensor
    """[K]"""
    end: Tensor
    """[K]"""


class Rules(nn.Module):
    """A chain that knows what is legal and learns nothing: decodes the log-probabilities of a softmax.

    Emissions are [B, T, K] of any float type. ``mask`` [B, T] bool is True at real words, which come first; a row
    without a word is refused (ValueError).
    """

    illegal_transitions: Tensor
    illegal_start: Tensor
    illegal_end: Tensor

    def __init__(self, legal: Legal) -> None:
        super().__init__()
        for name, part in legal._asdict().items():
            self.register_buffer(f"illegal_{name}", ~part, persistent=False)

    def scores(self) -> Scores:
        """Return 0 where legal, -inf elsewhere."""
        illegal = (self.illegal_transitions, self.illegal_start, self.illegal_end)
        return Scores(*(torch.zeros(part.shape, device=part.device).masked_fill(part, -torch.inf) for part in illegal))

    def viterbi(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Return the best tags, [B, T] long, 0 at padding; ValueError where no legal tags are as many as the words."""
        return _viterbi(emissions, mask, self.scores())


class CRF(Rules):
    """Learns the scores of transitions, of the first tag and of the last. Recursions run in at least float32."""

    def __init__(self, legal: Legal) -> None:
        super().__init__(legal)
        self.transitions, self.start, self.end = (nn.Parameter(torch.zeros(part.shape)) for part in legal)

    def scores(self) -> Scores:
        """Return what was learnt, -inf where not legal."""
        learnt = (self.transitions, self.start, self.end)
        return Scores(*(part + rule for part, rule in zip(learnt, super().scores(), strict=True)))

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return log p(``tags`` [B, T]) of each row, [B]; -inf where the tags are not legal."""
        emissions, scores = _checked(emissions, mask), self.scores()
        with torch.autocast(emissions.device.type, enabled=False):
            steps = _steps(emissions, mask)
            chains = _chains(steps, scores)
            if chains.exact.all():
                log_partition: Tensor = _LogPartition.apply(chains, emissions, *scores)  # type: ignore[no-untyped-call]
            else:
                log_partition = _log_partition(steps, scores)
            return _path(emissions, tags, mask, scores) - log_partition

    @torch.no_grad()
    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Return p(y_t = k), [B, T, K], 0 at padding; no gradient."""
        steps, scores = _steps(_checked(emissions, mask), mask), self.scores()
        with torch.autocast(steps.device.type, enabled=False):
            chains = _chains(steps, scores)
            unary = chains.unary
            rows = (~chains.exact).nonzero()[:, 0]
            if len(rows):  # only these, so that the other rows keep their bits
                unary[:, rows] = _log_marginals(steps[:, rows], scores)
            return unary[:-1, :, :-1].transpose(0, 1)


@torch.no_grad()
def _viterbi(emissions: Tensor, mask: Tensor, scores: Scores) -> Tensor:
    """See :meth:`Rules.viterbi` (Viterbi 1967)."""
    steps = _steps(_checked(emissions, mask), mask)
    start, moves = _with_stop(scores)
    into = moves.t().contiguous()  # [Q, Q], row: the tag that is entered
    best = [start + steps[0]]  # best[t][:, k]: the best score of steps 0 to t where t has tag k
    for step in steps[1:].unbind():
        best.append((best[-1][:, None] + into).amax(2) + step)
    if torch.isneginf(best[-1][:, -1]).any():
        raise ValueError("the rules allow no sequence of tags as long as a row of this batch")
    tag = torch.full(best[0].shape[:1], len(start) - 1, device=mask.device)  # every row ends with "stop"
    path = []
    for scored in best[-2::-1]:  # the arg-max is looked for along the best path only
        tag = (scored + into[tag]).argmax(1)
        path.append(tag)
    return torch.stack(path[::-1], 1).masked_fill(~mask, 0)


def _checked(emissions: Tensor, mask: Tensor) -> Tensor:
    """Return emissions in float32 or more; ValueError where the mask is not one of right-padded, non-empty rows."""
    lengths = mask.sum(1)
    if not lengths.all():
        raise ValueError(f"row {int((lengths == 0).nonzero()[0])} of the batch has no words; a CRF needs at least one")
    if not torch.equal(mask, mask_of(lengths, mask.shape[1])):
        raise ValueError("the mask of a CRF is True first, then False; a row here has padding before a word")
    return emissions.to(torch.promote_types(emissions.dtype, torch.float32))


def _steps(emissions: Tensor, mask: Tensor) -> Tensor:
    """Return emissions [L, B, Q] with the tag ``stop``: -inf at words, the only choice (0) after them."""
    padded = F.pad(emissions, (0, 1, 0, 1), value=-torch.inf).transpose(0, 1)
    stopped = F.pad(~mask, (0, 1), value=True).t()
    stop = emissions.new_full((padded.shape[2],), -torch.inf)
    stop[-1] = 0
    return torch.where(stopped[..., None], stop, padded)


def _with_stop(scores: Scores) -> tuple[Tensor, Tensor]:
    """Return start [Q] and transitions [Q, Q] with the tag ``stop``, entered at the cost of an end, never left."""
    moves = F.pad(torch.cat([scores.transitions, scores.end[:, None]], 1), (0, 0, 0, 1), value=-torch.inf)
    moves[-1, -1] = 0
    return F.pad(scores.start, (0, 1), value=-torch.inf), moves


def _path(emissions: Tensor, tags: Tensor, mask: Tensor, scores: Scores) -> Tensor:
    """Return the score of given tags, [B]."""
    tags = tags.masked_fill(~mask, 0)
    emitted = emissions.gather(2, tags[..., None])[..., 0].masked_fill(~mask, 0.0).sum(1)
    moved = scores.transitions[tags[:, :-1], tags[:, 1:]].masked_fill(~mask[:, 1:], 0.0).sum(1)
    last = tags.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
    return scores.start[tags[:, 0]] + emitted + moved + scores.end[last]


class _Chains(NamedTuple):
    """Both recursions over a batch, in probability space."""

    log_partition: Tensor
    """[B]"""
    unary: Tensor
    """[L, B, Q]: the marginals."""
    alpha: Tensor
    """[L, B, Q]: the forward probabilities, scaled to a sum of 1 at every step."""
    onward: Tensor
    """[L, B, Q]: ``x_t beta_t / total_t``, so that the marginal of a transition is ``alpha_t-1 E onward_t``."""
    moves: Tensor
    """[Q, Q]: E, the transitions as factors."""
    exact: Tensor
    """[B] bool: nothing that counts has underflowed. What underflows is below 1e-37, beside factors of at most 1,
    so it is nothing beside ``total_t``, the scaled mass of all paths, where that is above 1e-28 at every step."""


@torch.no_grad()
def _chains(steps: Tensor, scores: Scores) -> _Chains:
    """Run both recursions over ``steps`` [L, B, Q]."""
    tags = steps.shape[2]
    tops = Scores(*(part.amax() for part in scores))  # taken out, so that no factor is above 1
    start, moves = _with_stop(Scores(*(part - top for part, top in zip(scores, tops, strict=True))))
    start, moves = start.exp(), moves.exp()
    peaks = steps.amax(2, keepdim=True)
    x = (steps - peaks).exp_()
    begin = torch.cat([start, start.new_zeros(tags)])
    begin[-1] = 1  # the backward chain begins with "stop"
    block = torch.cat([F.pad(moves, (0, tags)), F.pad(moves.t(), (tags, 0))])
    before, states, scales = _recur(torch.cat([x, x.flip(0)], 2), begin, block)
    onward = before[..., tags:].flip(0).mul_(x)
    unary = before[..., :tags] * onward
    total = unary.sum(2, keepdim=True)  # [L, B, 1]
    taken = tops.start + tops.end + tops.transitions * (torch.isneginf(steps[..., -1]).sum(0) - 1)
    log_partition = scales.log().sum(0) + peaks.sum((0, 2)) + taken
    exact = (total > 1e-28).all(0)[:, 0]
    return _Chains(log_partition, unary.div_(total), states[..., :tags], onward.div_(total), moves, exact)


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


class _LogPartition(torch.autograd.Function):
    """log Z [B]; its gradient is the expected count of each emission and transition (Lafferty et al. 2001)."""

    @staticmethod
    def forward(ctx: Any, chains: _Chains, *_of: Tensor) -> Tensor:
        """``_of`` is what the gradient belongs to: emissions [B, T, K], then the three of Scores."""
        ctx.chains = chains
        return chains.log_partition.clone()  # the output must not be what ctx holds: each would keep the other alive

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """``gradient`` [B]."""
        chains: _Chains = ctx.chains
        weight = gradient[:, None]  # [B, 1]
        unary = chains.unary[:-1, :, :-1] * weight
        onward = chains.onward[1:] * weight
        pairs = (chains.alpha[:-1].flatten(0, 1).t() @ onward.flatten(0, 1)) * chains.moves  # [Q, Q]
        return None, unary.transpose(0, 1), pairs[:-1, :-1], unary[0].sum(0), pairs[:-1, -1]


def _log_partition(steps: Tensor, scores: Scores) -> Tensor:
    """Return log Z [B] by the forward recursion in log space, for autograd: slow, and right for any scores."""
    start, moves = _with_stop(scores)
    steps, start, moves = (part.clamp(min=LOWEST) for part in (steps, start, moves))
    alpha = start + steps[0]
    for step in steps[1:].unbind():
        alpha = torch.logsumexp(alpha[:, :, None] + moves, 1) + step
    log_partition = torch.logsumexp(alpha, 1)
    return log_partition.masked_fill(log_partition < LOWEST / 2, -torch.inf)


def _log_marginals(steps: Tensor, scores: Scores) -> Tensor:
    """Return the marginals [L, B, Q] as the gradient of log Z in log space; 0 where the rules allow no path."""
    with torch.inference_mode(False), torch.enable_grad():
        steps = steps.clone().requires_grad_()
        log_partition = _log_partition(steps, Scores(*(part.clone() for part in scores)))
        (unary,) = torch.autograd.grad(log_partition.sum(), steps)
    return unary
