"""The CRF against enumeration of every sequence of tags, in float64."""

from __future__ import annotations

import itertools
import weakref

import pytest
import torch
from torch import Tensor

from seq2x.batch import mask_of
from seq2x.nn import crf as module
from seq2x.nn.crf import CRF, Legal, Scores

LENGTHS = torch.tensor([4, 1, 3, 5, 2])


def _enumerate(emissions: Tensor, scores: Scores) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every sequence of tags for emissions [T, K], and the score of each."""
    length, size = emissions.shape
    sequences = list(itertools.product(range(size), repeat=length))
    totals = []
    for tags in sequences:
        total = scores.start[tags[0]] + scores.end[tags[-1]]
        total = total + sum(emissions[step, tag] for step, tag in enumerate(tags))
        totals.append(total + sum(scores.transitions[pair] for pair in itertools.pairwise(tags)))
    return sequences, torch.stack(totals)


def _legal(size: int, rules: bool) -> Legal:
    """Everything, or: tag 1 neither first nor after tag 0, tag 2 never last."""
    legal = Legal(*(torch.ones(shape, dtype=torch.bool) for shape in ((size, size), (size,), (size,))))
    if rules:
        legal.transitions[0, 1] = legal.start[1] = legal.end[2] = False
    return legal


def _case(rules: bool, scale: float = 1.0, seed: int = 0) -> tuple[CRF, Tensor, Tensor, Tensor]:
    """A CRF with random scores, emissions [5, 5, 3], legal tags, mask; all float64."""
    torch.manual_seed(seed)
    crf = CRF(_legal(3, rules)).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    emissions = torch.randn(5, 5, 3, dtype=torch.float64) * scale
    mask = mask_of(LENGTHS, 5)
    scores = crf.scores()
    tags = torch.zeros(5, 5, dtype=torch.long)
    for row, length in enumerate(LENGTHS.tolist()):
        sequences, totals = _enumerate(emissions[row, :length], scores)
        legal = [sequence for sequence, total in zip(sequences, totals, strict=True) if total > -torch.inf]
        tags[row, :length] = torch.tensor(legal[len(legal) // 2])
    return crf, emissions, tags, mask


def _reference(crf: CRF, emissions: Tensor, tags: Tensor) -> Tensor:
    """log p of each row by enumeration, with gradients."""
    found = []
    for row, length in enumerate(LENGTHS.tolist()):
        sequences, totals = _enumerate(emissions[row, :length], crf.scores())
        reachable = totals[totals > -torch.inf]
        found.append(totals[sequences.index(tuple(tags[row, :length].tolist()))] - reachable.logsumexp(0))
    return torch.stack(found)


@pytest.mark.parametrize("rules", [False, True])
@pytest.mark.parametrize("scale", [1.0, 300.0], ids=["probabilities", "log space"])
def test_likelihood_and_gradient_equal_enumeration(rules: bool, scale: float) -> None:
    crf, emissions, tags, mask = _case(rules, scale)
    emissions.requires_grad_()
    inputs = [emissions, *crf.parameters()]
    weights = torch.randn(5, dtype=torch.float64)  # every row its own, so that none hides another
    expected = _reference(crf, emissions, tags)
    found = crf.log_likelihood(emissions, tags, mask)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found @ weights, inputs), torch.autograd.grad(expected @ weights, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    exact = module._chains(module._steps(emissions.detach(), mask), crf.scores()).exact
    assert bool(exact.all()) == (scale == 1.0)  # both ways of counting were put to the test


@pytest.mark.parametrize("rules", [False, True])
@pytest.mark.parametrize("scale", [1.0, 300.0], ids=["probabilities", "log space"])
def test_marginals_and_viterbi_equal_enumeration(rules: bool, scale: float) -> None:
    crf, emissions, _, mask = _case(rules, scale, seed=1)
    marginals, best = crf.marginals(emissions, mask), crf.viterbi(emissions, mask)
    for row, length in enumerate(LENGTHS.tolist()):
        sequences, totals = _enumerate(emissions[row, :length], crf.scores())
        probabilities = totals.softmax(0).detach()
        expected = torch.zeros(5, 3, dtype=torch.float64)
        for tags, probability in zip(sequences, probabilities, strict=True):
            expected[range(length), tags] += probability
        torch.testing.assert_close(marginals[row], expected)
        assert tuple(best[row, :length].tolist()) == sequences[int(totals.argmax())]
    assert not best[~mask].any()


def test_marginals_are_a_distribution_over_legal_tags() -> None:
    crf, emissions, _, mask = _case(rules=True)
    marginals = crf.marginals(emissions, mask)
    torch.testing.assert_close(marginals.sum(2), mask.double())
    assert not marginals[:, 0, 1].any()  # tag 1 is never first
    assert not marginals[range(5), LENGTHS - 1, 2].any()  # tag 2 is never last


def test_mass_that_underflows_unseen_is_noticed() -> None:
    """The best path, 1 1 1, is lost at its first tag, while the poor 0 2 2 keeps every step's scale above zero."""
    crf = CRF(_legal(3, False))
    far = -1000.0
    with torch.no_grad():
        crf.transitions.copy_(torch.tensor([[far, far, 0.0], [far, 0.0, far], [far, far, 0.0]]))
    emissions = torch.tensor([[[110.0, 0.0, far], [far, 75.0, 0.0], [far, 75.0, 0.0]]])
    tags, mask = torch.ones(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool)
    chains = module._chains(module._steps(emissions, mask), crf.scores())
    torch.testing.assert_close(chains.log_partition, torch.tensor([110.0]))  # far from the 150 of the best path
    assert not chains.exact
    torch.testing.assert_close(crf.log_likelihood(emissions, tags, mask), torch.zeros(1))
    assert crf.marginals(emissions, mask).argmax(2).tolist() == crf.viterbi(emissions, mask).tolist() == [[1, 1, 1]]


