"""The Transformer decoder (Vaswani et al. 2017): a whole target in one pass, or a step on cached keys.

Letters: N = B K hypotheses, t positions already read, S new ones. Inside, a sentence's hypotheses stand side by side:
S K queries, position by position, against the keys of all its hypotheses; a mask says which are one's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from seq2x.batch import Encoded, Rows
from seq2x.heads.decoder import Decoder
from seq2x.nn.coverage import NoCoverageConfig
from seq2x.nn.dropout import Dropout
from seq2x.nn.positions import Positions
from seq2x.nn.refinement import Refinement, RefinementChoice, RefinementConfig
from seq2x.nn.transformer import DecoderLayer, LayersConfig, Projected, Source, norm


class TransformerDecoderConfig(LayersConfig):
    """As wide as the target embeddings, which ``heads`` must divide; any encoder will do."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(256, ge=1, description="size of the target embeddings, and of every layer")
    layers: int = Field(3, ge=1)
    coverage: RefinementChoice = NoCoverageConfig()

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if misfit := self.misfit(self.width):
            raise ValueError(f"{misfit} a width of {self.width}")
        return self

    def build(self, memory: int, summary: int, embedding: int = 0) -> TransformerDecoder:  # noqa: ARG002 - begins alone
        """``memory``: width of the states attended to, ``summary`` and ``embedding``: of the source's."""
        return TransformerDecoder(self, memory)


@dataclass(frozen=True)
class TransformerMemory(Rows):
    """One row a sentence; never copied for beams."""

    layers: tuple[Projected, ...]
    """Keys and values of the source for each layer, [B, h, T, E / h], projected once."""
    mask: Tensor
    """[B, T] bool"""


