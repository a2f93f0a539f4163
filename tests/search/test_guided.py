"""Demands on outputs: always fulfilled, and with a wide beam the best that there is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pytest
import torch
from search.tables import BOS, EOS, outputs, score_of, start, step

from seq2x.search import beam_search


@dataclass(frozen=True)
class Runs:
    """Of each sentence the runs of tokens that an output must hold, and those that it must not."""

    wanted: Sequence[Sequence[tuple[int, ...]]]
    unwanted: Sequence[Sequence[tuple[int, ...]]]

    def guides(self, sentence: int) -> bool:
        return sentence < len(self.wanted) and bool(self.wanted[sentence] or self.unwanted[sentence])

    def fulfilled(self, sentence: int, tokens: tuple[int, ...]) -> bool:
        return all(holds(tokens, run) for run in self.wanted[sentence]) and not any(
            holds(tokens, run) for run in self.unwanted[sentence])

    def need(self, sentence: int, tokens: tuple[int, ...], ended: bool) -> int | None:
        if any(holds(tokens, run) for run in self.unwanted[sentence]):
            return None
        missing = self._missing(sentence, tokens)
        if ended:
            return None if missing else 0
        return sum(map(len, missing)) - max((begun(tokens, run) for run in missing), default=0)

    def towards(self, sentence: int, tokens: tuple[int, ...]) -> Collection[int]:
        return {run[begun(tokens, run)] for run in self._missing(sentence, tokens)}

    def _missing(self, sentence: int, tokens: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [run for run in self.wanted[sentence] if not holds(tokens, run)]


def holds(tokens: tuple[int, ...], run: tuple[int, ...]) -> bool:
    return any(tokens[place : place + len(run)] == run for place in range(len(tokens) - len(run) + 1))


def begun(tokens: tuple[int, ...], run: tuple[int, ...]) -> int:
    return max(count for count in range(len(run)) if count == 0 or tokens[-count:] == run[:count])


GUIDE = Runs([[(4, 5)], [(6,), (5, 5)], [], [(4, 4, 4)], []], [[], [(4,)], [(5,), (6, 6)], [(6,)], []])
LIMITS = torch.tensor([4, 5, 5, 4, 5])


def test_a_wide_beam_finds_what_brute_force_finds() -> None:
    memory, state = start(5)
    found = beam_search(step, memory, state, LIMITS, 400, bos=BOS, eos=EOS, guide=GUIDE, n_best=3)
    for sentence, limit in enumerate(LIMITS.tolist()):
        allowed = [tokens for tokens in outputs(limit)
                   if not GUIDE.guides(sentence) or GUIDE.fulfilled(sentence, tokens)]
        scored = sorted(((score_of(memory, state, sentence, tokens) / ((5 + len(tokens) + 1) / 6), tokens)
                         for tokens in allowed), reverse=True)[:3]
        assert [one.tokens for one in found[sentence]] == [tokens for _, tokens in scored]
        assert [one.score for one in found[sentence]] == pytest.approx([score for score, _ in scored])


@pytest.mark.parametrize("beam", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(6))
def test_every_output_of_a_narrow_beam_fulfils_all(beam: int, seed: int) -> None:
    memory, state = start(5, seed)
    found = beam_search(step, memory, state, LIMITS + 6, beam, bos=BOS, eos=EOS, guide=GUIDE, n_best=beam)
    for sentence, hypotheses in enumerate(found):
        assert hypotheses
        for one in hypotheses:
            assert not GUIDE.guides(sentence) or GUIDE.fulfilled(sentence, one.tokens)
            assert len(one.tokens) < LIMITS[sentence] + 6
            assert one.log_prob == pytest.approx(score_of(memory, state, sentence, one.tokens))


def test_sentences_without_demands_are_searched_as_without_a_guide() -> None:
    memory, state = start(5)
    plain = beam_search(step, memory, state, LIMITS + 4, 3, bos=BOS, eos=EOS, n_best=3)
    for sentences in (slice(None), slice(4, 5)):
        rows = torch.arange(5)[sentences]
        guide = Runs(GUIDE.wanted[sentences], GUIDE.unwanted[sentences])
        found = beam_search(step, memory.select(rows), state.select(rows), LIMITS[rows] + 4, 3, bos=BOS, eos=EOS,
                            guide=guide, n_best=3)
        assert [one[:3] for one in found[-1]] == [one[:3] for one in plain[4]]


def test_what_cannot_be_fulfilled_gives_nothing() -> None:
    memory, state = start(3)
    guide = Runs([[(4,)], [(5, 5, 5, 5)], []], [[(4,)], [], []])
    found = beam_search(step, memory, state, torch.tensor([6, 4, 6]), 4, bos=BOS, eos=EOS, guide=guide)
    assert [len(hypotheses) for hypotheses in found] == [0, 0, 1]


def test_the_only_way_is_found_however_unlikely() -> None:
    """All but a few continuations are forbidden: more are looked at than the likeliest ones."""
    memory, state = start(1)
    memory.log_probs[:, :, 6] = -40.0
    found = beam_search(step, memory, state, torch.tensor([9]), 2, bos=BOS, eos=EOS,
                        guide=Runs([[(6, 6, 6)]], [[(4,), (5,)]]))
    assert found[0][0].tokens == (6, 6, 6)
