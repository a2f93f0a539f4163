"""A picture of how much each setting mattered in a study. Needs matplotlib, and knows no study."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path


def plot(importance: Mapping[str, float], path: Path) -> bool:
    """Draw a bar for each setting, the greatest on top; return whether matplotlib was there to."""
    if find_spec("matplotlib") is None or not importance:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sorted(importance.items(), key=lambda item: item[1])
    figure = Figure(figsize=(7, 1 + 0.3 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.barh([name for name, _ in rows], [value for _, value in rows])
    axes.set_xlabel("share of what decides whether a trial is among the best")
    figure.savefig(path)
    return True
