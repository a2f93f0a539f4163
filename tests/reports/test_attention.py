"""Pictures of attention."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import pytest

from seq2x.errors import ConfigError, RunError
from seq2x.predictors import Attention
from seq2x.reports import attention

PART = Attention(("\u2581the", "$mill$", "</s>"), ("\u2581日本", "</s>"), ((0.5, 0.5, 0.0), (0.0, 0.1, 0.9)))


@pytest.mark.parametrize(("name", "head"), [("heat.png", b"\x89PNG"), ("heat.svg", b"<?xml"), ("heat.pdf", b"%PDF")])
def test_a_picture_in_each_format(tmp_path: Path, name: str, head: bytes) -> None:
    attention.draw(str(tmp_path / name), [("line 1", PART), ("line 2", PART)])
    assert (tmp_path / name).read_bytes().startswith(head)


@pytest.mark.parametrize(("height", "drawn"), [(5.0, 2), (1.0, 1)])
def test_a_picture_is_never_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: float, drawn: int
) -> None:
    monkeypatch.setattr(attention, "HEIGHT", height)
    monkeypatch.setattr(attention, "DOTS", 100)
    attention.draw(str(tmp_path / "heat.png"), [(f"line {number}", PART) for number in range(9)])
    sides = struct.unpack(">II", (tmp_path / "heat.png").read_bytes()[16:24])
    assert max(sides) in (99, 100)
    width, high = 3 * attention.CELL + 2.0, drawn * (2 * attention.CELL + 1.6)
    assert sides[0] / sides[1] == pytest.approx(width / high, rel=0.03)


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    attention.draw(str(tmp_path / "heat.png"), [])
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="cannot be written: No such file or directory"):
        attention.draw(str(tmp_path / "none" / "heat.png"), [("line 1", PART)])
    monkeypatch.setattr(attention, "find_spec", lambda name: None if name == "matplotlib" else importlib.util)
    with pytest.raises(ConfigError, match=r"need matplotlib: pip install 'seq2x\[plots\]'"):
        attention.require()
