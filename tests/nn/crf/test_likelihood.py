"""The log-likelihood of tags and of sets of tags, and its gradient, against enumeration in float64."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from crf_cases import LENGTHS, Case, case, enumerate_paths, legal, random_allowed
from torch import Tensor

from seq2x.nn.crf import CRF, Counts, ImpossibleError, chains, fast, likelihood

scales = pytest.mark.parametrize("scale", [1.0, 300.0], ids=["probabilities", "log space"])
with_rules = pytest.mark.parametrize("rules", [False, True])


def _reference(example: Case, allowed: Tensor) -> Tensor:
    """log p of the paths that ``allowed`` [B, T, K] allows, by enumeration, with gradients."""
    found = []
    for row, length in enumerate(LENGTHS.tolist()):
        paths, totals = enumerate_paths(example.emissions[row, :length], example.crf.scores())
        inside = allowed[row, range(length), paths].all(1)
        possible = totals > -torch.inf
        found.append(totals[inside & possible].logsumexp(0) - totals[possible].logsumexp(0))
    return torch.stack(found)


@with_rules
@scales
@pytest.mark.parametrize("partial", [False, True], ids=["tags", "sets of tags"])
def test_likelihood_and_gradient_equal_enumeration(rules: bool, scale: float, partial: bool) -> None:
    example = case(rules, scale)
    crf, emissions, tags, mask = example
    emissions.requires_grad_()
    inputs = [emissions, *crf.parameters()]
    weights = torch.randn(5, dtype=torch.float64)  # every row its own, so that none hides another
    allowed = torch.nn.functional.one_hot(tags, 3).bool()
    if partial:
        allowed = random_allowed(torch.Generator().manual_seed(1), mask, tags, 3)
    expected = _reference(example, allowed)
    found = crf.log_likelihood(emissions, allowed if partial else tags, mask)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found @ weights, inputs), torch.autograd.grad(expected @ weights, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    exact = chains.run(emissions.detach(), mask, crf.scores()).exact
    assert bool(exact.all()) == (scale == 1.0)  # both ways of counting were put to the test


def test_sets_of_one_tag_are_tags_and_of_all_tags_are_certain() -> None:
    crf, emissions, tags, mask = case(rules=True)
    one = torch.nn.functional.one_hot(tags, 3).bool()
    torch.testing.assert_close(crf.log_likelihood(emissions, one, mask), crf.log_likelihood(emissions, tags, mask))
    assert not crf.log_likelihood(emissions, torch.ones_like(one), mask).any()


def test_sets_that_allow_nothing_are_refused() -> None:
    crf, emissions, _, mask = case(rules=True)
    allowed = torch.ones(5, 5, 3, dtype=torch.bool)
    allowed[3, 2] = False
    with pytest.raises(ImpossibleError, match=r"row 3 of the batch: word 3 is allowed no tag"):
        crf.log_likelihood(emissions, allowed, mask)
    allowed[3, 2] = torch.tensor([True, False, False])
    allowed[3, 3] = torch.tensor([False, True, False])  # tag 1 may not follow tag 0
    with pytest.raises(ImpossibleError, match=r"row 3 of the batch: no sequence of the tags it allows is legal"):
        crf.log_likelihood(emissions, allowed, mask)
    with pytest.raises(ValueError, match=r"allowed tags are torch.bool \[5, 5, 2\]; expected bool"):
        crf.log_likelihood(emissions, allowed[..., :2], mask)


def test_an_illegal_target_is_impossible() -> None:
    crf, emissions, tags, mask = case(rules=True)
    tags[:, 0] = 1
    assert torch.isneginf(crf.log_likelihood(emissions, tags, mask)).all()


def test_mass_that_underflows_unseen_is_noticed() -> None:
    """The best path, 1 1 1, is lost at its first tag, while the poor 0 2 2 keeps every step's scale above zero."""
    crf = CRF(legal(3, False))
    far = -1000.0
    with torch.no_grad():
        crf.transitions.copy_(torch.tensor([[far, far, 0.0], [far, 0.0, far], [far, far, 0.0]]))
    emissions = torch.tensor([[[110.0, 0.0, far], [far, 75.0, 0.0], [far, 75.0, 0.0]]])
    tags, mask = torch.ones(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool)
    found = chains.run(emissions, mask, crf.scores())
    torch.testing.assert_close(found.log_partition.float(), torch.tensor([110.0]))  # far from the 150 of the best path
    assert not found.exact
    torch.testing.assert_close(crf.log_likelihood(emissions, tags, mask), torch.zeros(1))
    assert crf.marginals(emissions, mask).argmax(2).tolist() == crf.viterbi(emissions, mask).tolist() == [[1, 1, 1]]


