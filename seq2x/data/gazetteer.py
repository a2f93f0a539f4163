"""Reads a gazetteer: phrases whose label is known, one a line. Knows no model."""

from __future__ import annotations

from pathlib import Path

from seq2x.data.files import lines
from seq2x.errors import DataError


def read_gazetteer(path: str | Path) -> dict[str, set[str]]:
    """Return the phrases of a file of lines ``label TAB phrase``, and the labels of each.

    A phrase may stand on several lines, with another label on each. Empty lines are passed over. DataError names the
    line that is not as it should be.
    """
    phrases: dict[str, set[str]] = {}
    for number, text in enumerate(lines(path), start=1):
        if not text.strip():
            continue
        label, _, phrase = (part.strip() for part in text.partition("\t"))
        if not label or not phrase:
            raise DataError(f"found {text!r}; expected a label, a TAB and a phrase", path, number)
        phrases.setdefault(phrase, set()).add(label)
    if not phrases:
        raise DataError("holds no phrases", path)
    return phrases
