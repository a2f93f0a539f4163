"""The CRF where numba is not installed, or where compiled code can be kept nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("missing", ["numba", "nowhere to write"])
def test_without_numba_or_a_place_to_write_all_works(missing: str) -> None:
    """In a process of its own: no numba; or no folder in which compiled code could be kept."""
    prevent = {
        "numba": "sys.modules['numba'] = None",
        "nowhere to write": "from numba.core import caching; caching.CacheImpl._locator_classes = []",
    }[missing]
    code = f"""
import sys
{prevent}
import torch
from seq2x.nn.crf import CRF, Legal, fast
ones = torch.ones(2, 2, dtype=torch.bool)
crf = CRF(Legal(ones, ones[0], ones[0]))
print(crf.viterbi(torch.tensor([[[0.0, 1.0]]]), ones[:1, :1]).tolist(), fast.kernels(torch.zeros(1)) is None)
"""
    answer = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["[[1]]", str(missing == "numba")]
