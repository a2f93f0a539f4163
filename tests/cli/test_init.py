"""What init makes of data: format, columns, scheme, sizes; and that what it writes can always be read."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x import config
from seq2x.cli.formats import guess_pairs, guess_tagged, guess_texts
from seq2x.cli.init import SCHEMES, check
from seq2x.cli.starter import plan, starter
from seq2x.cli.survey import Survey, largest_subwords
from seq2x.data.readers import PairFormat, TaggedFormat, TextFormat, read_pairs, read_tagged, read_texts
from seq2x.errors import DataError
from seq2x.settings import RunConfig
from seq2x.text.tags import Scheme

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
TABLE = "label,id,review\ngood,1,\"A fine, warm film.\"\nbad,2,A long and noisy film.\ngood,3,It sings to us.\n"


def write(path: Path, text: str) -> str:
    path.write_bytes(text.encode("utf-8"))
    return str(path)


def test_the_schemes_are_those_of_the_library() -> None:
    assert get_args(Scheme) == SCHEMES


@pytest.mark.parametrize(("text", "scheme"), [
    ("Ann B-PER\nLee I-PER\nran O\n", "BIO"),
    ("Ann I-PER\nLee I-PER\nran O\n", "IOB1"),
    ("Ann B-PER\nLee E-PER\nran O\n", "IOBES"),
    ("Ann U-PER\nran O\n", "BILOU"),
    ("Ann NNP\nran VBD\n", "none"),
])
def test_the_scheme_is_told_from_the_tags(tmp_path: Path, text: str, scheme: str) -> None:
    assert guess_tagged(write(tmp_path / "x.conll", text)).scheme == scheme


def test_formats_of_tagged_sentences(tmp_path: Path) -> None:
    rest = "\t_" * 6
    conllu = f"# text = Ann ran\n1\tAnn\tann\tPROPN{rest}\n2\tran\trun\tVERB{rest}\n\n"
    for name in ("x.conllu", "x.txt"):
        found = guess_tagged(write(tmp_path / name, conllu))
        assert (found.format, found.word_column, found.tag_column, found.scheme) == ("conllu", 1, "upos", "none")
    found = guess_tagged(write(tmp_path / "numbered.txt", "1 Ann NN B-P\n2 ran VB O\n\n1 Bob NN B-P\n"))
    assert (found.format, found.word_column, found.tag_column, found.scheme) == ("conll", 1, -1, "BIO")
    found = guess_tagged(write(tmp_path / "columns.txt", "Ann NN B-P\nran VB O\n"), tag=1)
    assert (found.word_column, found.tag_column, found.scheme) == (0, 1, "none")
    spans = {"text": "Ann ran", "spans": [[0, 3, "PER"]]}
    found = guess_tagged(write(tmp_path / "x.dat", json.dumps(spans) + "\n"))
    assert found == TaggedFormat(format="jsonl", scheme="BIO")
    assert len(read_tagged(tmp_path / "x.dat", found)) == 1
    tags = {"tokens": ["Ann", "ran"], "tags": ["U-PER", "O"]}
    assert guess_tagged(write(tmp_path / "x.jsonl", json.dumps(tags) + "\n")).scheme == "BILOU"


def test_tags_that_fit_no_scheme_need_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "mixed.conll", "Ann B-PER\nran O\n\nBob I-PER\n")
    with pytest.raises(DataError, match=r"mixed.conll, line 4: tag 1 of 1 is 'I-PER' at the start; .*--scheme"):
        guess_tagged(path)
    with pytest.raises(DataError, match="line 4"):
        guess_tagged(write(tmp_path / "closed.conll", "Ann B-PER\nLee E-PER\n\nBob I-PER\n"))


def test_several_labels_a_text(data: Path, call: Call) -> None:
    write(data / "many.tsv", "".join(f"{'sad,long' if n % 3 else 'long'}\ttext number {n}\n" for n in range(60)))
    code, output, _ = call(["init", "classify", "many.tsv", "--separator", ","])
    assert code == 0
    assert "labels: 2: long 60" in output
    task = config.read(RunConfig, data / "classify.toml").tasks["classify"]
    assert (task.data.separator, task.metric) == (",", "micro_f1")


@pytest.mark.parametrize(("name", "text", "columns"), [
    ("a.tsv", "good\tA fine film .\nbad\tA long film .\ngood\tIt sings .\n", (0, 1)),
    ("a.tsv", "A fine film .\tgood\nA long film .\tbad\nIt sings .\tgood\n", (1, 0)),
    ("a.tsv", "7\tA fine film .\tgood\n8\tA long film .\tbad\n9\tIt sings .\tgood\n", (2, 1)),
    ("a.tsv", "sentence\tlabel\nA fine film .\tgood\nA long film .\tbad\n", ("label", "sentence")),
    ("a.csv", TABLE, ("label", "review")),
    ("a.csv", TABLE.replace("label", "Stars").replace("review", "Comment"), ("Stars", "Comment")),
    ("a.csv", TABLE.replace("label", "kind").replace("review", "words"), ("kind", "words")),
    ("a.jsonl", '{"id": 1, "sentence": "A film .", "class": "good"}\n', ("class", "sentence")),
    ("a.txt", '{"text": "A film .", "label": 1}\n', ("label", "text")),
])
def test_columns_of_labelled_texts(tmp_path: Path, name: str, text: str, columns: tuple[Any, Any]) -> None:
    path = write(tmp_path / name, text)
    found = guess_texts(path)
    assert (found.label_column, found.text_column) == columns
    assert all(example.text.endswith(".") for example in read_texts(path, found))


@pytest.mark.parametrize(("name", "text", "columns"), [
    ("a.tsv", "ein Haus\ta house\n", (0, 1)),
    ("a.tsv", "ein Haus\ta house\tby Ann\nzwei\ttwo\tby Bob\n", (0, 1)),
    ("a.tsv", "target\tsource\na house\tein Haus\n", ("source", "target")),
    ("a.csv", "de,en\nein Haus,a house\n", ("de", "en")),
    ("a.csv", "id,tgt,src\n1,a house,ein Haus\n", ("src", "tgt")),
    ("a.jsonl", '{"src": "ein Haus", "tgt": "a house"}\n', ("src", "tgt")),
])
def test_columns_of_pairs(tmp_path: Path, name: str, text: str, columns: tuple[Any, Any]) -> None:
    path = write(tmp_path / name, text)
    found = guess_pairs([path])
    assert (found.source_column, found.target_column) == columns
    assert read_pairs(path, None, found)[0].source == "ein Haus"


def test_options_overrule_guesses(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", TABLE)
    assert guess_texts(path, "id", "label") == TextFormat(format="csv", label_column="id", text_column="label")
    path = write(tmp_path / "a.tsv", "1\tein Haus\ta house\n")
    assert guess_pairs([path], 1, 2) == PairFormat(format="tsv", source_column=1, target_column=2)


def test_columns_of_what_has_none(data: Path, fails: Fails) -> None:
    assert "'lines' has no columns" in fails(["init", "translate", "train.de", "train.en", "--target-column", "1"])
    write(data / "a.jsonl", '{"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]}\n')
    assert "a.jsonl: JSON lines have no columns" in fails(["init", "tag", "a.jsonl", "--tag-column", "2"])


@pytest.mark.parametrize("kind", ["tag", "classify", "translate"])
def test_it_writes_explains_and_says_what_comes_next(data: Path, call: Call, kind: str) -> None:
    files = {"tag": ["train.conll"], "classify": ["train.tsv"], "translate": ["train.de", "train.en"]}[kind]
    code, output, errors = call(["init", kind, *files, "-o", "my own.toml"])
    assert (code, errors) == (0, "")
    assert "80 " in output
    assert "seq2x train 'my own.toml'" in output
    text = (data / "my own.toml").read_text(encoding="utf-8")
    settings = config.read(RunConfig, "my own.toml")
    assert settings.tasks[kind].dev is None
    uncommented = [line for line in text.split("\n") if line and "#" not in line and not line.startswith("[")]
    above = text.split("\n")
    assert all(above[above.index(line) - 1].startswith("#") for line in uncommented)  # every setting is explained
    assert str(data) not in text


def test_it_does_not_overwrite(data: Path, call: Call, fails: Fails) -> None:
    assert call(["init", "classify", "train.tsv"])[0] == 0
    written = (data / "classify.toml").read_bytes()
    assert "classify.toml: exists already; --force replaces it" in fails(["init", "classify", "dev.tsv"])
    assert (data / "classify.toml").read_bytes() == written
    assert call(["init", "classify", "dev.tsv", "--force"])[0] == 0
    assert (data / "classify.toml").read_bytes() != written
    assert "cannot be written" in fails(["init", "classify", "dev.tsv", "-o", "no/such/folder.toml"])


def test_what_is_odd_about_the_data_is_said(data: Path, call: Call, fails: Fails) -> None:
    write(data / "new.tsv", "gone\tAnn went to Rome .\nlost\tBob saw Rome .\n")
    code, output, _ = call(["init", "classify", "train.tsv", "--dev", "new.tsv"])
    assert code == 0
    assert "warning: new.tsv has the label 'lost', which train has not" in output
    assert "1 of them in train too" in output
    write(data / "gap.de", "eins\n\ndrei\n")
    write(data / "gap.en", "one\ntwo\nthree\n")
    code, output, _ = call(["init", "translate", "gap.de", "gap.en"])
    assert code == 0
    assert "skipped 1 of 3 pairs for an empty side, the first on line 2" in output
    task = config.read(RunConfig, "translate.toml").tasks["translate"]
    assert isinstance(task.data, PairFormat)
    assert task.data.skip_empty
    assert "that looks like texts; --label-column" in fails(
        ["init", "classify", write(data / "many.tsv", "".join(f"text {n}\ttext {n}!\n" for n in range(60))), "--force"])


def test_long_examples_are_planned_for(data: Path, call: Call) -> None:
    write(data / "long.tsv", "good\t" + "film " * 5000 + "\nbad\tA film .\n")
    write(data / "long.conll", "Ann B-PER\n" * 3000 + "\nran O\n")
    write(data / "long.de", "ein Haus " * 300 + "\n" + "zwei\n" * 20)
    for arguments in (["classify", "long.tsv"], ["tag", "long.conll"], ["translate", "long.de", "long.de"]):
        assert call(["init", *arguments])[0] == 0
    kinds = ("classify", "tag", "translate")
    limits = {kind: config.read(RunConfig, f"{kind}.toml").tasks[kind].limit for kind in kinds}
    assert (limits["classify"].max_tokens, limits["classify"].on_long) == (4000, "truncate")
    assert limits["tag"].max_tokens > 3000
    assert limits["tag"].on_long == "error"
    assert (limits["translate"].max_tokens, limits["translate"].on_long) == (256, "skip")
    assert "1 here are longer" in (data / "classify.toml").read_text(encoding="utf-8")


def test_subwords_that_the_data_can_give() -> None:
    size, processor = largest_subwords([f"low lower lowest new newer number {n}" for n in range(50)], 32000)
    assert processor is not None
    assert 300 <= size == processor.size <= 500
    assert largest_subwords(["low lower"], 270)[0] == 270
    assert largest_subwords(["low lower"], 500) == (0, None)
    assert largest_subwords(["".join(chr(0x4E00 + number) for number in range(400))], 300) == (0, None)


@given(
    kind=st.sampled_from(["tag", "classify", "translate"]),
    lengths=st.lists(st.integers(2, 6000), min_size=1, max_size=5),
    examples=st.integers(2, 5_000_000),
    vocabulary=st.sampled_from([0, 300, 32000, 10**6]),
    name=st.text(st.characters(codec="utf-8"), min_size=1),
    dev=st.booleans(),
)
def test_every_plan_is_a_valid_configuration(
    kind: Literal["tag", "classify", "translate"], lengths: list[int], examples: int, vocabulary: int, name: str,
    dev: bool,
) -> None:
    format = {"tag": TaggedFormat(format="conllu", scheme="BIO", word_column=0, tag_column="xpos"),
              "classify": TextFormat(format="csv", label_column=0, text_column=name),
              "translate": PairFormat(format="tsv", skip_empty=True)}[kind]
    files = (name, name) if kind == "translate" else (name,)
    survey = Survey(kind, files, files if dev else (), format, examples, lengths, examples * max(lengths), vocabulary,
                    Counter(), [f"{name}: {examples}"])
    text = starter(survey, f"seq2x init {name}", name)
    check(text, "starter")
    written = config.parse(RunConfig, tomllib.loads(text), "starter").tasks[kind]
    assert written.train == (files if kind == "translate" else name)
    assert written.data == format
    assert (written.dev is not None) == dev
    assert plan(survey).max_tokens >= min(max(lengths), 256)
