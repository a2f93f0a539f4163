"""Wall time and memory of a process that starts, tags one line and ends: `seq2x tag`, or a bare import of torch.

WORK and tag, or WORK and torch: where tag_ours.py has left its run, and what is started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

STARTS = 5  # after one that only warms the disk cache
LINE = "The pound sank to a new low against the dollar on Tuesday .\n"


def main(work: Path, what: str) -> None:
    command = {"tag": ["-m", "seq2x", "tag", str(work / "run"), "--tokenised"], "torch": ["-c", "import torch"]}[what]
    seconds, peaks = [], []
    for _ in range(1 + STARTS):
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(LINE.encode())
        process.stdin.close()
        answer = process.stdout.read().decode()
        _, code, used = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - began)
        peaks.append(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
        words = len(LINE.split()) if what == "tag" else 0
        if code != 0 or answer.count("\t") != words:
            sys.exit(f"status {code} of {command}; it printed {answer!r}")
    print(json.dumps({"figures": {"seconds": median(seconds[1:]), "memory": median(peaks[1:])},
                      "facts": {"starts": STARTS}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
