"""The greatest numbers, against torch's own search for them."""

from __future__ import annotations

import pytest
import torch

from seq2x.search.top import BLOCK, top


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("width", [12, 8 * BLOCK, 80 * BLOCK, 100 * BLOCK + 7])
def test_the_greatest_wherever_they_are(width: int, count: int) -> None:
    torch.manual_seed(0)
    numbers = torch.randn(20, width)
    numbers[1] = -torch.inf
    numbers[1, -2:] = torch.tensor([1.0, 2.0])  # fewer than are wanted, in what no block holds
    numbers[2, BLOCK : 2 * BLOCK] += 100  # all in one block
    best, places = top(numbers, count)
    expected = numbers.topk(count)
    assert torch.equal(best, expected.values)
    finite = best > -torch.inf
    assert torch.equal(places[finite], expected.indices[finite])
    assert torch.equal(numbers.gather(1, places), best)
