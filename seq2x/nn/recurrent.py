"""Recurrent layers over a whole sequence, and single cells for decoders. Knows no task.

Sequences are not packed: the backward direction reads each row reversed within its own length, so that padding
always comes last and never reaches a real position, and the row count of every product stays what the caller made it
(``nn.LSTM`` on a packed batch shrinks to a few rows at the end, whose last bits then depend on the neighbours).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import EXACT, LENGTH_MULTIPLE, ROW_MULTIPLE, Multiples, take
from seq2x.config import Config
from seq2x.nn.connections import Connection, Connections
from seq2x.nn.dropout import VariationalDropout, mask_like
from seq2x.nn.linear import Linear

CellKind = Literal["lstm", "gru", "rnn"]
NETWORKS: dict[str, type[nn.LSTM | nn.GRU | nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
STEP = 4  # tokens are padded to a multiple of this where a network takes any number; few shapes are quicker than many
LENGTHS = (STEP, 5 * STEP, 11 * STEP)  # what a network is asked with: most vector widths are cut by one of them


class RecurrenceConfig(Config):
    """A stack of recurrent layers."""

    cell: CellKind = "lstm"
    hidden: int = Field(256, ge=1, description="units of each direction")
    layers: int = Field(1, ge=1)
    bidirectional: bool = True
    reversed: bool = Field(False, description="one direction, from right to left: the end of the source is read first "
                                              "(Sutskever et al. 2014); states keep the source's order")
    connections: Connections = Field(
        "none", description="between layers; see seq2x.nn.connections: residual, highway, dense, dense-residual")
    projection: int = Field(
        0, ge=0, description="LSTM: each direction's state is projected to this width, h = W (o * tanh(c)) (LSTMP, Sak "
                             "et al. 2014); 0 = not at all")
    initial: Literal["zero", "learned"] = Field(
        "zero", description="state before the first token; learned: a parameter of each layer and direction")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="before every layer and on the states that leave, one mask a sequence (Gal & "
                                     "Ghahramani 2016); the last states, which pooling = 'last' reads, leave as they "
                                     "are (a head may have a dropout of its own)")
    input_dropout: float | None = Field(None, ge=0, lt=1, description="before every layer; left out: as dropout")
    output_dropout: float | None = Field(None, ge=0, lt=1, description="on the states that leave; left out: as dropout")
    recurrent_dropout: float = Field(
        0.0, ge=0, lt=1, description="on the state that a step hands to the gates of the next, one mask a sequence "
                                     "(Gal & Ghahramani 2016); slower in training: a step at a time")
    weight_dropout: float = Field(
        0.0, ge=0, lt=1, description="of single hidden-to-hidden weights, one mask a batch (DropConnect; Merity et al. "
                                     "2018, section 2)")

    @model_validator(mode="after")
    def _parts_fit(self) -> RecurrenceConfig:
        if self.projection and self.cell != "lstm":
            raise ValueError(f"projection = {self.projection} needs cell = 'lstm', found {self.cell!r}")
        if self.projection >= self.hidden:
            raise ValueError(f"projection = {self.projection} must be smaller than hidden = {self.hidden}")
        if self.connections != "none" and self.layers == 1:
            raise ValueError(f"connections = {self.connections!r} stand between layers; layers = 1 has none")
        if self.reversed and self.bidirectional:
            raise ValueError("reversed = true is for one direction, and both are read; expected bidirectional = false")
        return self


class RecurrentLayer(nn.Module):
    """One layer in one or two directions: [B, T, D] -> its directions, each [B, T, H].

    In evaluation it is torch's fused kernel, in training too, unless there is recurrent dropout: its mask on the state
    between two steps leaves no other way than a step at a time (1.6 times the time of the kernel for an LSTM of 200
    units on one CPU thread, forward and backward; more on a GPU, where each step is some ten launches).
    """

    def __init__(self, config: RecurrenceConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.forwards = _network(config, width)
        self.backwards = _network(config, width) if config.bidirectional else None
        for network in self.networks():
            _initialise(network, config.cell)
        self.initial = nn.ParameterDict()
        """Learned states before the first step, each [1, H], of ``hidden`` and of the LSTM's ``memory``."""
        if config.initial == "learned":
            for name in ("forwards", "backwards") if config.bidirectional else ("forwards",):
                self.initial[f"{name}_hidden"] = nn.Parameter(torch.zeros(1, config.projection or config.hidden))
                if config.cell == "lstm":
                    self.initial[f"{name}_memory"] = nn.Parameter(torch.zeros(1, config.hidden))

    def networks(self) -> list[nn.RNNBase]:
        """Return that of each direction."""
        return [network for network in (self.forwards, self.backwards) if network is not None]

    def forward(
        self, states: Tensor, reversal: Tensor, before: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the directions, and what is to be ``before`` of the states that follow on these: [B, H].

        It is the forward state after the last step, with the LSTM's memory behind it; ``reversal`` [B, T] is what
        :func:`reverse_order` gives.
        """
        forward, *last = self._run(self.forwards, states, self._before(states, "forwards", before))
        after = torch.cat([part[0] for part in last], dim=-1)
        if self.backwards is None:
            return (forward,), after
        backward, *_ = self._run(self.backwards, take(states, reversal), self._before(states, "backwards"))
        return (forward, take(backward, reversal)), after

    def _run(self, network: nn.RNNBase, states: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The states [B, T, H], then what ``before`` is of those that follow."""
        config = self.config
        if config.cell == "lstm" and _bfloat16_is_missing(states):
            with torch.autocast("cpu", enabled=False):
                return self._run(network, states.float(), tuple(part.float() for part in before))
        if not self.training or not (config.weight_dropout or config.recurrent_dropout):
            computed, last = network(states, before if config.cell == "lstm" else before[0])
            return (computed, *last) if config.cell == "lstm" else (computed, last)
        weights: dict[str, Tensor] = dict(network.named_parameters())
        if config.weight_dropout:
            recurrent = weights["weight_hh_l0"]
            weights["weight_hh_l0"] = recurrent * mask_like(recurrent, config.weight_dropout)
        if config.recurrent_dropout:
            return _steps(config, states, before, weights)
        return _fused(config.cell, states, before, list(weights.values()))

    def _before(self, states: Tensor, name: str, carried: Tensor | None = None) -> tuple[Tensor, ...]:
        """The state before the first step, ``hidden`` and the LSTM's ``memory``, each [1, B, H]."""
        rows, parts = states.shape[0], ("hidden", "memory") if self.config.cell == "lstm" else ("hidden",)
        widths = [self.config.projection or self.config.hidden, self.config.hidden][: len(parts)]
        if carried is not None:
            return tuple(part[None].contiguous() for part in torch.split(carried.to(states.dtype), widths, dim=-1))
        if self.initial:
            return tuple(self.initial[f"{name}_{part}"].expand(1, rows, -1).contiguous() for part in parts)
        return tuple(states.new_zeros(1, rows, width) for width in widths)


class RecurrentLayers(nn.Module):
    """A stack of recurrent layers, connected and with dropout as the settings say."""

    def __init__(self, config: RecurrenceConfig, width: int) -> None:
        """``width`` is that of what the first layer reads."""
        super().__init__()
        self.reversed = config.reversed
        self.width = (config.projection or config.hidden) * (2 if config.bidirectional else 1)
        connection = Connection(config.connections, width, self.width, config.layers)
        self.layers = nn.ModuleList(RecurrentLayer(config, size) for size in connection.widths)
        self.connection = connection
        rate = config.dropout if config.input_dropout is None else config.input_dropout
        self.dropout = VariationalDropout(rate)

    def multiples(self) -> Multiples:
        """Return what rows and tokens must be multiples of at prediction; see :data:`seq2x.batch.ROW_MULTIPLE`."""
        layers = cast(Iterable[RecurrentLayer], self.layers)
        return reduce(Multiples.joined, (_multiples(network) for layer in layers for network in layer.networks()))

    def forward(self, states: Tensor, mask: Tensor) -> list[tuple[Tensor, ...]]:
        """``states`` [B, T, D], ``mask`` [B, T] -> for each layer its directions, each [B, T, H]."""
        return self.going_on(states, mask, ())[0]

    def going_on(
        self, states: Tensor, mask: Tensor, before: Sequence[Tensor]
    ) -> tuple[list[tuple[Tensor, ...]], tuple[Tensor, ...]]:
        """Return the same, and of each layer what is to be its ``before`` of the states that follow on these, [B, H].

        ``before`` is () where nothing was read before. Backward directions always begin anew.
        """
        reversal = reverse_order(mask)
        outputs: list[tuple[Tensor, ...]] = []
        read: list[Tensor] = []
        after: list[Tensor] = []
        states = take(states, reversal) if self.reversed else states
        for number, layer in enumerate(self.layers):
            read.append(states)
            directions, last = layer(self.dropout(states), reversal, before[number] if before else None)
            after.append(last)
            computed = torch.cat(directions, dim=-1)
            joined = self.connection.output(computed, read)
            outputs.append(directions if joined is computed else joined.chunk(len(directions), dim=-1))
            states = self.connection.following(joined, read)
        return [(take(output, reversal),) for (output,) in outputs] if self.reversed else outputs, tuple(after)


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
        self.input = Linear(width, GATES[kind] * hidden)
        self.recurrent = Linear(hidden, GATES[kind] * hidden, bias=kind == "gru")
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
        return _step(self.kind, gates, self.recurrent(hidden), hidden, memory)


def _step(
    kind: CellKind, gates: Tensor, own: Tensor, hidden: Tensor, memory: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """One step: ``gates`` and ``own`` [N, G H] are the products with the input and with ``hidden`` [N, H]."""
    if kind == "lstm":
        assert memory is not None
        entry, forget, update, exit_ = (gates + own).chunk(4, dim=-1)
        memory = forget.sigmoid() * memory + entry.sigmoid() * update.tanh()
        return exit_.sigmoid() * memory.tanh(), memory
    if kind == "gru":
        reset_in, mix_in, update_in = gates.chunk(3, dim=-1)
        reset_own, mix_own, update_own = own.chunk(3, dim=-1)
        update = (update_in + (reset_in + reset_own).sigmoid() * update_own).tanh()
        return torch.lerp(update, hidden.to(update.dtype), (mix_in + mix_own).sigmoid()), None
    return F.tanh(gates + own), None


def _bfloat16_is_missing(states: Tensor) -> bool:
    """Whether autocast would ask oneDNN for an LSTM in bfloat16 that it has not, which torch leaves to fail."""
    if states.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _steps(
    config: RecurrenceConfig, states: Tensor, before: tuple[Tensor, ...], weights: Mapping[str, Tensor]
) -> tuple[Tensor, ...]:
    """A network of one layer, step by step, with one dropout mask a sequence on the state that enters the gates."""
    hidden, memory = before[0][0], before[1][0] if len(before) == 2 else None
    mask = mask_like(hidden, config.recurrent_dropout)
    outputs = []
    for gates in F.linear(states, weights["weight_ih_l0"], weights["bias_ih_l0"]).unbind(1):
        own = F.linear(hidden * mask, weights["weight_hh_l0"], weights["bias_hh_l0"])
        hidden, memory = _step(config.cell, gates, own, hidden, memory)
        if config.projection:
            hidden = F.linear(hidden, weights["weight_hr_l0"])
        outputs.append(hidden)
    return (torch.stack(outputs, dim=1), hidden[None], *(() if memory is None else (memory[None],)))


def _fused(
    cell: CellKind, states: Tensor, before: tuple[Tensor, ...], weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """A network of one layer with other weights than its own, on the kernel that the network itself runs on."""
    rest = (True, 1, 0.0, True, False, True)  # biases, one layer, no dropout, training, one direction, batch first
    if cell == "lstm":
        return torch.lstm(states, before, weights, *rest)
    return (torch.gru if cell == "gru" else torch.rnn_tanh)(states, before[0], weights, *rest)


def _multiples(network: nn.RNNBase) -> Multiples:
    """What rows and tokens must be multiples of, for rows to keep their bits: 1 or 2 rows and 4 tokens, or EXACT.

    oneDNN's LSTM takes nearly any number wherever it was measured (torch 2.13, float32, AVX-512, 5 to 256 units, 1 to
    96 tokens; one row is another matter with 256); other kernels make products of as many rows as there are. So this
    machine is asked, with the network's sizes.
    """
    weight = network.weight_ih_l0
    suited = isinstance(network, nn.LSTM) and not network.proj_size
    if not suited or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return EXACT
    return _measured(network.input_size, network.hidden_size, torch.get_num_threads())


@cache
def _measured(width: int, hidden: int, _threads: int) -> Multiples:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        network = nn.LSTM(width, hidden, batch_first=True)
        states = torch.randn(ROW_MULTIPLE, 3 * LENGTH_MULTIPLE, width)

        def same(rows: int, length: int) -> bool:
            part: Tensor = network(states[:rows, :length])[0]
            return torch.equal(part, whole[:rows, :length])

        whole: Tensor = network(states)[0]
        exact = [all(same(rows, length) for length in LENGTHS) for rows in range(1, ROW_MULTIPLE + 1)]
    return next((Multiples(step, STEP) for step in (1, 2) if all(exact[step - 1 :: step])), EXACT)


def _network(config: RecurrenceConfig, width: int) -> nn.RNNBase:
    if config.projection:  # torch says which kernel it takes then; nobody can do anything about it
        warnings.filterwarnings("ignore", "LSTM with projections", UserWarning)
    if config.cell == "lstm":
        return nn.LSTM(width, config.hidden, batch_first=True, proj_size=config.projection)
    return NETWORKS[config.cell](width, config.hidden, batch_first=True)


def _initialise(network: nn.RNNBase, cell: CellKind) -> None:
    """Xavier inputs, orthogonal recurrence, zero biases, the LSTM's forget gate at 1 (Jozefowicz et al. 2015)."""
    size = network.hidden_size
    for name, parameter in network.named_parameters():
        if name.startswith("weight_hr"):
            nn.init.xavier_uniform_(parameter)
            continue
        for gate in range(GATES[cell]):
            part = parameter.data[gate * size : (gate + 1) * size]
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(part)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(part)
            else:
                nn.init.constant_(part, 1.0 if cell == "lstm" and gate == 1 and "bias_ih" in name else 0.0)
