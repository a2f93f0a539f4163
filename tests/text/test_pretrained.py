"""The tokenizer of a pretrained model: numbered anew, never cut or padded, kept by a run without the library."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_bert import PIECES, write_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from seq2x.errors import ConfigError, RunError
from seq2x.text import EOS, UNK, Pretrained, PretrainedTextConfig

NAMES = {"pad": "[PAD]", "unk": "[UNK]", "sep": "[SEP]"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    write_tokenizer(made)
    return made


@pytest.fixture(scope="module")
def processor(folder: Path) -> Pretrained:
    return Pretrained((folder / "tokenizer.json").read_text(), NAMES)


def pieces(processor: Pretrained, ids: list[int]) -> list[str]:
    return [PIECES[processor.order[number]] for number in ids]


def test_the_special_tokens_come_first(processor: Pretrained) -> None:
    assert processor.size == len(PIECES)
    assert sorted(processor.order) == list(range(len(PIECES)))
    assert pieces(processor, [0, 1, 2, 3, 4, 5]) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "mill"]
    assert processor.entries[:6] == ("<pad>", "<unk>", "<s>", "</s>", "the", "mill")
    assert len(processor.entries) == processor.size
    assert processor.opens
    assert processor.character_size is None


def test_text_is_neither_cut_nor_padded_as_the_file_says(processor: Pretrained) -> None:
    encoding = processor.encode("The old mill, the river s ferry at Oslo")
    assert pieces(processor, encoding.ids) == [
        "the", "old", "mill", ",", "the", "river", "s", "ferry", "a", "##t", "oslo", "[SEP]"]
    assert processor.decode(encoding.ids) == "the old mill, the river s ferry at oslo"
    assert len(processor.encode("mill " * 3000).ids) == 3001


def test_spans_are_those_of_the_words(processor: Pretrained) -> None:
    words = ["Mills", "", "don't", "\u200b", "日", "[SEP]"]
    encoding = processor.encode_words(words)
    assert encoding.spans is not None
    found = [pieces(processor, encoding.ids[start:stop]) for start, stop in encoding.spans]
    assert found == [["mill", "##s"], ["[UNK]"], ["d", "##o", "##n", "'", "t"], ["[UNK]"], ["[UNK]"],
                     ["[", "s", "##e", "##p", "]"]]
    assert encoding.ids[-1] == EOS


@given(text=st.text())
@example("a\ud800 \n [PAD] [CLS] [MASK]")
def test_every_encoding_keeps_the_contract(processor: Pretrained, text: str) -> None:
    words = text.split(" ")
    for encoding in (processor.encode(text), processor.encode_words(words), processor.encode_words(words, sample=3)):
        assert encoding.ids[-1] == EOS
        assert all(number == UNK or 4 <= number < processor.size for number in encoding.ids[:-1])
        if encoding.spans is not None:
            assert len(encoding.spans) == len(words)
            edges = [0, *(edge for span in encoding.spans for edge in span), len(encoding.ids) - 1]
            assert edges == sorted(edges)
            assert all(start < end for start, end in encoding.spans)
        assert isinstance(processor.decode(encoding.ids), str)


def test_saved_and_loaded_it_does_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = PretrainedTextConfig(model=str(folder))
    processor = config.learn([])
    processor.save(tmp_path, "source")
    assert {path.name for path in (tmp_path / "pretrained").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    monkeypatch.setitem(sys.modules, "transformers", None)  # which a run does without
    loaded = PretrainedTextConfig(model="gone").load(tmp_path, "source")
    assert (loaded.order, loaded.opens) == (processor.order, processor.opens)
    for text in ("The old mill", "unseen Wörter 12 日", ""):
        assert loaded.encode(text) == processor.encode(text)
        assert loaded.encode_words(text.split()) == processor.encode_words(text.split())
    with pytest.raises(ConfigError, match=r"needs the library transformers: pip install 'seq2x\[pretrained\]'"):
        config.learn([])


def test_what_is_missing_or_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    config = PretrainedTextConfig(model=str(folder))
    with pytest.raises(RunError, match=r"tokenizer_config\.json: no such file"):
        config.load(tmp_path, "source")
    config.learn([]).save(tmp_path, "source")
    (tmp_path / "pretrained" / "tokenizer.json").write_text("{}")
    with pytest.raises(RunError, match="pretrained: not a tokenizer of seq2x"):
        config.load(tmp_path, "source")
    with pytest.raises(ConfigError, match="the pieces of a pretrained model cannot grow"):
        config.learn([], config.learn([]))
    with pytest.raises(ConfigError, match=r"text\.model: found '.*nowhere'; expected the folder of a model"):
        PretrainedTextConfig(model=str(tmp_path / "nowhere")).learn([])


def byte_level(template: str = "<s> $A </s>") -> str:
    """A tokenizer of RoBERTa's kind, whose pieces begin with the blank before them."""
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "Ġ": 4, "a": 5, "b": 6, "Ġa": 7, "Ġab": 8}
    made = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("Ġa", "b")], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.post_processor = processors.TemplateProcessing(template, special_tokens=[("<s>", 0), ("</s>", 2)])
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return made.to_str()


NAMES_OF_BYTES = {"pad": "<pad>", "unk": "<unk>", "eos": "</s>"}


def test_a_word_is_encoded_as_behind_a_blank() -> None:
    processor = Pretrained(byte_level(), NAMES_OF_BYTES)
    assert processor.order[:4] == (1, 3, 0, 2)
    words = processor.encode_words(["ab", "ab", "b"])
    assert [processor.order[number] for number in words.ids] == [8, 8, 4, 6, 2]
    assert words.spans == [(0, 1), (1, 2), (2, 4)]
    assert words.ids == processor.encode("ab ab b").ids


def test_a_model_may_open_with_nothing_and_have_no_padding() -> None:
    processor = Pretrained(byte_level("$A </s>"), {"eos": "</s>"})
    assert not processor.opens
    assert processor.order == (2, 2, 2, 2, 0, 1, 3, 4, 5, 6, 7, 8)
    assert processor.encode("ab").ids == [11, 3]
    bare = Pretrained(byte_level("$A"), {"eos": "</s>"})
    assert bare.encode("ab").ids == [11, 3]
    with pytest.raises(ValueError, match="has no token for the end of a sentence"):
        Pretrained(byte_level("$A"), {})
    with pytest.raises(ValueError, match="puts 0 special tokens before a sentence and 2 behind it"):
        Pretrained(byte_level("$A </s> <s>"), NAMES_OF_BYTES)


def test_the_files_are_plain(folder: Path, tmp_path: Path) -> None:
    PretrainedTextConfig(model=str(folder)).learn([]).save(tmp_path, "source")
    saved = json.loads((tmp_path / "pretrained" / "tokenizer_config.json").read_text())
    assert saved == {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
                     "sep_token": "[SEP]"}
