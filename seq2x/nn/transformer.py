"""The parts of a Transformer (Vaswani et al. 2017), with the norms first (Xiong et al. 2020). Knows no task.

Letters: S queries, T keys, h heads; in a decoder N hypotheses of B sentences, and t positions already read. No key or
value has a bias: that of a key cannot change a softmax, and that of a value is one with the output's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.nn.attention import masked_softmax
from seq2x.nn.dropout import Dropout, RectifiedDropout, mask_like
from seq2x.nn.linear import Linear, linear, missing_rows, product

Activation = Literal["relu", "gelu", "silu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}

Projected = tuple[Tensor, Tensor]
"""Keys and values, both [B, h, T, D / h]."""


class MultiHeadAttention(nn.Module):
    """``softmax(Q K' / sqrt(D / h)) V`` in h subspaces at once (Vaswani et al. 2017, section 3.2.2).

    ``memory`` is the width M of what is attended to, where it is not that of the queries.
    """

    def __init__(self, width: int, heads: int, dropout: float, memory: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = _linear(width, width)
        self.memory = _linear(memory or width, 2 * width, bias=False)  # keys and values in one product
        self.output = _linear(width, width)

    def project(self, memory: Tensor) -> Projected:
        """Return keys and values, both [B, h, T, D / h], of ``memory`` [B, T, M]: a decoder does it once a sentence."""
        keys, values = self.memory(memory).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def read(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, all [B, h, T, D / h], of the same ``states`` [B, T, D]."""
        if not self.training:
            return self._split(self.query(states)), *self.project(states)
        weight = torch.cat([self.query.weight, self.memory.weight])  # one product for all three
        bias = F.pad(self.query.bias, (0, len(self.memory.weight)))
        queries, keys, values = linear(states, weight, bias).chunk(3, dim=-1)
        return self._split(queries), self._split(keys), self._split(values)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """What :meth:`read` gave, and ``mask`` bool [B, 1 or S, T], True = may be looked at -> [B, S, D]."""
        if not self.training:
            found = _weights(queries, keys, mask, exact=False) @ values
        elif queries.is_cuda:
            found = F.scaled_dot_product_attention(queries, keys, values, mask[:, None], self.dropout.p)
        else:  # where it is no faster, and in evaluation rounds a row by what else is in the batch
            found, _ = _attend(queries, keys, values, mask, self.dropout.p)
        return self._join(found)

    def weigh(self, states: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same for any number of queries (a beam), exact under any padding; and the weights [B, h, S, T]."""
        queries = self._split(self.query(states))
        if self.training:
            found, weights = _attend(queries, keys, values, mask, self.dropout.p)
        else:
            weights = _weights(queries, keys, mask, exact=True)
            found = product(weights, values, exact=True)
        return self._join(found), weights

    def _join(self, found: Tensor) -> Tensor:
        """[B, h, S, D / h] -> [B, S, D]."""
        output: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor) -> Tensor:
        """[B, T, D] -> [B, h, T, D / h]."""
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)


def _weights(queries: Tensor, keys: Tensor, mask: Tensor, *, exact: bool) -> Tensor:
    """``queries`` [B, h, S, d], ``keys`` [B, h, T, d], ``mask`` [B, 1 or S, T] -> [B, h, S, T]."""
    scores = product(queries, keys.transpose(2, 3), exact=exact) / math.sqrt(queries.shape[-1])
    return masked_softmax(scores, mask[:, None])


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """What is found [B, h, S, d] and the weights [B, h, S, T], of which ``rate`` are dropped in the former."""
    with torch.autocast(queries.device.type, enabled=False):
        found, weights = _Attention.apply(queries, keys, values, mask, rate)  # type: ignore[no-untyped-call]
    return found, weights


class _Attention(torch.autograd.Function):
    """Keeps queries, keys and values as they came, where autograd keeps several copies in other orders.

    On a processor in float32, whatever came: products this small are no faster in bfloat16, where oneDNN would compile
    a program for the size of every batch (see :class:`seq2x.nn.linear.Linear`).
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, rate: float
    ) -> tuple[Tensor, Tensor]:
        ctx.kind = torch.promote_types(queries.dtype, torch.float32) if queries.device.type == "cpu" else queries.dtype
        asked, offered, held = (tensor.to(ctx.kind) for tensor in (queries, keys, values))
        weights = _weights(asked, offered, mask, exact=False)
        dropped = mask_like(weights, rate) if rate else None
        ctx.save_for_backward(queries, keys, values, weights, dropped)
        found = (weights if dropped is None else weights * dropped) @ held
        return found.to(queries.dtype), weights

    @staticmethod
    def backward(ctx: Any, found: Tensor, looked: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, weights, dropped = ctx.saved_tensors
        asked, offered, held, found = (tensor.to(ctx.kind) for tensor in (queries, keys, values, found))
        on_weights = found @ held.transpose(2, 3)
        if dropped is not None:
            on_weights *= dropped
        on_weights += looked
        on_scores = weights * (on_weights - (weights * on_weights).sum(-1, keepdim=True))
        on_scores /= math.sqrt(queries.shape[-1])
        on_values = (weights if dropped is None else weights * dropped).transpose(2, 3) @ found
        gradients = on_scores @ offered, on_scores.transpose(2, 3) @ asked, on_values
        return *(gradient.to(queries.dtype) for gradient in gradients), None, None


class FeedForward(nn.Module):
    """``W2 f(W1 x)`` at each position (Vaswani et al. 2017, eq. 2): [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = _linear(width, hidden), _linear(hidden, width)
        self.activation = nn.Identity() if activation == "relu" else _ACTIVATIONS[activation]
        self.dropout = RectifiedDropout(dropout) if activation == "relu" else Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """``states`` [B, T, D]."""
        rows = states.flatten(0, -2)
        if self.training:  # once for both layers
            rows = F.pad(rows, (0, 0, 0, missing_rows(rows)))
        output: Tensor = self.outer(self.dropout(self.activation(self.inner(rows))))
        return output[: states.shape[:-1].numel()].view_as(states)


class EncoderLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + feedforward(norm(x))``: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, heads: int, feedforward: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.feedforward = FeedForward(width, feedforward, activation, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """``states`` [B, T, D], ``mask`` [B, T] bool: padding is not looked at."""
        queries, keys, values = self.attention.read(self.norms[0](states))
        states = states + self.dropout(self.attention(queries, keys, values, mask[:, None]))
        summed: Tensor = states + self.dropout(self.feedforward(self.norms[1](states)))
        return summed


class DecoderLayer(nn.Module):
    """Attention to the positions before, to a memory ``memory`` wide, feed-forward; each as ``x + part(norm(x))``."""

    def __init__(
        self, width: int, heads: int, feedforward: int, activation: Activation, dropout: float, memory: int
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.cross = MultiHeadAttention(width, heads, dropout, memory)
        self.feedforward = FeedForward(width, feedforward, activation, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = Dropout(dropout)

    def forward(
        self, states: Tensor, past: Projected, memory: Projected, mask: Tensor
    ) -> tuple[Tensor, Tensor, Projected]:
        """One pass over S new positions of N rows, which are [B, K] to the memory of B sentences.

        ``states`` [N, S, D]; ``past`` keys and values [N, h, t, D / h] of the positions before; ``memory`` those of
        the source, [B, h, T, D / h], and its ``mask`` [B, T]. Returns states [N, S, D], the memory's attention weights
        [B, h, K S, T], and keys and values of all t + S positions.
        """
        rows, steps, width = states.shape
        queries, *new = self.attention.read(self.norms[0](states))
        keys, values = (_follow(before, after) for before, after in zip(past, new, strict=True))
        states = states + self.dropout(self.attention(queries, keys, values, _earlier(steps, keys)))
        beams = self.norms[1](states).view(len(mask), -1, width)  # [B, K S, D]
        found, weights = self.cross.weigh(beams, *memory, mask[:, None])
        states = states + self.dropout(found.view(rows, steps, width))
        summed: Tensor = states + self.dropout(self.feedforward(self.norms[2](states)))
        return summed, weights, (keys, values)


def _follow(before: Tensor, new: Tensor) -> Tensor:
    """Put [N, h, S, d] after [N, h, t, d]."""
    return torch.cat([before, new], 2) if before.shape[2] else new


def _earlier(steps: int, keys: Tensor) -> Tensor:
    """Which of the keys [N, h, t + S, d] each of the last S positions may look at: [1, S, t + S]."""
    total = keys.shape[2]
    return torch.ones(steps, total, dtype=torch.bool, device=keys.device).tril(total - steps)[None]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Return [..., width] for ``positions`` [...]: sines and cosines in turn (Vaswani et al. 2017, section 3.5)."""
    steps = torch.arange(0, width, 2, device=positions.device)
    angles = positions[..., None] * torch.exp(steps * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :width]


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> Linear:
    """A linear layer that keeps the variance of what passes, forward and back (Glorot & Bengio 2010)."""
    layer = Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
