"""The tools are scripts that find each other beside themselves: their folder is put on the path for these tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))


@pytest.fixture
def tools() -> Path:
    return TOOLS
