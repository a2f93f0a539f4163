"""The resident memory of a process and all it started, watched from outside. Linux only; knows no library."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path


def watched(command: Sequence[str], environment: dict[str, str], every: float = 0.05) -> tuple[str, float]:
    """Run a command; return what it printed, and the greatest sum of the resident memory of its processes, in MiB."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    ended, peak = threading.Event(), [0.0]

    def watch() -> None:
        last = 0.0
        while not ended.wait(every):
            now = sum(resident(one) for one in tree(process.pid))
            # of two samples the lesser: a process that is just being forked shares all memory, yet counts twice
            peak[0], last = max(peak[0], min(last, now)), now

    thread = threading.Thread(target=watch)
    thread.start()
    assert process.stdout is not None
    printed = process.stdout.read()
    code = process.wait()
    ended.set()
    thread.join()
    if code != 0:
        sys.exit(f"exit code {code} of: {' '.join(command)}")
    return printed, peak[0]


def tree(process: int) -> list[int]:
    """The process and all below it."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return []
    return [process, *(below for child in children for below in tree(child))]


def resident(process: int) -> float:
    """MiB in memory, pages of mapped files among them."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().split("\n")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
