"""What a run reads: shards in order, and how they are told apart."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seq2x.corpus import files_of, named, read_examples, shards
from seq2x.data.examples import Pair
from seq2x.errors import DataError
from seq2x.settings import ClassifyTask, TagTask, TranslateTask


def lay(folder: Path, **files: str) -> str:
    """Write gzipped files, called NAME.gz with dots for underscores; return the folder's name."""
    for name, text in files.items():
        (folder / f"{name.replace('_', '.')}.gz").write_bytes(gzip.compress(text.encode()))
    return str(folder)


def translate(*train: object) -> TranslateTask:
    return TranslateTask.model_validate({"train": list(train)})


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return lay(tmp_path, train_1_de="a\nb\n", train_1_en="A\nB\n", train_2_de="c\n", train_2_en="C\n")


def test_shards_are_one_file_after_the_other(folder: str) -> None:
    task = translate(f"{folder}/train.*.de.gz", f"{folder}/train.*.en.gz")
    examples = read_examples(task, task.train)
    assert examples == [Pair("a", "A", (f"{folder}/train.1.de.gz", 1)), Pair("b", "B", (f"{folder}/train.1.de.gz", 2)),
                        Pair("c", "C", (f"{folder}/train.2.de.gz", 1))]
    listed = translate([f"{folder}/train.2.de.gz", f"{folder}/train.1.de.gz"],
                       [f"{folder}/train.2.en.gz", f"{folder}/train.1.en.gz"])
    assert [pair.source for pair in read_examples(listed, listed.train)] == ["c", "a", "b"]
    assert files_of(listed, listed.train)[:2] == [f"{folder}/train.2.de.gz", f"{folder}/train.2.en.gz"]


def test_shards_of_the_other_tasks(tmp_path: Path) -> None:
    folder = lay(tmp_path, a_tsv="x\tone\n", b_tsv="y\ttwo\n", a_conll="one B-X\n", b_conll="two O\n\nthree O\n")
    texts = ClassifyTask(train=f"{folder}/*.tsv.gz")
    assert [(text.label, text.text) for text in read_examples(texts, texts.train)] == [("x", "one"), ("y", "two")]
    tagged = TagTask.model_validate(
        {"train": [f"{folder}/b.conll.gz", f"{folder}/a.conll.gz"], "data": {"scheme": "BIO"}})
    assert [one.words[0] for one in read_examples(tagged, tagged.train)] == ["two", "three", "one"]
    pairs = TranslateTask.model_validate({"train": f"{folder}/?.tsv.gz"})
    assert [pair.target for pair in read_examples(pairs, pairs.train)] == ["one", "two"]


def test_lines_are_counted_shard_by_shard(folder: str) -> None:
    lay(Path(folder), train_2_en="C\nD\n", train_3_de="d\n", train_3_en="D\n")
    task = translate(f"{folder}/train.*.de.gz", f"{folder}/train.*.en.gz")
    with pytest.raises(DataError, match=r"found 1 lines in .*train\.2\.de\.gz and 2 lines in .*train\.2\.en\.gz"):
        read_examples(task, task.train)


def test_sides_have_as_many_shards(folder: str) -> None:
    task = translate(f"{folder}/train.*.de.gz", [f"{folder}/train.1.en.gz"])
    with pytest.raises(DataError) as raised:
        shards(task, task.train)
    assert str(raised.value) == (f"found 2 files of {folder}/train.*.de.gz and 1 of {folder}/train.1.en.gz; "
                                 "expected as many, each the translation of the other")


def test_reports_of_shards_are_joined(folder: str) -> None:
    lay(Path(folder), train_1_de="\nb\n", train_2_de=" \nc\n", train_2_en="x\nC\n")
    task = TranslateTask.model_validate(
        {"train": [f"{folder}/train.*.de.gz", f"{folder}/train.*.en.gz"], "data": {"skip_empty": True}})
    examples = read_examples(task, task.train)
    assert [pair.source for pair in examples] == ["b", "c"]
    assert getattr(examples, "report", "").count("skipped 1 of 2 pairs") == 2


def test_names_of_many_files_are_short() -> None:
    assert named("a") == "a"
    assert named(("a", "b")) == "a and b"
    assert named((("a", "b"), "c")) == "a, b and c"
    assert named(tuple("abcde")) == "a ... e (5 names)"


def test_a_side_is_a_name_or_a_list() -> None:
    with pytest.raises(ValueError, match="train"):
        translate("a", "b", "c")
