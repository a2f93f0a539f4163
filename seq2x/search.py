"""Beam search over any step function: it knows no model, only rows, log-probabilities and lengths.

The search, exactly: a sentence has K slots. At every step the best continuations of its live hypotheses fill its free
slots; a continuation that ends keeps its slot for good. The sentence is done when every slot has ended, or as soon as
no live hypothesis can overtake the n best finished ones (log-probabilities only fall and the normaliser is largest at
the length limit, so the bound is safe). At the limit only the end symbol may follow, so every hypothesis that comes out
has ended, and its score is the score of just these tokens. Greedy search is beam 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from seq2x.batch import ROW_MULTIPLE, Rows

M = TypeVar("M", bound=Rows)
S = TypeVar("S", bound=Rows)

Step = Callable[[M, S, Tensor], tuple[Tensor, Tensor | None, S]]
"""(memory of B rows, state of N = B K rows, last tokens [N]) -> (log_probs [N, V], attention [N, T] | None, state)"""

Filter = Callable[[Tensor, Tensor], Tensor]
"""(log_probs [N, V], tokens so far [N, t]) -> log_probs [N, V] with -inf where a token is forbidden."""

LengthNorm = Literal["gnmt", "average", "none"]


class Hypothesis(NamedTuple):
    """One finished output."""

    tokens: tuple[int, ...]
    """Without begin and end symbols."""
    score: float
    """log_prob / normaliser(|Y|), |Y| counting the end symbol."""
    log_prob: float
    """Sum of the log-probabilities of the tokens and of the end symbol."""
    attention: Tensor | None = None
    """[|Y|, T], the end symbol's row last, where it was asked for."""


@dataclass(frozen=True)
class Normaliser:
    """What a log-probability is divided by.

    ``gnmt``: ((5 + |Y|) / 6) ** alpha (Wu et al. 2016, equation 14); ``average``: |Y| ** alpha; ``none``: 1.
    """

    kind: LengthNorm = "gnmt"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ValueError(f"the length penalty must be 0 or more; found {self.alpha}")

    def __call__(self, length: int) -> float:
        """``length`` counts the end symbol."""
        if self.kind == "none":
            return 1.0
        base: float = (5 + length) / 6 if self.kind == "gnmt" else length
        return float(base**self.alpha)