def test_padding_is_never_read() -> None:
    crf, emissions, tags, mask = case(rules=True)
    loud = emissions.masked_fill(~mask[..., None], torch.nan).requires_grad_()
    other = tags.masked_fill(~mask, 77)
    found = crf.log_likelihood(loud, other, mask)
    assert torch.equal(found, crf.log_likelihood(emissions, tags, mask))
    (gradient,) = torch.autograd.grad(found.sum(), loud)
    assert not gradient[~mask].any()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_recursions_in_float32(dtype: torch.dtype) -> None:
    crf, emissions, tags, mask = case(rules=True)
    crf, low = crf.float(), emissions.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        found, marginals = crf.log_likelihood(low, tags, mask), crf.marginals(low, mask)
    found.sum().backward()
    assert found.dtype == marginals.dtype == torch.float32
    assert low.grad is not None
    assert low.grad.dtype == dtype
    assert torch.equal(found, crf.log_likelihood(low.float(), tags, mask))
    assert torch.equal(marginals, crf.marginals(low.float(), mask))


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_long_sentences_with_large_scores_give_numbers(scale: float, dtype: torch.dtype) -> None:
    """1,000 words, 50 tags, float32 inside: the loss equals that in float64 to 1e-5, and the gradient is finite."""
    torch.manual_seed(0)
    crf = CRF(legal(50, True))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    emissions = (torch.randn(2, 1000, 50) * scale).to(dtype).requires_grad_()
    mask = torch.ones(2, 1000, dtype=torch.bool)
    tags = crf.viterbi(emissions, mask)
    found = crf.log_likelihood(emissions, tags, mask)
    found.sum().backward()
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in crf.parameters())
    with torch.no_grad():
        exact = crf.double().log_likelihood(emissions.double(), tags, mask)
    torch.testing.assert_close(found.double(), exact, atol=1e-3, rtol=1e-5)


def test_nothing_outlives_the_backward_pass(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    crf, emissions, tags, mask = case(rules=True)
    watched: list[weakref.ref[Tensor]] = []
    module, name = (likelihood, "run") if way == "torch" else (fast, "sums")
    run = getattr(module, name)

    def watch(*arguments: Any, **named: Any) -> Any:
        found = run(*arguments, **named)
        watched.append(weakref.ref(found.unary))
        return found

    monkeypatch.setattr(module, name, watch)
    crf.log_likelihood(emissions.requires_grad_(), tags, mask).sum().backward()
    assert watched[0]() is None


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_cross_entropy_of_a_mixture_is_that_of_all_its_paths(temperature: float) -> None:
    """Two chains believe together; a third learns from how often they use each score, and from nothing else."""
    crf, emissions, _, mask = case(rules=True)
    others = [case(rules=True, seed=seed) for seed in (1, 2)]
    each = [other.crf.expected(other.emissions, mask, temperature) for other in others]
    counts = Counts(*(torch.stack(parts).mean(0) for parts in zip(*each, strict=True)))
    inputs = [emissions.requires_grad_(), *crf.parameters()]
    found = crf.cross_entropy(counts, emissions, mask, temperature)
    expected = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(LENGTHS.tolist()):
        beliefs = [(enumerate_paths(other.emissions[row, :length], other.crf.scores())[1] / temperature).softmax(0)
                   for other in others]
        belief = torch.stack(beliefs).mean(0).detach()
        mine = (enumerate_paths(emissions[row, :length], crf.scores())[1] / temperature).log_softmax(0)
        expected = expected - (belief * mine.masked_fill(belief == 0, 0.0)).sum()
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
