"""Filters: repetitions and forced beginnings, in the search and by themselves."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from search.tables import BOS, EOS, VOCABULARY, outputs, score_of, start, step

from seq2x.search import Normaliser, Ranking, beam_search, forced, no_repeat

NONE = Ranking(Normaliser("none"))


def runs(tokens: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    return [tokens[place : place + size] for place in range(len(tokens) - size + 1)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_would_repeat_is_forbidden_and_nothing_else(size: int) -> None:
    draw = random.Random(size)
    for length in range(9):
        tokens = torch.tensor([[draw.choice([4, 5, 6]) for _ in range(length)] for _ in range(6)]).view(6, length)
        left = no_repeat(size)(torch.zeros(6, VOCABULARY), tokens, torch.arange(6))
        for row, before in enumerate(tokens.tolist()):
            for token in range(VOCABULARY):
                after = runs((*before, token), size)
                new = not after or after[-1] not in after[:-1]
                assert bool(left[row, token] == 0) == new


@pytest.mark.parametrize("size", [1, 2])
def test_a_wide_beam_without_repetitions_is_brute_force(size: int) -> None:
    memory, state = start(2)
    found = beam_search(step, memory, state, torch.tensor([5, 4]), 300, bos=BOS, eos=EOS, ranking=NONE, n_best=4,
                        filters=[no_repeat(size)])
    for sentence, limit in enumerate((5, 4)):
        allowed = [tokens for tokens in outputs(limit) if len(set(runs(tokens, size))) == len(runs(tokens, size))]
        best = sorted(allowed, key=lambda tokens: -score_of(memory, state, sentence, tokens))[:4]
        assert [one.tokens for one in found[sentence]] == best


def test_a_repetition_is_of_one_token_or_more() -> None:
    with pytest.raises(ValueError, match="found 0"):
        no_repeat(0)


@pytest.mark.parametrize("beam", [1, 3, 300])
def test_outputs_begin_as_they_are_forced_to(beam: int) -> None:
    memory, state = start(12)
    beginnings = [[4, 4, 5], [], [6], [4, 5, 6, 4, 5]] * 2  # and nothing for the last four
    limits = torch.tensor([7] * 12)
    found = beam_search(step, memory, state, limits, beam, bos=BOS, eos=EOS, filters=[forced(beginnings)])
    free = beam_search(step, memory, state, limits, beam, bos=BOS, eos=EOS)
    for sentence, beginning in enumerate([*beginnings, *[[]] * 4]):
        (best,) = found[sentence]
        assert list(best.tokens[: len(beginning)]) == beginning
        assert best.log_prob == pytest.approx(score_of(memory, state, sentence, best.tokens))
        if not beginning:
            assert best[:3] == free[sentence][0][:3]
        if beam == 300 and len(beginning) > 2:
            rest = itertools.chain.from_iterable(
                itertools.product((4, 5, 6), repeat=size) for size in range(7 - len(beginning)))
            norm = Ranking().normalise
            whole = [(*beginning, *tokens) for tokens in rest]
            score = max(score_of(memory, state, sentence, tokens) / norm(len(tokens) + 1) for tokens in whole)
            assert best.score == pytest.approx(score)


def test_what_is_forced_may_repeat() -> None:
    memory, state = start(2)
    found = beam_search(step, memory, state, torch.tensor([9, 9]), 3, bos=BOS, eos=EOS,
                        filters=[no_repeat(2, [4, 0]), forced([[5, 5, 5, 5]])])
    assert found[0][0].tokens[:4] == (5, 5, 5, 5)
    assert len(set(runs(found[0][0].tokens[3:], 2))) == len(runs(found[0][0].tokens[3:], 2))
    assert len(set(runs(found[1][0].tokens, 2))) == len(runs(found[1][0].tokens, 2))
