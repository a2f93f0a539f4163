"""The clock of a training: updates counted after a warm-up, then the line of figures. Knows no toolkit and no torch."""

from __future__ import annotations

import json
import resource
import sys
import time

WARM_UP = 10  # updates
SECONDS = 30.0  # measured after them, at least


class Enough(Exception):  # noqa: N818 - no error
    """The clock has run; leave the training."""


class Clock:
    """Counts the real target tokens of each update, end symbols among them."""

    def __init__(self) -> None:
        self.updates = self.tokens = 0
        self.began = self.ended = 0.0
        self.processor = 0.0  # seconds of all threads: before the measured part, in the end of it
        self.peak = 0

    def updated(self, tokens: int) -> None:
        """Count an update that has just ended; raise Enough after the last."""
        self.updates += 1
        self.ended = time.perf_counter()
        if self.updates <= WARM_UP:
            self.began, self.processor = self.ended, time.process_time()
            return
        self.tokens += tokens
        if self.ended - self.began >= SECONDS:
            self.processor = time.process_time() - self.processor
            self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
            raise Enough

    def report(self, *, parameters: int, vocabulary: int, threads: int, **more: float) -> None:
        """Print the line of figures; ``more`` are facts of one side alone."""
        seconds, updates = self.ended - self.began, self.updates - WARM_UP
        megabytes = self.peak / (2**20 if sys.platform == "darwin" else 2**10)
        figures = {"tokens/s": self.tokens / seconds, "memory": megabytes}
        facts = {"parameters": parameters, "vocabulary": vocabulary, "threads": threads, "seconds measured": seconds,
                 "updates": updates, "tokens an update": self.tokens / updates,
                 "cores used": self.processor / seconds,  # below the threads where others are at work
                 **more}
        print(json.dumps({"figures": figures, "facts": facts}))
