import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from seq2x.errors import ConfigError, DataError, RunError
from seq2x.text import EOS, SPECIALS, UNK, Subwords, SubwordsConfig

TEXTS = [
    "the miller grinds the corn while the river turns the wheel",
    "the wheel of the mill turns slower when the river is low",
    "millers' wives baked brown bread and sold it at the market",
    "a brown dog slept under the cart until the market was over",
    "slowly the river rose and the miller's wheel began to turn",
    "Über die Brücke fährt der Müller mit dem Wagen zum Markt",
] * 3
VALID = st.characters(exclude_categories=["Cs"], exclude_characters="\u2581")


@pytest.fixture(scope="module")
def exact():
    return SubwordsConfig(size=340, normalization="identity").learn(TEXTS)


@pytest.fixture(scope="module")
def dropping():
    return SubwordsConfig(size=340, dropout=0.3).learn(TEXTS)


@given(text=st.text(VALID, max_size=40))
def test_identity_and_bytes_give_every_text_back(exact, text):
    encoding = exact.encode(text)
    assert encoding.ids[-1] == EOS
    assert UNK not in encoding.ids
    assert exact.decode(encoding.ids) == text


@pytest.mark.parametrize("text", [
    "", " ", "  the  mill ", "a\u2028b", "a\u0085b", "a\nb\r", "\x00", "<s> <unk> </s>", "<0x41>", "⁇", "\ufffd",
])
def test_odd_texts_come_back_to_the_letter(exact, text):
    assert exact.decode(exact.encode(text).ids) == text


@given(text=st.text())
@example("a\ud800")
def test_no_text_is_too_odd_to_encode(dropping, text):  # lone surrogates, which UTF-8 cannot write, included
    ids = dropping.encode(text, sample=1).ids
    assert ids[-1] == EOS
    assert all(number >= len(SPECIALS) for number in ids[:-1])


def test_specials_have_their_ids_and_are_never_decoded(exact):
    assert exact.entries[:4] == SPECIALS
    assert exact.size == len(exact.entries) == 340
    ids = exact.encode("the mill").ids
    assert exact.decode([0, 2, *ids[:-1], 1, 3, 0]) == "the mill"


@given(words=st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8), max_size=8))
def test_words_have_spans_and_the_pieces_of_their_text(exact, words):
    encoding = exact.encode_words(words)
    assert encoding.ids == exact.encode(" ".join(words)).ids
    assert len(encoding.spans) == len(words)
    assert [start for start, _ in encoding.spans] + [len(encoding.ids) - 1] == [0, *(end for _, end in encoding.spans)]
    for word, (start, end) in zip(words, encoding.spans, strict=True):
        assert start < end
        assert exact.decode(encoding.ids[start:end]) == word


def test_a_word_that_vanishes_is_unknown():
    processor = SubwordsConfig(size=340).learn(TEXTS)
    encoding = processor.encode_words(["the", "\u200b", "", "mill"])
    assert encoding.ids[encoding.spans[1][0]] == encoding.ids[encoding.spans[2][0]] == UNK
    assert all(start < end for start, end in encoding.spans)


def test_same_seed_same_pieces_whatever_came_before(dropping):
    words = TEXTS[0].split()
    expected = [dropping.encode(text, sample=seed).ids for seed, text in enumerate(TEXTS)]
    of_words = dropping.encode_words(words, sample=7)
    for seed in reversed(range(len(TEXTS))):
        dropping.encode(TEXTS[seed], sample=1000 + seed)
        dropping.encode(TEXTS[seed])
        assert dropping.encode(TEXTS[seed], sample=seed).ids == expected[seed]
    assert dropping.encode_words(words, sample=7) == of_words


def test_dropout_drops_merges_and_keeps_the_text(dropping):
    plain = dropping.encode(TEXTS[0]).ids
    sampled = [dropping.encode(TEXTS[0], sample=seed).ids for seed in range(20)]
    assert len({tuple(ids) for ids in sampled}) > 10
    assert sum(map(len, sampled)) > 20 * len(plain)
    assert {dropping.decode(ids) for ids in sampled} == {TEXTS[0]}
    assert dropping.encode(TEXTS[0]).ids == plain


def test_a_seed_gives_the_same_pieces_in_another_process(dropping, tmp_path):
    """SentencePiece's own sampler salts its seed in each process: no exact resume could stand on it."""
    dropping.save(tmp_path, "source")
    script = ("import sys, pathlib; from seq2x.text import SubwordsConfig; "
              "made = SubwordsConfig(size=340, dropout=0.3).load(pathlib.Path(sys.argv[1]), 'source'); "
              "print(made.encode(sys.argv[2], sample=11).ids)")
    command = [sys.executable, "-c", script, tmp_path, TEXTS[0]]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(dropping.encode(TEXTS[0], sample=11).ids)


@given(st.text(max_size=60))
def test_with_nothing_dropped_the_merges_are_sentencepieces(dropping, text):
    valid = text.encode("utf-8", "replace").decode()
    merges = dropping._read_merges()
    assert merges.encode([dropping._processor.normalize(valid)], 0.0, 1)[0] == dropping.encode(text).ids[:-1]


@pytest.mark.parametrize("seed", [0, -1, 2**32 - 1, 2**32, 2**70])
def test_any_integer_is_a_seed(dropping, seed):
    first = dropping.encode(TEXTS[0], sample=seed)
    dropping.encode(TEXTS[1], sample=3)
    assert dropping.encode(TEXTS[0], sample=seed) == first


