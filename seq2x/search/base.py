"""What every search works with: steps, filters, scores, and the rows that are still at work. Knows no model."""

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
"""(memory of B rows, state of N = B K rows, last tokens [N]) -> (log_probs [N, V], attention [N, T] | None, state)

The log-probabilities are the search's to change.
"""

Filter = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(log_probs [N, V], tokens so far [N, t], the sentence of each [N]) -> log_probs, -inf where a token is forbidden."""

LengthNorm = Literal["gnmt", "average", "none"]

STRONGEST = 20.0
"""Length penalty at most: no length that an output can have, to this power, is beyond a float."""
LEAST = 1e-6
"""Attention that a source token has at least in the coverage penalty, or one token without any would be all of it."""


class Hypothesis(NamedTuple):
    """One finished output."""

    tokens: tuple[int, ...]
    """Without begin and end symbols."""
    score: float
    """log_prob / normaliser(|Y|) + penalty, |Y| counting the end symbol."""
    log_prob: float
    """Sum of the log-probabilities of the tokens and of the end symbol."""
    attention: Tensor | None = None
    """[|Y|, T], the end symbol's row last, where it was asked for; T without padding where that is known."""
    penalty: float = 0.0
    """The coverage penalty, 0 or less."""


@dataclass(frozen=True)
class Normaliser:
    """What a log-probability is divided by.

    ``gnmt``: ((5 + |Y|) / 6) ** alpha (Wu et al. 2016, equation 14); ``average``: |Y| ** alpha; ``none``: 1.
    """

    kind: LengthNorm = "gnmt"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= STRONGEST:
            raise ValueError(f"the length penalty must be from 0 to {STRONGEST:g}; found {self.alpha}")

    def __call__(self, length: int) -> float:
        """``length`` counts the end symbol."""
        if self.kind == "none":
            return 1.0
        base: float = (5 + length) / 6 if self.kind == "gnmt" else length
        return float(base**self.alpha)


@dataclass(frozen=True)
class Ranking:
    """How finished outputs are compared: by a normalised log-probability, and a coverage penalty where wished."""

    normalise: Normaliser = Normaliser()
    coverage: float = 0.0
    """beta of :func:`coverage_penalty`; 0 = none."""

    def __post_init__(self) -> None:
        if self.coverage < 0:
            raise ValueError(f"the coverage penalty must be 0 or more; found {self.coverage}")

    def bound(self, log_prob: float, limit: int) -> float:
        """The score that no continuation of a hypothesis can exceed.

        Log-probabilities only fall, from 0; every normaliser is largest at the length limit; a coverage penalty is 0
        at best. So it is safe for each kind of normalisation.
        """
        return log_prob / self.normalise(limit)

    def rank(self, tokens: tuple[int, ...], log_prob: float, attention: Tensor | None) -> Hypothesis:
        """Return the finished output with its score; a coverage penalty needs ``attention`` [|Y|, T]."""
        penalty = 0.0
        if self.coverage:
            if attention is None:
                raise ValueError("a coverage penalty needs a step that returns attention")
            penalty = coverage_penalty(attention, self.coverage)
        score = log_prob / self.normalise(len(tokens) + 1) + penalty
        return Hypothesis(tokens, score, log_prob, attention, penalty)


def coverage_penalty(attention: Tensor, beta: float) -> float:
    """Return beta * sum_i log(min(sum_j p_ij, 1)) of ``attention`` [|Y|, T], without padding (Wu et al. 2016, eq. 14).

    The end symbols of both sides count; a sum below 1e-6 is taken for that.
    """
    return beta * float(attention.double().sum(0).clamp(LEAST, 1.0).log().sum())


class Live(Generic[M, S]):
    """The part of a search that is at work: rows of sentences, each with ``width`` hypotheses."""

    def __init__(
        self, memory: M, state: S, limits: Tensor, width: int, bos: int, source: Tensor | None, attention: bool
    ) -> None:
        rows, device = len(limits), limits.device
        self.memory, self.limits, self.width = memory, limits, width
        self.state = state.select(torch.arange(rows, device=device).repeat_interleave(width))
        self.tokens = torch.full((rows * width, 1), bos, device=device)
        self.attention: Tensor | None = None
        self.index = list(range(rows))  # the sentence of each row; -1 = done, kept for the row count only
        self.length = 0
        self._sentences = torch.arange(rows, device=device).repeat_interleave(width)
        self._remembers = attention
        self._lengths = None if source is None else source.sum(1).tolist()

    def step(self, step: Step[M, S], filters: Sequence[Filter]) -> Tensor:
        """Return the filtered log-probabilities [N, V] of the next token of each hypothesis."""
        log_probs, weights, self.state = step(self.memory, self.state, self.tokens[:, -1])
        for forbid in filters:
            log_probs = forbid(log_probs, self.tokens[:, 1:], self._sentences)
        if self._remembers and weights is not None:
            now = weights[:, None]
            self.attention = now if self.attention is None else torch.cat([self.attention, now], 1)
        self.length += 1
        return log_probs

    def attended(self, row: int, slot: int) -> Tensor | None:
        """The attention [t, T] of a hypothesis so far, without what the batch has padded."""
        if self.attention is None:
            return None
        weights = self.attention[row * self.width + slot]
        length = None if self._lengths is None else self._lengths[self.index[row]]
        return weights[:, :length].clone()

    def release(self) -> Tensor | None:
        """Drop rows that are done, in multiples of 8; return which rows stay, None = all, of those that there were."""
        going = [row for row, sentence in enumerate(self.index) if sentence >= 0]
        if not going:
            self.index = []
            return None
        size = min(len(self.index), len(going) + -len(going) % ROW_MULTIPLE)
        if size == len(self.index):
            return None
        kept = going + [row for row, sentence in enumerate(self.index) if sentence < 0][: size - len(going)]
        rows = torch.tensor(kept, device=self.limits.device)
        slots = (rows[:, None] * self.width + torch.arange(self.width, device=rows.device)).view(-1)
        self.memory, self.state = self.memory.select(rows), self.state.select(slots)
        self.tokens, self._sentences, self.limits = self.tokens[slots], self._sentences[slots], self.limits[rows]
        self.attention = None if self.attention is None else self.attention[slots]
        self.index = [self.index[row] for row in kept]
        return rows
