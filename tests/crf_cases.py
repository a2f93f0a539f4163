"""Small chains and their whole distribution by enumeration: what the tests of the CRF compare with."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from seq2x.batch import mask_of
from seq2x.nn.crf import CRF, Legal, Scores

LENGTHS = torch.tensor([4, 1, 3, 5, 2])


class Case(NamedTuple):
    """A CRF with random scores, emissions [5, 5, 3] in rows of 1 to 5 words, legal tags; all float64."""

    crf: CRF
    emissions: Tensor
    tags: Tensor
    mask: Tensor


def legal(size: int, rules: bool) -> Legal:
    """Everything, or: tag 1 neither first nor after tag 0, tag 2 never last."""
    found = Legal(*(torch.ones(shape, dtype=torch.bool) for shape in ((size, size), (size,), (size,))))
    if rules and size > 2:
        found.transitions[0, 1] = found.start[1] = found.end[2] = False
    return found


def case(rules: bool, scale: float = 1.0, seed: int = 0) -> Case:
    torch.manual_seed(seed)
    crf = CRF(legal(3, rules)).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    emissions = torch.randn(5, 5, 3, dtype=torch.float64) * scale
    tags = torch.zeros(5, 5, dtype=torch.long)
    for row, length in enumerate(LENGTHS.tolist()):
        paths, totals = enumerate_paths(emissions[row, :length], crf.scores())
        possible = paths[totals > -torch.inf]
        tags[row, :length] = possible[len(possible) // 2]
    return Case(crf, emissions, tags, mask_of(LENGTHS, 5))


def enumerate_paths(emissions: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """Every path [N, T] for emissions [T, K], and the score of each, [N], with gradients."""
    length, size = emissions.shape
    paths = torch.tensor(list(itertools.product(range(size), repeat=length)))
    totals = scores.start[paths[:, 0]] + scores.end[paths[:, -1]]
    for word in range(length):
        totals = totals + emissions[word, paths[:, word]]
        if word:
            totals = totals + scores.transitions[paths[:, word - 1], paths[:, word]]
    return paths, totals


def random_allowed(generator: torch.Generator, mask: Tensor, tags: Tensor, size: int) -> Tensor:
    """Random sets of tags [B, T, K] that hold ``tags``, and anything at padding."""
    allowed = torch.rand(*mask.shape, size, generator=generator) < 0.6
    return allowed.scatter(2, tags[..., None], True).where(mask[..., None], allowed)
