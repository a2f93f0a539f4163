"""The wall time of a process that starts, translates one line and ends; or of one that only imports torch.

WORK and translate, or WORK and torch: what translate_data.py wrote, and what is started.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

STARTS = 5  # after one that only warms the disk cache
LINE = "A man in a blue shirt is standing on a ladder.\n"


def main(work: Path, what: str) -> None:
    command = {"translate": ["-m", "seq2x", "translate", str(work / "transformer")],
               "torch": ["-c", "import torch"]}[what]
    seconds = []
    for _ in range(1 + STARTS):
        began = time.perf_counter()
        answer = subprocess.run([sys.executable, *command], input=LINE, stdout=subprocess.PIPE, encoding="utf-8")
        seconds.append(time.perf_counter() - began)
        if answer.returncode != 0 or answer.stdout.count("\n") != (what == "translate"):
            sys.exit(f"status {answer.returncode} of {command}; it printed {answer.stdout!r}")
    print(json.dumps({"figures": {"seconds": median(seconds[1:])}, "facts": {"starts": STARTS}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
