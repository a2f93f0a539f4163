"""Viterbi, k-best, marginals, segments and samples against enumeration in float64."""

from __future__ import annotations

import pytest
import torch
from crf_cases import LENGTHS, case, enumerate_paths, legal, random_allowed
from torch import Tensor

from seq2x.batch import mask_of
from seq2x.nn.crf import CRF, ImpossibleError, Legal, Rules, Segments, chains

scales = pytest.mark.parametrize("scale", [1.0, 300.0], ids=["probabilities", "log space"])
with_rules = pytest.mark.parametrize("rules", [False, True])
constrained = pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])


class Truth:
    """All paths of a row and their probabilities."""

    def __init__(self, emissions: Tensor, crf: Rules, allowed: Tensor | None) -> None:
        with torch.no_grad():
            self.paths, totals = enumerate_paths(emissions, crf.scores())
        if allowed is not None:
            totals = totals.masked_fill(~allowed[range(len(emissions)), self.paths].all(1), -torch.inf)
        self.probabilities = totals.softmax(0)
        self.log_probs = totals.log_softmax(0)


def _truths(rules: bool, scale: float, constrain: bool) -> tuple[CRF, Tensor, Tensor, Tensor | None, list[Truth]]:
    crf, emissions, tags, mask = case(rules, scale, seed=1)
    allowed = random_allowed(torch.Generator().manual_seed(5), mask, tags, 3) if constrain else None
    truths = [Truth(emissions[row, :length], crf, None if allowed is None else allowed[row, :length])
              for row, length in enumerate(LENGTHS.tolist())]
    return crf, emissions, mask, allowed, truths


@with_rules
@scales
@constrained
def test_marginals_and_viterbi_equal_enumeration(rules: bool, scale: float, constrained: bool) -> None:
    crf, emissions, mask, allowed, truths = _truths(rules, scale, constrained)
    marginals, best = crf.marginals(emissions, mask, allowed), crf.viterbi(emissions, mask, allowed)
    for row, truth in enumerate(truths):
        length = truth.paths.shape[1]
        expected = torch.zeros(5, 3, dtype=torch.float64)
        for tags, probability in zip(truth.paths.tolist(), truth.probabilities, strict=True):
            expected[range(length), tags] += probability
        torch.testing.assert_close(marginals[row], expected)
        assert torch.equal(best[row, :length], truth.paths[truth.log_probs.argmax()])
    assert not best[~mask].any()


@with_rules
@scales
@constrained
@pytest.mark.parametrize("k", [1, 4, 30])
def test_k_best_are_the_k_most_probable(rules: bool, scale: float, constrained: bool, k: int) -> None:
    crf, emissions, mask, allowed, truths = _truths(rules, scale, constrained)
    best = crf.k_best(emissions, mask, k, allowed)
    assert best.tags.shape == (5, k, 5)
    for row, truth in enumerate(truths):
        length = truth.paths.shape[1]
        order = truth.log_probs.argsort(descending=True)
        order = order[torch.isfinite(truth.log_probs[order])][:k]
        torch.testing.assert_close(best.log_probs[row, : len(order)], truth.log_probs[order])
        assert torch.equal(best.tags[row, : len(order), :length], truth.paths[order])
        assert torch.isneginf(best.log_probs[row, len(order) :]).all()
        assert not best.tags[row, len(order) :].any()
    assert not best.tags.transpose(1, 2)[~mask].any()
    assert torch.equal(best.tags[:, 0], crf.viterbi(emissions, mask, allowed))


