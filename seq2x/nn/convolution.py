"""Convolution over tokens or characters, written as one matrix product. Knows no task.

A product treats every row alike, so a token's result keeps its bits whatever else is in the batch (see
:data:`seq2x.batch.ROW_MULTIPLE`); ``torch.conv1d`` chooses its path, and its rounding, by the shape of the batch.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

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
