"""A few dev examples with what the model makes of them, as lines for the log. Knows no model and no file."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from seq2x.settings import TaskConfig
from seq2x.text import tags

LONGEST = 200
"""Characters of a text that are shown."""
INDENT = "    "


def choose(count: int, number: int, seed: int) -> list[int]:
    """Return which ``number`` of ``count`` examples are shown: the same for the same seed, in order."""
    return sorted(random.Random(seed).sample(range(count), min(number, count)))


def show(name: str, task: TaskConfig, examples: Sequence[Any], predictions: Sequence[Any]) -> list[str]:
    """Return lines that show each example with its prediction; ``name`` is put before each, "" = none."""
    rows = [row for example, found in zip(examples, predictions, strict=True) for row in _rows(task, example, found)]
    before = f"{name} " if name else ""
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{INDENT}{before}{label:<{width}}  {clean(text)}" for label, text in rows]


def _rows(task: TaskConfig, example: Any, found: Any) -> list[tuple[str, str]]:
    """What was given, what should come out, what did; in one row where the text itself is not what comes out."""
    if task.kind == "translate":
        return [("source", example.source), ("reference", example.target), ("output", found.text)]
    if task.kind == "language_model":
        return [("read", f"perplexity {found.perplexity:,.1f}: {example.text}")]
    if task.kind == "classify":
        sides = [" ".join(f"{label} {found.probabilities[label]:.2f}" for label in labels) or "no label"
                 for labels in (found.labels, example.labels)]
        if set(found.labels) == set(example.labels):
            return [("right", f"{sides[0]}: {example.text}")]
        return [("wrong", f"{sides[0]}, not {sides[1]}: {example.text}")]
    gold, output = (mark(example.words, side, task.data.scheme) for side in (example.tags, found.tags))
    return [("right", output)] if gold == output else [("gold", gold), ("output", output)]


def mark(words: Sequence[str], found: Sequence[str], scheme: tags.Scheme) -> str:
    """Return a sentence with its tags: spans as ``[Ann Lee PER] left``, in a scheme without spans ``Ann/NNP``."""
    if scheme == "none":
        return " ".join(f"{word}/{tag}" for word, tag in zip(words, found, strict=True))
    parts = list(words)
    for label, start, end in tags.spans(found, scheme):
        parts[start] = f"[{parts[start]}"
        parts[end - 1] = f"{parts[end - 1]} {label}]"
    return " ".join(parts)


def clean(text: str) -> str:
    """Return ``text`` fit for a terminal: one line, nothing that moves the cursor or turns the direction, not long."""
    shown = "".join(_visible(text))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 4]} ..."


def _visible(text: str) -> Iterable[str]:
    turning = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return (" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") or letter in turning else letter
            for letter in text)
