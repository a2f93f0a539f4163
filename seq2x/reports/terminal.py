"""One line that moves at the bottom of a terminal, and lines that stay above it. Knows no training.

rich knows the terminals: colours and NO_COLOR, Windows consoles, the width of characters. The cursor stays where a
person can see it, and goes back to the start of the moving line, so that whatever is printed next overwrites it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from seq2x.reports.line import GAP, Part, fitting

_ERASE = (Control(ControlType.CARRIAGE_RETURN), Control((ControlType.ERASE_IN_LINE, 2)))


class Terminal:
    """A stream that is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._drawn = False
        self.unicode = (self._console.encoding or "").startswith("utf") and not self._console.legacy_windows
        """Whether line-drawing characters can be shown."""

    def say(self, parts: Sequence[Part]) -> None:
        """Print a line that stays; a long one goes on in the next row of the screen."""
        self.wipe()
        self._console.print(_text(parts), soft_wrap=True)

    def draw(self, parts: Sequence[Part]) -> None:
        """Draw the moving line, in what fits of ``parts``."""
        room = self._console.width - 1  # a full row would scroll on some terminals
        text = _text(fitting(parts, room))
        text.truncate(room)
        self._console.control(*_ERASE)
        self._console.print(text, end="", no_wrap=True, overflow="ignore", crop=False)
        self._console.control(Control(ControlType.CARRIAGE_RETURN))
        self._console.file.flush()
        self._drawn = True

    def wipe(self) -> None:
        """Take the moving line away."""
        if self._drawn:
            self._console.control(*_ERASE)
            self._console.file.flush()
            self._drawn = False


def _text(parts: Sequence[Part]) -> Text:
    text = Text()
    for number, part in enumerate(part for part in parts if part.text):
        text.append(GAP if number else "")
        text.append(part.text, part.style)
    return text
