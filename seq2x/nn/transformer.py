"""The parts of a Transformer (Vaswani et al. 2017), with the norms first (Xiong et al. 2020). Knows no task.

Letters: S queries, T keys, h heads. No key or value has a bias: that of a key cannot change a softmax, and that of a
value is one with the output's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.nn.attention import masked_softmax

Activation = Literal["relu", "gelu", "silu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


class MultiHeadAttention(nn.Module):
    """``softmax(Q K' / sqrt(D / h)) V`` in h subspaces at once (Vaswani et al. 2017, section 3.2.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = _linear(width, width)
        self.memory = _linear(width, 2 * width, bias=False)  # keys and values in one product
        self.output = _linear(width, width)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, both [B, h, T, D / h], of ``memory`` [B, T, D]: a decoder does it once a sentence."""
        keys, values = self.memory(memory).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, states: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """``states`` [B, S, D], ``mask`` bool [B, 1 or S, T], True = may be looked at -> [B, S, D]."""
        queries, mask = self._split(self.query(states)), mask[:, None]
        if self.training:
            found = F.scaled_dot_product_attention(queries, keys, values, mask, self.dropout)
        else:  # the fused product rounds a row by what else is in the batch; this does not
            scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
            found = masked_softmax(scores, mask) @ values
        output: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor) -> Tensor:
        """[B, T, D] -> [B, h, T, D / h]."""
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """``W2 f(W1 x)`` at each position (Vaswani et al. 2017, eq. 2): [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = _linear(width, hidden), _linear(hidden, width)
        self.activation = _ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """``states`` [B, T, D]."""
        output: Tensor = self.outer(self.dropout(self.activation(self.inner(states))))
        return output


class EncoderLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + feedforward(norm(x))``: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, heads: int, feedforward: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.feedforward = FeedForward(width, feedforward, activation, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """``states`` [B, T, D], ``mask`` [B, T] bool: padding is not looked at."""
        normed = self.norms[0](states)
        keys, values = self.attention.project(normed)
        states = states + self.dropout(self.attention(normed, keys, values, mask[:, None]))
        summed: Tensor = states + self.dropout(self.feedforward(self.norms[1](states)))
        return summed


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return [..., width] for ``positions`` [...]: sines and cosines in turn (Vaswani et al. 2017, section 3.5)."""
    steps = torch.arange(0, width, 2, device=positions.device)
    angles = positions[..., None] * torch.exp(steps * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer that keeps the variance of what passes, forward and back (Glorot & Bengio 2010)."""
    linear = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear
