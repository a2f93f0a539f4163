"""What all taggers of the bench do: words and tags in, a training watched, the test part tagged. Knows no toolkit.

Seconds are those of the processor: each side has one thread, and so the figures stay what they are beside other work.
The line of figures: words a second of training and of tagging, milliseconds of one sentence, MiB of training.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

WARM_UP = 10  # updates
SECONDS = 20.0  # of training measured after them, at least, where it goes on for so long
BATCH = 32  # sentences
ALONE = 500  # sentences of the test part that are tagged one at a time; the others in batches


class Tagged(NamedTuple):
    """A sentence and its BIO tags."""

    words: list[str]
    tags: list[str]


def read(path: Path, tag: int) -> list[Tagged]:
    """Read a gzipped file of columns, the word first, an empty line behind each sentence."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    blocks = ([line.split() for line in block.split("\n") if line] for block in text.split("\n\n"))
    return [Tagged([row[0] for row in rows], [row[tag] for row in rows]) for rows in blocks if rows]


class Enough(Exception):  # noqa: N818 - no error
    """The clock has run; leave the training."""


class Clock:
    """Counts the words of each update, and the processor time."""

    def __init__(self, endless: bool = True) -> None:
        """``endless``: of a training that ends only as Enough is raised."""
        self.updates = self.words = 0
        self.began = self.ended = self.peak = 0.0
        self._endless = endless

    def updated(self, words: int) -> None:
        """Count an update that has just ended."""
        self.updates += 1
        self.ended = time.process_time()
        if self.updates <= WARM_UP:
            self.began = self.ended
            return
        self.words += words
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS they are bytes
        self.peak = kilobytes / (2**20 if sys.platform == "darwin" else 2**10)
        if self._endless and self.ended - self.began >= SECONDS:
            raise Enough


def measure(
    clock: Clock, tag: Callable[[list[list[str]]], int], test: Sequence[Tagged], warm: Sequence[Tagged],
    facts: dict[str, float],
) -> None:
    """Tag with what was trained, and print the line of figures. ``tag`` reads the spans it finds, and counts them."""
    for some in ([sentence.words for sentence in warm], *([sentence.words] for sentence in warm)):
        tag(some)
    words = [sentence.words for sentence in test]
    alone = [_seconds(tag, [sentence])[0] for sentence in words[:ALONE]]
    seconds, spans = _seconds(tag, words[ALONE:])
    cuts = quantiles(alone, n=20)
    figures = {
        "training": clock.words / (clock.ended - clock.began), "tagging": sum(map(len, words[ALONE:])) / seconds,
        "p50": 1000 * cuts[9], "p95": 1000 * cuts[18], "memory": clock.peak,
    }
    facts |= {"updates measured": clock.updates - WARM_UP,
              "words an update": clock.words / (clock.updates - WARM_UP), "spans found": spans}
    print(json.dumps({"figures": figures, "facts": facts}))


def _seconds(tag: Callable[[list[list[str]]], int], sentences: list[list[str]]) -> tuple[float, int]:
    began = time.process_time()
    found = tag(sentences)
    return time.process_time() - began, found
