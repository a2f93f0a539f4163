import tomllib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seq2x.config import Config, dump, parse
from seq2x.errors import ConfigError
from seq2x.text import EOS, CharactersConfig, SubwordsConfig, TextConfig, WordsConfig

CONFIGS = [
    SubwordsConfig(size=290),
    SubwordsConfig(size=290, dropout=0.5, normalization="identity"),
    SubwordsConfig(size=22, model="unigram", byte_fallback=False),
    WordsConfig(),
    WordsConfig(characters=True, lowercase=True, min_count=2),
    CharactersConfig(),
]
TEXTS = ["the mill by the river", ["a", "wheel", "of", "the", "mill"], "the river by the mill"]


class Whole(Config):
    text: TextConfig


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.kind)
def config_and_processor(request):
    return request.param, request.param.learn(TEXTS)


@given(text=st.text())
@example("a\ud800 \n <pad>")
def test_every_encoding_keeps_the_contract(config_and_processor, text):
    _, processor = config_and_processor
    words = text.split(" ")
    for encoding in (processor.encode(text), processor.encode_words(words), processor.encode_words(words, sample=3)):
        assert encoding.ids[-1] == EOS
        assert all(0 <= number < processor.size for number in encoding.ids)
        if encoding.spans is not None:
            assert len(encoding.spans) == len(words)
            edges = [0, *(edge for span in encoding.spans for edge in span), len(encoding.ids) - 1]
            assert edges == sorted(edges)
            assert all(start < end for start, end in encoding.spans)
        assert (encoding.characters is None) == (processor.character_size is None)
        if encoding.characters is not None:
            assert len(encoding.characters) == len(encoding.ids)
            assert all(encoding.characters)
            assert all(0 < number < processor.character_size for word in encoding.characters for number in word)
        assert isinstance(processor.decode(encoding.ids), str)
    assert processor.encode(text).spans is None


def test_saved_and_loaded_it_does_the_same(config_and_processor, tmp_path):
    config, processor = config_and_processor
    processor.save(tmp_path, "source")
    loaded = config.load(tmp_path, "source")
    for text in ("the mill", "unseen Wörter 12", ""):
        assert loaded.encode(text) == processor.encode(text)
        assert loaded.encode_words(text.split()) == processor.encode_words(text.split())


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_settings_survive_their_file(config):
    whole = Whole(text=config)
    assert parse(Whole, tomllib.loads(dump(whole)), "a.toml") == whole


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(ConfigError, match=r"text: unknown kind 'subword'; did you mean 'subwords'\?"):
        parse(Whole, {"text": {"kind": "subword"}}, "a.toml")


@given(text=st.text() | st.text(alphabet="the mil.\u00a0\ufb01\u00bd\u2581\u00e4", max_size=30))
@example("a\ud800 \n <pad>")
@example("  the \ufb01\u00bd\U0001f642 mill")
def test_every_token_begins_somewhere_in_the_text(config_and_processor, text):
    _, processor = config_and_processor
    starts = processor.starts(text)
    assert len(starts) == len(processor.encode(text).ids) - 1
    assert starts == sorted(starts)
    assert all(0 <= start <= len(text) for start in starts)


def test_tokens_begin_where_they_are_written(config_and_processor):
    config, processor = config_and_processor
    text = "  the  mill by"
    starts, ids = processor.starts(text), processor.encode(text).ids[:-1]
    for start, stop, number in zip(starts, [*starts[1:], len(text)], ids, strict=True):
        piece = processor.decode([number]).strip()
        assert text[start:stop].startswith(piece) or config.kind == "characters"
    assert {2, 7, 12} <= set(starts)
