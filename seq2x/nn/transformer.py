"""The parts of a Transformer (Vaswani et al. 2017), with the norms first (Xiong et al. 2020) or last. Knows no task.

Letters: S queries, T keys, h heads; X keys of a decoder's own tokens. No key or value has a bias: that of a key cannot
change a softmax, and that of a value is one with the output's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.config import Config
from seq2x.nn.attention import masked_softmax
from seq2x.nn.dropout import Dropout, RectifiedDropout, mask_like
from seq2x.nn.linear import Linear, linear, missing_rows, product
from seq2x.nn.positions import PositionKind, Turns, turned
from seq2x.nn.refinement import Refinement

Activation = Literal["relu", "gelu", "silu", "swiglu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "silu": F.silu}

Projected = tuple[Tensor, Tensor]
"""Keys and values, both [B, h, T, D / h]."""


class LayersConfig(Config):
    """What the layers of an encoder and those of a decoder have in common."""

    heads: int = Field(4, ge=1)
    feedforward: int = Field(1024, ge=1, description="units of the inner layer")
    activation: Activation = Field("relu", description="swiglu: silu(V x) * W x in the inner layer (Shazeer 2020)")
    dropout: float = Field(0.1, ge=0, lt=1, description="on attention weights, inner units and what each part adds")
    norm: Literal["layer", "rms"] = Field("layer", description="rms: no mean is taken off (Zhang & Sennrich 2019)")
    norm_first: bool = Field(
        True, description="x + part(norm(x)), the steadier one; false: norm(x + part(x)) (Vaswani et al. 2017)")
    positions: PositionKind = Field(
        "sinusoidal", description="rotary: queries and keys are turned by theirs (Su et al. 2021)")
    max_length: int = Field(1024, ge=1, description="tokens at most; for learned positions")

    def misfit(self, width: int) -> str:
        """Say why layers ``width`` wide cannot be made; empty where they can."""
        if width % self.heads:
            return f"{self.heads} heads do not divide"
        if self.positions == "rotary" and width // self.heads % 2:
            return f"rotary positions need heads of an even width, and there are {self.heads} in"
        return ""


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

    def read(self, states: Tensor, turns: Turns | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, all [B, h, T, D / h], of the same ``states`` [B, T, D]."""
        if self.training:
            weight = torch.cat([self.query.weight, self.memory.weight])  # one product for all three
            bias = F.pad(self.query.bias, (0, len(self.memory.weight)))
            queries, keys, values = (self._split(part) for part in linear(states, weight, bias).chunk(3, dim=-1))
        else:
            queries, (keys, values) = self._split(self.query(states)), self.project(states)
        if turns is not None:
            queries, keys = turned(queries, turns), turned(keys, turns)
        return queries, keys, values

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """What :meth:`read` gave, and ``mask`` bool [B, 1 or S, T], True = may be looked at -> [B, S, D]."""
        if not self.training:
            found = product(_weights(queries, keys, mask, exact=True), values, exact=True)
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

    def score(self, states: Tensor, keys: Tensor) -> Tensor:
        """Return what the softmax of :meth:`weigh` is taken of, [B, h, S, T], at least in float32."""
        queries = self._split(self.query(states))
        kind = torch.promote_types(queries.dtype, torch.float32)
        with torch.autocast(queries.device.type, enabled=False):
            return _scores(queries.to(kind), keys.to(kind), exact=not self.training)

    def find(self, weights: Tensor, values: Tensor) -> Tensor:
        """Return what ``weights`` [B, h, S, T], which may drop out, find among the values: [B, S, D]."""
        with torch.autocast(weights.device.type, enabled=False):
            found = product(self.dropout(weights), values.to(weights.dtype), exact=not self.training)
        return self._join(found)

    def _join(self, found: Tensor) -> Tensor:
        """[B, h, S, D / h] -> [B, S, D]."""
        output: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor) -> Tensor:
        """[B, T, D] -> [B, h, T, D / h]."""
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)


def _weights(queries: Tensor, keys: Tensor, mask: Tensor, *, exact: bool) -> Tensor:
    """``queries`` [B, h, S, d], ``keys`` [B, h, T, d], ``mask`` [B, 1 or S, T] -> [B, h, S, T]."""
    return masked_softmax(_scores(queries, keys, exact=exact), mask[:, None])


def _scores(queries: Tensor, keys: Tensor, *, exact: bool) -> Tensor:
    return product(queries, keys.transpose(2, 3), exact=exact) / math.sqrt(queries.shape[-1])


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
        self.gated = activation == "swiglu"
        self.inner, self.outer = _linear(width, 2 * hidden if self.gated else hidden), _linear(hidden, width)
        self.activation = nn.Identity() if activation in ("relu", "swiglu") else _ACTIVATIONS[activation]
        self.dropout = RectifiedDropout(dropout) if activation == "relu" else Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """``states`` [B, T, D]."""
        rows = states.flatten(0, -2)
        if self.training:  # once for both layers
            rows = F.pad(rows, (0, 0, 0, missing_rows(rows)))
        inner = self.activation(self.inner(rows))
        if self.gated:
            gates, inner = inner.chunk(2, dim=-1)
            inner = F.silu(gates) * inner
        output: Tensor = self.outer(self.dropout(inner))
        return output[: states.shape[:-1].numel()].view_as(states)


