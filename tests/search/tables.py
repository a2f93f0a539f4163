"""Hand-written transition tables to search in, and what an output scores in them, one step at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2x.batch import Rows

PAD, BOS, EOS = 0, 2, 3
VOCABULARY = 7
WORDS = range(4, VOCABULARY)


@dataclass(frozen=True)
class Table(Rows):
    """The memory: a transition table of its own for each sentence, [B, V, V] log-probabilities."""

    log_probs: Tensor


@dataclass(frozen=True)
class Count(Rows):
    """The state: how many steps this hypothesis has made, and the sum of its tokens (so that order matters)."""

    steps: Tensor
    total: Tensor


def step(memory: Table, state: Count, tokens: Tensor) -> tuple[Tensor, Tensor, Count]:
    beam = len(tokens) // memory.rows
    rows = torch.arange(memory.rows).repeat_interleave(beam)
    shift = (state.total % 3).to(torch.float64)[:, None] * torch.linspace(-0.3, 0.3, VOCABULARY, dtype=torch.float64)
    log_probs = (memory.log_probs[rows, tokens] + shift).log_softmax(-1)
    attention = torch.nn.functional.one_hot(tokens, VOCABULARY).double()
    return log_probs, attention, Count(state.steps + 1, state.total + tokens)


def start(sentences: int, seed: int = 0) -> tuple[Table, Count]:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(sentences, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64)
    table[:, :, [PAD, 1, BOS]] = -torch.inf
    zeros = torch.zeros(sentences, dtype=torch.long)
    return Table(table), Count(zeros, zeros)


def score_of(memory: Table, state: Count, sentence: int, tokens: tuple[int, ...]) -> float:
    """The log-probability of an output, one step at a time."""
    rows = torch.tensor([sentence])
    own, now, total = memory.select(rows), state.select(rows), 0.0
    for last, following in itertools.pairwise([BOS, *tokens, EOS]):
        log_probs, _, now = step(own, now, torch.tensor([last]))
        total += float(log_probs[0, following])
    return total


def outputs(limit: int) -> list[tuple[int, ...]]:
    """Every output of at most ``limit`` tokens, the end symbol counted."""
    return [tokens for length in range(limit) for tokens in itertools.product(WORDS, repeat=length)]


def looked_at(tokens: tuple[int, ...]) -> Tensor:
    """The attention of an output: each step looks at its last token, [|Y|, V]."""
    return torch.nn.functional.one_hot(torch.tensor([BOS, *tokens]), VOCABULARY).double()
