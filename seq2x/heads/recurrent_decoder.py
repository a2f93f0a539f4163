"""The attentional recurrent decoder: a state, an attention with coverage, and the vector a token is predicted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import Encoded, Rows
from seq2x.config import Config
from seq2x.heads.decoder import Decoder, Penalty
from seq2x.nn.attention import AdditiveAttentionConfig, AttentionConfig
from seq2x.nn.coverage import CoverageConfig, SumCoverageConfig, coverage_loss
from seq2x.nn.dropout import Dropout
from seq2x.nn.linear import Linear, product
from seq2x.nn.recurrent import GATES, Cell, CellKind


class RecurrentDecoderConfig(Config):
    """Luong et al. 2015 with the additive attention of Bahdanau et al. 2015 and coverage, each a setting."""

    kind: Literal["recurrent"] = "recurrent"
    width: int = Field(256, ge=1, description="size of the target embeddings, and of the vector a token is read from")
    cell: CellKind = "lstm"
    hidden: int = Field(512, ge=1)
    layers: int = Field(1, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    attention: AttentionConfig = AdditiveAttentionConfig()
    coverage: CoverageConfig = SumCoverageConfig()
    input_feeding: bool = Field(True, description="the attentional vector is part of the next input (Luong 2015)")

    def build(self, memory: int, summary: int) -> RecurrentDecoder:
        """``memory`` is the width of the encoder's states, ``summary`` that of its summary."""
        return RecurrentDecoder(self, memory, summary)


@dataclass(frozen=True)
class RecurrentMemory(Rows):
    """One row a sentence; never copied for beams."""

    states: Tensor
    """[B, T, D]"""
    keys: Tensor
    """[B, T, A], projected once."""
    mask: Tensor
    """[B, T] bool"""


@dataclass(frozen=True)
class RecurrentState(Rows):
    """One row a hypothesis."""

    hidden: tuple[Tensor, ...]
    """[N, H] a layer."""
    cell: tuple[Tensor, ...] | None
    """[N, H] a layer; LSTM only."""
    context: Tensor
    """[N, E]: the attentional vector of the last step."""
    coverage: Tensor | None
    """[N, T, F]"""


class RecurrentDecoder(Decoder[RecurrentMemory, RecurrentState]):
    """Embedded tokens in, attentional vectors out."""

    def __init__(self, config: RecurrentDecoderConfig, memory: int, summary: int) -> None:
        super().__init__()
        self.width, self.lstm = config.width, config.cell == "lstm"
        sizes = [config.width] + [config.hidden] * (config.layers - 1)
        self.cells = nn.ModuleList(Cell(config.cell, size, config.hidden) for size in sizes)
        gates = GATES[config.cell] * config.hidden
        self.feed = Linear(config.width, gates, bias=False) if config.input_feeding else None
        self.start = Linear(summary, config.hidden * config.layers)
        self.coverage = config.coverage.build()
        self.penalty = config.coverage if config.coverage.kind == "sum" else None
        features = 0 if self.coverage is None else self.coverage.features
        self.attention = config.attention.build(config.hidden, memory, features)
        self.combine = Linear(memory + config.hidden, config.width)
        self.dropout = Dropout(config.dropout)

    def begin(self, encoded: Encoded, states: Tensor) -> tuple[RecurrentMemory, RecurrentState]:
        """Return the memory and first state of B sentences; ``states`` [B, T, D] is the layer attended to."""
        rows, length = encoded.mask.shape
        hidden = self.start(encoded.summary).tanh().chunk(len(self.cells), dim=-1)
        cell = tuple(torch.zeros_like(part) for part in hidden) if self.lstm else None
        coverage = None if self.coverage is None else self.coverage.start(rows, length, states)
        memory = RecurrentMemory(states, self.attention.keys(states), encoded.mask)
        return memory, RecurrentState(hidden, cell, states.new_zeros(rows, self.width), coverage)

    def advance(
        self, memory: RecurrentMemory, state: RecurrentState, embedded: Tensor
    ) -> tuple[Tensor, Tensor, RecurrentState]:
        """``embedded`` [N, S, E] -> (vectors [N, S, E], attention [N, S, T], the state after S steps)."""
        gates = self._units()[0].input(self.dropout(embedded))  # one product for all steps
        vectors, weights = [], []
        for step in gates.unbind(1):  # whose gradient is one stack, where indexing would fill S tensors with zeros
            state, attention = self._step(memory, state, step)
            vectors.append(state.context)
            weights.append(attention)
        return torch.stack(vectors, 1), torch.stack(weights, 1), state

    def penalties(self, attention: Tensor, source: Tensor, target: Tensor) -> Sequence[Penalty]:
        """The coverage loss, where there is one."""
        if self.penalty is None or self.penalty.loss == "none" or not self.penalty.weight:
            return ()
        total = coverage_loss(self.penalty.loss, attention.float(), source, target)
        return (Penalty("coverage", total, self.penalty.weight),)

    def _step(self, memory: RecurrentMemory, state: RecurrentState, gates: Tensor) -> tuple[RecurrentState, Tensor]:
        if self.feed is not None:
            gates = gates + self.feed(state.context)
        hidden: list[Tensor] = []
        cell: list[Tensor] = []
        for layer, unit in enumerate(self._units()):
            if layer:
                gates = unit.input(self.dropout(hidden[-1]))
            before = None if state.cell is None else state.cell[layer]
            now, kept = unit(gates, state.hidden[layer], before)
            hidden.append(now)
            if kept is not None:
                cell.append(kept)
        weights = self._attend(memory, hidden[-1], state.coverage)  # [B, K, T]
        context = product(weights, memory.states, exact=not self.training).flatten(0, 1)  # [N, D]
        attention = weights.flatten(0, 1)
        vector = self.dropout(self.combine(torch.cat([context, hidden[-1]], -1)).tanh())
        coverage = state.coverage
        if self.coverage is not None:
            coverage = self.coverage(coverage, attention)
        return RecurrentState(tuple(hidden), tuple(cell) if self.lstm else None, vector, coverage), attention

    def _units(self) -> list[Cell]:
        return cast(list[Cell], list(self.cells))

    def _attend(self, memory: RecurrentMemory, query: Tensor, coverage: Tensor | None) -> Tensor:
        """See the N hypotheses as [B, K] against the memory of B sentences."""
        sentences, length = memory.mask.shape
        features = None if coverage is None else coverage.view(sentences, -1, length, coverage.shape[-1])
        weights: Tensor = self.attention(query.view(sentences, -1, query.shape[-1]), memory.keys, memory.mask, features)
        return weights
