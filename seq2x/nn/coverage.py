"""Coverage: what the attention has already looked at, fed back into its score, and the losses on attention.

Knows no task. A coverage module says how many features a source position has, and how they change with each step. Its
weights in the score (``W3``) belong to the attention.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.config import Config
from seq2x.nn.linear import Linear
from seq2x.nn.recurrent import Cell

LossKind = Literal["none", "min", "one"]
LOSS = ("min: sum_j min(a_tj, c_tj) a target token (See et al. 2017, equation 12); one: sum_j (1 - sum_t a_tj)^2 a "
        "sentence (Xu et al. 2015, equation 14, for captions; Ruder 2017 for translation)")


class CoverageLossConfig(Config):
    """What any kind of coverage may add to the loss; it needs nothing but attention. Part of every kind's settings."""

    loss: LossKind = Field("none", description=LOSS)
    weight: float = Field(0.1, ge=0, description="weight of that loss; 1.0 in See et al. 2017")
    from_step: int = Field(0, ge=0, description="the first update that minimises it (See et al. 2017 add it for the "
                                                "last 3,000); 0 = all do; it is logged from the start")


class SumCoverageConfig(CoverageLossConfig):
    """c_t = the sum of all earlier attention weights (See et al. 2017, equation 10)."""

    kind: Literal["sum"] = "sum"
    loss: LossKind = Field("min", description=LOSS)

    def build(self, memory: int, embedding: int, query: int, token: int) -> SumCoverage:  # noqa: ARG002 - no weights
        """``memory`` and ``embedding``: widths of the source's states and words; ``query``, ``token``: the target's."""
        return SumCoverage()


class FertilityCoverageConfig(CoverageLossConfig):
    """The same in shares of what a word is worth: c_j = sum_t a_tj / phi_j, its fertility phi_j = N sigmoid(U h_j).

    The linguistic coverage model of Tu et al. 2016 (section 3).
    """

    kind: Literal["fertility"] = "fertility"
    most: float = Field(2.0, gt=0, description="N, the greatest fertility")

    def build(self, memory: int, embedding: int, query: int, token: int) -> FertilityCoverage:  # noqa: ARG002
        """See :class:`SumCoverageConfig`."""
        return FertilityCoverage(self.most, memory)


class GatedCoverageConfig(CoverageLossConfig):
    """A vector a source position, c_tj = GRU(c_(t-1)j; a_tj, h_j, s_t): s_t is the state that attended.

    The neural network based coverage model of Tu et al. 2016 (section 3).
    """

    kind: Literal["gated"] = "gated"
    width: int = Field(10, ge=1, description="size of that vector")

    def build(self, memory: int, embedding: int, query: int, token: int) -> GatedCoverage:  # noqa: ARG002
        """See :class:`SumCoverageConfig`."""
        return GatedCoverage(self.width, memory, query)


class EmbeddingCoverageConfig(CoverageLossConfig):
    """A vector a source word, consumed as the word is translated (Mi et al. 2016, "Coverage embedding models").

    - ``gate``: c_tj = GRU(c_(t-1)j; a_tj, y_t), where y_t is the word that step t gave
    - ``subtract``: c_tj = c_(t-1)j - a_tj W y_t

    c_0j is a projection of the word's own embedding, which costs less than a second table and does the same. Their
    term on what is left of it in the end is not in the loss.
    """

    kind: Literal["embedding"] = "embedding"
    width: int = Field(32, ge=1, description="size of that vector")
    update: Literal["gate", "subtract"] = "gate"

    def build(self, memory: int, embedding: int, query: int, token: int) -> EmbeddingCoverage:  # noqa: ARG002
        """See :class:`SumCoverageConfig`."""
        return EmbeddingCoverage(self.width, self.update, embedding, token)


class NoCoverageConfig(CoverageLossConfig):
    """The attention does not know where it has been; there may be a loss on it nevertheless."""

    kind: Literal["none"] = "none"

    def build(self, memory: int, embedding: int, query: int, token: int) -> None:
        """There is nothing to make."""


CoverageConfig = Annotated[
    SumCoverageConfig | FertilityCoverageConfig | GatedCoverageConfig | EmbeddingCoverageConfig | NoCoverageConfig,
    Field(discriminator="kind"),
]


class Coverage(nn.Module):
    """Base of every coverage. The N hypotheses are those of B sentences in order, N = B K."""

    features: int
    """The number F of features of a source position that the attention reads."""

    @abstractmethod
    def begin(self, states: Tensor, embeddings: Tensor) -> tuple[Tensor | None, Tensor]:
        """``states`` [B, T, D], ``embeddings`` [B, T, E]: what stays [B, T, G], and the first coverage [B, T, C]."""

    def read(self, coverage: Tensor, token: Tensor) -> Tensor:  # noqa: ARG002 - for those that need it
        """``coverage`` [N, T, C] and the ``token`` that the step reads, embedded [N, E] -> features [N, T, F]."""
        return coverage

    @abstractmethod
    def write(self, features: Tensor, attention: Tensor, query: Tensor, stays: Tensor | None) -> Tensor:
        """The features that were read, the step's ``attention`` [N, T] and who asked [N, H] -> [N, T, C]."""


