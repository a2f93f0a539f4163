"""What changes of one model did to its score: a Markdown table, and a plot (by matplotlib). Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

HEIGHT = 0.24
"""Inches that a row takes in a plot."""
SURE = 0.05
"""The p below which a difference is marked."""


class Row(NamedTuple):
    """One variant of a model, and the scores of its trainings, a seed each."""

    name: str
    cites: str
    scores: Sequence[float]
    against: Sequence[float]
    """Those of what it is compared with, of the same seeds; none for that itself."""
    p: float | None
    """See :func:`seq2x.compare.p_value`."""
    minutes: float
    """Of one training."""
    parameters: int

    @property
    def differences(self) -> list[float]:
        """Of each seed."""
        return [score - other for score, other in zip(self.scores, self.against, strict=False)]


def markdown(rows: Sequence[Row], metric: str) -> str:
    """Return the table: mean and standard deviation over seeds, the mean difference and its p, cost and size."""
    lines = [f"| variant | source | {metric} | difference | p | minutes | parameters | seeds |", "|---" * 8 + "|"]
    for row in rows:
        difference = f"{mean(row.differences):+.2f}" if row.differences else ""
        p = "" if row.p is None else "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"
        p = f"**{p}**" if row.p is not None and row.p < SURE else p
        lines.append(f"| {row.name} | {row.cites} | {_spread(row.scores)} | {difference} | {p} | {row.minutes:.1f} | "
                     f"{row.parameters:,} | {len(row.scores)} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Row], metric: str, path: Path) -> bool:
    """Draw the differences of all variants that have one, greatest first; return whether matplotlib was there to."""
    compared = sorted((row for row in rows if row.differences), key=lambda row: mean(row.differences))
    if find_spec("matplotlib") is None or not compared:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + HEIGHT * len(compared)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, row in enumerate(compared):
        certain = row.p is not None and row.p < SURE
        axes.plot(row.differences, [place] * len(row.differences), ".", color="tab:gray", markersize=4)
        axes.plot([mean(row.differences)], [place], "o", color="tab:blue" if certain else "tab:gray",
                  markerfacecolor=None if certain else "white")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(compared)), [row.name.replace("$", r"\$") for row in compared])
    axes.margins(y=0.5 / len(compared))
    about = f"dots: each seed; circles: the mean, filled where p < {SURE}"
    figure.supxlabel(f"difference in {metric}\n{about}", fontsize="medium")
    figure.savefig(path)
    return True


def _spread(scores: Sequence[float]) -> str:
    return f"{mean(scores):.2f}{f' +- {stdev(scores):.2f}' if len(scores) > 1 else ''}"
