"""Spans of whole batches of tags, and how probable each is. Knows tags by number, and their scheme; no encoder.

What text/tags.py says of one span or pair of tags is looked up once and kept as tables, as a batch has many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2x.nn.crf import Posterior, Segments
from seq2x.text import tags as scheme

FIRST, MIDDLE, LAST, SINGLE = range(4)


class Spans(NamedTuple):
    """S spans of a batch."""

    rows: Tensor
    """[S] long"""
    start: Tensor
    """[S] long: the first word."""
    stop: Tensor
    """[S] long: the word behind the last."""
    labels: Tensor
    """[S] long: their places in the table's ``labels``."""


class SpanTable(nn.Module):
    """What a scheme says of its tags. Nothing in it is learnt or saved."""

    goes_on: Tensor  # [K, K]: the second goes on with the span of the first
    inside: Tensor  # [K]: not O
    label_of: Tensor  # [K]
    written: Tensor  # [ways, labels, 4]: the tags of a span, -1 where there is none
    before: Tensor  # [ways, labels, K]: may stand before it
    after: Tensor  # [ways, labels, K]: may stand after it

    def __init__(self, tags: Sequence[str], written_in: scheme.Scheme) -> None:
        """``tags``: those of a scheme with spans, in the order of their numbers."""
        super().__init__()
        self.labels = tuple(sorted(scheme.labels_of(tags, written_in)))
        numbers = {tag: number for number, tag in enumerate(tags)}
        of = [min(scheme.labels_of([tag], written_in), default="") for tag in tags]  # "" of O
        ones = [scheme.patterns(label, 1, written_in) for label in self.labels]
        threes = [scheme.patterns(label, 3, written_in) for label in self.labels]
        ways = range(len(ones[0]) if ones else 0)

        def table(name: str, values: object, shape: tuple[int, ...], dtype: torch.dtype) -> None:
            self.register_buffer(name, torch.tensor(values, dtype=dtype).reshape(shape), persistent=False)

        count, size = len(self.labels), len(tags)
        table("goes_on", scheme.joins(tags, written_in), (size, size), torch.bool)
        table("inside", [label != "" for label in of], (size,), torch.bool)
        table("label_of", [self.labels.index(label) if label else 0 for label in of], (size,), torch.long)
        table("written", [[[numbers.get(tag, -1) for tag in (*three[way].tags, *one[way].tags)]
                           for one, three in zip(ones, threes, strict=True)] for way in ways],
              (len(ways), count, 4), torch.long)
        table("before", [[[tag not in one[way].not_before for tag in tags] for one in ones] for way in ways],
              (len(ways), count, size), torch.bool)
        table("after", [[[tag not in one[way].not_after for tag in tags] for one in ones] for way in ways],
              (len(ways), count, size), torch.bool)

    def find(self, tags: Tensor, mask: Tensor) -> Spans:
        """Return the spans of valid ``tags`` [B, W], in order."""
        inside = self.inside[tags] & mask
        goes_on = torch.zeros_like(inside)
        goes_on[:, 1:] = self.goes_on[tags[:, :-1], tags[:, 1:]] & inside[:, 1:]
        gone_on = torch.zeros_like(inside)
        gone_on[:, :-1] = goes_on[:, 1:]
        rows, start = (inside & ~goes_on).nonzero().unbind(1)
        stop = (inside & ~gone_on).nonzero()[:, 1] + 1
        return Spans(rows, start, stop, self.label_of[tags[rows, start]])

    def probabilities(self, posterior: Posterior, spans: Spans) -> Tensor:
        """Return how probable it is that just this span stands there, [S]: the sum of the ways to write it."""
        total = posterior.unary.new_zeros(len(spans.rows))
        if not len(total):
            return total
        size = spans.stop - spans.start
        words = torch.arange(int(size.max()), device=size.device)
        place = torch.where(words == size[:, None] - 1, LAST, torch.where(words == 0, FIRST, MIDDLE))  # [S, M]
        place[size == 1] = SINGLE
        for written, before, after in zip(self.written, self.before, self.after, strict=True):
            tags = written[spans.labels].gather(1, place)
            possible = ((tags >= 0) | (words >= size[:, None])).all(1)
            found = posterior.segments(Segments(spans.rows, spans.start, spans.stop, tags.clamp(min=0),
                                                before[spans.labels], after[spans.labels]))
            total = total + found.masked_fill(~possible, 0.0)
        return total
