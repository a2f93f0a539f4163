"""The cache: the same batches as from memory, whatever codes it; made whole, noticed when stale; errors of workers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seq2x.batch import Batch, Tokens
from seq2x.data import cache as cache_module
from seq2x.data.cache import META, Cache, Inputs, chunks, stamp
from seq2x.data.coding import Coder, Limit, PairCoder, TaggedCoder, TextCoder
from seq2x.data.datasets import CodedDataset, in_memory
from seq2x.data.examples import Pair, Tagged, Text
from seq2x.errors import DataError, RunError
from seq2x.text import Processor, SubwordsConfig, Vocabulary, WordsConfig

WORDS = ["the", "small", "boat", "waits", "at", "a", "harbour,", "two", "ferries", "—", "rain;", "lamps", "über", "Öl"]
draw = random.Random(4)
SENTENCES = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(60)]
SUBWORDS, DROPPING = (SubwordsConfig(size=320, dropout=dropout).learn(SENTENCES * 3) for dropout in (0.0, 0.4))
SPELT = WordsConfig(characters=True, shapes=True).learn(SENTENCES)
LABELS, TAGS = Vocabulary(["short", "long"]), Vocabulary(["O", "X"])


def where(number: int) -> tuple[str, int]:
    return f"shard.{number // 25}.txt", number % 25 + 1


TEXTS = [Text(text, "long" if len(text) > 30 else "short", where(number)) for number, text in enumerate(SENTENCES)]
TAGGED = [Tagged(tuple(text.split()), tuple("X" if word[0] > "m" else "O" for word in text.split()), where(number))
          for number, text in enumerate(SENTENCES)]
PAIRS = [Pair(text, text[::-1], where(number)) for number, text in enumerate(SENTENCES)]


def made(
    folder: Path, coder: Coder[Any], examples: Iterable[Any], workers: int = 0, **made_from: Any
) -> tuple[Cache, list[str]]:
    log: list[str] = []
    cache = Cache(folder)
    cache.make(made_from, {"shard.0.txt": stamp(__file__)}, coder, examples, workers, log.append)
    return cache, log


def opened(cache: Cache, coder: Coder[Any]) -> CodedDataset:
    return CodedDataset(coder, cache.open(coder), cache.report)


MOST = {"texts": 9, "words": 9, "pairs": 40}


def coders(name: str, processor: Processor) -> tuple[Coder[Any], Coder[Any], Sequence[Any]]:
    """One for the memory and one for the cache: they count what is too long."""
    limit = Limit(max_tokens=MOST[name], on_long="skip")
    made: list[Coder[Any]] = []
    for _ in range(2):
        if name == "texts":
            made.append(TextCoder(processor, LABELS, 3, limit))
        elif name == "words":
            made.append(TaggedCoder(processor, TAGS, 3, limit, "none"))
        else:
            made.append(PairCoder(processor, DROPPING, 3, limit))
    return made[0], made[1], {"texts": TEXTS, "words": TAGGED, "pairs": PAIRS}[name]


def same(left: Batch, right: Batch) -> None:
    for one, other in ((left.source, right.source), (left.target, right.target), (left.spans, right.spans)):
        assert type(one) is type(other)
        if isinstance(one, Tokens) and isinstance(other, Tokens):
            assert torch.equal(one.ids, other.ids)
            assert torch.equal(one.mask, other.mask)
            assert (one.characters is None) == (other.characters is None)
            if one.characters is not None and other.characters is not None:
                assert torch.equal(one.characters, other.characters)
            assert (one.shapes is None) == (other.shapes is None)
            if one.shapes is not None and other.shapes is not None:
                assert torch.equal(one.shapes, other.shapes)
        elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["texts", "words", "pairs"])
@pytest.mark.parametrize("processor", [SUBWORDS, DROPPING, SPELT], ids=["subwords", "dropout", "spelt"])
def test_the_same_batches_as_from_memory(
    tmp_path: Path, name: str, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 7)
    monkeypatch.setattr(cache_module, "RELEASE", 5)
    held, coder, examples = coders(name, processor)
    memory = in_memory(held, examples)
    cache, _ = made(tmp_path / "cache", coder, iter(examples))
    dataset = opened(cache, coder)
    assert list(dataset.lengths) == memory.lengths
    assert (len(dataset), cache.examples) == (len(memory), len(memory))
    assert len(memory) < 60
    assert dataset.report == memory.report
    assert f"have more than {MOST[name]} tokens and were left out" in memory.report
    assert [dataset.where(index) for index in range(len(dataset))] == [
        memory.where(index) for index in range(len(memory))]
    for indices in ([0], [5, 2, 2, 10], list(range(len(memory)))):
        for epoch in (None, 0, 1):
            same(dataset.batch(indices, epoch), memory.batch(indices, epoch))
    assert isinstance(dataset.lengths, np.ndarray)
    assert dataset.lengths.dtype == np.uint8  # the smallest that does


def test_workers_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 7)
    files = []
    for workers in (0, 2):
        _, coder, examples = coders("pairs", DROPPING)
        cache, _ = made(tmp_path / str(workers), coder, examples, workers)
        files.append({path.name: path.read_bytes() for path in cache.folder.iterdir()})
    assert files[0] == files[1]
    assert {"ids0", "ids0.ends", "inputs1", "lengths", "lines", META} <= set(files[0])
    assert [path.name for path in (tmp_path / "2").parent.iterdir() if path.name.endswith((".new", ".old"))] == []


def test_chunks_hold_lines_of_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 10)
    found = list(chunks(PAIRS, "translate"))
    assert [(file, len(lines)) for file, lines, _ in found] == [
        (f"shard.{number}.txt", count) for number, count in
        ((0, 10), (0, 10), (0, 5), (1, 10), (1, 10), (1, 5), (2, 10))]
    assert found[3][1:] == (list(range(1, 11)), [(pair.source, pair.target, None) for pair in PAIRS[25:35]])


# ------------------------------------------------------------------------------------------------ stale

def test_a_cache_knows_what_it_was_made_from(tmp_path: Path) -> None:
    coder = TextCoder(SUBWORDS, LABELS, 1, Limit())
    folder = tmp_path / "cache"
    assert Cache(folder).stale({"limit": 5}) == ""
    cache, _ = made(folder, coder, TEXTS, limit=5, vocabulary="a")
    made_from = {"limit": 5, "vocabulary": "a"}
    assert cache.stale(made_from) is None
    again = Cache(folder)
    assert again.stale(made_from) is None
    assert again.stamps == {"shard.0.txt": stamp(__file__)}
    assert again.stale({**made_from, "limit": 6}) == "limit has changed since"
    assert again.stale({"limit": 5}) == "vocabulary has changed since"
    before = (folder / "ids0").stat().st_ino
    again.make(made_from, {}, coder, [], 0, print)  # nothing is read: another process has made it meanwhile
    assert (folder / "ids0").stat().st_ino == before
    again.make({"limit": 6}, {}, coder, TEXTS[:10], 0, print)
    assert (again.examples, Cache(folder).stale({"limit": 6})) == (10, None)


@pytest.mark.parametrize("damage", ["cut", "gone", "no meta", "half a meta", "other version"])
def test_a_damaged_cache_is_stale(tmp_path: Path, damage: str) -> None:
    cache, _ = made(tmp_path / "cache", TextCoder(SUBWORDS, LABELS, 1, Limit()), TEXTS)
    meta = cache.folder / META
    if damage == "cut":
        (cache.folder / "ids0").write_bytes(b"12")
    elif damage == "gone":
        (cache.folder / "lines").unlink()
    elif damage == "no meta":
        meta.unlink()
    elif damage == "half a meta":
        meta.write_text(meta.read_text()[:50])
    else:
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "format": 0}))
    expected = {"cut": "ids0 is damaged", "gone": "lines is damaged"}
    assert Cache(cache.folder).stale({}) == expected.get(damage, "it is of another version, or damaged")


def test_a_stamp_is_taken_anew_where_size_or_time_differ(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    first = stamp(path)
    assert stamp(path, first._replace(sha256="known")).sha256 == "known"
    assert stamp(path, first._replace(sha256="known", size=4)) == first
    assert stamp(path, first._replace(sha256="known", modified=4)) == first


# ------------------------------------------------------------------------------------------------ errors

@pytest.mark.parametrize("workers", [0, 1])
def test_errors_name_file_and_line_and_leave_nothing(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 10)
    examples = [*TEXTS, Text("a boat", "lang", ("shard.9.txt", 4))]
    with pytest.raises(DataError, match=r"^shard\.9\.txt, line 4: the label 'lang' is not known .*did you mean 'long'"):
        made(tmp_path / "folder" / "cache", TextCoder(SUBWORDS, LABELS, 1, Limit()), examples, workers)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match=r"^shard\.0\.txt, line \d+: found \d+ tokens, expected at most 20; \d of the "
                                        r"first 20 examples are longer than that\. Raise max_tokens"):
        made(tmp_path / "folder" / "cache", TextCoder(SUBWORDS, LABELS, 1, Limit(max_tokens=20)), examples, workers)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_older_cache(tmp_path: Path) -> None:
    coder = TextCoder(SUBWORDS, LABELS, 1, Limit())
    cache, _ = made(tmp_path / "cache", coder, TEXTS)
    with pytest.raises(DataError, match="no label"):
        cache.make({"new": 1}, {}, coder, [*TEXTS, Text("a boat")], 0, print)
    assert Cache(tmp_path / "cache").stale({}) is None
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".new", ".old"))]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"file/cache: the cache cannot be written: "):
        made(tmp_path / "file" / "cache", TextCoder(SUBWORDS, LABELS, 1, Limit()), TEXTS)


def test_inputs_are_what_was_encoded(tmp_path: Path) -> None:
    words = [Tagged(("a\nb", "c d", "é"), ("O", "X", "O")), *TAGGED]
    cache, _ = made(tmp_path / "cache", TaggedCoder(DROPPING, TAGS, 1, Limit(), "none"), words)
    inputs = Inputs(cache.folder, 0)
    assert list(inputs) == [example.words for example in words]


def test_the_log_tells_of_a_long_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SECONDS", 0)
    _, log = made(tmp_path / "cache", TextCoder(SUBWORDS, LABELS, 1, Limit()), TEXTS)
    assert log[0].startswith("25 examples tokenised, ")
    assert log[0].endswith(" a second")
