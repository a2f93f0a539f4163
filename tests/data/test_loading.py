"""Batches made ahead: the same as without workers, from every place; errors in their place; nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from seq2x.batch import Tokens
from seq2x.data.batching import Batches, Position
from seq2x.data.cache import Cache
from seq2x.data.coding import Limit, PairCoder, TextCoder
from seq2x.data.datasets import CodedDataset, in_memory
from seq2x.data.examples import Pair, Text
from seq2x.data.loading import Item, _ahead, load
from seq2x.errors import DataError
from seq2x.text import SubwordsConfig, Vocabulary

NAMES = ["ada", "bo", "cy", "di", "ed", "flo", "gus", "hal", "ida", "jo", "kim", "lou", "mo", "nan", "ole", "pia"]
SENTENCES = [f"the boat of {name} waits {'and waits ' * (number % 5)}" for number, name in enumerate(NAMES * 2)]
DROPPING = SubwordsConfig(size=300, dropout=0.3).learn(SENTENCES)


@pytest.fixture(params=["memory", "cache"])
def datasets(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, CodedDataset]:
    """Two tasks, of which one draws anew."""
    pairs = [Pair(text, text.upper()) for text in SENTENCES]
    plain = TextCoder(SubwordsConfig(size=300).learn(SENTENCES), Vocabulary(["x"]), 1, Limit())
    coder = PairCoder(DROPPING, DROPPING, 1, Limit())
    classify = in_memory(plain, [Text(text, "x") for text in SENTENCES])
    if request.param == "memory":
        return {"translate": in_memory(coder, pairs), "classify": classify}
    cache = Cache(tmp_path / "cache")
    cache.make({}, {}, coder, pairs, 0, print)
    return {"translate": CodedDataset(coder, cache.open(coder)), "classify": classify}


def shown(items: Iterator[Item], count: int) -> list[tuple[object, ...]]:
    found = []
    for item in islice(items, count):
        target = item.batch.target.ids if isinstance(item.batch.target, Tokens) else item.batch.target
        assert isinstance(target, torch.Tensor)
        found.append((item.position, item.task, item.indices, item.batch.source.ids.tolist(), target.tolist()))
    return found


def batches(datasets: dict[str, CodedDataset]) -> Batches:
    return Batches({task: dataset.lengths for task, dataset in datasets.items()}, 200, 1, buffer=30)


def test_workers_change_nothing(datasets: dict[str, CodedDataset]) -> None:
    whole = shown(load(datasets, batches(datasets), Position()), 120)
    assert len({position[0] for position, *_ in whole}) > 2  # type: ignore[misc, has-type]  # epochs
    ahead = load(datasets, batches(datasets), Position(), workers=2)
    assert shown(ahead, 120) == whole
    for done in (1, 37, 80):
        position = whole[done - 1][0]
        assert isinstance(position, Position)
        assert shown(load(datasets, batches(datasets), position), 20) == whole[done : done + 20]
    position = whole[36][0]
    assert isinstance(position, Position)
    assert shown(load(datasets, batches(datasets), position, workers=1), 20) == whole[37:57]


def test_processes_may_share_a_batch(datasets: dict[str, CodedDataset]) -> None:
    whole = list(islice(load(datasets, batches(datasets), Position()), 8))
    parts = list(islice(load(datasets, batches(datasets), Position(), share=lambda rows: rows[1::2] or rows[:1]), 8))
    for item, part in zip(whole, parts, strict=True):
        own = item.batch.source.ids[1::2] if len(item.indices) > 1 else item.batch.source.ids
        ids = part.batch.source.ids
        assert part.indices == item.indices
        assert ids.equal(own[:, : ids.shape[1]])
        assert len({len(part.indices) for part in parts}) > 1


def numbers(end: int, closed: list[bool]) -> Generator[int]:
    try:
        yield from range(end)
        raise DataError("no more")
    finally:
        closed.append(True)


def test_ahead_keeps_order_and_brings_errors() -> None:
    closed: list[bool] = []
    items = _ahead(numbers(20, closed), 3)
    assert [next(items) for _ in range(20)] == list(range(20))
    with pytest.raises(DataError, match="no more"):
        next(items)
    assert closed == [True]


def test_closing_stops_the_thread() -> None:
    closed: list[bool] = []
    before = threading.active_count()
    items = _ahead(numbers(10**9, closed), 3)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert threading.active_count() == before + 1
    items.close()
    assert (threading.active_count(), closed) == (before, [True])


def test_ahead_ends_where_its_source_ends() -> None:
    assert list(_ahead((number for number in range(7)), 2)) == list(range(7))
