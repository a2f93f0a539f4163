"""Attention and coverage against their formulas, one number at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seq2x.nn.attention import (
    AdditiveAttention,
    AdditiveAttentionConfig,
    DotAttentionConfig,
    MultiplicativeAttentionConfig,
    ProductAttention,
)
from seq2x.nn.coverage import SumCoverage, coverage_loss

B, K, T, H, D, A = 3, 2, 5, 4, 4, 6
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)


@pytest.fixture
def tensors() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(B, K, H), torch.randn(B, T, D), torch.rand(B, K, T, 1)


@pytest.mark.parametrize("covered", [False, True])
def test_additive_is_the_formula(tensors: tuple[Tensor, Tensor, Tensor], covered: bool) -> None:
    query, states, coverage = tensors
    attention = AdditiveAttention(A, H, D, 1 if covered else 0)
    weights = attention(query, attention.keys(states), MASK, coverage if covered else None)
    for b in range(B):
        for k in range(K):
            scores = []
            for j in range(int(MASK[b].sum())):
                inner = attention.query.weight @ query[b, k] + attention.key.weight @ states[b, j] + attention.key.bias
                if attention.feature is not None:
                    inner = inner + attention.feature.weight @ coverage[b, k, j]
                scores.append(attention.score.weight[0] @ inner.tanh())
            expected = torch.stack(scores).softmax(0)
            assert torch.allclose(weights[b, k, : len(scores)], expected, atol=1e-6)
            assert (weights[b, k, len(scores) :] == 0).all()


@pytest.mark.parametrize("covered", [False, True])
@pytest.mark.parametrize(("scaled", "projected"), [(False, True), (True, True), (False, False), (True, False)])
def test_products_are_the_formula(
    tensors: tuple[Tensor, Tensor, Tensor], covered: bool, scaled: bool, projected: bool
) -> None:
    query, states, coverage = tensors
    attention = ProductAttention(H, D, 1 if covered else 0, scaled=scaled, projected=projected)
    keys = attention.keys(states)
    weights = attention(query, keys, MASK, coverage if covered else None)
    for b in range(B):
        for k in range(K):
            size = int(MASK[b].sum())
            own = keys[b, :size]
            if attention.feature is not None:
                own = own + coverage[b, k, :size] @ attention.feature.weight.T
            expected = (own @ query[b, k] * (H**-0.5 if scaled else 1)).softmax(0)
            assert torch.allclose(weights[b, k, :size], expected, atol=1e-6)


def test_dot_needs_equal_widths() -> None:
    with pytest.raises(ValueError, match="the decoder has 4, the encoder 5"):
        DotAttentionConfig().build(4, 5, 0)
    assert DotAttentionConfig(scaled=True).build(4, 4, 0).scale == 0.5
    assert MultiplicativeAttentionConfig().build(4, 5, 0).key is not None
    assert AdditiveAttentionConfig(width=9).build(4, 5, 2).score.in_features == 9


def test_coverage_is_the_sum_of_earlier_attention() -> None:
    attention = torch.rand(4, 3, T)  # [N, S, T]
    module = SumCoverage()
    coverage = module.start(4, T, attention)
    for position in range(3):
        assert torch.allclose(coverage[..., 0], attention[:, :position].sum(1))
        coverage = module(coverage, attention[:, position])


def test_coverage_losses_are_the_formulas() -> None:
    attention = torch.rand(2, 4, 3)
    source = torch.tensor([[True, True, True], [True, True, False]])
    target = torch.tensor([[True, True, True, True], [True, True, False, False]])
    smallest, ones = 0.0, 0.0
    for b in range(2):
        steps = int(target[b].sum())
        for t in range(steps):
            for j in range(3):
                smallest += min(float(attention[b, t, j]), float(attention[b, :t, j].sum()))
        for j in range(int(source[b].sum())):
            ones += (1 - float(attention[b, :steps, j].sum())) ** 2
    assert float(coverage_loss("min", attention, source, target)) == pytest.approx(smallest, rel=1e-5)
    assert float(coverage_loss("one", attention, source, target)) == pytest.approx(ones, rel=1e-5)
    assert float(coverage_loss("none", attention, source, target)) == 0.0
