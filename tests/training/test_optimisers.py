"""Optimisers beside torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from seq2x.training.optimisers import AdamConfig, AdamWConfig, SGDConfig

PAIRS = [(AdamConfig(rate=0.1), torch.optim.Adam), (AdamWConfig(rate=0.1), torch.optim.AdamW),
         (SGDConfig(rate=0.1, momentum=0.5, weight_decay=0.1), torch.optim.SGD), (SGDConfig(rate=0.1), torch.optim.SGD)]


@pytest.mark.parametrize(("config", "kind"), PAIRS)
def test_updates_and_states_are_torchs(
    config: AdamConfig | AdamWConfig | SGDConfig, kind: type[torch.optim.Optimizer]
) -> None:
    """Three updates, the state taken away and given back after the second."""
    settings = {key: value for key, value in config.build([{"params": []}]).defaults.items()
                if key not in ("fused", "decoupled_weight_decay")}
    found = []
    for build in (config.build, lambda groups: kind(groups, **settings)):
        weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        optimiser = build([{"params": [weight]}])
        for step in range(3):
            if step == 2:
                state, optimiser = optimiser.state_dict(), build([{"params": [weight]}])
                optimiser.load_state_dict(state)
            weight.square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        assert weight.grad is None
        found.append(weight)
    torch.testing.assert_close(*found)


def test_no_optimiser_loads_torchs_compiler() -> None:
    """It is large and slow to import."""
    code = """
import sys, torch
from seq2x.training.optimisers import AdamConfig, AdamWConfig, SGDConfig
for config in (AdamConfig(), AdamWConfig(), SGDConfig()):
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = config.build([{"params": [weight]}])
    weight.sum().backward()
    optimiser.step()
    optimiser.zero_grad()
    optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