@dataclass(frozen=True)
class TransformerState(Rows):
    """One row a hypothesis; all are equally long.

    Keys and values stay where they were written: a search that re-orders hypotheses re-orders ``ancestors`` only.
    """

    ancestors: Tensor
    """[N, t] long: which row each hypothesis was at each position when that was read."""
    coverage: tuple[Tensor, ...] | None
    """The sums of the weights on the source for each layer, [N, F, T], where there is a refinement."""
    layers: tuple[Projected, ...] = ()
    """Keys and values of the t tokens read so far for each layer, [B, h, t K, E / h]; none before the first."""

    @property
    def length(self) -> int:
        """The number t of tokens read so far, which is the position of the next one."""
        return self.ancestors.shape[1]

    def select(self, rows: Tensor) -> Self:
        """Re-order, repeat or drop hypotheses."""
        sums = None if self.coverage is None else tuple(part.index_select(0, rows) for part in self.coverage)
        return replace(self, ancestors=self.ancestors.index_select(0, rows), coverage=sums)

    def grouped(self, sentences: int) -> Self:
        """The same with the keys of ``sentences``, as those of a search may have become fewer, or be in other places.

        Each keeps its keys in their order, whoever leaves: the bits of a sum over them must not depend on others.
        """
        rows, length = self.ancestors.shape
        if not length:
            return self
        old, beams = self.layers[0][0].shape[2] // length, rows // sentences
        block, slot = self.ancestors // old, self.ancestors % old
        own = torch.arange(rows, device=slot.device)[:, None]
        come = block.view(sentences, -1)[:, :1]  # where the hypotheses of a sentence come from, if from one
        if old != beams or bool((block.view(sentences, -1) != come).any()):
            return self._gathered(sentences, block, slot + torch.arange(length, device=slot.device) * old, own)
        kept = come[:, 0]
        if len(self.layers[0][0]) == sentences and bool((kept == own[:sentences, 0]).all()):
            return self
        layers = tuple((keys.index_select(0, kept), values.index_select(0, kept)) for keys, values in self.layers)
        return replace(self, ancestors=own // beams * beams + slot, layers=layers)

    def _gathered(self, sentences: int, block: Tensor, place: Tensor, own: Tensor) -> Self:
        """The same with keys of their own for all hypotheses, from a ``block`` and a ``place`` [N, t]."""

        def gather(tensor: Tensor) -> Tensor:
            taken = tensor[block, :, place]  # [N, t, h, d]
            return taken.view(sentences, -1, *taken.shape[1:]).permute(0, 3, 2, 1, 4).flatten(2, 3)

        layers = tuple((gather(keys), gather(values)) for keys, values in self.layers)
        return replace(self, ancestors=own.expand_as(place), layers=layers)

    def visible(self, sentences: int, steps: int) -> Tensor:
        """Which keys of its sentence each query may look at, those of S new positions among them.

        Returns [B or 1, S K, (t + S) K] bool, of a state that is grouped.
        """
        rows, length = self.ancestors.shape
        beams, device = rows // sentences, self.ancestors.device
        slots = torch.arange(beams, device=device)
        earlier = torch.ones(steps, steps, dtype=torch.bool, device=device).tril()
        new = (earlier[:, None, :, None] & (slots[:, None] == slots)[:, None]).view(1, steps * beams, -1)
        if not length:
            return new
        own = self.ancestors.view(sentences, beams, length, 1) % beams == slots  # [B, K, t, K]
        past = own.view(sentences, 1, beams, -1).expand(-1, steps, -1, -1).reshape(sentences, steps * beams, -1)
        return torch.cat([past, new.expand(sentences, -1, -1)], 2)


class TransformerDecoder(Decoder[TransformerMemory, TransformerState]):
    """Embedded tokens in, the normed states of the last layer out.

    Attention is the mean of the last layer's heads. The bits of a search step do not depend on the batch: all
    sentences of a search have t K keys, so that a product over them is the same in every batch.
    """

    def __init__(self, config: TransformerDecoderConfig, memory: int) -> None:
        super().__init__()
        self.head_width = config.width // config.heads
        self.positions = Positions(config.positions, config.width, config.max_length)
        self.most = self.positions.most
        self.coverage = config.coverage if isinstance(config.coverage, RefinementConfig) else None
        self.stack = nn.ModuleList(
            DecoderLayer(config.width, config, memory, self._refinement(config.heads, below=layer > 0))
            for layer in range(config.layers)
        )
        self.norm = norm(config.width, config) if config.norm_first else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def begin(self, encoded: Encoded, states: Tensor) -> tuple[TransformerMemory, TransformerState]:
        """Return the memory and first state of B sentences; ``states`` [B, T, D] is the layer attended to."""
        layers, sums = [], []
        for layer in self._layers():
            keys, values = layer.cross.project(states)
            if not self.training:  # once, or every product of a search would copy them
                keys, values = keys.contiguous(), values.contiguous()
            layers.append((keys, values))
            if layer.refinement is not None:
                sums.append(torch.zeros(len(states), layer.refinement.features, states.shape[1], device=states.device))
        nothing = encoded.mask.new_zeros(len(states), 0, dtype=torch.long)
        return TransformerMemory(tuple(layers), encoded.mask), TransformerState(nothing, tuple(sums) or None)

    def advance(
        self, memory: TransformerMemory, state: TransformerState, embedded: Tensor
    ) -> tuple[Tensor, Tensor, TransformerState]:
        """``embedded`` [N, S, E] -> (vectors [N, S, E], attention [N, S, T], the state after S steps)."""
        (rows, steps, _), sentences = embedded.shape, len(memory.mask)
        beams, state = rows // sentences, state.grouped(sentences)
        order = torch.arange(state.length, state.length + steps, device=embedded.device).repeat_interleave(beams)
        states = self.dropout(self.positions(_side_by_side(embedded, beams), order))
        turns, mask = self.positions.turns(order, self.head_width), state.visible(sentences, steps)
        grown, sums, weights = [], [], None
        for number, layer in enumerate(self._layers()):
            before = None
            if state.coverage is not None:
                kept = state.coverage[number]
                before = kept.view(sentences, beams, *kept.shape[1:]).transpose(1, 2)
            source = Source(memory.layers[number], memory.mask[:, None], before, weights)
            past = state.layers[number] if state.layers else None
            states, after, weights, looked = layer(states, past, mask, source, turns)
            grown.append(after)
            if looked is not None:
                sums.append(looked.transpose(1, 2).flatten(0, 1))
        assert weights is not None
        own = torch.arange(rows, device=embedded.device)[:, None].expand(rows, steps)
        after = TransformerState(torch.cat([state.ancestors, own], 1), tuple(sums) or None, tuple(grown))
        return _apart(self.norm(states), beams), _apart(weights.mean(1), beams), after

    def _refinement(self, heads: int, *, below: bool) -> Refinement | None:
        return None if self.coverage is None else Refinement(heads, self.coverage.width, below=below)

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.stack))


def _side_by_side(rows: Tensor, beams: int) -> Tensor:
    """[B K, S, E] -> [B, S K, E]."""
    return rows.view(-1, beams, *rows.shape[1:]).transpose(1, 2).flatten(1, 2)


def _apart(queries: Tensor, beams: int) -> Tensor:
    """[B, S K, E] -> [B K, S, E]."""
    sentences, _, width = queries.shape
    return queries.view(sentences, -1, beams, width).transpose(1, 2).flatten(0, 1)
