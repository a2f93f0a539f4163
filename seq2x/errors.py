"""The errors a user may see: one clear paragraph each.

Knows nothing of the rest of the project. The command line prints the message and ends with exit code 2;
a library user catches :class:`Seq2xError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class Seq2xError(Exception):
    """Everything that is the user's to mend; the message says what, where, found, expected."""


class ConfigError(Seq2xError):
    """A setting that does not exist or does not fit."""


class DataError(Seq2xError):
    """Text, tags or files that cannot be used as they are."""

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        """``path`` and ``line`` (counted from 1) are put in front of the message."""
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(where + message)
        self.path, self.line = path, line


class RunError(Seq2xError):
    """A run directory that is missing, damaged, in use, or of another kind than needed."""


def nearest(found: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of choices where none is near."""
    choices = [str(choice) for choice in choices]
    close = difflib.get_close_matches(found, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not choices:
        return ""
    shown = ", ".join(repr(choice) for choice in choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"; the choices are {shown}"
