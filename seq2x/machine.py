"""What a run is computed on: the processor, the system, the versions. Knows nothing of the run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def processor(device: str | torch.device = "cpu") -> str:
    """Return the name of what computes on ``device``, as its maker calls it: "AMD EPYC 9R14", "NVIDIA H100"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # no Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def device_line(device: str | torch.device, precision: str, processes: int = 1) -> str:
    """Return where and how a training computes: "cpu (AMD EPYC 9R14), 2 threads, fp32"."""
    threads = torch.get_num_threads()
    parts = [f"{device} ({processor(device)})"]
    if torch.device(device).type == "cpu":
        parts.append(f"{threads} thread{'s' if threads != 1 else ''}")
    if processes > 1:
        parts.append(f"{processes} processes")
    return ", ".join([*parts, precision])


def surroundings(device: str | torch.device, precision: str, processes: int = 1) -> dict[str, str]:
    """Return what a model card says of the machine."""
    precisions = {"fp32": "fp32 (float32 throughout)",
                  "bf16": "bf16 (matrix products in bfloat16; the weights are float32)"}
    return {
        "computed on": f"{device_line(device, precisions[precision], processes)}; it has {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