@with_rules
@scales
@constrained
def test_segments_equal_enumeration(rules: bool, scale: float, constrained: bool) -> None:
    """Every stretch of every row, with random tags and neighbours."""
    crf, emissions, mask, allowed, truths = _truths(rules, scale, constrained)
    places = [(row, start, stop) for row, length in enumerate(LENGTHS.tolist())
              for start in range(length) for stop in range(start + 1, length + 1)] * 4
    generator = torch.Generator().manual_seed(3)
    tags = torch.randint(3, (len(places), 5), generator=generator)
    before, after = torch.rand(2, len(places), 3, generator=generator) < 0.7
    rows, starts, stops = torch.tensor(places).unbind(1)
    found = crf.posterior(emissions, mask, allowed).segments(Segments(rows, starts, stops, tags, before, after))
    expected = []
    for number, (row, start, stop) in enumerate(places):
        paths, probabilities = truths[row].paths, truths[row].probabilities
        there = (paths[:, start:stop] == tags[number, : stop - start]).all(1)
        if start:
            there &= before[number, paths[:, start - 1]]
        if stop < paths.shape[1]:
            there &= after[number, paths[:, stop]]
        expected.append(probabilities[there].sum())
    torch.testing.assert_close(found, torch.stack(expected))
    assert int((found > 0.01).sum()) > 10


def test_no_segments_have_no_probabilities() -> None:
    crf, emissions, _, mask = case(rules=True)
    none = torch.zeros(0, dtype=torch.long)
    few = Segments(none, none, none, torch.zeros(0, 0, dtype=torch.long), *torch.zeros(2, 0, 3, dtype=torch.bool))
    assert crf.posterior(emissions, mask).segments(few).shape == (0,)


@constrained
def test_samples_are_as_frequent_as_they_are_probable(constrained: bool) -> None:
    crf, emissions, mask, allowed, truths = _truths(True, 1.0, constrained)
    posterior = crf.posterior(emissions, mask, allowed)
    drawn = posterior.sample(20000, torch.Generator().manual_seed(0))
    assert drawn.shape == (5, 20000, 5)
    for row, truth in enumerate(truths):
        length = truth.paths.shape[1]
        place = (drawn[row, :, :length] * 3 ** torch.arange(length - 1, -1, -1)).sum(1)
        frequency = torch.bincount(place, minlength=len(truth.paths)) / 20000
        torch.testing.assert_close(frequency.double(), truth.probabilities, atol=0.015, rtol=0)
        assert not frequency[truth.probabilities == 0].any()
        assert not drawn[row, :, length:].any()
    assert torch.equal(drawn, posterior.sample(20000, torch.Generator().manual_seed(0)))


def test_marginals_are_a_distribution_over_legal_tags() -> None:
    crf, emissions, _, mask = case(rules=True)
    emissions[:, 0, 1] += 1e6
    marginals = crf.marginals(emissions, mask)
    torch.testing.assert_close(marginals.sum(2), mask.double())
    assert not marginals[:, 0, 1].any()  # tag 1 is never first
    assert not marginals[range(5), LENGTHS - 1, 2].any()  # tag 2 is never last
    assert (crf.viterbi(emissions, mask)[:, 0] != 1).all()


def test_a_row_without_legal_tags_is_named() -> None:
    crf = CRF(Legal(torch.ones(2, 2, dtype=torch.bool), torch.tensor([True, False]), torch.tensor([False, True])))
    emissions, mask = torch.zeros(2, 2, 2), torch.tensor([[True, True], [True, False]])
    for call in (crf.viterbi, crf.marginals, lambda e, m: crf.k_best(e, m, 2)):
        with pytest.raises(ImpossibleError, match="row 1 of the batch: no sequence of tags of its length is legal"):
            call(emissions, mask)
        call(emissions[:1], mask[:1])
    assert crf.viterbi(emissions[:1], mask[:1]).tolist() == [[0, 1]]


def test_impossible_constraints_name_row_and_word() -> None:
    crf, emissions, _, mask = case(rules=True)
    allowed = torch.ones(5, 5, 3, dtype=torch.bool)
    allowed[2, 0] = torch.tensor([False, True, False])  # tag 1 is never first
    for call in (crf.viterbi, crf.marginals, crf.posterior, lambda e, m, a: crf.k_best(e, m, 2, a)):
        with pytest.raises(ImpossibleError, match="row 2 of the batch") as refused:
            call(emissions, mask, allowed)
        assert refused.value.row == 2
    allowed[0, 1] = False
    with pytest.raises(ImpossibleError, match="row 0 of the batch: word 2 is allowed no tag at all"):
        crf.viterbi(emissions, mask, allowed)


def test_k_below_one_is_refused() -> None:
    crf, emissions, _, mask = case(rules=True)
    with pytest.raises(ValueError, match="k is 0; expected 1 or more"):
        crf.k_best(emissions, mask, 0)


@pytest.mark.parametrize(
    ("mask", "message"),
    [([[1, 1], [0, 0]], "row 1 of the batch has no words"), ([[1, 1], [0, 1]], "padding before a word")],
)
def test_a_mask_of_another_kind_is_refused(mask: list[list[int]], message: str) -> None:
    crf, emissions = CRF(legal(3, False)), torch.zeros(2, 2, 3)
    tags, bad = torch.zeros(2, 2, dtype=torch.long), torch.tensor(mask).bool()
    for call in (
        crf.viterbi, crf.marginals, lambda e, m: crf.k_best(e, m, 2), lambda e, m: crf.log_likelihood(e, tags, m)
    ):
        with pytest.raises(ValueError, match=message):
            call(emissions, bad)


def test_padding_is_never_read() -> None:
    crf, emissions, _, mask = case(rules=True)
    loud = emissions.masked_fill(~mask[..., None], torch.nan)
    assert torch.equal(crf.viterbi(loud, mask), crf.viterbi(emissions, mask))
    assert torch.equal(crf.marginals(loud, mask), crf.marginals(emissions, mask))
    for ours, theirs in zip(crf.k_best(loud, mask, 3), crf.k_best(emissions, mask, 3), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 4, 5, 8, 9, 17, 33])
def test_rows_keep_their_bits_in_any_batch(size: int, dtype: torch.dtype) -> None:
    torch.manual_seed(size)
    crf = CRF(legal(size, True))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    lengths = torch.randint(1, 33, (24,))
    emissions = torch.randn(24, 32, size).to(dtype)
    far = 400 if dtype == torch.float32 else 4000
    emissions[5, 0] += torch.tensor([far, *[-far] * (size - 1)])
    emissions[5, 0, 1] = 2.25 * far  # not legal there: row 5 underflows and goes through log space
    mask = mask_of(lengths, 32)
    scores = chains.Scores(*(part.to(dtype) for part in crf.scores()))
    assert not chains.run(emissions, mask, scores).exact[5]
    everywhere = torch.ones(8, size, dtype=torch.bool)

    def segments(rows: int, length: int) -> Segments:
        """The first words of each of 8 rows, of some length."""
        return Segments(torch.arange(8).clamp(max=rows - 1), torch.zeros(8, dtype=torch.long),
                        torch.full((8,), length), torch.zeros(8, length + 3, dtype=torch.long), everywhere, everywhere)

    with torch.inference_mode():
        posterior, best = crf.posterior(emissions, mask), crf.viterbi(emissions, mask)
        several = crf.k_best(emissions, mask, 3)
        spans = posterior.segments(segments(8, 1))
        for row in range(24):
            alone, length = torch.full((8,), row), int(lengths[row]) + -int(lengths[row]) % 16
            one, only = emissions[alone, :length], mask[alone, :length]
            mine = crf.posterior(one, only)
            assert torch.equal(mine.unary[0], posterior.unary[row, :length])
            assert torch.equal(crf.viterbi(one, only)[0], best[row, :length])
            ours = crf.k_best(one, only, 3)
            assert torch.equal(ours.tags[0], several.tags[row, :, :length])
            assert torch.equal(ours.log_probs[0], several.log_probs[row])
            if row < 8:
                assert torch.equal(mine.segments(segments(1, 1))[0], spans[row])
