"""The cross-entropy against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seq2x.nn import losses
from seq2x.nn.losses import cross_entropy, vocabulary_loss


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


@pytest.fixture
def projected() -> tuple[list[torch.Tensor], torch.Tensor]:
    """Vectors [150, 6], a table [11, 6] and an offset [11] that want a gradient; gold [150]."""
    torch.manual_seed(0)
    return [torch.randn(size, requires_grad=True) for size in ((150, 6), (11, 6), (11,))], torch.randint(11, (150,))


@pytest.mark.parametrize("logits", [1, 150 * 11, 2**21])  # 64 rows at a time (the last 22), 128, all at once
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_in_chunks_is_that_of_all_logits(
    projected: tuple[list[torch.Tensor], torch.Tensor], smoothing: float, logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.LOGITS, "cpu", logits)
    (vectors, weight, bias), gold = projected
    found = vocabulary_loss(vectors, weight, bias, gold, smoothing)
    expected = cross_entropy(F.linear(vectors, weight, bias), gold, smoothing)
    torch.testing.assert_close(found, expected)
    assert not found[1].requires_grad
    for mine, other in zip(*(torch.autograd.grad(3 * total[0], projected[0]) for total in (found, expected)),
                           strict=True):
        torch.testing.assert_close(mine, other)


def test_without_a_gradient_the_loss_is_the_same(projected: tuple[list[torch.Tensor], torch.Tensor]) -> None:
    tensors, gold = projected
    with torch.no_grad():
        alone = vocabulary_loss(*tensors, gold, 0.1)[0]
    assert not alone.requires_grad
    assert torch.equal(alone, vocabulary_loss(*tensors, gold, 0.1)[0].detach())


def test_under_autocast_products_are_rounded_and_sums_are_not(
    projected: tuple[list[torch.Tensor], torch.Tensor]
) -> None:
    tensors, gold = projected
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = vocabulary_loss(*tensors, gold, 0.1)
    exact, _ = vocabulary_loss(*tensors, gold, 0.1)
    assert total.dtype == torch.float32
    assert 0 < abs(float((total - exact).detach())) < 0.01 * float(exact.detach())
    for mine, other in zip(*(torch.autograd.grad(loss, tensors) for loss in (total, exact)), strict=True):
        assert mine.dtype == torch.float32
        assert float((mine - other).norm() / other.norm()) < 0.02


def test_an_improbable_token_has_a_finite_loss() -> None:
    """Its probability underflows; its logarithm does not."""
    vectors, weight = torch.tensor([[300.0]]), torch.tensor([[1.0], [0.0]])
    total, _ = vocabulary_loss(vectors, weight, torch.zeros(2), torch.tensor([1]))
    assert float(total) == 300
