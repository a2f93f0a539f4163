"""Attention of each state over the few states just before it (Daniluk et al. 2017). Knows no task."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.config import Config
from seq2x.nn.linear import FewOutputs

PARTS = {"plain": 1, "key_value": 2, "key_value_predict": 3}


class WindowAttentionConfig(Config):
    """What a state h_t is made of, and how far back it looks (Daniluk et al. 2017, sections 2.1 to 2.3).

    plain: h_t is key, value and what predicts; key_value: [k_t; v_t], and v_t predicts; key_value_predict:
    [k_t; v_t; p_t], each for one of the three.
    """

    kind: Literal["plain", "key_value", "key_value_predict"] = "key_value"
    window: int = Field(10, ge=1, description="L: so many states before (Daniluk et al. 2017: 5 to 15)")

    def build(self, width: int, output: int) -> WindowAttention:
        """``width`` of the states, ``output`` of the vectors; ValueError where states cannot be parted evenly."""
        return WindowAttention(self, width, output)


class WindowAttention(nn.Module):
    """h*_t = tanh(W_r r_t + W_x p_t) with r_t the weighted sum of the values of the L states before.

    The weights are softmax_j(w' tanh(W_Y k_j + W_h k_t)) (Daniluk et al. 2017, equations 4 to 11); a state that has
    none before it has r_t = 0.
    """

    def __init__(self, config: WindowAttentionConfig, width: int, output: int) -> None:
        super().__init__()
        parts = PARTS[config.kind]
        if width % parts:
            raise ValueError(f"attention.kind = {config.kind!r} needs states in {parts} equal parts; their width is "
                             f"{width}, expected a multiple of {parts}")
        self.window, self.part = config.window, width // parts
        self.key = FewOutputs(self.part, self.part, bias=False)
        self.query = FewOutputs(self.part, self.part)
        self.score = FewOutputs(self.part, 1, bias=False)
        self.value = FewOutputs(self.part, output, bias=False)
        self.own = FewOutputs(self.part, output)

    def forward(self, states: Tensor, mask: Tensor, *, ahead: bool = False) -> Tensor:
        """``states`` [B, T, H], ``mask`` [B, T] -> [B, T, output]; ``ahead``: of those read from right to left."""
        parts = torch.split(states, self.part, dim=-1)
        keys, values, own = parts[0], parts[min(1, len(parts) - 1)], parts[-1]
        there = self._windows(mask[..., None].to(states.dtype), ahead)[..., 0] > 0  # [B, T, L]
        compared = torch.tanh(self._windows(self.key(keys), ahead) + self.query(keys)[:, :, None])
        scores = self.score(compared)[..., 0].float()
        weights = torch.softmax(scores.masked_fill(~there, torch.finfo(scores.dtype).min), dim=-1) * there
        summed = (weights[..., None].to(states.dtype) * self._windows(values, ahead)).sum(2)
        return torch.tanh(self.value(summed) + self.own(own))

    def _windows(self, states: Tensor, ahead: bool) -> Tensor:
        """Of each position the L before it, or after it: [B, T, D] -> [B, T, L, D], zeros where there are none."""
        sides = (0, self.window) if ahead else (self.window, 0)
        windows = F.pad(states, (0, 0, *sides)).unfold(1, self.window, 1).transpose(2, 3)
        return windows[:, 1:] if ahead else windows[:, :-1]
