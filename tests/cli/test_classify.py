"""seq2x classify with explanations and several labels; seq2x evaluate of classifiers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x.cli.classify import jsonl, tsv
from seq2x.predictors.classifier import Classified
from seq2x.predictors.explaining import Evidence

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
TEXT = b"Ann went to Rome.\nTom Eve saw  Oslo .\n\n"


def test_each_word_with_its_weight(world: Path, call: Call, fails: Fails) -> None:
    code, output, _ = call(["classify", world / "runs/classify", "--explain", "--format", "jsonl"], TEXT)
    assert code == 0
    records = [json.loads(line) for line in output.split("\n")[:-1]]
    for record in records[:2]:
        assert [word["text"] for word in record["words"]] == [
            record["text"][word["start"] : word["end"]] for word in record["words"]]
    told = ("went", "to")  # the one always stands beside the other
    assert max(records[0]["words"], key=lambda word: word["weight"])["text"] in told
    assert records[2]["words"] == []
    code, output, _ = call(["classify", world / "runs/classify", "--explain", "gradient"], TEXT)
    rows = [line.split("\t") for line in output.split("\n")[:-1]]
    assert [len(row) for row in rows] == [3, 3, 3]
    words = rows[0][2].split(" ")
    assert words[0] in told
    assert words[1].startswith("+")
    message = fails(["classify", world / "runs/classify", "--explain", "attention"], TEXT)
    assert "the head 'classify' has none over tokens (pooling = 'max')" in message


def test_several_labels_are_parted_as_in_the_data() -> None:
    found = Classified("sad", 0.9, {"sad": 0.9, "long": 0.75, "odd": 0.1}, labels=("sad", "long"),
                       words=(Evidence("rain", 0, 4, -1.5), Evidence("again", 5, 10, 0.25)))
    assert tsv("rain again", found, separator="|", explained=True) == (
        "sad|long\t0.9000|0.7500\train -1.500 again +0.250")
    none = found._replace(labels=(), words=())
    assert [tsv("", none, separator="|", explained=explained) for explained in (False, True)] == ["\t", "\t\t"]
    record = json.loads(jsonl("rain again", found, separator="|", explained=True))
    assert (record["label"], record["labels"]) == ("sad", ["sad", "long"])
    assert record["words"][1] == {"text": "again", "start": 5, "end": 10, "weight": 0.25}
    assert not {"labels", "words"} & json.loads(jsonl("rain again", found, separator="", explained=False)).keys()


def test_what_a_classifier_got_wrong(world: Path, call: Call, tmp_path: Path) -> None:
    test = tmp_path / "test.tsv"
    test.write_bytes(b"seen\tAnn went to Rome .\nseen\tTom Eve saw Oslo .\n")
    code, output, _ = call(["evaluate", world / "runs/classify", test, "--errors", "5"])
    assert code == 0
    assert f"{test}, line 1: wrong label: gold seen, found gone (" in output
    assert output.endswith("    Ann went to Rome .\n")
    assert "gold \\ found  gone  seen" in output
    assert "expected calibration error" in output
    code, output, _ = call(["evaluate", world / "runs/classify", test, "--errors", tmp_path / "wrong.jsonl", "--json"])
    (wrong,) = map(json.loads, (tmp_path / "wrong.jsonl").read_text().split("\n")[:-1])
    assert (wrong["gold"], wrong["found"], wrong["line"]) == (["seen"], ["gone"], 1)
    task = json.loads(output)["tasks"]["classify"]
    assert task["labels"]["seen"]["support"] == 2
    assert task["reliability"]["of"] == "texts"
    assert task["scores"]["accuracy"] == pytest.approx(50)
