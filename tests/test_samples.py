"""The examples that a log shows: always the same ones, fit for a terminal."""

from __future__ import annotations

from seq2x.data.examples import Pair, Tagged, Text
from seq2x.predictors.classifier import Classified
from seq2x.predictors.tagger import Tagged as Found
from seq2x.predictors.translator import Translation
from seq2x.samples import choose, clean, mark, show
from seq2x.settings import ClassifyTask, TagTask, TranslateTask


def test_the_same_seed_chooses_the_same_examples() -> None:
    chosen = choose(1000, 3, seed=1)
    assert chosen == choose(1000, 3, seed=1) == sorted(set(chosen))
    assert len(chosen) == 3
    assert choose(1000, 3, seed=2) != chosen
    assert choose(2, 5, seed=1) == [0, 1]
    assert choose(5, 0, seed=1) == []


def test_a_translation_stands_below_its_source_and_reference() -> None:
    task = TranslateTask(train=("a.de", "a.en"))
    lines = show("", task, [Pair("Eine Katze schläft .", "A cat sleeps .")], [Translation("A cat .", -1.0, -2.0, ())])
    assert lines == ["    source     Eine Katze schläft .", "    reference  A cat sleeps .", "    output     A cat ."]


def test_a_text_shows_its_label_and_probability() -> None:
    task = ClassifyTask(train="a.tsv")
    sure = Classified("cat", 0.9, {"cat": 0.9, "dog": 0.1}, labels=("cat",))
    unsure = Classified("dog", 0.6, {"dog": 0.6, "cat": 0.4}, labels=("dog",))
    lines = show("pets", task, [Text("It purrs .", "cat"), Text("It naps .", "cat")], [sure, unsure])
    assert lines == ["    pets right  cat 0.90: It purrs .", "    pets wrong  dog 0.60, not cat 0.40: It naps ."]


def test_a_sentence_shows_its_spans() -> None:
    task = TagTask.model_validate({"train": "a.conll", "data": {"scheme": "BIO"}})
    words, gold = ("Ann", "Lee", "left", "Oslo", "."), ("B-PER", "I-PER", "O", "B-LOC", "O")
    wrong = ("B-PER", "O", "O", "B-LOC", "O")
    found = [Found("", (), tags, (), ()) for tags in (gold, wrong)]
    assert show("", task, [Tagged(words, gold)] * 2, found) == [
        "    right   [Ann Lee PER] left [Oslo LOC] .",
        "    gold    [Ann Lee PER] left [Oslo LOC] .",
        "    output  [Ann PER] Lee left [Oslo LOC] .",
    ]
    assert mark(("Ann", "left"), ("NNP", "VBD"), "none") == "Ann/NNP left/VBD"


def test_no_text_can_disturb_a_terminal() -> None:
    assert clean("a\x1b[2Jb\r\nc\u2028d\u202ee\x85f") == "a [2Jb  c d e f"
    assert clean("नमस्ते 👩\u200d👧") == "नमस्ते 👩\u200d👧"
    assert len(clean("x" * 300)) == 200
    assert clean("x" * 300).endswith("x ...")
