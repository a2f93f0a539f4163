"""The cross-entropy against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seq2x.nn.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient_are_torchs(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, gold = torch.randn(6, 11, dtype=torch.float32, requires_grad=True), torch.randint(11, (6,))
    total, likelihood = cross_entropy(logits, gold, smoothing)
    (gradient,) = torch.autograd.grad(2 * total, logits)
    expected = F.cross_entropy(logits, gold, reduction="sum", label_smoothing=smoothing)
    (expected_gradient,) = torch.autograd.grad(2 * expected, logits)
    assert torch.allclose(total, expected)
    assert torch.allclose(gradient, expected_gradient, atol=1e-6)
    assert torch.allclose(likelihood, F.cross_entropy(logits, gold, reduction="sum"))
