"""The bag of n-grams: what is added to an embedding, and what an n-gram never seen says."""

from __future__ import annotations

import pytest
import torch

from seq2x.batch import Tokens
from seq2x.encoders.bag import BagEncoder, BagEncoderConfig, hashed
from seq2x.nn.embeddings import EmbeddingConfig

SMALL = BagEncoderConfig(embedding=EmbeddingConfig(width=8), ngrams=(2, 3), buckets=97)
SENTENCES = [[4, 5, 6, 7], [5, 6], [9]]


def _encoder(config: BagEncoderConfig = SMALL) -> BagEncoder:
    torch.manual_seed(0)
    encoder: BagEncoder = config.build(20, None).eval()
    if encoder.ngrams is not None:
        torch.nn.init.normal_(encoder.ngrams.weight)
    return encoder


def test_a_state_is_its_word_and_the_ngrams_that_end_there() -> None:
    encoder = _encoder()
    assert encoder.ngrams is not None
    encoded = encoder(Tokens.of(SENTENCES))
    for row, sentence in enumerate(SENTENCES):
        for place, word in enumerate(sentence):
            expected = encoder.embedding.table.weight[word].clone()
            for length in (2, 3):
                if place + 1 >= length:
                    ngram = torch.tensor([sentence[place + 1 - length : place + 1]])
                    expected += encoder.ngrams.weight[hashed(ngram, length, 97)[0, -1]]
            torch.testing.assert_close(encoded.states[row, place], expected)
        assert not encoded.states[row, len(sentence):].any()
        torch.testing.assert_close(encoded.summary[row], encoded.states[row, : len(sentence)].mean(0))


def test_an_ngram_may_begin_before_the_text() -> None:
    begins, within = (_encoder(SMALL.model_copy(update={"begin": begin}))(Tokens.of(SENTENCES))
                      for begin in (True, False))
    vectors = _encoder().ngrams
    assert vectors is not None
    for row, sentence in enumerate(SENTENCES):
        for place in range(len(sentence)):
            added = torch.zeros(8)
            for length in range(place + 2, 4):
                ngram = torch.tensor([[0, 0, *sentence][place + 3 - length : place + 3]])
                added += vectors.weight[hashed(ngram, length, 97)[0, -1]]
            torch.testing.assert_close(begins.states[row, place] - within.states[row, place], added)


def test_rows_of_ngrams_depend_on_their_words_order_and_length() -> None:
    pairs = torch.cartesian_prod(torch.arange(60), torch.arange(60))
    for length in (2, 3):
        rows = hashed(pairs, length, 500_000)[:, 1]
        assert rows.min() >= 0
        assert rows.max() < 500_000
        assert len(rows.unique()) > 3_570  # of 3,600; 13 are expected to meet another
    assert not torch.equal(hashed(pairs, 2, 500_000)[:, 1], hashed(pairs, 3, 500_000)[:, 1])
    assert torch.bincount(hashed(pairs, 2, 36)[:, 1], minlength=36).min() > 60  # of 100: spread evenly


def test_an_ngram_never_seen_says_nothing() -> None:
    torch.manual_seed(0)
    encoder = SMALL.build(20, None).eval()
    embedded, states = encoder(Tokens.of(SENTENCES)).layers
    assert torch.equal(embedded, states)
    encoder.train()(Tokens.of([[4, 5]])).states.sum().backward()
    assert encoder.ngrams is not None
    assert encoder.ngrams.weight.grad is not None
    (row,) = encoder.ngrams.weight.grad.any(1).nonzero()
    assert row == hashed(torch.tensor([[4, 5]]), 2, 97)[0, 1]


def test_words_alone() -> None:
    encoder = _encoder(SMALL.model_copy(update={"ngrams": ()}))
    assert encoder.ngrams is None
    embedded, states = encoder(Tokens.of(SENTENCES)).layers
    assert torch.equal(embedded, states)


def test_whole_ngrams_are_dropped_and_the_rest_is_larger() -> None:
    encoder = _encoder(SMALL.model_copy(update={"ngrams": (2,), "dropout": 0.5})).train()
    embedded, states = encoder(Tokens.of([[4, 5] * 50])).layers
    added, rows = (states - embedded)[0, 1:], encoder.ngrams
    assert rows is not None
    dropped = ~added.any(1)
    assert 20 < dropped.sum() < 80
    expected = 2 * rows.weight[hashed(torch.tensor([[4, 5] * 50]), 2, 97)[0, 1:]]
    torch.testing.assert_close(added[~dropped], expected[~dropped])



@pytest.mark.parametrize("name", ["begin", "dropout"])
def test_what_is_of_ngrams_needs_some(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is of n-grams; found ngrams = "):
        BagEncoderConfig.model_validate({"ngrams": [], name: {"begin": True, "dropout": 0.1}[name]})
