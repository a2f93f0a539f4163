"""Batches: each example once, within budget, in an order that can be taken up anywhere; windows; held-out data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.data.batching import BLOCKS, Batches, MixingConfig, Position, hold_out, in_windows
from seq2x.data.examples import Pair, Tagged, Text
from seq2x.errors import ConfigError, DataError

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=120)
TASKS = st.dictionaries(st.sampled_from(["tag", "parse", "translate"]), LENGTHS, min_size=1)
SEEDS = st.integers(0, 2**32)


@given(TASKS, st.integers(40, 400), SEEDS, st.integers(0, 50))
def test_an_epoch_holds_each_example_once_within_budget(
    lengths: dict[str, list[int]], tokens: int, seed: int, epoch: int
) -> None:
    batches = Batches(lengths, tokens, seed).epoch(epoch)
    found = Counter((task, index) for task, batch in batches for index in batch)
    assert found == Counter((task, index) for task, values in lengths.items() for index in range(len(values)))
    assert all(0 < len(batch) * max(lengths[task][index] for index in batch) <= tokens for task, batch in batches)


@given(TASKS, SEEDS, st.integers(0, 5), st.integers(0, 100), st.sampled_from([None, 0.7, 2.5]))
def test_any_place_goes_on_as_if_never_stopped(
    lengths: dict[str, list[int]], seed: int, start: int, done: int, weight: float | None
) -> None:
    weights = None if weight is None else {next(iter(lengths)): weight}

    def batches() -> Batches:
        return Batches(lengths, 100, seed, weights)

    whole = list(islice(batches().from_(Position(start)), done + 20))
    resumed = list(islice(batches().from_(whole[done - 1][0] if done else Position(start)), 20))
    assert resumed == whole[done:]


def test_positions_count_epochs_and_batches() -> None:
    batches = Batches({"tag": [10] * 6}, 20, seed=1)
    steps = list(islice(batches.from_(), 4))
    assert [position for position, _, _ in steps] == [Position(0, 1), Position(0, 2), Position(1, 0), Position(1, 1)]
    assert [(task, batch) for _, task, batch in steps[:3]] == batches.epoch(0)
    assert next(batches.from_(Position(0, 3))) == steps[3]  # the end of an epoch is the beginning of the next
    with pytest.raises(DataError, match="cannot go on at batch 4 of epoch 0: the epoch has 3 batches"):
        next(batches.from_(Position(0, 4)))


def test_epochs_and_seeds_differ_in_order_and_in_batches() -> None:
    lengths = {"tag": [5 + index % 30 for index in range(300)]}
    contents = [frozenset(frozenset(batch) for _, batch in Batches(lengths, 200, seed).epoch(epoch))
                for seed in (1, 2) for epoch in (0, 1)]
    assert len(set(contents)) == 4
    assert Batches(lengths, 200, 1).epoch(1) == Batches(lengths, 200, 1).epoch(1)
    longest = [max(lengths["tag"][index] for index in batch) for _, batch in Batches(lengths, 200, 1).epoch(0)]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_similar_lengths_come_together() -> None:
    lengths = [1 + (index * 37) % 50 for index in range(3000)]
    batches = [batch for _, batch in Batches({"tag": lengths}, 1000, seed=3).epoch(0)]
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert sum(lengths) > 0.95 * padded


def test_tasks_are_shuffled_together() -> None:
    order = [task for task, _ in Batches({"a": [10] * 100, "b": [10] * 100}, 20, seed=1).epoch(0)]
    assert Counter(order) == {"a": 50, "b": 50}
    assert sum(left != right for left, right in pairwise(order)) > 25


@pytest.mark.parametrize(
    ("weight", "epochs", "times"), [(0.25, 4, 1), (0.3, 10, 3), (1.0, 3, 3), (2.0, 1, 2), (2.5, 2, 5)])
def test_a_weighted_task_sees_all_examples_equally_often(weight: float, epochs: int, times: int) -> None:
    batches = Batches({"a": [3] * 41, "b": [3] * 10}, 12, seed=5, weights={"a": weight})
    seen = Counter(
        (task, index) for epoch in range(epochs) for task, batch in batches.epoch(epoch) for index in batch)
    assert {seen["a", index] for index in range(41)} == {times}
    assert {seen["b", index] for index in range(10)} == {epochs}
    first = sum(len(batch) for task, batch in batches.epoch(0) if task == "a")
    assert first == round(41 * weight)


def test_what_cannot_be_batched() -> None:
    with pytest.raises(DataError, match=r"2 of 3 examples of the task 'tag' do not fit into a batch of 1,000 tokens; "
                                        r"the longest has 1,200, the first is number 2"):
        Batches({"tag": [5, 1100, 1200]}, 1000, seed=1)
    with pytest.raises(DataError, match="the task 'tag' has no examples"):
        Batches({"tag": []}, 1000, seed=1)
    with pytest.raises(ConfigError, match="there is no task 'tags'; did you mean 'tag'"):
        Batches({"tag": [1]}, 1000, seed=1, weights={"tags": 2.0})
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="expected a number above 0"):
            Batches({"tag": [1]}, 1000, seed=1, weights={"tag": weight})


# ------------------------------------------------------------------------------------------------ larger than a buffer

@given(TASKS, SEEDS, st.integers(0, 3), st.integers(1, 400), st.sampled_from([None, 0.7, 2.0]))
def test_a_buffer_changes_the_order_alone(
    lengths: dict[str, list[int]], seed: int, epoch: int, buffer: int, weight: float | None
) -> None:
    weights = None if weight is None else {next(iter(lengths)): weight}
    batches = Batches({task: np.array(values, dtype=np.uint8) for task, values in lengths.items()}, 100, seed, weights,
                      buffer=buffer).epoch(epoch)
    found = Counter((task, index) for task, batch in batches for index in batch)
    whole = Batches(lengths, 100, seed, weights)
    if weight is None:
        assert found == Counter((task, index) for task, values in lengths.items() for index in range(len(values)))
    assert found.total() == sum(len(batch) for _, batch in whole.epoch(epoch))
    assert all(0 < len(batch) * max(lengths[task][index] for index in batch) <= 100 for task, batch in batches)
    if sum(map(len, lengths.values())) * (weight or 1) <= buffer:
        assert batches == whole.epoch(epoch)


@given(TASKS, SEEDS, st.integers(1, 60), st.integers(0, 100), st.sampled_from(["proportional", "alternate"]))
def test_any_place_among_windows_goes_on_as_if_never_stopped(
    lengths: dict[str, list[int]], seed: int, buffer: int, done: int, sampling: str
) -> None:
    def batches() -> Batches:
        return Batches(lengths, 100, seed, mixing=MixingConfig.model_validate({"sampling": sampling}), buffer=buffer)

    whole = list(islice(batches().from_(), done + 20))
    resumed = list(islice(batches().from_(whole[done - 1][0] if done else Position()), 20))
    assert resumed == whole[done:]
    assert batches().count(1) == len(batches().epoch(1))


@pytest.mark.parametrize("weight", [0.25, 0.3, 2.5])
def test_a_weighted_task_sees_all_examples_equally_often_through_windows(weight: float) -> None:
    batches = Batches({"a": [3] * 410, "b": [3] * 1000}, 12, seed=5, weights={"a": weight}, buffer=200)
    seen = Counter((task, index) for epoch in range(20) for task, batch in batches.epoch(epoch) for index in batch)
    assert {seen["a", index] for index in range(410)} == {round(20 * weight)}
    assert {seen["b", index] for index in range(1000)} == {20}


def test_windows_of_a_buffer_come_from_everywhere_in_blocks() -> None:
    size, buffer = 20_000, 1000
    batches = Batches({"a": [10] * size}, 100, seed=1, buffer=buffer).epoch(0)
    assert batches != Batches({"a": [10] * size}, 100, seed=1, buffer=buffer).epoch(1)
    window = [index for _, batch in batches[: buffer // 10] for index in batch]
    blocks = {index // (buffer // BLOCKS) for index in window}
    assert len(blocks) == BLOCKS  # whole ones, from everywhere
    assert min(window) < size * 0.05
    assert max(window) > size * 0.95
    assert window != sorted(window)


# ------------------------------------------------------------------------------------------------ several tasks

def shares(lengths: dict[str, list[int]], mixing: MixingConfig, epochs: int = 1) -> dict[str, int]:
    """Tokens of each task."""
    batches = Batches(lengths, 100, 1, mixing=mixing)
    found: Counter[str] = Counter()
    for epoch in range(epochs):
        for task, batch in batches.epoch(epoch):
            found[task] += sum(lengths[task][index] for index in batch)
    return dict(found)


def test_sampling_sets_the_shares_of_tasks() -> None:
    lengths = {"large": [20] * 900, "small": [10] * 200}
    assert shares(lengths, MixingConfig()) == {"large": 18_000, "small": 2000}
    assert shares(lengths, MixingConfig(sampling="temperature", temperature=1)) == {"large": 18_000, "small": 2000}
    half = shares(lengths, MixingConfig(sampling="temperature", temperature=2))
    assert half["large"] / half["small"] == pytest.approx(3, rel=0.02)  # the root of 9
    assert sum(half.values()) == pytest.approx(20_000, rel=0.01)
    assert shares(lengths, MixingConfig(sampling="alternate")) == {"large": 10_000, "small": 10_000}


def test_tasks_take_turns() -> None:
    lengths = {"a": [10] * 40, "b": [5] * 240, "c": [20] * 20}
    order = [task for task, _ in Batches(lengths, 20, 1, mixing=MixingConfig(sampling="alternate")).epoch(0)]
    assert all(set(order[start : start + 3]) == {"a", "b", "c"} for start in range(0, 90, 3))
    double = Batches(lengths, 20, 1, {"a": 2.0}, MixingConfig(sampling="alternate")).epoch(0)
    assert Counter(task for task, _ in double[:40]) == {"a": 20, "b": 10, "c": 10}


def test_temperatures_see_all_examples_equally_often_in_the_end() -> None:
    batches = Batches({"a": [3] * 90, "b": [3] * 10}, 12, 5, mixing=MixingConfig(sampling="alternate"))
    seen = Counter((task, index) for epoch in range(9) for task, batch in batches.epoch(epoch) for index in batch)
    assert {seen["a", index] for index in range(90)} == {5}
    assert {seen["b", index] for index in range(10)} == {45}


# ------------------------------------------------------------------------------------------------ windows

@given(st.lists(st.integers(0, 60)), st.integers(1, 100), st.integers(1, 30))
def test_windows_give_one_result_an_item_in_order(items: list[int], tokens: int, window: int) -> None:
    batches: list[list[int]] = []

    def run(batch: list[int]) -> list[str]:
        batches.append(batch)
        return [f"<{item}>" for item in batch]

    assert list(in_windows(items, lambda item: item, run, tokens, window)) == [f"<{item}>" for item in items]
    assert Counter(item for batch in batches for item in batch) == Counter(items)
    assert all(len(batch) * max(batch) <= tokens for batch in batches if len(batch) > 1)
    assert all(len(batch) <= window for batch in batches)


@pytest.mark.parametrize("window", [1, 3])
def test_windows_read_no_more_than_they_need(window: int) -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):  # of any length: nothing is kept
            read.append(item)
            yield item

    results = in_windows(items(), lambda item: item + 1, lambda batch: batch, 50, window)
    assert read == []
    for item in range(10):
        assert next(results) == item
        assert len(read) == (item // window + 1) * window


def test_windows_sort_by_length() -> None:
    batches: list[list[int]] = []
    list(in_windows([1, 9, 2, 8, 1, 9], lambda item: item, lambda batch: batches.append(batch) or batch, 18))
    assert batches == [[9, 9], [8, 2], [1, 1]]


def test_windows_refuse_a_wrong_number_of_results() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(in_windows([1, 2], lambda item: item, lambda batch: batch[:1], 50))


# ------------------------------------------------------------------------------------------------ hold_out

@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=80), SEEDS, st.floats(0.2, 0.8))
def test_nothing_stands_on_both_sides(pairs: list[tuple[int, int]], seed: int, share: float) -> None:
    pairs.append((-1, -1))  # one that repeats nothing, so that something can be held out
    examples = [Pair(f"s{left}", f"t{right}", ("file", line)) for line, (left, right) in enumerate(pairs, start=1)]
    train, dev = hold_out(examples, share, seed)
    assert sorted([*train, *dev], key=lambda pair: pair.where) == examples
    assert 0 < len(dev) <= round(share * len(examples))
    assert [side == sorted(side, key=lambda pair: pair.where) for side in (train, dev)] == [True, True]
    assert {pair.source for pair in train}.isdisjoint(pair.source for pair in dev)
    assert {pair.target for pair in train}.isdisjoint(pair.target for pair in dev)


def test_hold_out_an_exact_number_at_random() -> None:
    examples = [Text(f"text {index}", "x") for index in range(100)]
    assert len(hold_out(examples, 7, seed=1).dev) == 7
    assert len(hold_out(examples, 0.25, seed=1).dev) == 25
    assert hold_out(examples, 7, seed=1) == hold_out(examples, 7, seed=1)
    assert hold_out(examples, 7, seed=1) != hold_out(examples, 7, seed=2)


def test_repeats_are_counted() -> None:
    texts = [Text("same", "x"), Text("other", "x"), Text("same", "y"), Text("same", "x")]
    split = hold_out(texts, 1, seed=0)
    assert (split.dev, split.repeats) == ([texts[1]], 2)
    tagged = [Tagged(("a", "b"), ("O", "O")), Tagged(("a", "b"), ("O", "X")), Tagged(("a b",), ("O",))]
    assert hold_out(tagged, 1, seed=0).dev == [tagged[2]]
    chain = [Pair("a", "A"), Pair("a", "B"), Pair("b", "B"), Pair("b", "C"), Pair("c", "D"), Pair("C", "x")]
    assert {hold_out(chain, 2, seed=seed).repeats for seed in range(5)} == {3}
    assert {pair.source for seed in range(5) for pair in hold_out(chain, 2, seed=seed).dev} == {"c", "C"}


@pytest.mark.parametrize("amount", [0, 3, 5, -1, 0.0, 1.0, 0.1])
def test_amounts_that_cannot_be_held_out(amount: float) -> None:
    with pytest.raises(DataError, match=f"cannot hold out {amount} of 3 examples"):
        hold_out([Text("a", "x"), Text("b", "x"), Text("c", "x")], amount, seed=1)


def test_only_repeats_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="all of them repeat each other in groups of 2 or more"):
        hold_out([Text("a", "x"), Text("a", "y"), Text("b", "x"), Text("b", "x")], 1, seed=1)
