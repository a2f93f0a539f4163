"""Tables of scores: what is counted, and how it looks."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from seq2x.data.examples import Tagged, Text
from seq2x.data.readers import TaggedFormat, TextFormat
from seq2x.predictors import TextSpan
from seq2x.reports.tables import columns, details, error, errors, table
from seq2x.settings import ClassifyTask, TagTask

TASK = ClassifyTask(train="x")


def predicted(*labels: str) -> list[Any]:
    return [SimpleNamespace(label=label, labels=(label,), probability=0.75) for label in labels]


def test_labels_and_confusions_are_counted() -> None:
    examples = [Text("t", label) for label in ("a", "a", "a", "b", "b-c")]
    found = details(TASK, examples, predicted("a", "a", "b", "b", "a"))
    assert found["confusion"] == {"a": {"a": 2, "b": 1}, "b": {"b": 1}, "b-c": {"a": 1}}
    third = pytest.approx(200 / 3)
    assert found["labels"]["a"] == {"precision": third, "recall": third, "f1": third, "support": 3}
    assert found["labels"]["b"]["precision"] == 50
    assert found["labels"]["b"]["recall"] == 100
    assert found["labels"]["b-c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_several_labels_a_text() -> None:
    task = ClassifyTask(train="x", data=TextFormat(separator=","))
    examples = [Text("t", ("a", "b")), Text("t", ()), Text("t", ("b",))]
    predictions = [SimpleNamespace(labels=labels, probabilities={"a": 0.75, "b": 0.35})
                   for labels in (("a",), ("a",), ("b", "a"))]
    found = details(task, examples, predictions)
    assert found["labels"]["a"] == {"precision": pytest.approx(100 / 3), "recall": 100, "f1": 50, "support": 1}
    assert found["labels"]["b"]["recall"] == 50
    assert found["reliability"]["of"] == "labels"  # of three texts 0.75 of a, of which one has it; 0.35 of b, two
    assert found["reliability"]["error"] == pytest.approx((75 - 100 / 3 + 200 / 3 - 35) / 2)
    assert "confusion" not in found


def test_tags_without_spans_are_labels_of_words() -> None:
    task = TagTask(train="x", data=TaggedFormat(scheme="none"))
    examples = [Tagged(("a", "b"), ("X", "Y")), Tagged(("c",), ("Y",))]
    predictions = [SimpleNamespace(tags=("X", "X"), confidence=(0.75, 0.45)),
                   SimpleNamespace(tags=("Y",), confidence=(0.95,))]
    found = details(task, examples, predictions)
    assert found["confusion"] == {"X": {"X": 1}, "Y": {"X": 1, "Y": 1}}
    assert found["labels"]["Y"]["recall"] == 50
    assert found["reliability"]["of"] == "tags"
    assert found["reliability"]["error"] == pytest.approx((25 + 45 + 5) / 3)
    assert [(one["kind"], one["gold"]["text"], one["found"]["label"], one["confidence"])
            for one in errors(task, examples, predictions)] == [("wrong label", "b", "X", 0.45)]


SPANS = TagTask(train="x", data=TaggedFormat(scheme="BIO"))
EXAMPLES = [Tagged(("Ann", "Lee", "saw", "Rome", "."), ("B-PER", "I-PER", "O", "B-LOC", "O"), ("t.conll", 4)),
            Tagged(("Snow",), ("O",), ("t.conll", 10))]
FOUND = [SimpleNamespace(tags=("B-PER", "O", "O", "B-LOC", "O"), spans=(
            TextSpan("PER", "Ann", 0, 3, 0, 1, 0.6), TextSpan("LOC", "Rome", 12, 16, 3, 4, 0.9))),
         SimpleNamespace(tags=("B-LOC",), spans=(TextSpan("LOC", "Snow", 0, 4, 0, 1, 0.35),))]


def test_what_became_of_spans() -> None:
    found = details(SPANS, EXAMPLES, FOUND)
    assert found["confusion"] == {"(nothing)": {"LOC": 1}, "LOC": {"LOC": 1}, "PER": {"PER": 1}}
    assert found["mistakes"] == {"missed": 0, "spurious": 1, "wrong label": 0, "wrong boundary": 1,
                                 "wrong label and boundary": 0}
    assert found["reliability"]["error"] == pytest.approx((60 + 10 + 35) / 3)
    shown = table("ner", {"kind": "tag", "data": "t.conll", "scores": {}, **found})
    assert shown.endswith("""\
  gold \\ found  (nothing)  LOC  PER
  (nothing)             0    1    0
  LOC                   0    1    0
  PER                   0    0    1

  mistake                   times
  missed                        0
  spurious                      1
  wrong label                   0
  wrong boundary                1
  wrong label and boundary      0

  confidence  spans   mean   right
  to 0.4          1  35.00    0.00
  to 0.6          1  60.00    0.00
  to 0.9          1  90.00  100.00
  expected calibration error 35.00""")


def test_mistakes_are_listed_with_their_sentences() -> None:
    listed = list(errors(SPANS, EXAMPLES, FOUND))
    assert listed[0] == {
        "kind": "wrong boundary", "file": "t.conll", "line": 4, "confidence": 0.6,
        "gold": {"label": "PER", "text": "Ann Lee", "first": 0, "stop": 2},
        "found": {"label": "PER", "text": "Ann", "first": 0, "stop": 1},
        "tokens": ["Ann", "Lee", "saw", "Rome", "."]}
    assert json.loads(json.dumps(listed)) == listed
    assert error(listed[0]) == ("  t.conll, line 4: wrong boundary: gold PER 'Ann Lee', found PER 'Ann' (0.60)\n"
                                "    [Ann Lee] saw Rome .")
    assert error(listed[1]) == "  t.conll, line 10: spurious: found LOC 'Snow' (0.35)\n    [Snow]"
    missed = Tagged(tuple(f"w{number}" for number in range(40)), (*["O"] * 20, "B-LOC", *["O"] * 19))
    (one,) = errors(SPANS, [missed], [SimpleNamespace(tags=("O",) * 40, spans=())])
    assert error(one).split("\n")[1].startswith("    ... w8 ")
    assert error(one).endswith(" [w20] w21 w22 w23 w24 w25 w26 w27 w28 w29 w30 w31 w32 ...")
    assert error(one).startswith("  given text, line 1: missed: gold LOC 'w20'\n")


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
  good            0     2

  confidence  texts   mean  right
  to 0.8          3  75.00  66.67
  expected calibration error 8.33"""


def test_many_classes_show_their_commonest_confusions() -> None:
    gold = [f"label{number}" for number in range(20)]
    found = details(TASK, [Text("t", label) for label in gold], predicted(*(["label0"] * 2), *gold[2:]))
    shown = table("t", {"kind": "classify", "data": "x", "scores": {}, **found})
    assert "  gold -> found     times\n  label1 -> label0      1\n\n" in shown
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
