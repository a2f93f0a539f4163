"""Texts as one stream: where its lanes and chunks lie, and what a batch of them holds."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2x.data.batching import Position
from seq2x.data.coding import Limit, PlainCoder
from seq2x.data.datasets import in_memory
from seq2x.data.examples import Text
from seq2x.data.streams import Lanes, StreamDataset
from seq2x.errors import ConfigError
from seq2x.text import WordsConfig

SENTENCES = ["rain on the lake", "the boat waits", "", "boats", "no rain and no boat on the lake today"]


@given(st.integers(2, 300), st.integers(1, 40), st.integers(1, 12))
def test_every_token_is_read_and_hardly_any_twice(tokens: int, lanes: int, steps: int) -> None:
    if tokens <= lanes:
        with pytest.raises(ConfigError, match=r"expected a smaller training\.batch_tokens"):
            Lanes("lm", tokens, lanes, steps)
        return
    order = Lanes("lm", tokens, lanes, steps)
    batches = [order.places(chunks) for _, chunks in order.epoch(0)]
    assert len(batches) == order.count(0) == -(-order.length // steps)
    read = Counter(chain.from_iterable(batch[:, :-1].flatten().tolist() for batch in batches))
    assert set(read) == set(range(tokens - 1))
    assert read.total() - len(read) < lanes
    sizes = {batch.shape[1] - 1 for batch in batches}
    assert 1 <= min(sizes) <= max(sizes) <= min(steps, min(sizes) + 1)
    assert all((left[:, -1] == right[:, 0]).all() for left, right in pairwise(batches))
    assert max(int(batch.max()) for batch in batches) == tokens - 1


def test_epochs_are_alike_and_can_be_gone_on_with() -> None:
    order = Lanes("lm", 50, 4, 5)
    assert order.epoch(0) == order.epoch(7)
    found = list(islice(order.from_(), 8))
    assert list(islice(order.from_(found[4][0]), 3)) == found[5:]
    assert found[2][0] == Position(1, 0)


def stream(lanes: int, steps: int) -> tuple[StreamDataset, PlainCoder]:
    processor = WordsConfig(characters=True, shapes=True).learn(SENTENCES)
    coder = PlainCoder(processor, 1, Limit())
    texts = [Text(text, None, ("made.txt", line)) for line, text in enumerate(SENTENCES, start=1)]
    coded = in_memory(coder, texts)
    return StreamDataset(coder, coded, Lanes("lm", coded.tokens, lanes, steps)), coder


def test_a_batch_has_the_tokens_and_the_next_with_all_that_is_known_of_them() -> None:
    dataset, coder = stream(3, 3)
    encodings = [coder.sides[0].processor.encode(text) for text in SENTENCES]
    ids, characters, shapes = ([item for one in encodings for item in one[field] or ()] for field in (0, 2, 3))
    ends = list(chain.from_iterable([line] * len(one.ids) for line, one in enumerate(encodings, start=1)))
    assert len(dataset) == 5
    for _, chunks in dataset.lanes.epoch(0):
        batch = dataset.batch(chunks, 0)
        assert isinstance(batch.target, type(batch.source))
        assert (batch.source.before, batch.target.characters) == ((), None)
        assert batch.source.mask.all()
        assert torch.equal(batch.target.ids[:, :-1], batch.source.ids)
        assert batch.source.characters is not None
        assert batch.source.shapes is not None
        for row, places in enumerate(dataset.lanes.places(chunks).tolist()):
            assert batch.target.ids[row].tolist() == [ids[place] for place in places]
            assert batch.source.shapes[row].tolist() == [shapes[place] for place in places[:-1]]
            spelt = [[number for number in one if number] for one in batch.source.characters[row].tolist()]
            assert spelt == [characters[place] for place in places[:-1]]
            assert dataset.where(chunks[row]) == ("made.txt", ends[places[0]])
