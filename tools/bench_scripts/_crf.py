"""The same work for two CRFs: random emissions, tags and transitions, right-padded rows; processor milliseconds a call.

Knows neither CRF; runs where torch is.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

SIZES = ((32, 40, 17), (64, 100, 25), (16, 512, 9))  # batch, length, tags: those of tools/_bench_cases.py
SECONDS = 1.0  # of calls for each median, and at least:
CALLS = 10


class Work(NamedTuple):
    """A batch and what a chain is to score: transitions [K, K], start [K], end [K]."""

    emissions: Tensor  # [B, T, K]
    tags: Tensor  # [B, T]
    mask: Tensor  # [B, T]
    chain: tuple[Tensor, Tensor, Tensor]


class Sides(NamedTuple):
    """What is measured: a summed loss to call backward on, and the best tags, [B, T] or lists."""

    loss: Callable[[], Tensor]
    viterbi: Callable[[], Tensor]
    parameters: list[torch.nn.Parameter]


def work(rows: int, length: int, tags: int) -> Work:
    """Draw a batch whose rows are from half as long as the longest to as long."""
    torch.manual_seed(int(os.environ["SEED"]))
    lengths = torch.randint(length // 2, length + 1, (rows,))
    lengths[0] = length
    mask = torch.arange(length) < lengths[:, None]
    chain = (torch.randn(tags, tags), torch.randn(tags), torch.randn(tags))
    emissions = torch.randn(rows, length, tags).requires_grad_()
    return Work(emissions, torch.randint(tags, (rows, length)), mask, chain)


def measure(make: Callable[[Work], Sides]) -> None:
    """Measure every size and print the line of figures."""
    figures: dict[str, float] = {}
    facts: dict[str, float] = {"threads": torch.get_num_threads()}
    for size in SIZES:
        name = str(list(size)).replace(" ", "")
        batch = work(*size)
        sides = make(batch)

        def step(batch: Work = batch, sides: Sides = sides) -> Tensor:
            for tensor in (batch.emissions, *sides.parameters):
                tensor.grad = None
            loss = sides.loss()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        figures[f"loss {name}"] = milliseconds(step)
        figures[f"viterbi {name}"] = milliseconds(sides.viterbi)
        facts[f"loss is {name}"] = float(step())
        facts[f"tags sum to {name}"] = int(sides.viterbi().sum())
    print(json.dumps({"figures": figures, "facts": facts}))


def milliseconds(call: Callable[[], Tensor]) -> float:
    """The median processor time of a call, after a warm-up."""
    for _ in range(3):
        call()
    times: list[float] = []
    while len(times) < CALLS or sum(times) < SECONDS:
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return 1000 * median(times)
