"""The attentional recurrent decoder: a state, an attention with coverage, and the vector a token is predicted from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from seq2x.batch import Encoded, Rows
from seq2x.config import Config
from seq2x.heads.decoder import Decoder
from seq2x.nn.attention import AdditiveAttentionConfig, AttentionConfig
from seq2x.nn.connections import Connection, Connections
from seq2x.nn.coverage import CoverageConfig, SumCoverageConfig
from seq2x.nn.dropout import Dropout
from seq2x.nn.linear import Linear, product
from seq2x.nn.recurrent import GATES, Cell, CellKind


class RecurrentDecoderConfig(Config):
    """Luong et al. 2015 with the additive attention of Bahdanau et al. 2015 and coverage, each a setting."""

    kind: Literal["recurrent"] = "recurrent"
    width: int = Field(256, ge=1, description="size of the target embeddings, and of the vector a token is read from")
    scale_embeddings: bool = Field(
        False, description="target embeddings times sqrt(width), as encoder.embedding.scale does with the source's")
    output_width: int | None = Field(
        None, ge=1, description="size of that vector, a projection down before the softmax (Melis et al. 2017); left "
                                "out: as width, which tied embeddings need")
    cell: CellKind = "lstm"
    hidden: int = Field(512, ge=1)
    layers: int = Field(1, ge=1)
    connections: Connections = Field(
        "none", description="between layers, as in the encoder; 8 layers learn with dense-residual, and do not without "
                            "(Britz et al. 2017, table 3)")
    initial: Literal["encoder", "learned", "zero"] = Field(
        "encoder", description="state before the first token; encoder: tanh(W summary) of the source; learned: "
                               "parameters")
    dropout: float = Field(0.0, ge=0, lt=1)
    attention: AttentionConfig = AdditiveAttentionConfig()
    coverage: CoverageConfig = SumCoverageConfig()
    attend_from: Literal["last", "first"] = Field(
        "last", description="the layer whose state attends. last: Luong et al. 2015; first: what it finds is read by "
                            "all layers above (GNMT, Wu et al. 2016, section 3)")
    input_feeding: bool = Field(
        True, description="part of the next input is, with attend_from = 'last', the attentional vector (Luong et al. "
                          "2015), with 'first' what attention found (Wu et al. 2016)")

    @model_validator(mode="after")
    def _layers_suffice(self) -> Self:
        if self.layers == 1 and self.connections != "none":
            raise ValueError(f"connections = {self.connections!r} stand between layers; layers = 1 has none")
        if self.layers == 1 and self.attend_from == "first":
            raise ValueError("attend_from = 'first' needs layers above the first; found layers = 1, expected 2 or more")
        if self.attention.kind == "key_value" and self.hidden % 2:
            raise ValueError(f"attention.kind = 'key_value' needs states in two halves; found hidden = {self.hidden}, "
                             "expected an even number")
        return self

    def build(self, memory: int, summary: int, embedding: int) -> RecurrentDecoder:
        """``memory``: width of the states attended to, ``summary`` and ``embedding``: of the source's."""
        return RecurrentDecoder(self, memory, summary, embedding)


@dataclass(frozen=True)
class RecurrentMemory(Rows):
    """One row a sentence; never copied for beams."""

    values: Tensor
    """[B, T, D]"""
    keys: Tensor
    """[B, T, A], projected once."""
    mask: Tensor
    """[B, T] bool"""
    covering: Tensor | None
    """[B, T, G]: what the coverage knows of a source position."""


@dataclass(frozen=True)
class RecurrentState(Rows):
    """One row a hypothesis."""

    hidden: tuple[Tensor, ...]
    """[N, H] a layer."""
    cell: tuple[Tensor, ...] | None
    """[N, H] a layer; LSTM only."""
    context: Tensor
    """[N, E] or [N, D]: what the next input is fed with."""
    coverage: Tensor | None
    """[N, T, C]"""


class Look(NamedTuple):
    """What a step's attention found."""

    context: Tensor
    """[N, D]"""
    attention: Tensor
    """[N, T]"""
    coverage: Tensor | None
    """[N, T, C], for the next step."""


class RecurrentDecoder(Decoder[RecurrentMemory, RecurrentState]):
    """Embedded tokens in, attentional vectors out."""

    def __init__(self, config: RecurrentDecoderConfig, memory: int, summary: int, embedding: int) -> None:
        super().__init__()
        self.config, self.width = config, config.output_width or config.width
        self.connection = Connection(config.connections, config.width, config.hidden, config.layers)
        self.cells = nn.ModuleList(Cell(config.cell, size, config.hidden) for size in self.connection.widths)
        asking = config.hidden // 2 if config.attention.kind == "key_value" else config.hidden
        self.coverage = config.coverage.build(memory, embedding, asking, config.width)
        features = 0 if self.coverage is None else self.coverage.features
        self.attention = config.attention.build(config.hidden, memory, features)
        self.first = config.attend_from == "first"
        gates, found = GATES[config.cell] * config.hidden, self.attention.width
        self.fed = found if self.first else self.width
        self.feed = Linear(self.fed, gates, bias=False) if config.input_feeding else None
        self.above = Linear(found, gates * (config.layers - 1), bias=False) if self.first else None
        self.start = Linear(summary, config.hidden * config.layers) if config.initial == "encoder" else None
        self.initial = nn.ParameterDict()
        """Learned states before the first step, each [1, layers * H], of ``hidden`` and of the LSTM's ``memory``."""
        if config.initial == "learned":
            for name in ("hidden", "memory") if config.cell == "lstm" else ("hidden",):
                self.initial[name] = nn.Parameter(torch.zeros(1, config.hidden * config.layers))
        said = config.hidden - asking if self._halves else config.hidden
        self.combine = Linear(found + said, self.width)
        self.dropout = Dropout(config.dropout)

    @property
    def _halves(self) -> bool:
        """Whether the state that attends is also the one that predicts, and one half of it does each."""
        return self.attention.halves and not self.first

    def begin(self, encoded: Encoded, states: Tensor) -> tuple[RecurrentMemory, RecurrentState]:
        """Return the memory and first state of B sentences; ``states`` [B, T, D] is the layer attended to."""
        covering, coverage = None, None
        if self.coverage is not None:
            covering, coverage = self.coverage.begin(states, encoded.layers[0])
        memory = RecurrentMemory(self.attention.values(states), self.attention.keys(states), encoded.mask, covering)
        hidden, cell = self._before(encoded.summary)
        return memory, RecurrentState(hidden, cell, states.new_zeros(len(states), self.fed), coverage)

    def _before(self, summary: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...] | None]:
        """The states of B sentences before the first step."""
        rows, layers = len(summary), len(self.cells)
        hidden = cell = summary.new_zeros(rows, layers * self.config.hidden)
        if self.start is not None:
            hidden = self.start(summary).tanh()
            cell = torch.zeros_like(hidden)
        elif self.initial:
            hidden = self.initial["hidden"].expand(rows, -1)
            cell = self.initial["memory"].expand(rows, -1) if "memory" in self.initial else cell
        return hidden.chunk(layers, dim=-1), cell.chunk(layers, dim=-1) if self.config.cell == "lstm" else None

    def advance(
        self, memory: RecurrentMemory, state: RecurrentState, embedded: Tensor
    ) -> tuple[Tensor, Tensor, RecurrentState]:
        """``embedded`` [N, S, E] -> (vectors [N, S, O], attention [N, S, T], the state after S steps)."""
        if self.config.scale_embeddings:
            embedded = embedded * math.sqrt(embedded.shape[-1])
        gates = self._units()[0].input(self.dropout(embedded))  # one product for all steps
        vectors, weights = [], []
        # unbind, whose gradient is one stack, where indexing would fill S tensors with zeros
        for step, token in zip(gates.unbind(1), embedded.unbind(1), strict=True):
            state, vector, attention = self._step(memory, state, step, token)
            vectors.append(vector)
            weights.append(attention)
        return torch.stack(vectors, 1), torch.stack(weights, 1), state

    def _step(
        self, memory: RecurrentMemory, state: RecurrentState, gates: Tensor, token: Tensor
    ) -> tuple[RecurrentState, Tensor, Tensor]:
        """One token: ``gates`` [N, G H] is its product with the first layer's weights, ``token`` [N, E] itself."""
        if self.feed is not None:
            gates = gates + self.feed(state.context)
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        read: list[Tensor] = []
        states, found, above = token, None, None
        for layer, unit in enumerate(self._units()):
            read.append(states)
            if layer:
                gates = unit.input(self.dropout(states))
                gates = gates if above is None else gates + above[layer - 1]
            now, kept = unit(gates, state.hidden[layer], None if state.cell is None else state.cell[layer])
            hidden.append(now)
            if kept is not None:
                cell.append(kept)
            top = self.connection.output(now, read)
            states = self.connection.following(top, read)
            if self.above is not None and not layer:
                found = self._look(memory, state.coverage, top, token)
                above = self.above(found.context).chunk(len(self.cells) - 1, dim=-1)
        found = found or self._look(memory, state.coverage, top, token)
        said = top.chunk(2, dim=-1)[1] if self._halves else top
        vector = self.dropout(self.combine(torch.cat([found.context, said], -1)).tanh())
        fed = found.context if self.first else vector
        after = RecurrentState(tuple(hidden), tuple(cell) if cell else None, fed, found.coverage)
        return after, vector, found.attention

    def _units(self) -> list[Cell]:
        return cast(list[Cell], list(self.cells))

    def _look(self, memory: RecurrentMemory, coverage: Tensor | None, state: Tensor, token: Tensor) -> Look:
        """Attend by ``state`` [N, H]: the N hypotheses as [B, K] against the memory of B sentences."""
        query = state.chunk(2, dim=-1)[0] if self.attention.halves else state
        sentences, length = memory.mask.shape
        features = None
        if self.coverage is not None:
            assert coverage is not None
            coverage = self.coverage.read(coverage, token)
            features = coverage.view(sentences, -1, length, coverage.shape[-1])
        weights: Tensor = self.attention(query.view(sentences, -1, query.shape[-1]), memory.keys, memory.mask, features)
        context = product(weights, memory.values, exact=not self.training).flatten(0, 1)
        attention = weights.flatten(0, 1)
        if self.coverage is not None:
            assert coverage is not None
            coverage = self.coverage.write(coverage, attention, query, memory.covering)
        return Look(context, attention, coverage)