def test_without_dropout_the_sample_changes_nothing(exact):
    assert exact.encode(TEXTS[0], sample=5) == exact.encode(TEXTS[0])


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_learning_is_deterministic_and_takes_words_or_text(model):
    config = SubwordsConfig(size=310, model=model)
    assert config.learn(TEXTS).model == config.learn(text.split() for text in TEXTS).model


@pytest.mark.parametrize("model", ["bpe", "unigram"])
@pytest.mark.parametrize(("size", "nearest"), [(32000, "largest"), (20, "smallest")])
def test_an_impossible_size_names_the_nearest_possible_one(model, size, nearest):
    with pytest.raises(ConfigError, match=f"size = {size} .*{nearest} possible size is") as caught:
        SubwordsConfig(size=size, model=model).learn(TEXTS)
    possible = int(str(caught.value).rpartition(" ")[2])
    assert SubwordsConfig(size=possible, model=model).learn(TEXTS).size == possible


@pytest.mark.parametrize("texts", [[], ["", " "], ["\t"], [[]]])
def test_no_text_is_an_error(texts):
    with pytest.raises(DataError, match="no text to learn subwords from"):
        SubwordsConfig().learn(texts)


def test_lines_that_the_trainer_would_leave_out_are_learnt_from():
    long = "the mill " * 2000  # over the trainer's usual limit of 4192 bytes
    for line in ("the\tmill", "the \u2585 mill", long):
        processor = SubwordsConfig(size=270, normalization="identity").learn([line] * 3)
        assert "▁m" in processor.entries or "il" in processor.pieces


def test_an_error_of_the_reader_is_not_hidden_by_the_trainer():
    def lines():
        yield from TEXTS
        raise DataError("three columns", "x.tsv", 7)

    with pytest.raises(DataError, match=r"x\.tsv, line 7: three columns"):
        SubwordsConfig(size=340).learn(lines())


def test_learning_prints_nothing(capfd):
    SubwordsConfig(size=340).learn(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_save_and_load(tmp_path, dropping):
    dropping.save(tmp_path, "source")
    assert [path.name for path in tmp_path.iterdir()] == ["source.model"]
    loaded = SubwordsConfig(size=340, dropout=0.3).load(tmp_path, "source")
    for sample in (None, 4):
        assert loaded.encode(TEXTS[1], sample) == dropping.encode(TEXTS[1], sample)


def test_a_missing_or_damaged_model_is_an_error_of_the_run(tmp_path, exact):
    with pytest.raises(RunError, match=r"source\.model: no such file"):
        SubwordsConfig().load(tmp_path, "source")
    for content in (b"", b"rubbish", exact.model[:1000]):
        (tmp_path / "source.model").write_bytes(content)
        with pytest.raises(RunError, match=r"source\.model: not a SentencePiece model"):
            SubwordsConfig().load(tmp_path, "source")


def test_dropout_needs_bpe():
    with pytest.raises(ValidationError, match="drops merges of BPE"):
        SubwordsConfig(model="unigram", dropout=0.1)


TAGS = ("<2de>", "<2fr>")


@pytest.fixture(scope="module")
def tagged():
    return SubwordsConfig(size=345, dropout=0.5, symbols=TAGS).learn(f"{TAGS[place % 2]} {text}"
                                                                    for place, text in enumerate(TEXTS))


@pytest.mark.parametrize("text", ["<2de> the mill", "<2fr>the mill", "  <2de> ", "a<2de>b the <2fr> mill"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_symbols_are_one_piece_wherever_they_stand(tagged, text, seed):
    pieces = [tagged.entries[number] for number in tagged.encode(text, seed).ids]
    assert [piece for piece in pieces if piece in TAGS] == [tag for tag in TAGS for _ in range(text.count(tag))]
    assert not any("2" in piece for piece in pieces if piece not in TAGS)
    assert tagged.decode(tagged.encode(text, seed).ids) == " ".join(text.split())


def test_symbols_without_dropout_are_as_sentencepiece_has_them(tagged):
    undropped = Subwords(tagged.model, 1e-12, TAGS)
    for text in ["<2de> the mill turns", "<2fr>millers' wives", "low <2de>"]:
        assert undropped.encode(text, sample=1) == tagged.encode(text)


def test_the_tag_of_a_text(tagged):
    assert [tagged.tag(text) for text in ["<2de> the mill", " <2fr>  a", "a <2de>", "", "<2xx> a"]] == [
        "<2de> ", " <2fr>  ", "", "", ""]
    assert tagged.symbols == {"<2de>": tagged.entries.index("<2de>"), "<2fr>": tagged.entries.index("<2fr>")}
    assert Subwords(tagged.model).tag("<2de> the mill") == ""


@pytest.mark.parametrize(("symbols", "message"), [
    (["a b"], "expected a text without blanks"), ([""], "expected a text without blanks"),
    (["<s>"], "stands for something already"), (["<2de>", "<2de>"], "stands for something already")])
def test_symbols_that_cannot_be(symbols, message):
    with pytest.raises(ValidationError, match=message):
        SubwordsConfig(symbols=symbols)


def test_a_model_without_its_symbols(tmp_path, exact):
    exact.save(tmp_path, "source")
    with pytest.raises(RunError, match=r"it has no piece '<2de>', which is one of text\.symbols"):
        SubwordsConfig(symbols=TAGS).load(tmp_path, "source")