def test_an_illegal_target_is_impossible_and_never_predicted() -> None:
    crf, emissions, tags, mask = _case(rules=True)
    tags[:, 0] = 1
    assert torch.isneginf(crf.log_likelihood(emissions, tags, mask)).all()
    emissions[:, 0, 1] += 1e6
    assert (crf.viterbi(emissions, mask)[:, 0] != 1).all()
    assert not crf.marginals(emissions, mask)[:, 0, 1].any()


def test_a_length_without_legal_tags() -> None:
    crf = CRF(Legal(torch.ones(2, 2, dtype=torch.bool), torch.tensor([True, False]), torch.tensor([False, True])))
    emissions, mask = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="no sequence of tags as long"):
        crf.viterbi(emissions, mask)
    assert not crf.marginals(emissions, mask).any()
    assert crf.viterbi(torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [([[1, 1], [0, 0]], "row 1 of the batch has no words"), ([[1, 1], [0, 1]], "padding before a word")],
)
def test_a_mask_of_another_kind_is_refused(mask: list[list[int]], message: str) -> None:
    crf, emissions = CRF(_legal(3, False)), torch.zeros(2, 2, 3)
    tags, bad = torch.zeros(2, 2, dtype=torch.long), torch.tensor(mask).bool()
    for call in (crf.viterbi, crf.marginals, lambda e, m: crf.log_likelihood(e, tags, m)):
        with pytest.raises(ValueError, match=message):
            call(emissions, bad)


def test_padding_is_never_read() -> None:
    crf, emissions, tags, mask = _case(rules=True)
    loud = emissions.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    other = tags.masked_fill(~mask, 77)
    found = crf.log_likelihood(loud, other, mask)
    assert torch.equal(found, crf.log_likelihood(emissions, tags, mask))
    (gradient,) = torch.autograd.grad(found.sum(), loud)
    assert not gradient[~mask].any()
    assert gradient.isfinite().all()
    assert torch.equal(crf.viterbi(loud, mask), crf.viterbi(emissions, mask))
    assert torch.equal(crf.marginals(loud, mask), crf.marginals(emissions, mask))


def test_autocast_keeps_the_recursions_in_float32() -> None:
    crf, emissions, tags, mask = _case(rules=True)
    crf, low = crf.float(), emissions.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, marginals = crf.log_likelihood(low, tags, mask), crf.marginals(low, mask)
    found.sum().backward()
    assert found.dtype == marginals.dtype == torch.float32
    assert low.grad is not None
    assert low.grad.dtype == torch.bfloat16
    torch.testing.assert_close(found, crf.log_likelihood(low.float(), tags, mask))
    torch.testing.assert_close(marginals, crf.marginals(low.float(), mask))


@pytest.mark.parametrize("size", [3, 4, 5, 8, 9, 17, 33])
def test_rows_keep_their_bits_in_any_batch(size: int) -> None:
    torch.manual_seed(size)
    crf = CRF(_legal(size, True))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    lengths = torch.randint(1, 33, (24,))
    emissions = torch.randn(24, 32, size)
    emissions[5, 0] += torch.tensor([400.0, *[-400.0] * (size - 1)])
    emissions[5, 0, 1] = 900  # not legal there: row 5 underflows and goes through log space
    mask = mask_of(lengths, 32)
    assert not module._chains(module._steps(emissions, mask), crf.scores()).exact[5]
    with torch.inference_mode():
        marginals, best = crf.marginals(emissions, mask), crf.viterbi(emissions, mask)
        for row in range(24):
            alone, length = torch.full((8,), row), int(lengths[row]) + -int(lengths[row]) % 16
            one, only = emissions[alone, :length], mask[alone, :length]
            assert torch.equal(crf.marginals(one, only)[0], marginals[row, :length])
            assert torch.equal(crf.viterbi(one, only)[0], best[row, :length])


def test_nothing_outlives_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    crf, emissions, tags, mask = _case(rules=True)
    watched: list[weakref.ref[Tensor]] = []
    chains = module._chains

    def watch(steps: Tensor, scores: Scores) -> module._Chains:
        found = chains(steps, scores)
        watched.append(weakref.ref(found.alpha))
        return found

    monkeypatch.setattr(module, "_chains", watch)
    crf.log_likelihood(emissions.requires_grad_(), tags, mask).sum().backward()
    assert watched[0]() is None
