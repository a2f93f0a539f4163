"""Several processes that train one model, each on its share of every batch. Knows no model and no data.

``torchrun --nproc-per-node N -m seq2x.cli train my.toml`` starts them and sets RANK, LOCAL_RANK, WORLD_SIZE and the
address at which they meet (torch.distributed: gloo on processors, nccl on CUDA devices). One process alone is the same
code with nothing to exchange.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

from seq2x.errors import ConfigError

T = TypeVar("T")

BUCKET = 2**23
"""Numbers exchanged at a time: few exchanges, and little memory beside the gradients."""


class Ranks:
    """All processes of a training, seen from one of them. Every method must be called by all, in the same order."""

    def __init__(self, rank: int = 0, world: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.world, self.device = rank, world, torch.device(device)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes, in float64."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over all processes."""
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            distributed.all_reduce(flat)
            for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every tensor with that of the first process."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, which are of one size, by rank."""
        if self.world == 1:
            return [tensor]
        found = [torch.empty_like(tensor, device=self.device) for _ in range(self.world)]
        distributed.all_gather(found, tensor.to(self.device))
        return [part.to(tensor.device) for part in found]

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's share: every ``world``-th item."""
        return items[self.rank :: self.world]

    def whole(self, results: Sequence[T]) -> list[T]:
        """Put the results of all shares that :meth:`part` gave back into their order."""
        if self.world == 1:
            return list(results)
        shares: list[list[T]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(shares, list(results))
        return [shares[index % self.world][index // self.world] for index in range(sum(map(len, shares)))]

    def wait(self) -> None:
        """Go on when all are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Meet the processes that torchrun started; alone, where it did not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """Return the device for ``name``; "auto" is a CUDA device where there is one, another for each process.

    ConfigError for one that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    device = usable(name, "device", "; 'auto' takes what is there")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def usable(name: str, key: str, hint: str = "") -> torch.device:
    """Return the device of this name; ConfigError, beginning with ``key``, for one that is not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "meta":
            raise RuntimeError("it computes nothing")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"{key}: {name!r} cannot be used: {str(error).split(chr(10))[0]}{hint}") from None
    return device


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket
