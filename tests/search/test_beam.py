"""The search on hand-written tables, against brute force and an independent greedy."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seq2x.batch import Rows
from seq2x.search import Hypothesis, Normaliser, Ranking, beam_search

PAD, BOS, EOS = 0, 2, 3
VOCABULARY = 7


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


@pytest.mark.parametrize("norm", [Normaliser("gnmt", 0.6), Normaliser("gnmt", 1.0), Normaliser("average", 1.0),
                                  Normaliser("none")])
def test_a_wide_beam_finds_what_brute_force_finds(norm: Normaliser) -> None:
    memory, state = start(3)
    limits = torch.tensor([4, 3, 1])
    found = beam_search(step, memory, state, limits, 200, bos=BOS, eos=EOS, ranking=Ranking(norm), n_best=5)
    for sentence, limit in enumerate(limits.tolist()):
        words = range(4, VOCABULARY)
        outputs = [tokens for length in range(limit) for tokens in itertools.product(words, repeat=length)]
        scored = [(score_of(memory, state, sentence, tokens) / norm(len(tokens) + 1), tokens) for tokens in outputs]
        best = sorted(scored, reverse=True)[:5]
        assert [hypothesis.tokens for hypothesis in found[sentence]] == [tokens for _, tokens in best]
        assert [hypothesis.score for hypothesis in found[sentence]] == pytest.approx([score for score, _ in best])


def greedy(memory: Table, state: Count, sentence: int, limit: int) -> tuple[int, ...]:
    """Written without the search: the likeliest token until the end symbol or the limit."""
    rows = torch.tensor([sentence])
    own, now, tokens = memory.select(rows), state.select(rows), [BOS]
    while len(tokens) < limit:
        log_probs, _, now = step(own, now, torch.tensor(tokens[-1:]))
        following = int(log_probs[0].argmax())
        if following == EOS:
            break
        tokens.append(following)
    return tuple(tokens[1:])


@pytest.mark.parametrize("seed", range(10))
def test_beam_1_is_greedy(seed: int) -> None:
    memory, state = start(20, seed)
    limits = torch.randint(1, 12, (20,), generator=torch.Generator().manual_seed(seed))
    found = beam_search(step, memory, state, limits, 1, bos=BOS, eos=EOS)
    for sentence, limit in enumerate(limits.tolist()):
        assert found[sentence][0].tokens == greedy(memory, state, sentence, limit)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_sentences_do_not_know_each_other_and_scores_are_those_of_the_tokens(beam: int) -> None:
    memory, state = start(30)
    limits = torch.arange(1, 31) % 9 + 1
    norm = Normaliser("gnmt", 1.0)
    together = beam_search(step, memory, state, limits, beam, bos=BOS, eos=EOS, ranking=Ranking(norm), n_best=beam)
    for sentence in range(30):
        rows = torch.tensor([sentence])
        alone = beam_search(step, memory.select(rows), state.select(rows), limits[rows], beam, bos=BOS, eos=EOS,
                            ranking=Ranking(norm), n_best=beam)[0]
        assert [found[:3] for found in alone] == [found[:3] for found in together[sentence]]
        for found in alone:
            assert found.log_prob == pytest.approx(score_of(memory, state, sentence, found.tokens))
            assert found.score == pytest.approx(found.log_prob / norm(len(found.tokens) + 1))
            assert len(found.tokens) < limits[sentence]
            assert EOS not in found.tokens


def test_stopping_early_loses_nothing() -> None:
    """The bound is safe: the best of a search that stops early is the best of the search run to its end."""
    for seed in range(20):
        memory, state = start(4, seed)
        limits, norm = torch.tensor([9, 9, 9, 9]), Normaliser("gnmt", 1.0)
        early = beam_search(step, memory, state, limits, 4, bos=BOS, eos=EOS, ranking=Ranking(norm), n_best=1)
        full = beam_search(step, memory, state, limits, 4, bos=BOS, eos=EOS, ranking=Ranking(norm), n_best=4)
        assert [found[0].tokens for found in early] == [found[0].tokens for found in full]


def test_attention_has_a_row_for_every_token_and_the_end() -> None:
    memory, state = start(9)
    for found in beam_search(step, memory, state, torch.full((9,), 6), 3, bos=BOS, eos=EOS, attention=True):
        attention = found[0].attention
        assert attention is not None
        assert attention.argmax(-1).tolist() == [BOS, *found[0].tokens]  # what the step attends to: its last token


def test_a_filter_forbids() -> None:
    memory, state = start(5)

    def without_4(log_probs: Tensor, tokens: Tensor, sentences: Tensor) -> Tensor:
        assert log_probs.shape[0] == tokens.shape[0] == len(sentences)
        return log_probs.index_fill(1, torch.tensor([4]), -torch.inf)

    found = beam_search(step, memory, state, torch.full((5,), 8), 3, bos=BOS, eos=EOS, filters=[without_4])
    assert all(4 not in hypotheses[0].tokens for hypotheses in found)


def test_normalisers() -> None:
    assert Normaliser("gnmt", 1.0)(1) == 1.0
    assert Normaliser("gnmt", 0.5)(7) == pytest.approx(math.sqrt(2))
    assert Normaliser("average", 2.0)(3) == 9.0
    assert Normaliser("none", 2.0)(3) == 1.0
    with pytest.raises(ValueError, match="0 or more; found -1"):
        Normaliser("gnmt", -1)


def test_n_best_cannot_exceed_the_beam() -> None:
    memory, state = start(1)
    with pytest.raises(ValueError, match="between 1 and the beam size 2; found 3"):
        beam_search(step, memory, state, torch.tensor([3]), 2, bos=BOS, eos=EOS, n_best=3)


def test_hypotheses_that_have_ended_are_never_extended() -> None:
    memory, state = start(8)
    found = beam_search(step, memory, state, torch.full((8,), 7), 6, bos=BOS, eos=EOS, n_best=6)
    for hypotheses in found:
        assert len({hypothesis.tokens for hypothesis in hypotheses}) == len(hypotheses)
        assert all(isinstance(hypothesis, Hypothesis) for hypothesis in hypotheses)
