"""Coverage against its formulas, one number at a time."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from seq2x.nn.coverage import (
    Coverage,
    EmbeddingCoverage,
    EmbeddingCoverageConfig,
    FertilityCoverage,
    FertilityCoverageConfig,
    GatedCoverage,
    GatedCoverageConfig,
    SumCoverageConfig,
    alignment_loss,
    coverage_loss,
)

B, K, T, S, D, E, H = 2, 2, 5, 3, 6, 4, 7
N, F = B * K, 3


def followed(module: Coverage, repeat: int = K) -> tuple[list[Tensor], Tensor, dict[str, Tensor]]:
    """The features that each of S steps reads, those after the last, and what the steps were made of."""
    torch.manual_seed(0)
    made = {"states": torch.randn(B, T, D), "words": torch.randn(B, T, E), "query": torch.randn(N, S, H),
            "token": torch.randn(N, S + 1, E), "attention": torch.rand(N, S, T)}
    stays, coverage = module.begin(made["states"], made["words"])
    coverage, read = coverage.repeat_interleave(repeat, 0), []
    for step in range(S):
        read.append(module.read(coverage, made["token"][:, step]))
        assert read[-1].shape == (N, T, module.features)
        coverage = module.write(read[-1], made["attention"][:, step], made["query"][:, step], stays)
    return read, module.read(coverage, made["token"][:, S]), made


@torch.no_grad()
def test_a_sum_is_that_of_earlier_attention() -> None:
    read, last, made = followed(SumCoverageConfig().build(D, E, H, E))
    for step, features in enumerate([*read, last]):
        assert torch.allclose(features[..., 0], made["attention"][:, :step].sum(1))


@torch.no_grad()
def test_fertility_divides_the_sum() -> None:
    module = FertilityCoverageConfig(most=3.0).build(D, E, H, E)
    assert isinstance(module, FertilityCoverage)
    _, last, made = followed(module)
    for n in range(N):
        for j in range(T):
            worth = 3 * torch.sigmoid(module.fertility.weight[0] @ made["states"][n // K, j])
            assert torch.allclose(last[n, j, 0], made["attention"][n, :, j].sum() / worth, atol=1e-5)


def unit(cell: Any, width: int, *parts: Tensor) -> nn.GRUCell:
    """torch's own, whose input is that of ``cell`` and the further ``parts`` beside it."""
    other = nn.GRUCell(width, F)
    other.weight_ih.copy_(torch.cat([cell.input.weight, *parts], 1))
    other.bias_ih.copy_(cell.input.bias)
    other.weight_hh.copy_(cell.recurrent.weight)
    other.bias_hh.copy_(cell.recurrent.bias)
    return other


@torch.no_grad()
def test_gated_is_a_gru_over_state_query_and_attention() -> None:
    module = GatedCoverageConfig(width=F).build(D, E, H, E)
    assert isinstance(module, GatedCoverage)
    _, last, made = followed(module)
    reference = unit(module.cell, D + H + 1, module.query.weight, module.attention.weight)
    for n in range(N):
        for j in range(T):
            vector = torch.zeros(F)
            for step in range(S):
                seen = [made["states"][n // K, j], made["query"][n, step], made["attention"][n, step, j][None]]
                vector = reference(torch.cat(seen), vector)
            assert torch.allclose(last[n, j], vector, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("update", ["gate", "subtract"])
def test_words_are_consumed_by_what_was_translated(update: Literal["gate", "subtract"]) -> None:
    """A step's attention takes effect with the token that the step gave, which the next step reads."""
    module = EmbeddingCoverageConfig(width=F, update=update).build(D, E, H, E)
    assert isinstance(module, EmbeddingCoverage)
    read, last, made = followed(module)
    attention = torch.cat([torch.zeros(N, 1, T), made["attention"]], 1)
    for n in range(N):
        for j in range(T):
            vector = module.first(made["words"][n // K, j])
            for step in range(S + 1):
                token, weight = made["token"][n, step], attention[n, step, j]
                if module.consumed is not None:
                    vector = vector - weight * (module.consumed.weight @ token)
                else:
                    assert module.attention is not None
                    reference = unit(module.cell, E + 1, module.attention.weight)
                    vector = reference(torch.cat([token, weight[None]]), vector)
                expected = read[step] if step < S else last
                assert torch.allclose(expected[n, j], vector, atol=1e-5)


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


def test_alignment_loss_is_the_formula() -> None:
    attention = torch.tensor([[[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]]], requires_grad=True)
    alignment = torch.tensor([[[True, True, False], [False, False, False], [False, False, True]]])
    loss = alignment_loss(attention, alignment)
    expected = -(0.5 * torch.tensor([0.5, 0.3]).log().sum() + torch.tensor(0.8).log())
    assert loss.item() == pytest.approx(float(expected))
    loss.backward()
    assert attention.grad is not None
    assert attention.grad.isfinite().all()
