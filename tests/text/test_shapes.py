"""The shape of words, of every kind and script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.nn import embeddings
from seq2x.text import WordsConfig
from seq2x.text.shapes import SHAPES, shape


@pytest.mark.parametrize(("name", "words"), [
    ("lower", ["kite", "well-known", "n't", "über", "e.g."]),
    ("capitalised", ["Oslo", "Jean-Paul", "O'Brien", "Älter", "Well-known"]),
    ("initial", ["A", "J.", "É"]),
    ("capitals", ["NATO", "U.S.", "AT&T"]),
    ("mixed", ["iPhone", "McDonald", "PhD"]),
    ("caseless", ["\u6771\u4eac", "\u0645\u0646"]),
    ("number", ["7", "1,000", "10:30", "-3.14", "\u0663"]),
    ("alphanumeric", ["B-52", "3rd", "covid19"]),
    ("punctuation", [".", "--", "$", "\U0001f642", ""]),
])
def test_shapes(name: str, words: list[str]) -> None:
    assert {word: SHAPES[shape(word)] for word in words} == dict.fromkeys(words, name)


@given(st.text())
def test_every_word_has_one(word: str) -> None:
    assert SHAPES[shape(word)] not in ("<pad>", "end")


def test_the_embedding_has_a_row_for_each() -> None:
    assert len(SHAPES) == embeddings.SHAPES


def test_words_give_the_shape_of_what_was_written() -> None:
    config = WordsConfig(lowercase=True, digits=True, shapes=True)
    words = config.learn([["Mira", "saw", "12", "kites", "."]])
    encoding = words.encode_words(["MIRA", "Saw", "99", "."])
    assert encoding.ids[:2] == words.encode_words(["mira", "saw"]).ids[:2]
    assert [SHAPES[number] for number in encoding.shapes or ()] == [
        "capitals", "capitalised", "number", "punctuation", "end"]
    assert words.encode("MIRA Saw 99 .").shapes == encoding.shapes
    assert WordsConfig().learn(["a b"]).encode("a b").shapes is None
