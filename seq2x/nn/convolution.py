"""Convolution over tokens or characters, written as one matrix product. Knows no task.

A product treats every row alike, so a token's result keeps its bits whatever else is in the batch (see
:data:`seq2x.batch.ROW_MULTIPLE`); ``torch.conv1d`` chooses its path, and its rounding, by the shape of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import LENGTH_MULTIPLE
from seq2x.nn.linear import FewOutputs


class Windows(nn.Module):
    """Feature maps of every window of ``window`` neighbouring tokens: ``c_i = W x_{i:i+h-1} + b`` (Kim 2014, eq. 2).

    Padded with zeros to the same length; the window of an odd width is centred, that of an even width leans right.
    """

    def __init__(self, width: int, maps: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.linear = FewOutputs(window * width, maps)

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """``embedded`` [N, T, D], ``mask`` [N, T] bool -> [N, T, maps]; padding is read as zeros."""
        rows, _, width = embedded.shape
        padded = F.pad(embedded.masked_fill(~mask[..., None], 0.0), (0, 0, (self.window - 1) // 2, self.window // 2))
        windows = padded.reshape(rows, -1).unfold(1, self.window * width, width)  # [N, T, window * D], a view
        maps: Tensor = self.linear(windows)
        return maps


def pool_over_time(
    states: Tensor, mask: Tensor, window: int, stride: int, *, exact: bool
) -> tuple[Tensor, Tensor]:
    """Max-pooling over neighbouring positions: [B, T, D] and mask [B, T] -> [B, U, D] and [B, U], U >= T / stride.

    Position u is the highest of ``window`` (>= ``stride``) states around that of token ``stride`` * u, as
    :class:`Windows` places them, but shifted to the right as far as the last tokens of a text would be in no window
    otherwise; it is real where that token is. Padding takes no part and is zero. ``exact``: for prediction, U is a
    multiple of :data:`seq2x.batch.LENGTH_MULTIPLE`.
    """
    size = -(-states.shape[1] // stride)
    size += -size % LENGTH_MULTIPLE if exact else 0
    before = min((window - 1) // 2, window - stride)
    after = max((size - 1) * stride + window - before - states.shape[1], 0)
    lowest = states.masked_fill(~mask[..., None], torch.finfo(states.dtype).min)
    filled = F.pad(lowest, (0, 0, before, after), value=torch.finfo(states.dtype).min)
    pooled = filled.unfold(1, window, stride)[:, :size].amax(-1)
    kept = F.pad(mask, (0, size * stride - mask.shape[1]))[:, ::stride]
    return pooled.masked_fill(~kept[..., None], 0.0), kept
