"""The compiled recursions and those in torch are equal twins."""

from __future__ import annotations

import pytest
import torch
from crf_cases import legal
from torch import Tensor

from seq2x.batch import mask_of
from seq2x.nn.crf import CRF, fast, use_kernels


def _batch(size: int, dtype: torch.dtype, scale: float = 1.0) -> tuple[CRF, Tensor, Tensor]:
    torch.manual_seed(size)
    crf = CRF(legal(size, True)).to(dtype)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return crf, torch.randn(7, 30, size, dtype=dtype) * scale, mask_of(torch.tensor([30, 1, 2, 17, 30, 9, 16]), 30)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 9, 17, 33])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_twins_are_equal(size: int, dtype: torch.dtype, scale: float) -> None:
    crf, emissions, mask = _batch(size, dtype, scale)
    tags = crf.viterbi(emissions, mask)
    allowed = torch.rand(7, 30, size) < 0.5
    allowed.scatter_(2, tags[..., None], True)
    found = []
    for wanted in (False, True):
        use_kernels(wanted)
        leaf = emissions.clone().requires_grad_()
        likelihood = crf.log_likelihood(leaf, tags, mask) + crf.log_likelihood(leaf, allowed, mask)
        gradients = torch.autograd.grad(likelihood @ torch.linspace(-1, 1, 7, dtype=dtype), [leaf, *crf.parameters()])
        found.append((likelihood.detach(), *gradients, crf.marginals(emissions, mask, allowed)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=4e-5 * max(1, scale / 10))  # of counts of about 100


@pytest.mark.parametrize("size", [3, 9, 17])
def test_paths_are_the_same_to_the_bit_and_so_are_ties(size: int) -> None:
    crf, emissions, mask = _batch(size, torch.float32)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.round_()
    for scored in (emissions, emissions.round()):
        found = []
        for wanted in (False, True):
            use_kernels(wanted)
            best = crf.k_best(scored, mask, 5)
            assert torch.equal(best.tags[:, 0], crf.viterbi(scored, mask))
            found.append((best.tags, crf.viterbi(scored, mask)))
            assert torch.equal(torch.isfinite(best.log_probs), torch.isfinite(best.log_probs.sort(1)[0]).flip(1))
        for ours, theirs in zip(*found, strict=True):
            assert torch.equal(ours, theirs)


def test_scores_that_are_not_numbers_are_refused() -> None:
    crf, emissions, mask = _batch(5, torch.float32)
    emissions[3, 2] = torch.nan
    for call in (crf.viterbi, crf.marginals):
        with pytest.raises(ValueError, match="row 3 of the batch: its scores are not numbers"):
            call(emissions, mask)


def test_kernels_are_for_the_processor_and_as_told(way: str) -> None:
    assert (fast.kernels(torch.zeros(1)) is not None) == (way == "fast")
    assert fast.kernels(torch.zeros(1, device="meta")) is None
    assert fast.kernels(torch.zeros(1, dtype=torch.bfloat16)) is None
