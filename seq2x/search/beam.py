"""Beam search over any step function: it knows no model, only rows, log-probabilities and lengths.

The search, exactly: a sentence has K slots. At every step the best continuations of its live hypotheses fill its free
slots; a continuation that ends keeps its slot for good. The sentence is done when every slot has ended, or as soon as
no live hypothesis can overtake the n best finished ones (see :meth:`seq2x.search.Ranking.bound`, which is safe). At the
limit only the end symbol may follow, so every hypothesis that comes out has ended, and its score is the score of just
these tokens. Greedy search is beam 1. A guide (:mod:`seq2x.search.guided`) chooses the continuations of its sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2x.search.base import Filter, Hypothesis, Live, M, Ranking, S, Step
from seq2x.search.guided import Guide, choose
from seq2x.search.top import top


def beam_search(
    step: Step[M, S],
    memory: M,
    state: S,
    limits: Tensor,
    beam: int,
    *,
    bos: int,
    eos: int,
    never: Sequence[int] = (),
    ranking: Ranking = Ranking(),  # noqa: B008 - frozen
    filters: Sequence[Filter] = (),
    guide: Guide | None = None,
    n_best: int = 1,
    source: Tensor | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Return the ``n_best`` hypotheses of each sentence, best first.

    ``memory`` and ``state`` have one row a sentence (B); ``limits`` [B] long is the greatest length of each output,
    end symbol included, at least 1. The tokens ``never`` are in no output. ``memory`` is never copied for beams; rows
    of it are dropped when sentences are done, in multiples of 8 so that the products of a step keep their bits (see
    :data:`seq2x.batch.ROW_MULTIPLE`).

    ``source`` [B, T] is True at the real source positions: attention is cut to them. A sentence has fewer than
    ``n_best`` hypotheses where there are no more, and none where ``filters`` or ``guide`` leave none.
    """
    if not 1 <= n_best <= beam:
        raise ValueError(f"n_best must lie between 1 and the beam size {beam}; found {n_best}")
    live = Live(memory, state, limits, beam, bos, source, attention or ranking.coverage > 0)
    slots = _Slots(len(limits), beam, eos, torch.tensor(never, dtype=torch.long, device=limits.device))
    finished: list[list[Hypothesis]] = [[] for _ in range(len(limits))]
    while live.index:
        log_probs = live.step(step, filters)
        best, ended = slots.fill(live, log_probs, guide)
        for row, slot in ended.nonzero().tolist():
            if live.index[row] >= 0:
                tokens = tuple(live.tokens[row * beam + slot, 1:-1].tolist())
                found = ranking.rank(tokens, float(best[row, slot]), live.attended(row, slot))
                finished[live.index[row]].append(found)
        slots.close(live, finished, ranking, n_best)
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:n_best] for found in finished]


class _Slots:
    """Of each row the K slots, which live hypotheses and those that have ended share."""

    def __init__(self, rows: int, beam: int, eos: int, never: Tensor) -> None:
        self.beam, self.eos, self.never = beam, eos, never
        device = never.device
        self.scores = torch.full((rows, beam), -torch.inf, device=device)  # -inf: no live hypothesis in this slot
        self.scores[:, 0] = 0.0  # all start equal, so only one of them counts
        self.free = torch.full((rows, 1), beam, device=device)  # slots that no finished hypothesis has taken
        self.places = torch.arange(beam, device=device)

    def fill(self, live: Live[M, S], log_probs: Tensor, guide: Guide | None) -> tuple[Tensor, Tensor]:
        """Extend every live hypothesis by one token; return the scores [B, K] and where a hypothesis has ended."""
        rows, vocabulary = len(live.index), log_probs.shape[1]
        total = log_probs.view(rows, self.beam, vocabulary).add_(self.scores[:, :, None])  # as large as none beside it
        total.index_fill_(2, self.never, -torch.inf)
        at_limit = live.limits <= live.length
        if at_limit.any():
            end = total[at_limit, :, self.eos]
            total[at_limit] = -torch.inf
            total[at_limit, :, self.eos] = end
        best, choice = top(total.view(rows, -1), self.beam)  # [B, K], best first
        if guide is not None:
            self._guide(guide, live, total, best, choice)
        parent, token = choice // vocabulary, choice % vocabulary
        best = best.masked_fill(self.places >= self.free, -torch.inf)
        ended = (token == self.eos) & (best > -torch.inf)
        order = (parent + torch.arange(rows, device=best.device)[:, None] * self.beam).view(-1)
        live.tokens = torch.cat([live.tokens[order], token.view(-1, 1)], 1)
        live.state = live.state.select(order)
        if live.attention is not None:
            live.attention = live.attention[order]
        self.scores = best.masked_fill(ended, -torch.inf)
        self.free = self.free - ended.sum(1, keepdim=True)
        return best, ended

    def _guide(self, guide: Guide, live: Live[M, S], total: Tensor, best: Tensor, choice: Tensor) -> None:
        """Let ``guide`` choose the continuations of its sentences."""
        for row, sentence in enumerate(live.index):
            if sentence < 0 or not guide.guides(sentence):
                continue
            before = [tuple(tokens) for tokens in live.tokens.view(len(best), self.beam, -1)[row, :, 1:].tolist()]
            left = int(live.limits[row]) - live.length
            found = choose(guide, sentence, total[row], before, self.eos, int(self.free[row]), left)
            best[row] = -torch.inf
            for slot, (score, place) in enumerate(found):
                best[row, slot], choice[row, slot] = score, place

    def close(
        self, live: Live[M, S], finished: Sequence[Sequence[Hypothesis]], ranking: Ranking, n_best: int
    ) -> None:
        """Let sentences go that are done, and drop rows once a multiple of 8 of them can leave."""
        best_of_rows = self.scores.amax(1).tolist()
        for row, (sentence, limit, best) in enumerate(
            zip(live.index, live.limits.tolist(), best_of_rows, strict=True)
        ):
            if sentence >= 0:
                bound = ranking.bound(best, limit)
                better = sum(hypothesis.score >= bound for hypothesis in finished[sentence])
                if best == -torch.inf or better >= n_best:
                    live.index[row] = -1
        rows = live.release()
        if rows is not None:
            self.scores, self.free = self.scores[rows], self.free[rows]
