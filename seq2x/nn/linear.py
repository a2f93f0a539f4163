"""Products with few outputs or few rows whose numbers keep their bits in any batch. Knows no task."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import ROW_MULTIPLE


class FewOutputs(nn.Linear):
    """``nn.Linear``, to the last bit independent of where in the batch a row stands.

    Measured (torch 2.13, CPU, float32): the product of [M, K] by [K, N] computes some rows of a block of rows in
    another order than the rest where 2 <= N <= 11 and K is no multiple of 4; all other sizes are exact. So the inner
    dimension is padded with zeros.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` [..., in_features] -> [..., out_features]."""
        missing = -self.in_features % 4
        if not missing:
            return super().forward(input)
        return F.linear(F.pad(input, (0, missing)), F.pad(self.weight, (0, missing)), self.bias)


def product(rows: Tensor, columns: Tensor, *, exact: bool) -> Tensor:
    """``rows`` [..., K, D] by ``columns`` [..., D, N] -> [..., K, N]; ``exact``: whatever N, or zeros that end D.

    Measured (torch 2.13, CPU, float32): where K is 1 to 11, some products round by N, or by the padding of D, which
    both differ with the batch: D or N of at most 24, or no multiple of 4. Where K is a multiple of 8 none does, from
    D = 4 on. So rows of zeros fill it up; training does not need them.
    """
    if not exact:
        return rows @ columns
    count = rows.shape[-2]
    filled: Tensor = F.pad(rows, (0, 0, 0, -count % ROW_MULTIPLE)) @ columns
    return filled[..., :count, :]
