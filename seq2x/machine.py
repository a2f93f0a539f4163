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


def has_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Return whether ``device`` multiplies bfloat16 itself.

    What does not is slower with it than with float32, up to fifty times (measured: AMD EPYC with AVX2, torch 2.13).
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = (getattr(torch.cpu, name, bool) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(ask() for ask in asked)
    return torch.backends.mkldnn.is_available() and bool(  # type: ignore[no-untyped-call]
        torch.ops.mkldnn._is_mkldnn_bf16_supported())


def chosen_precision(precision: str, device: str | torch.device) -> str:
    """Return the precision itself, "fp32" or "bf16"; for "auto", bf16 where the device has it."""
    if precision != "auto":
        return precision
    return "bf16" if has_bfloat16(device) else "fp32"


def device_line(device: str | torch.device, precision: str, processes: int = 1) -> str:
    """Return where and how a training computes: "cpu (AMD EPYC 9R14), 2 threads, fp32"."""
    chosen = chosen_precision(precision, device)
    slow = chosen == "bf16" and not has_bfloat16(device)
    return f"{_place(device, processes)}, {chosen}{SLOW if slow else ''}"


SLOW = " (slow here: it has no bfloat16 instructions; 'auto' takes fp32 on such a machine)"


def _place(device: str | torch.device, processes: int) -> str:
    threads = torch.get_num_threads()
    parts = [f"{device} ({processor(device)})"]
    if torch.device(device).type == "cpu":
        parts.append(f"{threads} thread{'s' if threads != 1 else ''}")
    if processes > 1:
        parts.append(f"{processes} processes")
    return ", ".join(parts)


def surroundings(device: str | torch.device, precision: str, processes: int = 1) -> dict[str, str]:
    """Return what a model card says of the machine."""
    precisions = {"fp32": "fp32 (float32 throughout)",
                  "bf16": "bf16 (matrix products in bfloat16; the weights are float32)"}
    return {
        "computed on": f"{_place(device, processes)}, {precisions[chosen_precision(precision, device)]}; it has "
                       f"{os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
