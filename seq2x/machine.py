"""What a run is computed on: the processor, the system, the versions. Knows nothing of the run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def processor(device: str = "cpu") -> str:
    """Return the name of what computes on ``device``, as its maker calls it: "AMD EPYC 9R14", "NVIDIA H100"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:  # no Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def device_line(device: str, precision: str) -> str:
    """Return where and how a training computes: "cpu (AMD EPYC 9R14), 2 threads, fp32"."""
    threads = torch.get_num_threads()
    many = f", {threads} thread{'s' if threads != 1 else ''}" if torch.device(device).type == "cpu" else ""
    return f"{device} ({processor(device)}){many}, {precision}"


def surroundings(device: str = "cpu") -> dict[str, str]:
    """Return what a model card says of the machine."""
    return {
        "processor": processor(device),
        "cores": f"{os.cpu_count()}, of which torch uses {torch.get_num_threads()}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
