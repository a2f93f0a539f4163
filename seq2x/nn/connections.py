"""How a layer's output meets what the layers below gave. Knows no kind of layer and no task."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from seq2x.nn.linear import FewOutputs

Connections = Literal["none", "residual", "highway", "dense", "dense-residual"]


class Connection(nn.Module):
    """What stands between the layers of a stack of recurrent layers; x^l is what layer l reads, y^l what it computes.

    - ``none``: x^(l+1) = y^l
    - ``residual``: x^(l+1) = y^l + x^l (He et al. 2016)
    - ``highway``: x^(l+1) = t * y^l + (1 - t) * x^l, t = sigmoid(W x^l + b), b = -1 at the start (Srivastava et al.
      2015, equation 3)
    - ``dense``: layer l reads [x^1; y^1; ...; y^(l-1)] side by side (Huang et al. 2017, equation 2)
    - ``dense-residual``: x^(l+1) = y^l + x^l + ... + x^2, the sum of all earlier (Britz et al. 2017, section 4.3)

    A sum begins with the second layer: the first reads embeddings, whose width is another's choice.
    """

    def __init__(self, kind: Connections, inputs: int, width: int, layers: int) -> None:
        """``inputs`` is the width of the embeddings, ``width`` that of every layer's output."""
        super().__init__()
        self.kind = kind
        later = layers - 1
        self.widths = [inputs, *([inputs + width * number for number in range(1, layers)] if kind == "dense"
                                 else [width] * later)]
        """The width of what each layer reads."""
        gates = [FewOutputs(width, width) for _ in range(later if kind == "highway" else 0)]
        for gate in gates:
            nn.init.constant_(gate.bias, -1.0)  # most of the input passes at first
        self.gates = nn.ModuleList(gates)

    def output(self, computed: Tensor, read: list[Tensor]) -> Tensor:
        """The states of a layer [B, T, width] from what it ``computed`` and what the layers up to it have ``read``."""
        if len(read) == 1 or self.kind in ("none", "dense"):
            return computed
        if self.kind == "highway":
            share = self.gates[len(read) - 2](read[-1]).sigmoid()
            return torch.lerp(read[-1], computed, share)
        return sum(read[-1:] if self.kind == "residual" else read[1:], start=computed)

    def following(self, states: Tensor, read: list[Tensor]) -> Tensor:
        """What the next layer reads, from the ``states`` of the last and what that has ``read``."""
        return torch.cat([read[-1], states], dim=-1) if self.kind == "dense" else states
