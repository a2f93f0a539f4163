"""What both classifiers of the bench do: updates counted on a clock of the processor. Knows no toolkit.

Seconds are those of the processor: each side has one thread, and so the figures stay what they are beside other work.
"""

from __future__ import annotations

import json
import time

REVIEWS = 25_000  # of the training part: an epoch


class Enough(Exception):  # noqa: N818 - no error
    """The clock has run; leave the training."""


class Clock:
    """Counts the reviews of each update; raises Enough after ``updates`` that follow ``warm_up``."""

    def __init__(self, warm_up: int, updates: int) -> None:
        self.warm_up, self.updates = warm_up, updates
        self.done = self.reviews = 0
        self.began = self.ended = time.process_time()

    def updated(self, reviews: int) -> None:
        """Count an update that has just ended."""
        self.done += 1
        self.ended = time.process_time()
        if self.done <= self.warm_up:
            self.began = self.ended
            return
        self.reviews += reviews
        if self.done == self.warm_up + self.updates:
            raise Enough

    def report(self, figures: dict[str, float], *, parameters: int, threads: int) -> None:
        """Print the line of figures: those given, and the seconds that an epoch takes at this pace."""
        seconds, updates = self.ended - self.began, self.done - self.warm_up
        facts = {"parameters": parameters, "threads": threads, "updates": updates,
                 "reviews an update": self.reviews / updates, "seconds measured": seconds}
        print(json.dumps({"figures": {**figures, "epoch": seconds * REVIEWS / self.reviews}, "facts": facts}))
