"""How outputs are found with a decoder's step: the settings of a search, and what single outputs must be like."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from seq2x.batch import PAD, Rows
from seq2x.config import Config
from seq2x.search import (
    STRONGEST,
    Filter,
    Guide,
    Hypothesis,
    LengthNorm,
    Normaliser,
    Ranking,
    Sampling,
    Step,
    beam_search,
    forced,
    no_repeat,
    sample,
)

UNK, BOS, EOS = 1, 2, 3
"""Ids that every target vocabulary has (see seq2x.text.vocabulary, whose strings this room does not know)."""
NEVER = (PAD, UNK, BOS)
"""No text would show padding, a second beginning or the unknown, so no score may hold them."""
MOST = 2**24
"""Tokens of any output at most, whatever the ratio: what counts them must not overflow."""
ROOM = 10
"""Tokens that an output may have beside what its source's length, or what is demanded of it, allows."""


class SearchConfig(Config):
    """How outputs are found."""

    beam_size: int = Field(5, ge=1)
    length_norm: LengthNorm = Field("gnmt", description="gnmt: ((5+|Y|)/6)^a (Wu et al. 2016); average: |Y|^a; none")
    length_penalty: float = Field(1.0, ge=0, le=STRONGEST, description="the exponent a")
    coverage_penalty: float = Field(
        0.0, ge=0, le=1000, description="b of b * sum log(min(attention that a source token got, 1)), added to the "
        "score of what has ended (Wu et al. 2016)")
    max_length_ratio: float = Field(2.0, gt=0, description="output tokens at most: ratio * source tokens + 10")
    no_repeat_ngram: int = Field(0, ge=0, description="so many tokens in a row never come twice; 0 = they may")

    @property
    def ranking(self) -> Ranking:
        """How finished outputs are compared."""
        return Ranking(Normaliser(self.length_norm, self.length_penalty), self.coverage_penalty)


class SamplingConfig(Config):
    """How outputs are drawn; the same seed and text give the same output, whatever else is drawn beside."""

    seed: int = 0
    temperature: float = Field(1.0, gt=0, description="above 1 more even, below 1 nearer to the likeliest")
    top_k: int = Field(0, ge=0, description="only from the k likeliest tokens (Fan et al. 2018); 0 = from all")
    top_p: float = Field(1.0, gt=0, le=1, description="only from the likeliest that add up to p (Holtzman et al. 2020)")


class Demands(NamedTuple):
    """What single outputs must be like; each sequence has an entry a sentence, or none at all."""

    beginnings: Sequence[Sequence[int]] = ()
    """The tokens that an output begins with."""
    guide: Guide | None = None
    generators: Sequence[Sequence[Random]] = ()
    """Of each sentence so many as outputs are to be drawn, where they are drawn."""


def find(
    step: Step[Any, Any],
    memory: Rows,
    state: Rows,
    source: Tensor,
    config: SearchConfig,
    *,
    never: tuple[int, ...] = NEVER,
    most: int | None = None,
    count: int | None = None,
    n_best: int = 1,
    attention: bool = False,
    demands: Demands = Demands(),  # noqa: B008 - a tuple
    sampling: SamplingConfig | None = None,
) -> list[list[Hypothesis]]:
    """Return the outputs of each row, best first, or in the order they are drawn in where ``sampling`` says how.

    ``source`` [B, T] is the mask of the source: a row's length limit is its own source's. Rows from ``count`` on are
    padding, and have none. No output holds a token of ``never``, or is longer than ``most``, its end symbol counted.
    """
    count = len(source) if count is None else count
    limits = (source.sum(1) * config.max_length_ratio).clamp(max=MOST).long() + ROOM
    if demands.beginnings or demands.guide is not None:
        limits = torch.maximum(limits, _least(demands, len(source)).to(limits.device) + ROOM)
    if most is not None:
        limits = limits.clamp(max=most)
    limits[count:] = 1
    filters: list[Filter] = []
    if config.no_repeat_ngram:
        filters.append(no_repeat(config.no_repeat_ngram, [*map(len, demands.beginnings), 0]))
    if any(demands.beginnings):
        filters.append(forced(demands.beginnings))
    if sampling is not None:
        width = len(demands.generators[0])
        generators = [*demands.generators, *([Random(0)] * width for _ in range(len(source) - count))]
        drawn = Sampling(sampling.temperature, sampling.top_k, sampling.top_p)
        return sample(step, memory, state, limits, generators, drawn, bos=BOS, eos=EOS, never=never,
                      ranking=config.ranking, filters=filters, source=source, attention=attention)[:count]
    return beam_search(step, memory, state, limits, config.beam_size, bos=BOS, eos=EOS, never=never,
                       ranking=config.ranking, filters=filters, guide=demands.guide, n_best=n_best, source=source,
                       attention=attention)[:count]


def _least(demands: Demands, rows: int) -> Tensor:
    """The tokens that each output has at least, as its demands say, [B]."""
    least = [0] * rows
    for row, tokens in enumerate(demands.beginnings):
        least[row] = len(tokens)
    for row in range(rows if demands.guide is not None else 0):
        if demands.guide is not None and demands.guide.guides(row):
            least[row] += demands.guide.need(row, (), False) or 0
    return torch.tensor(least)
