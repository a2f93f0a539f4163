"""Recurrent layers over a whole sequence, and single cells for decoders. Knows no task.

Sequences are not packed: the backward direction reads each row reversed within its own length, so that padding
always comes last and never reaches a real position, and the row count of every product stays what the caller made it
(``nn.LSTM`` on a packed batch shrinks to a few rows at the end, whose last bits then depend on the neighbours).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.nn.dropout import VariationalDropout

CellKind = Literal["lstm", "gru", "rnn"]
NETWORKS: dict[str, type[nn.LSTM | nn.GRU | nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class RecurrentLayer(nn.Module):
    """One layer in one or two directions: [B, T, D] -> its directions, each [B, T, H]."""

    def __init__(self, cell: CellKind, width: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        kind = NETWORKS[cell]
        self.forwards = kind(width, hidden, batch_first=True)
        self.backwards = kind(width, hidden, batch_first=True) if bidirectional else None
        for network in (self.forwards, self.backwards):
            if network is not None:
                _initialise(network, cell)

    def forward(self, states: Tensor, reversal: Tensor) -> tuple[Tensor, ...]:
        """``reversal`` [B, T] is what :func:`reverse_order` gives."""
        forward = self.forwards(states)[0]
        if self.backwards is None:
            return (forward,)
        return (forward, _reorder(self.backwards(_reorder(states, reversal))[0], reversal))


class RecurrentLayers(nn.Module):
    """A stack of recurrent layers with one dropout mask a sequence before each (Gal & Ghahramani 2016)."""

    def __init__(
        self, cell: CellKind, width: int, hidden: int, layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        self.width = hidden * (2 if bidirectional else 1)
        widths = [width] + [self.width] * (layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(cell, size, hidden, bidirectional) for size in widths)
        self.dropout = VariationalDropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> list[tuple[Tensor, ...]]:
        """``states`` [B, T, D], ``mask`` [B, T] -> for each layer its directions, each [B, T, H]."""
        reversal = reverse_order(mask)
        outputs: list[tuple[Tensor, ...]] = []
        for layer in self.layers:
            directions = layer(self.dropout(states), reversal)
            outputs.append(directions)
            states = torch.cat(directions, dim=-1)
        return outputs


def reverse_order(mask: Tensor) -> Tensor:
    """Return positions [B, T] that read each row backwards within its length; padding stays where it is."""
    position = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - position, position)


def last_states(directions: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """Return [B, D]: the forward state at the last real position beside the backward state at the first."""
    last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, directions[0].shape[-1])
    ends = [directions[0].gather(1, last)[:, 0], *[direction[:, 0] for direction in directions[1:]]]
    return torch.cat(ends, dim=-1)


class Cell(nn.Module):
    """One recurrent step, its input product apart, so that known inputs of all steps go through one product.

    LSTM: Hochreiter & Schmidhuber 1997, with a forget gate (bias 1 at the start); GRU: Cho et al. 2014 (the reset
    gate applied after the product); rnn: tanh.
    """

    def __init__(self, kind: CellKind, width: int, hidden: int) -> None:
        super().__init__()
        self.kind = kind
        self.input = nn.Linear(width, GATES[kind] * hidden)
        self.recurrent = nn.Linear(hidden, GATES[kind] * hidden, bias=kind == "gru")
        for gate in range(GATES[kind]):
            rows = slice(gate * hidden, (gate + 1) * hidden)
            nn.init.xavier_uniform_(self.input.weight.data[rows])
            nn.init.orthogonal_(self.recurrent.weight.data[rows])
        nn.init.zeros_(self.input.bias)
        if kind == "lstm":
            nn.init.ones_(self.input.bias.data[hidden : 2 * hidden])
        if kind == "gru":
            nn.init.zeros_(self.recurrent.bias)

    def forward(self, gates: Tensor, hidden: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``gates`` [N, G H] the product with the input, ``hidden`` and ``memory`` (LSTM only) [N, H]."""
        if self.kind == "lstm":
            assert memory is not None
            entry, forget, update, exit_ = (gates + self.recurrent(hidden)).chunk(4, dim=-1)
            memory = forget.sigmoid() * memory + entry.sigmoid() * update.tanh()
            return exit_.sigmoid() * memory.tanh(), memory
        if self.kind == "gru":
            reset_in, mix_in, update_in = gates.chunk(3, dim=-1)
            reset_own, mix_own, update_own = self.recurrent(hidden).chunk(3, dim=-1)
            update = (update_in + (reset_in + reset_own).sigmoid() * update_own).tanh()
            return torch.lerp(update, hidden, (mix_in + mix_own).sigmoid()), None
        return F.tanh(gates + self.recurrent(hidden)), None


def _initialise(network: nn.RNNBase, cell: CellKind) -> None:
    """Xavier inputs, orthogonal recurrence, zero biases, the LSTM's forget gate at 1 (Jozefowicz et al. 2015)."""
    size = network.hidden_size
    for name, parameter in network.named_parameters():
        for gate in range(GATES[cell]):
            part = parameter.data[gate * size : (gate + 1) * size]
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(part)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(part)
            else:
                nn.init.constant_(part, 1.0 if cell == "lstm" and gate == 1 and "bias_ih" in name else 0.0)


def _reorder(states: Tensor, positions: Tensor) -> Tensor:
    return states.gather(1, positions[..., None].expand_as(states))
