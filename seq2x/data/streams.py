"""Texts put end to end as one stream of tokens, which batches read on where the one before them ended.

Truncated backpropagation through time (Williams & Peng 1990; Mikolov et al. 2010) over several places of the stream at
once, as Merity et al. 2018 batch it. Knows no model: what it carries from batch to batch, training keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seq2x.batch import Batch
from seq2x.data.batching import Epochs
from seq2x.data.coding import Coder
from seq2x.data.datasets import CodedDataset, tokens_of
from seq2x.data.encodings import Encodings, Integers, Padded
from seq2x.data.examples import Where
from seq2x.errors import ConfigError


class Lanes(Epochs):
    """A stream of ``tokens`` read in ``lanes`` side by side: batch k of every epoch is the k-th chunk of each lane.

    All tokens but the last, which nothing follows, are read. All lanes are equally long: neighbours share a token
    where that does not come out even, so fewer than ``lanes`` tokens come twice. Chunks have at most ``steps`` tokens,
    and their lengths differ by one at most. Chunk k of lane i has the number k * lanes + i. ConfigError where
    there are fewer tokens to read than lanes.
    """

    def __init__(self, task: str, tokens: int, lanes: int, steps: int) -> None:
        if tokens <= lanes:
            raise ConfigError(f"tasks.{task}.bptt = {steps}: a batch has room for {lanes:,} lanes of so many tokens, "
                              f"and all of train has {tokens:,} tokens; expected a smaller training.batch_tokens")
        self._task, self.lanes, self.steps = task, lanes, steps
        self.length = -(-(tokens - 1) // lanes)
        """Tokens that are read of each lane."""
        self._starts = np.arange(lanes) * (tokens - 1) // lanes
        count = -(-self.length // steps)
        self._edges = np.arange(count + 1) * self.length // count

    def places(self, chunks: Sequence[int]) -> Integers:
        """Return where the tokens of chunks of equal length stand, and the one that follows: [B, T + 1]."""
        chunk, lane = np.divmod(np.asarray(chunks, dtype=np.int64), self.lanes)
        first, stop = self._edges[chunk[0]], self._edges[chunk[0] + 1]
        places: Integers = self._starts[lane, None] + np.arange(first, stop + 1)
        return places

    def _walk(self, epoch: int) -> Iterator[tuple[str, list[int]]]:  # noqa: ARG002 - all epochs are alike
        for chunk in range(len(self._edges) - 1):
            yield self._task, list(range(chunk * self.lanes, (chunk + 1) * self.lanes))


class StreamDataset(CodedDataset):
    """Texts alone, as a stream. See :class:`seq2x.data.datasets.Dataset`; what a batch takes is chunks of ``lanes``.

    Source: T tokens of each lane, which go on from what was before. Target: these and the next, T + 1.
    """

    def __init__(self, coder: Coder[Any], coded: CodedDataset, lanes: Lanes) -> None:
        """``coded`` are the texts, ``lanes`` are of its tokens."""
        super().__init__(coder, coded._store, coded.report)
        self.lanes = lanes

    def where(self, index: int) -> Where:
        """Return the file and the line of the text that a chunk begins in."""
        place = self.lanes.places([index])[0, 0]
        return super().where(int(np.searchsorted(self._store.sides[0].ids.ends, place, side="right")) - 1)

    def batch(
        self, indices: Sequence[int], epoch: int | None, drawn: Sequence[Encodings | None] | None = None  # noqa: ARG002
    ) -> Batch:
        """Return the chunks ``indices``, one of each lane."""
        places, side = self.lanes.places(indices), self._store.sides[0]
        real = np.ones_like(places, dtype=np.bool_)
        source = tokens_of(side.at(places[:, :-1], real[:, :-1]))
        target = tokens_of(Padded(side.ids.at(places, real), real, None, None))
        self._store.used(len(indices))
        return Batch(replace(source, before=()), None, target)
