"""The table of variants, and its plot."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2x.reports import ablations
from seq2x.reports.ablations import Row, markdown, plot

ROWS = [Row("base", "", [80.0, 82.0], [], None, 1.5, 12_345), Row("GRU", "Cho et al. 2014", [81.5, 83.0], [80.0, 82.0],
                                                                  0.004, 1.26, 9_000),
        Row("$ & co", "nobody", [79.0, 82.0], [80.0, 82.0], 0.6, 2.0, 9_000)]


def test_each_row_says_how_it_differs() -> None:
    lines = markdown(ROWS, "F1").split("\n")
    assert lines[0] == "| variant | source | F1 | difference | p | minutes | parameters | seeds |"
    assert lines[2] == "| base |  | 81.00 +- 1.41 |  |  | 1.5 | 12,345 | 2 |"
    assert lines[3] == "| GRU | Cho et al. 2014 | 82.25 +- 1.06 | +1.25 | **0.004** | 1.3 | 9,000 | 2 |"
    assert lines[4] == "| $ & co | nobody | 80.50 +- 2.12 | -0.50 | 0.600 | 2.0 | 9,000 | 2 |"
    assert "| base |  | 80.00 |" in markdown([ROWS[0]._replace(scores=[80.0])], "F1")


def test_the_differences_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plot(ROWS, "F1", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert not plot(ROWS[:1], "F1", tmp_path / "none.png")
    monkeypatch.setattr(ablations, "find_spec", lambda _: None)
    assert not plot(ROWS, "F1", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
