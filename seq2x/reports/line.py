"""A line as pieces, so that it can be shown in the room there is. Knows no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

GAP = "  "


class Part(NamedTuple):
    """A piece of a line."""

    text: str
    rank: int = 0
    """Where there is little room, the pieces of the highest rank go first."""
    style: str = ""
    """A colour, or "bold" or "dim", as rich names them."""


def joined(parts: Iterable[Part]) -> str:
    """Return the line without its styles; empty pieces leave no gap."""
    return GAP.join(part.text for part in parts if part.text)


def fitting(parts: Sequence[Part], room: int) -> list[Part]:
    """Return ``parts`` without the empty ones, and without as many of the highest rank as ``room`` cells ask for."""
    kept = [part for part in parts if part.text]
    while len(kept) > 1 and len(joined(kept)) > room:
        kept.remove(max(reversed(kept), key=lambda part: part.rank))
    return kept
