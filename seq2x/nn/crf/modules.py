"""The chain as modules: rules alone, or scores that are learnt. What other rooms use; knows no recursion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2x.nn.crf.chains import ImpossibleError, Scores, checked
from seq2x.nn.crf.decoding import Best, best_path, best_paths
from seq2x.nn.crf.likelihood import Counts, Expected, Likelihood, Path, paths
from seq2x.nn.crf.posterior import Posterior


class Legal(NamedTuple):
    """Which tag may follow which; True = legal."""

    transitions: Tensor
    """[K, K] bool, from row to column."""
    start: Tensor
    """[K] bool"""
    end: Tensor
    """[K] bool"""


class Rules(nn.Module):
    """A chain that knows what is legal and learns nothing: decodes the log-probabilities of a softmax.

    Emissions are [B, T, K] of any float type; all recursions run in at least float32, and results at prediction are as
    exact as their type: hand over float64 where that matters. ``mask`` [B, T] bool is True at real words, which come
    first; a row without a word is refused (ValueError).

    ``allowed`` [B, T, K] bool, any value at padding, says which tags a word may have: a word with one is forced, a word
    with all is free. Every answer is then given that. Where no sequence is legal and allowed, ImpossibleError (a
    DataError and a ValueError) names the row.
    """

    rule_transitions: Tensor
    rule_start: Tensor
    rule_end: Tensor

    def __init__(self, legal: Legal) -> None:
        super().__init__()
        for name, part in legal._asdict().items():
            rule = torch.zeros(part.shape).masked_fill(~part, -torch.inf)
            self.register_buffer(f"rule_{name}", rule, persistent=False)

    def scores(self) -> Scores:
        """Return 0 where legal, -inf elsewhere."""
        return Scores(self.rule_transitions, self.rule_start, self.rule_end)

    def viterbi(self, emissions: Tensor, mask: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return the best tags, [B, T] long, 0 at padding."""
        emissions = checked(emissions, mask, allowed)
        return best_path(emissions, mask, self._scores_like(emissions))

    def k_best(self, emissions: Tensor, mask: Tensor, k: int, allowed: Tensor | None = None) -> Best:
        """Return the ``k`` best tags and their probabilities given the words: normalised by Z, not within the k."""
        if k < 1:
            raise ValueError(f"k is {k}; expected 1 or more")
        emissions = checked(emissions, mask, allowed)
        scores = self._scores_like(emissions)
        with torch.no_grad(), torch.autocast(emissions.device.type, enabled=False):
            tags, found = best_paths(emissions, mask, scores, k)
            return Best(tags, found - Posterior.of(emissions, mask, scores).log_partition[:, None])

    def posterior(self, emissions: Tensor, mask: Tensor, allowed: Tensor | None = None) -> Posterior:
        """Return what is believed about the batch: ask it for marginals, of tags and segments, and for samples."""
        emissions = checked(emissions, mask, allowed)
        with torch.no_grad(), torch.autocast(emissions.device.type, enabled=False):
            return Posterior.of(emissions, mask, self._scores_like(emissions))

    def marginals(self, emissions: Tensor, mask: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return p(y_t = k), [B, T, K], 0 at padding; no gradient."""
        return self.posterior(emissions, mask, allowed).unary

    def expected(self, emissions: Tensor, mask: Tensor, temperature: float = 1.0) -> Counts:
        """Return how often each score is used: marginals [B, T, K], and sums over the batch; no gradient.

        All scores are divided by ``temperature``. It is the gradient of log Z (Lafferty et al. 2001).
        """
        emissions = checked(emissions, mask) / temperature
        with torch.no_grad(), torch.autocast(emissions.device.type, enabled=False):
            scores = Scores(*(part / temperature for part in self._scores_like(emissions)))
            return paths(emissions.detach(), mask, scores).gradient(emissions.new_ones(len(emissions)))

    def _scores_like(self, emissions: Tensor) -> Scores:
        return Scores(*(part.to(emissions.dtype) for part in self.scores()))


class CRF(Rules):
    """Learns the scores of transitions, of the first tag and of the last."""

    def __init__(self, legal: Legal) -> None:
        super().__init__(legal)
        self.transitions, self.start, self.end = (nn.Parameter(torch.zeros(part.shape)) for part in legal)

    def scores(self) -> Scores:
        """Return what was learnt, -inf where not legal."""
        learnt = (self.transitions, self.start, self.end)
        return Scores(*(part + rule for part, rule in zip(learnt, super().scores(), strict=True)))

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Return log p(``tags``) of each row, [B], in at least float32.

        ``tags`` [B, T] long; -inf where they are not legal. Or [B, T, K] bool, the tags that a word may have, where
        not all is known: the probability of all sequences that it allows (Tsuboi et al. 2008); ImpossibleError where
        none is legal. Any value at padding.
        """
        partial = tags.dtype == torch.bool
        narrowed = checked(emissions, mask, tags if partial else None)
        emissions = checked(emissions, mask) if partial else narrowed
        with torch.autocast(emissions.device.type, enabled=False), torch.no_grad():
            scores = self._scores_like(emissions)
            right = paths(narrowed, mask, scores) if partial else Path(emissions, tags, mask, scores)
            free = paths(emissions, mask, scores)
        impossible = torch.isneginf(right.value) if partial else None
        if impossible is not None and impossible.any():
            raise ImpossibleError(int(impossible.nonzero()[0]), "no sequence of the tags it allows is legal")
        likelihood: Tensor = Likelihood.apply(  # type: ignore[no-untyped-call]
            right, free, emissions, self.transitions, self.start, self.end)
        return likelihood

    def cross_entropy(self, counts: Counts, emissions: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
        """Return - sum_y q(y) log p(y), summed over rows, all scores divided by ``temperature``; a scalar.

        q is given by its expected ``counts``, as :meth:`Rules.expected` says them, and may be a mixture of chains:
        as log p is linear in the scores but for log Z, no more of q matters (Wang et al. 2021, equation 5).
        """
        emissions = checked(emissions, mask) / temperature
        with torch.autocast(emissions.device.type, enabled=False):
            learnt = [part / temperature for part in (self.transitions, self.start, self.end)]
            with torch.no_grad():
                scores = Scores(*(part / temperature for part in self._scores_like(emissions)))
                right, free = Expected(counts, emissions, scores), paths(emissions, mask, scores)
            likelihood: Tensor = Likelihood.apply(right, free, emissions, *learnt)  # type: ignore[no-untyped-call]
        return -likelihood.sum()