class _Layer(nn.Module):
    """Parts that each add to the states: as ``x + part(norm(x))``, or with the norm last."""

    norms: nn.ModuleList
    dropout: Dropout
    norm_first: bool

    def _finish(self, width: int, config: LayersConfig, parts: int) -> None:
        self.norms = nn.ModuleList(norm(width, config) for _ in range(parts))
        self.dropout, self.norm_first = Dropout(config.dropout), config.norm_first

    def _before(self, part: int, states: Tensor) -> Tensor:
        """What a part reads."""
        return self.norms[part](states) if self.norm_first else states

    def _add(self, part: int, states: Tensor, found: Tensor) -> Tensor:
        summed = states + self.dropout(found)
        return summed if self.norm_first else cast(Tensor, self.norms[part](summed))


class EncoderLayer(_Layer):
    """Attention to the positions that a mask leaves, feed-forward: [B, T, D] -> [B, T, D]."""

    def __init__(self, width: int, config: LayersConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, config.heads, config.dropout)
        self.feedforward = FeedForward(width, config.feedforward, config.activation, config.dropout)
        self._finish(width, config, 2)

    def forward(self, states: Tensor, mask: Tensor, turns: Turns | None = None) -> Tensor:
        """``states`` [B, T, D], ``mask`` [B, 1 or T, T] bool: which positions each may look at."""
        queries, keys, values = self.attention.read(self._before(0, states), turns)
        states = self._add(0, states, self.attention(queries, keys, values, mask))
        return self._add(1, states, self.feedforward(self._before(1, states)))


class Source(NamedTuple):
    """What a decoder's layer may look at of the source, and has looked at already."""

    memory: Projected
    """Keys and values, [B, h, T, D / h]."""
    mask: Tensor
    """[B, 1, T] bool"""
    sums: Tensor | None = None
    """[B, F, K, T], where there is a refinement; see :class:`seq2x.nn.refinement.Refinement`."""
    below: Tensor | None = None
    """[B, h, S, T]: the weights of the layer below, for a refinement that reads them."""


class DecoderLayer(_Layer):
    """Attention to the positions before, to a memory ``memory`` wide, feed-forward: [B, S, D] -> [B, S, D]."""

    def __init__(self, width: int, config: LayersConfig, memory: int, refinement: Refinement | None = None) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, config.heads, config.dropout)
        self.cross = MultiHeadAttention(width, config.heads, config.dropout, memory)
        self.feedforward = FeedForward(width, config.feedforward, config.activation, config.dropout)
        self._finish(width, config, 3)
        self.refinement = refinement

    def forward(
        self, states: Tensor, past: Projected | None, mask: Tensor, source: Source, turns: Turns | None = None
    ) -> tuple[Tensor, Projected, Tensor, Tensor | None]:
        """One pass over S new positions ``states`` [B, S, D]; ``past``: keys and values of those before.

        ``mask`` [B or 1, S, X] says which of all X positions each may look at. Returns the states, keys and values of
        all, both [B, h, X, D / h], the weights on the source [B, h, S, T] and, with a refinement, its new sums.
        """
        queries, *new = self.attention.read(self._before(0, states), turns)
        keys, values = new if past is None else (torch.cat(both, 2) for both in zip(past, new, strict=True))
        states = self._add(0, states, self.attention(queries, keys, values, mask))
        found, weights, sums = self._look(self._before(1, states), source)
        states = self._add(1, states, found)
        return self._add(2, states, self.feedforward(self._before(2, states))), (keys, values), weights, sums

    def _look(self, states: Tensor, source: Source) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the source has for ``states``, the weights, and the new sums."""
        if self.refinement is None:
            return *self.cross.weigh(states, *source.memory, source.mask), None
        scores = self.cross.score(states, source.memory[0])
        with torch.autocast(states.device.type, enabled=False):
            weights, sums = self.refinement(scores, source.mask, source.sums, source.below)
        return self.cross.find(weights, source.memory[1]), weights, sums


def norm(width: int, config: LayersConfig) -> nn.Module:
    """Return a norm over the last dimension, ``width`` wide."""
    return nn.LayerNorm(width) if config.norm == "layer" else nn.RMSNorm(width, eps=1e-6)


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> Linear:
    """A linear layer that keeps the variance of what passes, forward and back (Glorot & Bengio 2010)."""
    layer = Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
