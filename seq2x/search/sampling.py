"""Outputs drawn at random, token by token. Each has a generator of its own, so that it does not depend on the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from seq2x.search.base import Filter, Hypothesis, Live, M, Ranking, S, Step


@dataclass(frozen=True)
class Sampling:
    """What tokens are drawn from: the probabilities to the power of 1 / temperature, of the most probable ones."""

    temperature: float = 1.0
    top_k: int = 0
    """Only from so many tokens (Fan et al. 2018); 0 = from all. As probable ones as the last of them count too."""
    top_p: float = 1.0
    """Only from the fewest tokens whose probabilities add up to this (Holtzman et al. 2020)."""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"expected temperature > 0, top_k >= 0 and 0 < top_p <= 1; found {self}")

    def probabilities(self, log_probs: Tensor) -> Tensor:
        """``log_probs`` [N, V] -> what is drawn from, [N, V] float64; a row sums to 1, or to less where cut.

        NaN where no token is possible.
        """
        exact = log_probs.double()
        spread = exact - exact.amax(-1, keepdim=True)  # 0 at the top, however cold it is
        probabilities = (spread / self.temperature).softmax(-1)
        if 0 < self.top_k < probabilities.shape[1]:
            least = probabilities.topk(self.top_k).values[:, -1:]
            probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        if self.top_p < 1:
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
            ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            probabilities = probabilities.masked_fill(torch.zeros_like(beyond).scatter(1, places, beyond), 0.0)
        return probabilities


def sample(
    step: Step[M, S],
    memory: M,
    state: S,
    limits: Tensor,
    generators: Sequence[Sequence[Random]],
    sampling: Sampling = Sampling(),
    *,
    bos: int,
    eos: int,
    never: Sequence[int] = (),
    ranking: Ranking = Ranking(),  # noqa: B008 - frozen
    filters: Sequence[Filter] = (),
    source: Tensor | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Return an output for each generator of each sentence, in their order; as many for every sentence.

    A sentence has fewer where ``filters`` and ``never`` leave no token that could follow. The other arguments are those
    of :func:`seq2x.search.beam_search`. Log-probabilities and scores are those of the model, whatever the temperature.
    """
    width = len(generators[0])
    live = Live(memory, state, limits, width, bos, source, attention or ranking.coverage > 0)
    found: list[dict[int, Hypothesis | None]] = [{} for _ in generators]
    sums = [[0.0] * width for _ in generators]
    while live.index:
        log_probs = live.step(step, filters)
        possible = log_probs.index_fill(1, torch.tensor(never, dtype=torch.long, device=limits.device), -torch.inf)
        last = (live.limits <= live.length).repeat_interleave(width)
        if last.any():
            end = possible[last, eos]
            possible[last] = -torch.inf
            possible[last, eos] = end
        draws = [[0.0 if sentence < 0 or slot in found[sentence] else generators[sentence][slot].random()
                  for slot in range(width)] for sentence in live.index]
        tokens = _draw(sampling.probabilities(possible), torch.tensor(draws, dtype=torch.float64).view(-1))
        tokens = tokens.masked_fill((possible == -torch.inf).all(-1), eos)  # none is possible: it ends, as impossible
        live.tokens = torch.cat([live.tokens, tokens[:, None]], 1)
        gained = possible.gather(1, tokens[:, None]).view(-1, width).tolist()
        _take(live, tokens.view(-1, width).tolist(), gained, eos, sums, found, ranking)
        live.release()
    return [[output for slot in range(width) if (output := outputs[slot]) is not None] for outputs in found]


def _take(
    live: Live[M, S], tokens: list[list[int]], gained: list[list[float]], eos: int,
    sums: list[list[float]], found: list[dict[int, Hypothesis | None]], ranking: Ranking,
) -> None:
    """Add up the log-probabilities, keep what has ended, and mark the sentences that are done."""
    for row, sentence in enumerate(live.index):
        if sentence < 0:
            continue
        for slot, token in enumerate(tokens[row]):
            if slot in found[sentence]:
                continue
            sums[sentence][slot] += gained[row][slot]
            if token == eos:
                output = tuple(live.tokens[row * live.width + slot, 1:-1].tolist())
                ranked = ranking.rank(output, sums[sentence][slot], live.attended(row, slot))
                found[sentence][slot] = ranked if ranked.log_prob > -math.inf else None
        if len(found[sentence]) == live.width:
            live.index[row] = -1


def _draw(probabilities: Tensor, draws: Tensor) -> Tensor:
    """The token of each row at which the probabilities, added up, exceed the share ``draws`` [N] of their sum."""
    sums = probabilities.cumsum(-1)
    return torch.searchsorted(sums, (draws.to(sums.device) * sums[:, -1])[:, None], right=True)[:, 0]
