"""What a chain believes about one batch: marginals of tags, of segments, samples of paths. Knows no task.

Given everything to its left, a tag's probabilities are ``alpha``; what may come after it weighs as much as ``ahead``.
All is kept as logarithms, and every probability is a product of factors near by: no large numbers are subtracted, so
that a span of a long sentence is as exact as one of a short.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seq2x.nn.crf.chains import LogChains, Scores, in_log_space, inexact, refuse, relative, run, with_steps
from seq2x.nn.crf.fast import Passes, kernels, passes


class Segments(NamedTuple):
    """Stretches of rows, each with the tags that it is to have; S of them, M words in the longest."""

    rows: Tensor
    """[S] long"""
    start: Tensor
    """[S] long: the first word."""
    stop: Tensor
    """[S] long: the word behind the last."""
    tags: Tensor
    """[S, M] long; any value from ``stop - start`` on."""
    before: Tensor
    """[S, K] bool: which tags may stand just before, where something does."""
    after: Tensor
    """[S, K] bool: which tags may stand just after, where something does."""


class Posterior(NamedTuple):
    """The distribution over the paths of each row. No gradient."""

    log_partition: Tensor
    """[B]: log Z, of the paths that are legal and allowed."""
    unary: Tensor
    """[B, T, K]: p(y_t = k), 0 at padding."""
    alpha: Tensor
    """[B, T, K]: log p(y_t = k | words up to t)."""
    ahead: Tensor
    """[B, T, K]: the log of how well tag k and the words from t on go together, relative to the other tags."""
    scales: Tensor
    """[B, T]: the log of what alpha was divided by."""
    meeting: Tensor
    """[B, T]: the log of ``sum alpha_t E ahead_t+1``, by which the marginals were divided."""
    local: Tensor
    """[B, T, K]: emissions, relative to the greatest of their word."""
    scores: Scores
    """Relative to the greatest of each kind."""
    lengths: Tensor
    """[B]"""

    @staticmethod
    @torch.no_grad()
    def of(emissions: Tensor, mask: Tensor, scores: Scores) -> Posterior:
        """-inf among the ``emissions`` [B, T, K] forbids a tag. ImpossibleError names a row without any path."""
        module = kernels(emissions)
        found, exact = (_in_torch(emissions, mask, scores) if module is None
                        else _compiled(passes(module, emissions, mask.sum(1), scores)))
        rows = inexact(exact)
        if rows is not None:
            right = _of_chains(in_log_space(with_steps(emissions[rows], mask[rows]), scores))
            for part, values in zip(found, right, strict=True):
                part[rows] = values.to(part.dtype)
        refuse(found.log_partition, emissions, mask)
        local = emissions - emissions.amax(2, keepdim=True)
        return Posterior(*found, local.masked_fill(~mask[..., None], 0.0), relative(scores)[1], mask.sum(1))

    def segments(self, segments: Segments) -> Tensor:
        """Return the probability of each segment, [S]: its tags, and none forbidden just before or after."""
        rows, first, last = segments.rows, segments.start, segments.stop - 1
        if not len(rows):
            return self.unary.new_zeros(0)
        places = torch.arange(segments.tags.shape[1], device=rows.device)
        inside = places < (segments.stop - first)[:, None]  # [S, M]
        tags = segments.tags.masked_fill(~inside, 0)
        words = (first[:, None] + places).clamp(max=self.local.shape[1] - 1)
        factors = self.local[rows[:, None], words, tags] - self.scales[rows[:, None], words]
        factors[:, 1:] += self.scores.transitions[tags[:, :-1], tags[:, 1:]]
        # a running sum, so that the bits do not depend on the longest segment
        own = factors.masked_fill(~inside, 0.0).cumsum(1)[:, -1]
        total = self._into(rows, first, tags[:, 0], segments.before) + own
        final = tags.gather(1, (last - first)[:, None])[:, 0]
        total = total + self._out_of(rows, last, final, segments.after) - self.meeting[rows, last]
        return total.exp().clamp(max=1)

    def _into(self, rows: Tensor, first: Tensor, tags: Tensor, before: Tensor) -> Tensor:
        """The log of the mass that enters ``tags`` [S] at the words ``first`` [S] from the tags of ``before``."""
        entering = self.alpha[rows, first - 1] + self.scores.transitions.t()[tags]  # [S, K]
        entering = torch.logsumexp(entering.masked_fill(~before, -torch.inf), 1)
        return torch.where(first == 0, self.scores.start[tags], entering)

    def _out_of(self, rows: Tensor, last: Tensor, tags: Tensor, after: Tensor) -> Tensor:
        """The same for what leaves ``tags`` at ``last`` for the tags of ``after``."""
        following = (last + 1).clamp(max=self.ahead.shape[1] - 1)
        leaving = self.scores.transitions[tags] + self.ahead[rows, following]  # [S, K]
        leaving = torch.logsumexp(leaving.masked_fill(~after, -torch.inf), 1)
        return torch.where(last + 1 == self.lengths[rows], self.scores.end[tags], leaving)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw paths independently: [B, count, T] long, 0 at padding. Backward, from what alpha knows."""
        rows, length, _ = self.alpha.shape
        chance = torch.rand(rows, count, length, generator=generator, dtype=self.alpha.dtype,
                            device=self.alpha.device)
        into = self.scores.transitions.t()
        tags = torch.zeros(rows, count, dtype=torch.long, device=self.alpha.device)
        drawn = []
        for word in range(length - 1, -1, -1):
            ending = torch.eq(self.lengths, word + 1)[:, None, None]
            weights = self.alpha[:, word, None] + torch.where(ending, self.scores.end, into[tags])  # [B, count, K]
            mass = (weights - weights.amax(2, keepdim=True)).exp().cumsum(2)
            all_mass = mass[..., -1:]
            # below the whole mass, whatever rounding does, so that no tag of mass 0 is drawn
            target = torch.minimum(chance[..., word, None] * all_mass, torch.nextafter(all_mass, mass.new_zeros(1)))
            tags = (mass <= target).sum(2).masked_fill(torch.le(self.lengths, word)[:, None], 0)
            drawn.append(tags)
        return torch.stack(drawn[::-1], 2)


