"""Products whose numbers keep their bits in any batch, and faster ones for training. Knows no task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
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
        return few_outputs(input, self.weight, self.bias)


def few_outputs(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input`` [..., K], ``weight`` [N, K], ``bias`` [N] -> [..., N], as :class:`FewOutputs` does it."""
    missing = -input.shape[-1] % 4
    if not missing:
        return F.linear(input, weight, bias)
    return F.linear(F.pad(input, (0, missing)), F.pad(weight, (0, missing)), bias)


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


class Linear(nn.Linear):
    """``nn.Linear``, which on a processor is faster and does not fill the memory; the same numbers.

    oneDNN, which makes all bfloat16 products and those inside :func:`fast_products`, compiles a program of about half
    a megabyte for every size of a product that it meets and keeps part of it for ever. The rows of a batch have
    hundreds of sizes; so zeros fill them up to one of a few.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``input`` [..., in_features] -> [..., out_features]; in autocast's type, where it is on."""
        if self.training or not torch.is_grad_enabled():
            return linear(input, self.weight, self.bias)
        return super().forward(input)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``input`` [..., K], ``weight`` [N, K], ``bias`` [N] -> [..., N], as :class:`Linear` does it."""
    if input.device.type != "cpu":
        return F.linear(input, weight, bias)
    autocast = torch.is_autocast_enabled("cpu")
    if not torch.is_grad_enabled():
        return F.linear(input, weight, bias) if autocast else _without_gradient(input, weight, bias)
    kind = torch.get_autocast_dtype("cpu") if autocast else input.dtype
    with torch.autocast("cpu", enabled=False):
        output: Tensor = _Linear.apply(input, weight, bias, kind)  # type: ignore[no-untyped-call]
    return output


LEAST = 64
"""Inputs and outputs that a product must have for its bits in oneDNN to be the same in every batch of 16 rows or more.

Measured (torch 2.13, AMD EPYC, one thread and two): from 64 by 64 on all are; with 7 or 2 outputs they are not.
"""


def _without_gradient(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if min(weight.shape) < LEAST or weight.dtype != torch.float32:
        return F.linear(input, weight, bias)
    rows, shape = filled(input.reshape(-1, input.shape[-1]), weight.dtype), input.shape[:-1]
    with fast_products():
        output = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
    return output[: shape.numel()].view(*shape, len(weight))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, kind: torch.dtype) -> Tensor:
        rows = filled(input.reshape(-1, input.shape[-1]), kind)
        columns = weight.to(kind)
        with fast_products():
            output = rows @ columns.t() if bias is None else torch.addmm(bias.to(kind), rows, columns.t())
        ctx.save_for_backward(rows, columns)
        ctx.kinds = input.dtype, weight.dtype
        shape = input.shape[:-1]
        return output[: shape.numel()].view(*shape, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns = ctx.saved_tensors
        (kind, own), count = ctx.kinds, gradient.shape[:-1].numel()
        found: list[Tensor | None] = [None, None, None]
        reached = filled(gradient.reshape(-1, gradient.shape[-1]), rows.dtype)
        with fast_products():
            if ctx.needs_input_grad[0]:
                found[0] = (reached @ columns)[:count].view(*gradient.shape[:-1], columns.shape[1]).to(kind)
            if ctx.needs_input_grad[1]:
                found[1] = (reached.t() @ rows).to(own)
        if ctx.needs_input_grad[2]:
            found[2] = reached.sum(0).to(own)
        return *found, None


def missing_rows(rows: Tensor) -> int:
    """How many rows of zeros ``rows`` [M, D] wants to be one of few sizes (16, 32 ... 256, 320 ...)."""
    return -len(rows) % (16 if len(rows) <= 256 else 64)


def filled(rows: Tensor, kind: torch.dtype) -> Tensor:
    """``rows`` [M, D] in the type ``kind``, with the rows that :func:`missing_rows` wants."""
    count, missing = len(rows), missing_rows(rows)
    if not missing:
        return rows.to(kind)
    copy = rows.new_empty(count + missing, rows.shape[1], dtype=kind)
    copy[:count] = rows
    copy[count:] = 0
    return copy


@contextmanager
def fast_products() -> Iterator[None]:
    """Inside, float32 products on a processor are oneDNN's where those are as exact as MKL's.

    MKL leaves AVX-512 unused on processors that are not Intel's; there oneDNN takes 0.45 of its time (measured: AMD
    EPYC, family 26, torch 2.13). torch calls oneDNN for float32 only where it may round to bfloat16, which oneDNN
    does on processors with AMX alone: :func:`_exact` makes sure.
    """
    if not _exact():
        yield
        return
    before = _MATMUL.fp32_precision
    _MATMUL.fp32_precision = "bf16"
    try:
        yield
    finally:
        _MATMUL.fp32_precision = before


_MATMUL: Any = getattr(torch.backends.mkldnn, "matmul", None)
"""torch's settings of such products; since 2.9."""


@cache
def _exact() -> bool:
    """Whether oneDNN multiplies float32 as float32 though it may round."""
    if _MATMUL is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    before = _MATMUL.fp32_precision
    _MATMUL.fp32_precision = "bf16"
    try:
        return all(_keeps_bits(rows, width) for rows, width in ((8, 64), (64, 256), (256, 1024)))
    finally:
        _MATMUL.fp32_precision = before


def _keeps_bits(rows: int, width: int) -> bool:
    numbers = torch.full((rows, width), 1 + 2.0**-20)  # in bfloat16 that is 1
    same = torch.eye(width)
    gradient: Tensor = numbers.t() @ numbers[:, :8]
    return torch.equal(numbers @ same, numbers) and bool((gradient > rows).all())
