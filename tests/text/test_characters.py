import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.errors import DataError, RunError
from seq2x.text import EOS, SPECIALS, UNK, CharactersConfig, Encoding

TEXTS = ["the mill", ["the", "wheel"], "a\u2028b\u0085c\u00a0d"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")))
def test_what_was_learnt_comes_back(text):
    processor = CharactersConfig().learn([*TEXTS, text])
    assert processor.decode(processor.encode(text).ids) == text


@given(st.lists(st.text("thewmil\n", max_size=4), max_size=6))
def test_words_have_spans_and_blanks_have_none(words):
    processor = CharactersConfig().learn(TEXTS)
    encoding = processor.encode_words(words)
    assert encoding.ids[-1] == EOS
    assert encoding.characters is None
    for word, (start, end) in zip(words, encoding.spans, strict=True):
        assert end > start
        assert processor.decode(encoding.ids[start:end]) == word.replace("\n", " ")
    for (_, end), (start, _) in itertools.pairwise(encoding.spans):
        assert processor.decode(encoding.ids[end:start]) == " "
    if all(words):
        assert encoding.ids == processor.encode(" ".join(words)).ids


def test_unknown_characters_empty_words_and_line_feeds():
    processor = CharactersConfig(lowercase=True).learn(["ab\nAB \ud800"])
    assert processor.vocabulary.entries == (*SPECIALS, " ", "a", "b")
    assert processor.encode("Ax\n\ud800").ids == [5, UNK, 4, UNK, EOS]
    assert processor.encode_words(["", "a"]) == Encoding([UNK, 4, 5, EOS], [(0, 1), (2, 3)], None)
    assert processor.encode("").ids == [EOS]


def test_lowercase_may_lengthen_a_word():
    processor = CharactersConfig(lowercase=True).learn(["İx"])  # its small form is two code points
    assert processor.encode_words(["İ", "x"]).spans == [(0, 2), (3, 4)]


def test_save_and_load(tmp_path):
    config = CharactersConfig(min_count=1, size=12)
    processor = config.learn(TEXTS)
    assert processor.size == 12
    processor.save(tmp_path, "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target.vocabulary.txt"]
    assert config.load(tmp_path, "target").encode("the mill") == processor.encode("the mill")
    with pytest.raises(RunError, match=r"source\.vocabulary\.txt: no such file"):
        config.load(tmp_path, "source")


def test_no_text_is_an_error():
    with pytest.raises(DataError, match="no text to learn characters from"):
        CharactersConfig().learn(["", []])
