"""Attention against its formulas, one number at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seq2x.nn.attention import (
    AdditiveAttention,
    AdditiveAttentionConfig,
    DotAttentionConfig,
    KeyValueAttention,
    KeyValueAttentionConfig,
    LocationAttention,
    MultiplicativeAttentionConfig,
    ProductAttention,
)

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


def test_both_sides_of_a_product_may_be_narrowed(tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    query, states, coverage = tensors
    attention = MultiplicativeAttentionConfig(width=3).build(H, D, 1)
    assert isinstance(attention, ProductAttention)
    assert attention.query is not None
    assert attention.key is not None
    assert attention.feature is not None
    weights = attention(query, attention.keys(states), MASK, coverage)
    own = attention.key(states[0]) + coverage[0, 1] @ attention.feature.weight.T
    assert torch.allclose(weights[0, 1], (own @ attention.query(query[0, 1]) * 3**-0.5).softmax(0), atol=1e-6)


@pytest.mark.parametrize("length", [5, 7])
def test_location_is_the_formula(tensors: tuple[Tensor, Tensor, Tensor], length: int) -> None:
    query, states, coverage = tensors
    attention = LocationAttention(length, H, D, 1)
    assert attention.feature is not None
    for features in (coverage, torch.zeros_like(coverage)):
        weights = attention(query, attention.keys(states), MASK, features)
        for b in range(B):
            size = int(MASK[b].sum())
            scores = attention.score.weight[:size] @ query[b, 0]
            scores = scores + features[b, 0, :size] @ attention.feature.weight.T @ query[b, 0]
            assert torch.allclose(weights[b, 0, :size], scores.softmax(0), atol=1e-6)
            assert (weights[b, 0, size:] == 0).all()


def test_location_takes_padding_beyond_its_last_position_and_no_more() -> None:
    attention = LocationAttention(30, H, D, 0)
    mask = torch.arange(32)[None] < 30
    weights = attention(torch.randn(1, 1, H), attention.keys(torch.randn(1, 32, D)), mask, None)
    assert weights[0, 0, :30].sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="location attention has 30 positions, and the source 48"):
        attention.keys(torch.randn(1, 48, D))


def test_keys_are_compared_and_values_summed(tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    query, states, _ = tensors
    attention = KeyValueAttentionConfig(width=A).build(2 * H, D, 0)
    assert isinstance(attention, KeyValueAttention)
    assert (attention.halves, attention.width) == (True, D // 2)
    weights = attention(query, attention.keys(states), MASK, None)
    other = states.clone()
    other[..., 1::2] = torch.randn(B, T, D // 2)
    assert torch.equal(weights, attention(query, attention.keys(other), MASK, None))
    assert torch.equal(attention.values(other), other[..., 1::2])
    inner = attention.query.weight @ query[0, 0] + attention.key(states[0, :, ::2])
    assert torch.allclose(weights[0, 0], attention.score(inner.tanh())[:, 0].softmax(0), atol=1e-6)
    with pytest.raises(ValueError, match="the encoder's width is 5, expected an even one"):
        KeyValueAttentionConfig().build(4, 5, 0)
