"""Windows against torch's own convolution, against padding and against the size of the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.nn.convolution import Windows, pool_over_time


def _case(rows: int = 8, length: int = 16, width: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    embedded = torch.randn(rows, length, width, generator=generator)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    lengths[0] = length
    return embedded, torch.arange(length) < lengths[:, None]


@pytest.mark.parametrize("window", [1, 2, 3, 5, 7])
def test_windows_equal_a_convolution(window: int) -> None:
    embedded, mask = _case()
    windows = Windows(6, 10, window)
    kernel = windows.linear.weight.view(10, window, 6).transpose(1, 2)  # [maps, D, window]
    padded = F.pad((embedded * mask[..., None]).transpose(1, 2), ((window - 1) // 2, window // 2))
    expected = F.conv1d(padded, kernel, windows.linear.bias).transpose(1, 2)
    torch.testing.assert_close(windows(embedded, mask), expected)


def test_padding_is_never_read() -> None:
    embedded, mask = _case()
    windows = Windows(6, 10, 3)
    loud = torch.where(mask[..., None], embedded, torch.inf)
    assert torch.equal(windows(loud, mask), windows(embedded, mask))


def test_a_row_keeps_its_bits_in_any_batch() -> None:
    embedded, mask = _case(rows=24, width=32)
    windows = Windows(32, 50, 3)
    together = windows(embedded, mask)
    for row in range(24):
        eight = torch.full((8,), row)
        assert torch.equal(windows(embedded[eight], mask[eight])[0], together[row])


def test_a_sentence_shorter_than_the_window() -> None:
    windows = Windows(6, 10, 5)
    assert windows(torch.randn(1, 1, 6), torch.ones(1, 1, dtype=torch.bool)).shape == (1, 1, 10)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (3, 3), (4, 2), (5, 5)])
@pytest.mark.parametrize("exact", [False, True])
def test_pooling_over_time_by_hand(window: int, stride: int, exact: bool) -> None:
    states, mask = _case(length=15)
    loud = states.masked_fill(~mask[..., None], 1e9)
    pooled, kept = pool_over_time(loud, mask, window, stride, exact=exact)
    assert pooled.shape[1] == (16 if exact else -(-15 // stride))
    for row, length in enumerate(mask.sum(1).tolist()):
        assert kept[row].tolist() == [place * stride < length for place in range(pooled.shape[1])]
        places, before = range(-(-length // stride)), min((window - 1) // 2, window - stride)
        assert places[-1] * stride - before + window >= length  # no token is in no window
        for place in places:
            first = place * stride - before
            inside = states[row, max(first, 0) : min(first + window, length)]
            assert torch.equal(pooled[row, place], inside.amax(0))
    assert not pooled[~kept].any()
