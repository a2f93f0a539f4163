"""Examples as tensors: equal to a plain loop over the processor, whatever is batched; limits; BPE-dropout; errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seq2x.batch import Tokens
from seq2x.data.batching import Batches
from seq2x.data.coding import Limit, PairCoder, TaggedCoder, TextCoder
from seq2x.data.datasets import CodedDataset, Dataset, in_memory
from seq2x.data.encodings import Ragged
from seq2x.data.examples import Pair, Tagged, Text
from seq2x.errors import DataError
from seq2x.text import (
    BOS,
    EOS,
    CharactersConfig,
    Encoding,
    Processor,
    Subwords,
    SubwordsConfig,
    Vocabulary,
    WordsConfig,
)
from seq2x.text.tags import Scheme

SENTENCES = [
    "the small boat waits at the harbour", "two boats wait", "harbour lights", "a lighthouse keeper waits for lights",
    "the keeper of the small harbour lights the lamp", "rain", "the rain waits for no boat at all", "lamps and boats",
]
LABELS = Vocabulary(["short", "long"])
TAGS = Vocabulary(["O", "B-X", "I-X", "E-X", "S-X"])


def texts() -> list[Text]:
    return [Text(text, "long" if len(text) > 20 else "short", ("made.tsv", line))
            for line, text in enumerate(SENTENCES, start=1)]


def tagged() -> list[Tagged]:
    """Each sentence with its first word outside and the rest one span, in IOBES."""
    examples = []
    for line, text in enumerate(SENTENCES, start=1):
        words = tuple(text.split())
        inside = len(words) - 1
        tags = ["O", *([] if inside == 0 else ["S-X"] if inside == 1 else ["B-X", *["I-X"] * (inside - 2), "E-X"])]
        examples.append(Tagged(words, tuple(tags), ("made.conll", line)))
    return examples


def pairs() -> list[Pair]:
    return [Pair(text, " ".join(text.split()[::-1]) + " !", ("made.en", line))
            for line, text in enumerate(SENTENCES, start=1)]


def subwords(dropout: float = 0.0) -> Subwords:
    return SubwordsConfig(size=310, dropout=dropout).learn(SENTENCES * 4)


PROCESSORS: dict[str, Processor] = {
    "words": WordsConfig().learn(SENTENCES), "spelt": WordsConfig(characters=True, shapes=True).learn(SENTENCES[:4]),
    "characters": CharactersConfig().learn(SENTENCES), "subwords": subwords(),
}


def of_texts(examples: list[Text], processor: Processor, seed: int = 0, limit: Limit | None = None) -> CodedDataset:
    return in_memory(TextCoder(processor, LABELS, seed, limit), examples)


def of_words(
    examples: list[Tagged], processor: Processor, seed: int = 0, limit: Limit | None = None, scheme: Scheme = "none"
) -> CodedDataset:
    return in_memory(TaggedCoder(processor, TAGS, seed, limit, scheme), examples)


def of_pairs(
    examples: list[Pair], source: Processor, target: Processor, seed: int = 0, limit: Limit | None = None
) -> CodedDataset:
    return in_memory(PairCoder(source, target, seed, limit), examples)


def same(found: Tokens, encodings: Sequence[Encoding]) -> None:
    spelt = [encoding.characters for encoding in encodings if encoding.characters is not None]
    shapes = [encoding.shapes for encoding in encodings if encoding.shapes is not None]
    expected = Tokens.of([encoding.ids for encoding in encodings], spelt or None, shapes=shapes or None)
    assert found.ids.dtype == torch.long
    assert torch.equal(found.ids, expected.ids)
    assert torch.equal(found.mask, expected.mask)
    assert (found.characters is None) == (expected.characters is None)
    if found.characters is not None and expected.characters is not None:
        assert torch.equal(found.characters, expected.characters)
    assert (found.shapes is None) == (expected.shapes is None)
    if found.shapes is not None and expected.shapes is not None:
        assert torch.equal(found.shapes, expected.shapes)


INDICES = [[0], [5], [2, 0, 5, 7], [1, 1, 4], list(range(8))]


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("indices", INDICES, ids=str)
def test_texts_are_what_the_processor_says(name: str, indices: list[int]) -> None:
    processor, examples = PROCESSORS[name], texts()
    dataset = of_texts(examples, processor)
    encodings = [processor.encode(examples[index].text) for index in indices]
    for epoch in (None, 3):
        batch = dataset.batch(indices, epoch)
        same(batch.source, encodings)
        assert batch.spans is None
        assert isinstance(batch.target, torch.Tensor)
        assert [LABELS.entry(int(label)) for label in batch.target] == [examples[index].label for index in indices]
    assert [dataset.lengths[index] for index in indices] == [len(encoding.ids) for encoding in encodings]
    assert (len(dataset), dataset.report) == (8, "")


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("indices", INDICES, ids=str)
def test_tagged_words_keep_their_tokens(name: str, indices: list[int]) -> None:
    processor, examples = PROCESSORS[name], tagged()
    batch = of_words(examples, processor).batch(indices, None)
    encodings = [processor.encode_words(examples[index].words) for index in indices]
    same(batch.source, encodings)
    assert isinstance(batch.target, torch.Tensor)
    assert batch.spans is not None
    words = max(len(examples[index].words) for index in indices)
    assert batch.spans.shape == (len(indices), words, 2)
    assert batch.target.shape == (len(indices), words)
    for row, (index, encoding) in enumerate(zip(indices, encodings, strict=True)):
        count = len(examples[index].words)
        assert batch.spans[row, :count].tolist() == [list(span) for span in encoding.spans or ()]
        assert not batch.spans[row, count:].any()
        assert [TAGS.entry(int(tag)) for tag in batch.target[row, :count]] == list(examples[index].tags or ())


@pytest.mark.parametrize("indices", INDICES, ids=str)
def test_pairs_open_and_close_their_targets(indices: list[int]) -> None:
    source, target, examples = PROCESSORS["spelt"], PROCESSORS["subwords"], pairs()
    dataset = of_pairs(examples, source, target)
    batch = dataset.batch(indices, 0)
    left = [source.encode(examples[index].source) for index in indices]
    right = [[BOS, *target.encode(examples[index].target or "").ids] for index in indices]
    assert isinstance(batch.target, Tokens)
    same(batch.source, left)
    same(batch.target, [Encoding(ids) for ids in right])
    assert all(ids[-1] == EOS for ids in right)
    assert [dataset.lengths[index] for index in indices] == [
        max(len(encoding.ids), len(ids)) for encoding, ids in zip(left, right, strict=True)]


def test_targets_are_needed() -> None:
    words = PROCESSORS["words"]
    with pytest.raises(DataError, match=r"b\.tsv, line 2: this example has no label; to learn from it, one was exp"):
        of_texts([Text("rain", "short", ("b.tsv", 1)), Text("rain", None, ("b.tsv", 2))], words)
    with pytest.raises(DataError, match=r"b\.conll, line 3: this example has no tags"):
        of_words([Tagged(("rain",), None, ("b.conll", 3))], words)
    with pytest.raises(DataError, match=r"b\.en, line 1: this example has no target"):
        of_pairs([Pair("rain", None, ("b.en", 1)), Pair("rain", "rain", ("b.en", 2))], words, words)


def test_unseen_labels_name_their_place() -> None:
    words = PROCESSORS["words"]
    with pytest.raises(DataError) as raised:
        of_texts([Text("rain", "lang", ("b.tsv", 7))], words)
    assert str(raised.value) == ("b.tsv, line 7: the label 'lang' is not known (the training data have none); "
                                 "did you mean 'long'?")
    with pytest.raises(DataError, match=r"b\.conll, line 3: the tag 'B-Y' of word 2 is not known .*did you mean 'B-X'"):
        of_words([Tagged(("a", "b"), ("O", "B-Y"), ("b.conll", 3))], words)


def test_words_and_tags_are_as_many() -> None:
    with pytest.raises(DataError, match=r"b\.conll, line 3: found 2 words and 1 tags, expected one tag a word"):
        Tagged(("a", "b"), ("O",), ("b.conll", 3))


# ------------------------------------------------------------------------------------------------ limits

def test_long_examples_are_refused() -> None:
    with pytest.raises(DataError) as raised:
        of_texts(texts(), PROCESSORS["words"], limit=Limit(max_tokens=7))
    assert str(raised.value) == ("made.tsv, line 1: found 8 tokens, expected at most 7; 3 of 8 examples are longer "
                                 "than that. Raise max_tokens, or set on_long to 'truncate' or 'skip'")


@pytest.mark.parametrize("name", ["words", "spelt"])
def test_long_texts_are_cut_or_left_out_and_counted(name: str) -> None:
    processor = PROCESSORS[name]
    cut = of_texts(texts(), processor, limit=Limit(max_tokens=7, on_long="truncate"))
    assert cut.report == "3 of 8 examples have more than 7 tokens and were cut; the first: made.tsv, line 1"
    assert (len(cut), max(cut.lengths)) == (8, 7)
    whole = processor.encode(SENTENCES[0])
    same(cut.batch([0], None).source, [Encoding(
        [*whole.ids[:6], EOS], None, whole.characters and [*whole.characters[:6], whole.characters[-1]],
        whole.shapes and [*whole.shapes[:6], whole.shapes[-1]])])
    skipped = of_texts(texts(), processor, limit=Limit(max_tokens=7, on_long="skip"))
    assert skipped.report == "3 of 8 examples have more than 7 tokens and were left out; the first: made.tsv, line 1"
    assert [skipped.where(index)[1] for index in range(len(skipped))] == [2, 3, 4, 6, 8]
    assert skipped.batch([0], None).source.ids.tolist() == [processor.encode(SENTENCES[1]).ids]


def test_long_pairs_are_cut_on_both_sides() -> None:
    words = PROCESSORS["words"]
    dataset = of_pairs(pairs(), words, words, limit=Limit(max_tokens=5, on_long="truncate"))
    batch = dataset.batch(range(8), None)
    assert isinstance(batch.target, Tokens)
    for tokens in (batch.source, batch.target):
        assert tokens.ids.shape == (8, 5)
        assert tokens.ids.gather(1, tokens.lengths[:, None] - 1).eq(EOS).all()
    assert batch.target.ids[:, 0].eq(BOS).all()
    assert max(dataset.lengths) == 5


def test_tags_are_cut_where_a_sentence_may_end() -> None:
    words = ("a", "b", "c", "d", "e")
    example = Tagged(words, ("S-X", "O", "B-X", "I-X", "E-X"), ("b.conll", 4))
    limit = Limit(max_tokens=5, on_long="truncate")
    dataset = of_words([example], PROCESSORS["words"], limit=limit, scheme="IOBES")
    batch = dataset.batch([0], None)
    assert isinstance(batch.target, torch.Tensor)
    assert (batch.target.tolist(), batch.source.ids.shape) == ([[4, 0]], (1, 3))
    open_span = Tagged(words, ("B-X", "I-X", "I-X", "I-X", "E-X"), ("b.conll", 9))
    with pytest.raises(DataError, match=r"b\.conll, line 9: cannot be cut to 5 tokens between two words"):
        of_words([open_span], PROCESSORS["words"], limit=limit, scheme="IOBES")


# ------------------------------------------------------------------------------------------------ BPE-dropout

def drawn(dataset: Dataset, epoch: int | None, indices: Sequence[int] = range(8)) -> list[list[int]]:
    """The ids of each example, without padding."""
    source = dataset.batch(indices, epoch).source
    return [ids[:length].tolist() for ids, length in zip(source.ids, source.lengths, strict=True)]


def test_dropout_is_drawn_from_seed_epoch_and_index() -> None:
    processor = subwords(0.3)
    first, again, other = (of_texts(texts(), processor, seed=seed) for seed in (1, 1, 2))
    plain = [processor.encode(text).ids for text in SENTENCES]
    assert drawn(first, None) == plain
    assert len({str(drawn(dataset, epoch)) for dataset in (first, other) for epoch in (None, 0, 1)}) == 5
    # whatever was drawn before, and with whom
    assert [drawn(again, 1, [index])[0] for index in reversed(range(8))] == drawn(first, 1)[::-1]
    assert {processor.decode(ids) for ids in drawn(first, 1)} == set(SENTENCES)


def test_dropout_keeps_words_and_their_tags_together() -> None:
    processor = subwords(0.5)
    dataset = of_words(tagged(), processor, seed=1)
    batch = dataset.batch(range(8), 2)
    assert batch.spans is not None
    assert batch.source.ids.shape[1] > dataset.batch(range(8), None).source.ids.shape[1]
    for ids, spans, text in zip(batch.source.ids.tolist(), batch.spans.tolist(), SENTENCES, strict=True):
        found = [processor.decode(ids[start:end]) for start, end in spans]
        assert [word for word in found if word] == text.split()


def test_dropout_of_the_two_sides_differs_and_respects_the_limit() -> None:
    processor = subwords(0.5)
    examples = [Pair(text, text) for text in SENTENCES]
    batch = of_pairs(examples, processor, processor).batch(range(8), 0)
    assert isinstance(batch.target, Tokens)
    assert batch.source.lengths.tolist() != (batch.target.lengths - 1).tolist()
    most = max(len(processor.encode(text).ids) for text in SENTENCES)
    dataset = of_texts(texts(), processor, limit=Limit(max_tokens=most))
    ids = drawn(dataset, 0)
    assert max(map(len, ids)) <= most
    assert [processor.decode(row) for row in ids] == SENTENCES


# ------------------------------------------------------------------------------------------------ flat arrays

@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), min_size=1, max_size=9), st.data())
def test_ragged_rows_come_back(rows: list[list[int]], data: st.DataObject) -> None:
    ragged = Ragged(rows)
    assert ragged.lengths == [len(row) for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1))
    real = data.draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    items, mask = ragged.padded(np.array(chosen), np.array(real))
    for row, is_real, found, kept in zip(chosen, real, items, mask, strict=True):
        assert found[kept].tolist() == (rows[row] if is_real else [])
        assert not found[~kept].any()
    assert items.shape[1] == max(len(rows[row]) if is_real else 0 for row, is_real in zip(chosen, real, strict=True))


@given(st.integers(30, 120), st.integers(0, 99))
def test_batches_of_pairs_fit_on_both_sides(tokens: int, seed: int) -> None:
    dataset = of_pairs(pairs(), PROCESSORS["words"], PROCESSORS["words"])
    for _, indices in Batches({"translate": dataset.lengths}, tokens, seed).epoch(0):
        batch = dataset.batch(indices, 0)
        assert isinstance(batch.target, Tokens)
        assert max(batch.source.ids.numel(), batch.target.ids.numel()) <= tokens
