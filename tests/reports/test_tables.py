"""Tables of scores: what is counted, and how it looks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from seq2x.data.examples import Tagged, Text
from seq2x.data.readers import TaggedFormat
from seq2x.reports.tables import columns, details, table
from seq2x.settings import ClassifyTask, TagTask

TASK = ClassifyTask(train="x")


def predicted(*labels: str) -> list[Any]:
    return [SimpleNamespace(label=label) for label in labels]


def test_labels_and_confusions_are_counted() -> None:
    examples = [Text("t", label) for label in ("a", "a", "a", "b", "b-c")]
    found = details(TASK, examples, predicted("a", "a", "b", "b", "a"))
    assert found["confusion"] == {"a": {"a": 2, "b": 1}, "b": {"b": 1}, "b-c": {"a": 1}}
    third = pytest.approx(200 / 3)
    assert found["labels"]["a"] == {"precision": third, "recall": third, "f1": third, "support": 3}
    assert found["labels"]["b"]["precision"] == 50
    assert found["labels"]["b"]["recall"] == 100
    assert found["labels"]["b-c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_tags_without_spans_are_labels_of_words() -> None:
    task = TagTask(train="x", data=TaggedFormat(scheme="none"))
    examples = [Tagged(("a", "b"), ("X", "Y")), Tagged(("c",), ("Y",))]
    found = details(task, examples, [SimpleNamespace(tags=("X", "X")), SimpleNamespace(tags=("Y",))])
    assert found["confusion"] == {"X": {"X": 1}, "Y": {"X": 1, "Y": 1}}
    assert found["labels"]["Y"]["recall"] == 50
    assert details(task.model_copy(update={"data": TaggedFormat(scheme="BIO")}), examples, []) == {}


def test_a_table_of_classes() -> None:
    examples = [Text("t", label) for label in ("good", "bad", "good")]
    result = {"kind": "classify", "data": "test.tsv", "scores": {"accuracy": 66.6667, "macro_f1": 66.0, "texts": 3},
              **details(TASK, examples, predicted("good", "good", "good"))}
    assert table("films", result) == """\
films (classify), test.tsv

  accuracy   66.67
  macro F1   66.00
  on        3 texts

  label  precision  recall     F1  support
  good       66.67  100.00  80.00        2
  bad         0.00    0.00   0.00        1

  gold \\ found  bad  good
  bad             0     1
  good            0     2"""


def test_many_classes_show_their_commonest_confusions() -> None:
    gold = [f"label{number}" for number in range(20)]
    found = details(TASK, [Text("t", label) for label in gold], predicted(*(["label0"] * 2), *gold[2:]))
    shown = table("t", {"kind": "classify", "data": "x", "scores": {}, **found})
    assert shown.endswith("  gold -> found     times\n  label1 -> label0      1")
    right = details(TASK, [Text("t", label) for label in gold], predicted(*gold))
    assert "gold" not in table("t", {"kind": "classify", "data": "x", "scores": {}, **right})


def test_a_table_of_a_translation() -> None:
    scores = {"bleu": 31.5, "chrf": 55.0, "bleu_signature": "nrefs:1|case:mixed", "chrf_signature": "nc:6",
              "sentences": 1000, "split": 2, "search": {"beam_size": 5, "length_penalty": 1.0}}
    shown = table("de-en", {"kind": "translate", "data": "a and b", "scores": scores})
    assert shown.split("\n")[2:] == [
        "  BLEU      31.50",
        "  chrF      55.00",
        "  on       1,000 sentences",
        "  note     2 longer than the model's limit, translated in parts",
        "  search   beam_size 5, length_penalty 1.0",
        "  BLEU by  nrefs:1|case:mixed",
        "  chrF by  nc:6",
    ]


def test_columns() -> None:
    assert columns([("a", "b"), ("ccc", "10")]) == "  a     b\n  ccc  10"
