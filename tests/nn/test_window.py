"""Attention over the states just before, against a loop over positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seq2x.batch import mask_of
from seq2x.nn.window import PARTS, WindowAttention, WindowAttentionConfig


def by_hand(layer: WindowAttention, states: Tensor, kind: str) -> Tensor:
    """Of the last of ``states`` [T, H], read in their order."""
    parts = states.split(states.shape[1] // PARTS[kind], dim=-1)
    keys, values, own = parts[0], parts[1] if len(parts) > 1 else parts[0], parts[-1]
    summed = torch.zeros_like(values[0])
    before = slice(max(0, len(states) - 1 - layer.window), len(states) - 1)
    if len(states) > 1:
        scores = layer.score(torch.tanh(layer.key(keys[before]) + layer.query(keys[-1])))[:, 0]
        summed = scores.softmax(0) @ values[before]
    return torch.tanh(layer.value(summed) + layer.own(own[-1]))


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_it_is_the_formula(kind: str, ahead: bool, window: int) -> None:
    torch.manual_seed(0)
    layer = WindowAttentionConfig.model_validate({"kind": kind, "window": window}).build(12, 5)
    lengths = torch.tensor([7, 1, 4])
    states = torch.randn(3, 7, 12)
    found = layer(states, mask_of(lengths, 7), ahead=ahead)
    assert found.shape == (3, 7, 5)
    for row, length in enumerate(lengths.tolist()):
        for place in range(length):
            seen = states[row, place:length].flip(0) if ahead else states[row, : place + 1]
            torch.testing.assert_close(found[row, place], by_hand(layer, seen, kind))