def beam_search(
    step: Step[M, S],
    memory: M,
    state: S,
    limits: Tensor,
    beam: int,
    *,
    bos: int,
    eos: int,
    normalise: Normaliser = Normaliser(),
    filters: Sequence[Filter] = (),
    n_best: int = 1,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Return the ``n_best`` hypotheses of each sentence, best first.

    ``memory`` and ``state`` have one row a sentence (B); ``limits`` [B] long is the greatest length of each output,
    end symbol included, at least 1. ``memory`` is never copied for beams; rows of it are dropped when sentences are
    done, in multiples of 8 so that the products of a step keep their bits (see :data:`seq2x.batch.ROW_MULTIPLE`).
    """
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best must lie between 1 and the beam size {beam}; found {n_best}")
    live = _Beam(memory, state, limits, beam, bos, eos)
    finished: list[list[Hypothesis]] = [[] for _ in range(len(limits))]
    while live.index:
        log_probs, weights, live.state = step(live.memory, live.state, live.tokens[:, -1])
        for forbid in filters:
            log_probs = forbid(log_probs, live.tokens[:, 1:])
        if attention and weights is not None:
            live.remember(weights)
        for sentence, hypothesis in live.advance(log_probs, normalise):
            finished[sentence].append(hypothesis)
        live.close(finished, normalise, n_best)
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:n_best] for found in finished]


class _Beam(Generic[M, S]):
    """The live part of one search: rows of sentences, each with K slots."""

    def __init__(self, memory: M, state: S, limits: Tensor, beam: int, bos: int, eos: int) -> None:
        rows, device = len(limits), limits.device
        self.memory, self.limits, self.beam, self.eos = memory, limits, beam, eos
        self.state = state.select(torch.arange(rows, device=device).repeat_interleave(beam))
        self.tokens = torch.full((rows * beam, 1), bos, device=device)
        self.attention: Tensor | None = None
        self.scores = torch.full((rows, beam), -torch.inf, device=device)  # -inf: no live hypothesis in this slot
        self.scores[:, 0] = 0.0  # all start equal, so only one of them counts
        self.free = torch.full((rows, 1), beam, device=device)  # slots that no finished hypothesis has taken
        self.index = list(range(rows))  # the sentence of each row; -1 = done, kept for the row count only
        self.length = 0

    def remember(self, weights: Tensor) -> None:
        """Keep this step's attention [N, T] beside the tokens."""
        step = weights[:, None]
        self.attention = step if self.attention is None else torch.cat([self.attention, step], 1)

    def advance(self, log_probs: Tensor, normalise: Normaliser) -> list[tuple[int, Hypothesis]]:
        """Extend every live hypothesis by one token; return those that ended, with their sentence."""
        self.length += 1
        rows, vocabulary = len(self.index), log_probs.shape[1]
        total = self.scores[:, :, None] + log_probs.view(rows, self.beam, vocabulary)
        at_limit = self.limits <= self.length
        if at_limit.any():
            end = total[at_limit, :, self.eos]
            total[at_limit] = -torch.inf
            total[at_limit, :, self.eos] = end
        best, choice = total.view(rows, -1).topk(self.beam)  # [B, K], best first
        parent, token = choice // vocabulary, choice % vocabulary
        best = best.masked_fill(torch.arange(self.beam, device=best.device) >= self.free, -torch.inf)
        ended = (token == self.eos) & (best > -torch.inf)
        order = (parent + torch.arange(rows, device=best.device)[:, None] * self.beam).view(-1)
        self.tokens = torch.cat([self.tokens[order], token.view(-1, 1)], 1)
        self.state = self.state.select(order)
        if self.attention is not None:
            self.attention = self.attention[order]
        self.scores = best.masked_fill(ended, -torch.inf)
        self.free = self.free - ended.sum(1, keepdim=True)
        return self._take(ended, best, normalise(self.length))

    def _take(self, ended: Tensor, best: Tensor, divisor: float) -> list[tuple[int, Hypothesis]]:
        taken = []
        for row, slot in ended.nonzero().tolist():
            if self.index[row] < 0:
                continue
            log_prob = float(best[row, slot])
            tokens = tuple(self.tokens[row * self.beam + slot, 1:-1].tolist())
            weights = None if self.attention is None else self.attention[row * self.beam + slot].clone()
            taken.append((self.index[row], Hypothesis(tokens, log_prob / divisor, log_prob, weights)))
        return taken

    def close(self, finished: Sequence[Sequence[Hypothesis]], normalise: Normaliser, n_best: int) -> None:
        """Let sentences go that are done, and drop rows once a multiple of 8 of them can leave."""
        for row, (sentence, limit, best) in enumerate(
            zip(self.index, self.limits.tolist(), self.scores.amax(1).tolist(), strict=True)
        ):
            if sentence >= 0:
                bound = best / normalise(limit)  # no continuation of a live hypothesis can score higher
                better = sum(hypothesis.score >= bound for hypothesis in finished[sentence])
                if best == -torch.inf or better >= n_best:
                    self.index[row] = -1
        going = [row for row, sentence in enumerate(self.index) if sentence >= 0]
        if not going:
            self.index = []
            return
        size = min(len(self.index), len(going) + -len(going) % ROW_MULTIPLE)
        if size < len(self.index):
            self._keep(going + [row for row, sentence in enumerate(self.index) if sentence < 0][: size - len(going)])

    def _keep(self, kept: list[int]) -> None:
        rows = torch.tensor(kept, device=self.scores.device)
        slots = (rows[:, None] * self.beam + torch.arange(self.beam, device=rows.device)).view(-1)
        self.memory, self.state = self.memory.select(rows), self.state.select(slots)
        self.tokens, self.scores = self.tokens[slots], self.scores[rows]
        self.limits, self.free = self.limits[rows], self.free[rows]
        self.attention = None if self.attention is None else self.attention[slots]
        self.index = [self.index[row] for row in kept]
