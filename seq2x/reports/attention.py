"""Pictures of attention: which source tokens each output token looked at. Needs matplotlib, and knows no model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import accumulate
from typing import Protocol

from seq2x.errors import ConfigError, RunError

CELL = 0.3
"""Inches that a token takes."""
HEIGHT = 300.0
"""Inches of a picture at most, unless its first part alone is higher."""
DOTS = 60_000
"""Its width and height at most; matplotlib draws no more than 2**16."""


class Weights(Protocol):
    """As seq2x.predictors.Attention."""

    @property
    def source(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def target(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def weights(self) -> tuple[tuple[float, ...], ...]: ...  # noqa: D102


def require() -> None:
    """ConfigError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ConfigError("pictures of attention need matplotlib: pip install 'seq2x[plots]'; a name that ends in "
                          ".json needs nothing")


def draw(path: str, parts: Sequence[tuple[str, Weights]]) -> None:
    """Draw (title, attention) one below the other into a file, whose name says the format; nothing for none.

    The last parts are left out where the picture would be too high.
    """
    require()
    if not parts:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [max(len(part.target), 1) * CELL + 1.6 for _, part in parts]
    count = sum(total <= HEIGHT for total in accumulate(heights)) or 1
    parts, heights = parts[:count], heights[:count]
    width = max(len(part.source) for _, part in parts) * CELL + 2.0
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)
    for axes, (title, part) in zip(grid[:, 0], parts, strict=True):
        axes.imshow([list(row) for row in part.weights], cmap="Blues", vmin=0.0, vmax=1.0)
        axes.set_xticks(range(len(part.source)), list(map(_shown, part.source)), rotation=90)
        axes.set_yticks(range(len(part.target)), list(map(_shown, part.target)))
        axes.set_title(title)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a script that the font has not is drawn as boxes
            figure.savefig(path, dpi=min(100.0, DOTS / max(width, sum(heights))))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None


def _shown(token: str) -> str:
    """A token without what matplotlib takes for a formula."""
    return token.replace("$", r"\$")
