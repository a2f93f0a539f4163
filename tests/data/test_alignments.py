"""Alignments: read as they stand, refused where they cannot be; as a matrix equal to a loop over words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seq2x.batch import Tokens
from seq2x.data.alignments import words_of
from seq2x.data.coding import Limit, PairCoder
from seq2x.data.datasets import in_memory
from seq2x.data.examples import Pair
from seq2x.data.readers import PairFormat, stream_pairs
from seq2x.errors import DataError
from seq2x.text import CharactersConfig, Processor, SubwordsConfig, WordsConfig

SOURCES = ["the harbour lights", "two  boats wait for no lights", "rain", "the harbour waits"]
TARGETS = ["lights of the harbour", "no lights wait for two boats", "it rains on", "harbour waits"]
LINKS = [((0, 2), (1, 3), (2, 0), (2, 1)), ((0, 4), (1, 5), (2, 2)), ((0, 1),), ()]


def aligned() -> list[Pair]:
    return [Pair(*each[:2], ("made", line), each[2])
            for line, each in enumerate(zip(SOURCES, TARGETS, LINKS, strict=True), start=1)]


def files(folder: Path, links: str) -> list[Pair]:
    for name, texts in (("src", SOURCES), ("tgt", TARGETS)):
        (folder / name).write_text("\n".join(texts) + "\n")
    (folder / "links").write_text(links)
    return list(stream_pairs(folder / "src", folder / "tgt", PairFormat(), [], folder / "links"))


def test_a_line_of_links_is_read_with_its_pair(tmp_path: Path) -> None:
    text = "".join(" ".join(f"{i}-{j}" for i, j in links) + "\n" for links in LINKS)
    assert [pair.alignment for pair in files(tmp_path, text)] == LINKS


@pytest.mark.parametrize(("links", "message"), [
    ("0-0\n1:2\n\n\n", r"links, line 2: found '1:2'; expected pairs i-j of a source word and a target word"),
    ("0-0\n\n1-0\n\n", r"links, line 3: 1-0 names source word 1, and the source has 1, counted from 0"),
    ("0-4\n\n\n\n", r"links, line 1: 0-4 names target word 4, and the target has 4"),
    ("0-0\n\n", r"links: found 2 lines for 4 pairs of sentences; expected as many"),
    ("\n\n\n\n0-0\n\n", r"links: found 6 lines for 4 pairs of sentences; expected as many"),
])
def test_links_must_fit_the_words(tmp_path: Path, links: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files(tmp_path, links)


def by_hand(processor: Processor, pair: Pair, target: Tokens, row: int) -> set[tuple[int, int]]:
    """(target token, source token) of words that translate each other, each word encoded alone."""
    sides = []
    for text, start in ((pair.source, 0), (pair.target or "", 1)):
        ranges = []
        for word in words_of(text):
            end = start + len(processor.encode(word).ids) - 1
            ranges.append(range(start, end))
            start = end
        sides.append(ranges)
    assert target.mask[row].sum() == start + 1
    return {(s, t) for i, j in pair.alignment or () for s in sides[1][j] for t in sides[0][i]}


@pytest.mark.parametrize("kind", ["words", "subwords", "characters"])
def test_tokens_of_words_that_translate_each_other(kind: str) -> None:
    texts = SOURCES + TARGETS
    processor: Processor = {"words": WordsConfig(), "subwords": SubwordsConfig(size=40, byte_fallback=False),
                            "characters": CharactersConfig()}[kind].learn(texts)
    dataset = in_memory(PairCoder(processor, processor, 1, None, aligned=True), aligned())
    order = [2, 0, 3, 1]
    batch = dataset.batch(order, None)
    target = batch.target
    assert isinstance(target, Tokens)
    assert target.alignment is not None
    assert target.alignment.shape == (4, target.ids.shape[1], batch.source.ids.shape[1])
    for row, index in enumerate(order):
        if kind != "characters":  # which stand between blanks
            found = {tuple(place) for place in target.alignment[row].nonzero().tolist()}
            assert found == by_hand(processor, aligned()[index], target, row)
        assert target.ids[row, 0] == 2
    plain = in_memory(PairCoder(processor, processor, 1, None), aligned()).batch(order, None)
    assert isinstance(plain.target, Tokens)
    assert plain.target.alignment is None
    assert torch.equal(plain.target.ids, target.ids)
    if kind != "characters":  # of which two blanks are two
        assert torch.equal(plain.source.ids, batch.source.ids)


def test_dropout_keeps_the_words() -> None:
    """However a word is cut, its pieces are those of the word."""
    processor = SubwordsConfig(size=40, byte_fallback=False, dropout=0.5).learn(SOURCES + TARGETS)
    dataset = in_memory(PairCoder(processor, processor, 1, None, aligned=True), aligned())
    still, shaken = dataset.batch([1], None), dataset.batch([1], 3)
    assert isinstance(still.target, Tokens)
    assert isinstance(shaken.target, Tokens)
    assert still.source.ids.shape[1] < shaken.source.ids.shape[1]
    assert shaken.target.alignment is not None
    pieces = {tuple(processor.decode(side[chosen].tolist()) for side, chosen in (
        (shaken.source.ids[0], shaken.target.alignment[0, target]),
        (shaken.target.ids[0], (shaken.target.alignment[0] & shaken.target.alignment[0, target]).any(1))))
        for target in range(shaken.target.ids.shape[1]) if shaken.target.alignment[0, target].any()}
    assert pieces == {("two", "two"), ("boats", "boats"), ("wait", "wait")}


def test_what_is_cut_off_is_aligned_with_nothing() -> None:
    processor = WordsConfig().learn(SOURCES + TARGETS)
    dataset = in_memory(PairCoder(processor, processor, 1, Limit(max_tokens=4, on_long="truncate"), aligned=True),
                        aligned())
    target = dataset.batch([0, 1], None).target
    assert isinstance(target, Tokens)
    assert target.alignment is not None
    assert target.alignment.nonzero().tolist() == [[0, 1, 2], [0, 2, 2]]  # of the source three words and an end


def test_an_aligned_pair_has_an_alignment() -> None:
    processor = WordsConfig().learn(SOURCES + TARGETS)
    with pytest.raises(DataError, match="this example has no alignment"):
        in_memory(PairCoder(processor, processor, 1, None, aligned=True), [Pair("rain", "rains")])
