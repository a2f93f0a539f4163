"""The search on hand-written tables, against brute force and an independent greedy."""

from __future__ import annotations

import math

import pytest
import torch
from search.tables import BOS, EOS, Count, Table, looked_at, outputs, score_of, start, step
from torch import Tensor

from seq2x.heads.outputs import MOST
from seq2x.search import STRONGEST, Normaliser, Ranking, beam_search


@pytest.mark.parametrize("norm", [Normaliser("gnmt", 0.6), Normaliser("gnmt", 1.0), Normaliser("average", 1.0),
                                  Normaliser("none")])
def test_a_wide_beam_finds_what_brute_force_finds(norm: Normaliser) -> None:
    memory, state = start(3)
    limits = torch.tensor([4, 3, 1])
    found = beam_search(step, memory, state, limits, 200, bos=BOS, eos=EOS, ranking=Ranking(norm), n_best=5)
    for sentence, limit in enumerate(limits.tolist()):
        scored = [(score_of(memory, state, sentence, tokens) / norm(len(tokens) + 1), tokens)
                  for tokens in outputs(limit)]
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


NORMS = [Normaliser("gnmt", 0.6), Normaliser("gnmt", 2.0), Normaliser("average", 1.0), Normaliser("average", 3.0),
         Normaliser("none")]


@pytest.mark.parametrize("coverage", [0.0, 0.4])
@pytest.mark.parametrize("norm", NORMS)
def test_stopping_early_loses_nothing(monkeypatch: pytest.MonkeyPatch, norm: Normaliser, coverage: float) -> None:
    """The bound is safe for each normalisation: a search that may stop early finds what one to its end finds."""
    ranking = Ranking(norm, coverage)
    for seed in range(12):
        memory, state = start(4, seed)
        found = []
        for bound in (Ranking.bound, lambda *_: float("inf")):
            monkeypatch.setattr(Ranking, "bound", bound)
            found.append(beam_search(step, memory, state, torch.tensor([9, 8, 9, 5]), 4, bos=BOS, eos=EOS, n_best=2,
                                     ranking=ranking))
            monkeypatch.undo()
        for early, full in zip(*found, strict=True):
            assert [one[:3] for one in early] == [one[:3] for one in full]


def test_stopping_early_saves_steps() -> None:
    steps = []

    def counted(memory: Table, state: Count, tokens: Tensor) -> tuple[Tensor, Tensor, Count]:
        steps.append(len(tokens))
        return step(memory, state, tokens)

    memory, state = start(4)
    beam_search(counted, memory, state, torch.full((4,), 200), 4, bos=BOS, eos=EOS)
    assert len(steps) < 100


@pytest.mark.parametrize("beta", [0.2, 3.0])
def test_a_coverage_penalty_ranks_what_brute_force_ranks(beta: float) -> None:
    memory, state = start(3)
    limits, ranking = torch.tensor([4, 3, 1]), Ranking(Normaliser("gnmt", 1.0), beta)
    real = torch.ones(3, 7, dtype=torch.bool)
    real[1, 6] = False  # padding needs no attention
    found = beam_search(step, memory, state, limits, 200, bos=BOS, eos=EOS, ranking=ranking, n_best=5, source=real)
    for sentence, limit in enumerate(limits.tolist()):
        scored = []
        for tokens in outputs(limit):
            sums = looked_at(tokens).sum(0)[real[sentence]].tolist()
            penalty = beta * sum(math.log(min(max(one, 1e-6), 1.0)) for one in sums)
            log_prob = score_of(memory, state, sentence, tokens)
            scored.append((log_prob / ranking.normalise(len(tokens) + 1) + penalty, tokens, penalty))
        best = sorted(scored, reverse=True)[:5]
        assert [hypothesis.tokens for hypothesis in found[sentence]] == [tokens for _, tokens, _ in best]
        assert [hypothesis.score for hypothesis in found[sentence]] == pytest.approx([score for score, *_ in best])
        assert [one.penalty for one in found[sentence]] == pytest.approx([penalty for *_, penalty in best])
        assert all(one.attention is not None and one.attention.shape[1] == int(real[sentence].sum())
                   for one in found[sentence])


def test_what_may_never_come() -> None:
    memory, state = start(6)
    found = beam_search(step, memory, state, torch.full((6,), 7), 4, bos=BOS, eos=EOS, never=(4, 6), n_best=4)
    assert {token for row in found for one in row for token in one.tokens} == {5}


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
    assert math.isfinite(Normaliser("average", STRONGEST)(MOST))
    for wrong in (-1, 300):
        with pytest.raises(ValueError, match=f"from 0 to 20; found {wrong}"):
            Normaliser("gnmt", wrong)


def test_n_best_cannot_exceed_the_beam() -> None:
    memory, state = start(1)
    with pytest.raises(ValueError, match="between 1 and the beam size 2; found 3"):
        beam_search(step, memory, state, torch.tensor([3]), 2, bos=BOS, eos=EOS, n_best=3)


def test_hypotheses_that_have_ended_are_never_extended() -> None:
    """Even though it would cost nothing: behind an end, anything is certain here."""
    memory, state = start(8)
    memory.log_probs[:, EOS] = -100.0
    memory.log_probs[:, EOS, 5] = 0.0
    found = beam_search(step, memory, state, torch.full((8,), 7), 6, bos=BOS, eos=EOS, n_best=6)
    for sentence, hypotheses in enumerate(found):
        assert len(hypotheses) == 6
        assert len({hypothesis.tokens for hypothesis in hypotheses}) == 6
        assert all(EOS not in hypothesis.tokens for hypothesis in hypotheses)
        for one in hypotheses:
            assert one.log_prob == pytest.approx(score_of(memory, state, sentence, one.tokens))


def test_a_coverage_penalty_needs_attention() -> None:
    memory, state = start(1)

    def blind(memory: Table, state: Count, tokens: Tensor) -> tuple[Tensor, None, Count]:
        log_probs, _, state = step(memory, state, tokens)
        return log_probs, None, state

    with pytest.raises(ValueError, match="needs a step that returns attention"):
        beam_search(blind, memory, state, torch.tensor([3]), 2, bos=BOS, eos=EOS, ranking=Ranking(coverage=1.0))
    with pytest.raises(ValueError, match="must be 0 or more; found -1"):
        Ranking(coverage=-1)
