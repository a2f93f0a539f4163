"""Outputs drawn at random: from the right distribution, and the same whatever is drawn beside."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest
import torch
from search.tables import BOS, EOS, outputs, score_of, start, step

from seq2x.search import Normaliser, Ranking, Sampling, beam_search, forced, sample

GNMT = Ranking(Normaliser("gnmt", 1.0))


def generators(sentences: list[int], count: int) -> list[list[Random]]:
    return [[Random(f"{sentence} {draw}") for draw in range(count)] for sentence in sentences]


def test_outputs_are_drawn_as_often_as_they_are_probable() -> None:
    memory, state = start(1)
    found = sample(step, memory, state, torch.tensor([4]), generators([0], 4000), bos=BOS, eos=EOS)[0]
    assert len(found) == 4000
    counts = Counter(one.tokens for one in found)
    # at the limit only the end may follow, so the last step is certain
    expected = {}
    for tokens in outputs(4):
        log_prob = score_of(memory, state, 0, tokens)
        if len(tokens) == 3:
            log_prob -= score_of(memory, state, 0, tokens) - until(memory, state, tokens)
        expected[tokens] = math.exp(log_prob)
    assert sum(expected.values()) == pytest.approx(1)
    for tokens, probability in expected.items():
        assert counts[tokens] / 4000 == pytest.approx(probability, abs=4 * math.sqrt(probability / 4000) + 1e-3)


def until(memory: object, state: object, tokens: tuple[int, ...]) -> float:
    """The log-probability of the tokens without the end."""
    own, now, total, last = memory, state, 0.0, BOS
    for token in tokens:
        log_probs, _, now = step(own, now, torch.tensor([last]))  # type: ignore[arg-type]
        total, last = total + float(log_probs[0, token]), token
    return total


def test_the_same_is_drawn_in_every_batch() -> None:
    memory, state = start(20)
    limits = torch.arange(1, 21) % 9 + 2
    together = sample(step, memory, state, limits, generators([*range(20)], 3), bos=BOS, eos=EOS, ranking=GNMT)
    for sentence in range(20):
        rows = torch.tensor([sentence])
        alone = sample(step, memory.select(rows), state.select(rows), limits[rows], generators([sentence], 3),
                       bos=BOS, eos=EOS, ranking=GNMT)[0]
        assert [one[:3] for one in alone] == [one[:3] for one in together[sentence]]
        for one in alone:
            assert one.log_prob == pytest.approx(score_of(memory, state, sentence, one.tokens))
            assert one.score == pytest.approx(one.log_prob / ((5 + len(one.tokens) + 1) / 6))
            assert len(one.tokens) < limits[sentence]
    assert len({one.tokens for row in together for one in row}) > 20


@pytest.mark.parametrize("sampling", [
    Sampling(temperature=1e-4), Sampling(temperature=5e-324), Sampling(top_k=1), Sampling(top_p=1e-6)])
def test_the_likeliest_alone_is_greedy(sampling: Sampling) -> None:
    memory, state = start(10)
    limits = torch.full((10,), 8)
    drawn = sample(step, memory, state, limits, generators([*range(10)], 2), sampling, bos=BOS, eos=EOS, ranking=GNMT)
    greedy = beam_search(step, memory, state, limits, 1, bos=BOS, eos=EOS, ranking=GNMT)
    for two, (best,) in zip(drawn, greedy, strict=True):
        assert [one.tokens for one in two] == [best.tokens] * 2
        assert two[0].score == pytest.approx(best.score)


def test_what_is_drawn_from() -> None:
    log_probs = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]).log()

    def shares(sampling: Sampling) -> list[list[float]]:
        found = sampling.probabilities(log_probs)
        return (found / found.sum(-1, keepdim=True)).tolist()

    assert shares(Sampling())[1] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert shares(Sampling(temperature=0.5))[0] == pytest.approx([16 / 30, 9 / 30, 4 / 30, 1 / 30])
    assert shares(Sampling(top_k=2)) == [pytest.approx([4 / 7, 3 / 7, 0, 0]), pytest.approx([0, 0, 3 / 7, 4 / 7])]
    assert shares(Sampling(top_p=0.65)) == [pytest.approx([4 / 7, 3 / 7, 0, 0]), pytest.approx([0, 0, 3 / 7, 4 / 7])]
    assert shares(Sampling(top_p=0.75))[0] == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0])
    for settings in ({"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(ValueError, match="expected temperature > 0"):
            Sampling(**settings)


def test_what_may_never_come_is_not_drawn() -> None:
    memory, state = start(4)
    found = sample(step, memory, state, torch.full((4,), 9), generators([*range(4)], 5), bos=BOS, eos=EOS, never=(4, 6),
                   attention=True)
    assert {token for row in found for one in row for token in one.tokens} == {5}
    assert all(one.attention is not None and one.attention.argmax(-1).tolist() == [BOS, *one.tokens]
               for row in found for one in row)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.5, top_k=2, top_p=0.9)])
def test_where_no_token_may_follow_there_is_no_output(sampling: Sampling) -> None:
    memory, state = start(3)
    beginnings = [(5,), (4, 6), (5, 5)]  # 6 may never come
    found = sample(step, memory, state, torch.full((3,), 9), generators([*range(3)], 2), sampling, bos=BOS, eos=EOS,
                   never=(6,), filters=[forced(beginnings)])
    assert [len(row) for row in found] == [2, 0, 2]
    assert all(one.tokens[: len(begin)] == begin for row, begin in zip(found, beginnings, strict=True) for one in row)
