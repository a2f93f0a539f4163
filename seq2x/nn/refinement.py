"""Coverage for a Transformer: what its attention has looked at, taken off the scores of later positions.

Knows no task. Letters: S target positions of K hypotheses each, Q = S K queries (a position's hypotheses side by side),
h heads, F = h features of coverage, or 2 h.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.nn.attention import masked_softmax
from seq2x.nn.coverage import CoverageLossConfig, NoCoverageConfig
from seq2x.nn.linear import FewOutputs


class RefinementConfig(CoverageLossConfig):
    """The sums of earlier attention weights refine the scores (Zhao & Gao 2022); see :class:`Refinement`."""

    kind: Literal["sum"] = "sum"
    width: int = Field(32, ge=1, description="units of the network that reads the sums")


RefinementChoice = Annotated[RefinementConfig | NoCoverageConfig, Field(discriminator="kind")]


class Refinement(nn.Module):
    """Attention refinement (CoMER: Zhao & Gao 2022, section 3.3), of one layer's attention to the source.

    ``E`` are the scores, ``A = softmax(E)`` what they alone would look at, ``B`` the refined weights of the layer below
    (none in the first layer). With ``C_t`` the sums of ``[A; B]`` over the positions before t, in every head::

        R_t = W2 relu(W1 C_t + b)          refined weights = softmax(E_t - R_t)

    The sums are of ``A``, not of the refined weights, which would need themselves: so all positions of a target are
    computed at once, by a cumulative sum, and a search adds to it step by step, which is the same. Without the paper's
    convolution, as a sentence is no picture. ``W2`` starts at zero: training begins as a plain Transformer.
    """

    def __init__(self, heads: int, width: int, *, below: bool) -> None:
        super().__init__()
        self.features = 2 * heads if below else heads
        self.inner, self.outer = FewOutputs(self.features, width), FewOutputs(width, heads, bias=False)
        nn.init.zeros_(self.outer.weight)

    def forward(self, scores: Tensor, mask: Tensor, before: Tensor, below: Tensor | None) -> tuple[Tensor, Tensor]:
        """``scores`` [B, h, Q, T], ``mask`` [B, 1, T]; ``before`` [B, F, K, T]: the sums before these S positions.

        ``below`` [B, h, Q, T] are the weights of the layer below. Returns the refined weights and the new sums.
        """
        looked = masked_softmax(scores, mask[:, None])
        if below is not None:
            looked = torch.cat([looked, below], 1)
        steps = looked.view(*before.shape[:2], -1, *before.shape[2:])  # [B, F, S, K, T]
        sums = before[:, :, None] + F.pad(steps[:, :, :-1].cumsum(2), (0, 0, 0, 0, 1, 0))
        features = sums.flatten(2, 3).permute(0, 2, 3, 1)  # [B, Q, T, F]
        refined = scores - self.outer(self.inner(features).relu()).permute(0, 3, 1, 2)
        return masked_softmax(refined, mask[:, None]), sums[:, :, -1] + steps[:, :, -1]