class SumCoverage(Coverage):
    """The plain sum: one number a source position, no weights."""

    features = 1

    def begin(self, states: Tensor, embeddings: Tensor) -> tuple[Tensor | None, Tensor]:  # noqa: ARG002
        """See :class:`Coverage`."""
        return None, states.new_zeros(*states.shape[:2], 1)

    def write(self, features: Tensor, attention: Tensor, query: Tensor, stays: Tensor | None) -> Tensor:  # noqa: ARG002
        """See :class:`Coverage`."""
        return features + attention[..., None]


class FertilityCoverage(Coverage):
    """The sum in shares of each word's fertility."""

    features = 1

    def __init__(self, most: float, memory: int) -> None:
        super().__init__()
        self.most, self.fertility = most, Linear(memory, 1, bias=False)

    def begin(self, states: Tensor, embeddings: Tensor) -> tuple[Tensor | None, Tensor]:  # noqa: ARG002
        """See :class:`Coverage`; what stays is the fertility."""
        return self.most * self.fertility(states).sigmoid(), states.new_zeros(*states.shape[:2], 1)

    def write(self, features: Tensor, attention: Tensor, query: Tensor, stays: Tensor | None) -> Tensor:  # noqa: ARG002
        """See :class:`Coverage`."""
        assert stays is not None
        return features + attention[..., None] / _for_each(stays, len(attention))


class GatedCoverage(Coverage):
    """A gated recurrent unit at every source position."""

    def __init__(self, width: int, memory: int, query: int) -> None:
        super().__init__()
        self.features = width
        self.cell = Cell("gru", memory, width)
        self.query = Linear(query, 3 * width, bias=False)
        self.attention = Linear(1, 3 * width, bias=False)

    def begin(self, states: Tensor, embeddings: Tensor) -> tuple[Tensor | None, Tensor]:  # noqa: ARG002
        """See :class:`Coverage`; what stays is the states' part in the gates."""
        return self.cell.input(states), states.new_zeros(*states.shape[:2], self.features)

    def write(self, features: Tensor, attention: Tensor, query: Tensor, stays: Tensor | None) -> Tensor:
        """See :class:`Coverage`."""
        assert stays is not None
        gates = _for_each(stays, len(attention)) + self.query(query)[:, None]
        return _gated(self.cell, gates, self.attention, features, attention[..., None])


class EmbeddingCoverage(Coverage):
    """A vector of each source word, consumed step by step.

    A step's word is known when the next step reads it: until then the attention that led to it is a feature more, the
    last of C = F + 1. Before the first step it is zero, and the word is the beginning of the sentence.
    """

    def __init__(self, width: int, update: Literal["gate", "subtract"], embedding: int, token: int) -> None:
        super().__init__()
        self.features = width
        self.first = Linear(embedding, width)
        self.cell = Cell("gru", token, width) if update == "gate" else None
        self.attention = Linear(1, 3 * width, bias=False) if update == "gate" else None
        self.consumed = Linear(token, width, bias=False) if update == "subtract" else None

    def begin(self, states: Tensor, embeddings: Tensor) -> tuple[Tensor | None, Tensor]:  # noqa: ARG002
        """See :class:`Coverage`."""
        first = self.first(embeddings)
        return None, torch.cat([first, first.new_zeros(*first.shape[:2], 1)], -1)

    def read(self, coverage: Tensor, token: Tensor) -> Tensor:
        """See :class:`Coverage`."""
        before, attention = coverage[..., :-1], coverage[..., -1:]
        if self.consumed is not None:
            consumed: Tensor = self.consumed(token)[:, None]
            return before - attention * consumed
        assert self.cell is not None
        assert self.attention is not None
        return _gated(self.cell, self.cell.input(token)[:, None], self.attention, before, attention)

    def write(self, features: Tensor, attention: Tensor, query: Tensor, stays: Tensor | None) -> Tensor:  # noqa: ARG002
        """See :class:`Coverage`."""
        return torch.cat([features, attention[..., None]], -1)


def _gated(cell: Cell, gates: Tensor, weights: Linear, before: Tensor, attention: Tensor) -> Tensor:
    """One step of the GRU at [N, T] positions, the ``attention`` [N, T, 1] among what it reads."""
    after, _ = cell(gates + attention * weights.weight[:, 0], before, None)
    return after  # type: ignore[no-any-return]  # a module's call is Any


def _for_each(stays: Tensor, rows: int) -> Tensor:
    """Something of B sentences [B, ...] for N hypotheses [N, ...]; no copy where they are as many."""
    return stays if len(stays) == rows else stays.repeat_interleave(rows // len(stays), 0)


def coverage_loss(kind: LossKind, attention: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return the summed loss (a scalar) and never a mean; see :class:`CoverageLossConfig` for the two formulas.

    ``attention`` [B, S, T], the masks ``source`` [B, T] and ``target`` [B, S] (True = real).
    """
    attention = attention * target[..., None]
    if kind == "min":
        before = attention.cumsum(1) - attention
        return torch.minimum(attention, before).sum()
    if kind == "one":
        return ((1 - attention.sum(1)) * source).square().sum()
    return attention.new_zeros(())


def alignment_loss(attention: Tensor, alignment: Tensor) -> Tensor:
    """Return - sum_t sum_j A_tj log a_tj, a sum: guided attention (Chen et al. 2016, "Guided alignment training").

    ``attention`` a [B, S, T]; ``alignment`` [B, S, T] bool: the source tokens of each target token, each with the same
    share in A, which sums to one. A target token without any says nothing.
    """
    shares = alignment / alignment.sum(-1, keepdim=True).clamp(min=1)
    return -(shares * attention.clamp(min=1e-9).log()).sum()
