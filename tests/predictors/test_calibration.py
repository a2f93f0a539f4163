"""Temperatures and thresholds against what is known of them."""

from __future__ import annotations

import math

import pytest
import torch

from seq2x.predictors.calibration import fit_temperature, fit_threshold


def test_the_temperature_undoes_what_a_model_exaggerates() -> None:
    """Labels drawn by softmax(z); logits 3 z want T = 3."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4000, 4, generator=generator, dtype=torch.float64) * 2
    drawn = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    gold = torch.nn.functional.one_hot(drawn, 4).bool().tolist()
    parts = [([7], [row]) for row in (3 * logits).tolist()]
    assert fit_temperature(parts, gold, several=False) == pytest.approx(3, rel=0.1)
    drawn_each = torch.rand(4000, 4, generator=generator) < logits.sigmoid()
    assert fit_temperature(parts, drawn_each.tolist(), several=True) == pytest.approx(3, rel=0.1)


def test_the_temperature_is_the_best_of_many() -> None:
    """A text of two parts has the mean of their probabilities, by tokens."""
    parts = [([30, 10], [[2.0, 0.0], [0.0, 1.0]]), ([5], [[0.0, 3.0]]), ([5], [[1.0, 0.0]])]
    gold = [[True, False], [False, True], [False, True]]

    def likelihood(temperature: float) -> float:
        def one(logits: list[float], label: int) -> float:
            return math.exp(logits[label] / temperature) / sum(math.exp(value / temperature) for value in logits)

        first = 0.75 * one([2.0, 0.0], 0) + 0.25 * one([0.0, 1.0], 0)
        return math.log(first) + math.log(one([0.0, 3.0], 1)) + math.log(one([1.0, 0.0], 1))

    best = fit_temperature(parts, gold, several=False)
    assert all(likelihood(best) >= likelihood(number / 100) - 1e-9 for number in range(10, 1000))


def test_without_a_mistake_there_is_no_temperature() -> None:
    parts = [([3], [[1.0, 0.0]]), ([4], [[0.5, 0.7]])]
    assert fit_temperature(parts, [[True, False], [False, True]], several=False) == 1
    assert fit_temperature(parts, [[False, True], [True, False]], several=False) == 1


def test_the_threshold_has_the_best_micro_f1() -> None:
    draw = torch.rand(60, 5, generator=torch.Generator().manual_seed(2)).mul(20).round().div(20)  # many are equal
    gold = draw + 0.3 * torch.rand(60, 5, generator=torch.Generator().manual_seed(3)) > 0.8

    def f1(threshold: float) -> float:
        found = draw > threshold
        return float(2 * (found & gold).sum() / (found.sum() + gold.sum()))

    best = fit_threshold(draw.tolist(), gold.tolist())
    assert f1(best) == max(f1(number / 1000) for number in range(1000))


def test_a_threshold_where_no_label_is_right() -> None:
    assert fit_threshold([[0.2, 0.9]], [[False, False]]) == 0.5
    assert 0 < fit_threshold([[0.0, 1.0]], [[True, True]]) < 1
