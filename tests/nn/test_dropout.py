"""Dropout against what defines it: the share, the scale, the generator, the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seq2x.nn.dropout import Dropout, RectifiedDropout, mask_like

COUNT = 100_003  # no multiple of 4: a number of the generator is four values


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_mask_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    mask = mask_like(torch.empty(COUNT), rate)
    scale = float(mask.max())
    assert scale == pytest.approx(1 / (1 - rate), rel=2e-4)
    assert torch.equal(mask.unique(), torch.tensor([0.0, scale]))
    assert float(mask.mean()) == pytest.approx(1, abs=4 * (rate / (1 - rate) / COUNT) ** 0.5)


def test_neighbours_are_drawn_alone() -> None:
    """Four values come out of one number: none says anything of the next three."""
    torch.manual_seed(0)
    kept = (mask_like(torch.empty(4 * COUNT), 0.5) > 0).view(-1, 4).float()
    assert float((torch.corrcoef(kept.t()) - torch.eye(4)).abs().max()) < 4 * COUNT**-0.5


def test_masks_come_from_the_global_generator() -> None:
    def mask(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return mask_like(torch.empty(5, 7), 0.3)

    assert torch.equal(mask(1), mask(1))
    assert not torch.equal(mask(1), mask(2))
    assert not torch.equal(mask(1), mask_like(torch.empty(5, 7), 0.3))


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_rectified_dropout_is_dropout_after_relu(rate: float) -> None:
    states = torch.randn(9, 30, requires_grad=True)
    outputs = []
    for layer in (nn.Sequential(nn.ReLU(), Dropout(rate)), RectifiedDropout(rate)):
        torch.manual_seed(0)
        output = layer(states)
        outputs.append((output.detach(), *torch.autograd.grad((output * torch.arange(30)).sum(), states)))
    torch.testing.assert_close(*outputs)


def test_evaluation_drops_nothing() -> None:
    states = torch.randn(4, 6)
    assert Dropout(0.5).eval()(states) is states
    assert torch.equal(RectifiedDropout(0.5).eval()(states), states.relu())