class _Found(NamedTuple):
    """The first fields of Posterior."""

    log_partition: Tensor
    unary: Tensor
    alpha: Tensor
    ahead: Tensor
    scales: Tensor
    meeting: Tensor


def _in_torch(emissions: Tensor, mask: Tensor, scores: Scores) -> tuple[_Found, Tensor]:
    chains = run(emissions, mask, scores)
    states, onward, unary = (part[:-1, :, :-1].transpose(0, 1) for part in (chains.states, chains.onward, chains.unary))
    scales = chains.scales.log().t()  # [B, L]
    # onward was divided by what states meet, but for the last word, whose end is not relative to what meets there
    meeting = torch.where(_last(mask), scales[:, 1:], -scales[:, :-1])
    return _Found(chains.log_partition, unary, states.log() - scales[:, :-1, None], onward.log(), scales[:, :-1],
                  meeting), chains.exact


def _last(mask: Tensor) -> Tensor:
    """Return where the last word of each row is, [B, T] bool."""
    following = torch.cat([mask[:, 1:], mask.new_zeros(len(mask), 1)], 1)
    return mask & ~following


def _of_chains(found: LogChains) -> _Found:
    """Leave out the tag ``stop``, rows first."""
    alpha, ahead, unary = (part[:-1, :, :-1].transpose(0, 1) for part in (found.alpha, found.ahead, found.unary))
    scales, total = (part[:-1].t() for part in (found.scales, found.total))
    return _Found(found.log_partition, unary, alpha, ahead, scales, total - scales)


def _compiled(found: Passes) -> tuple[_Found, Tensor]:
    logs = (part.log() for part in (found.alpha, found.ahead, found.scales, found.meeting))
    return _Found(found.log_partition, found.unary, *logs), found.exact
