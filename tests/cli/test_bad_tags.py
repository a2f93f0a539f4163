"""Tags that are not as they should be, as it looks at the command line: one paragraph, which names the line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
TRAIN = ["--set", "encoder.hidden=8", "--set", "training.max_epochs=1"]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(("text", "message"), [
    ("Ann O\nLee I-PER\n", "line 2: tag 2 of 2 is 'I-PER' after 'O'; BIO allows O or B-* here"),
    ("Ann I-PER\n", "line 1: tag 1 of 1 is 'I-PER' at the start; BIO allows O or B-* here"),
    ("Ann B-PER\nLee I-LOC\n", "line 2: tag 2 of 2 is 'I-LOC' after 'B-PER'; BIO allows O or B-* or I-PER here"),
    ("Ann PER\n", "line 1: tag 1 of 1 is 'PER'; a tag of BIO is O, B-LABEL, I-LABEL"),
    ("Ann B-\n", "line 1: tag 1 of 1 is 'B-'; a tag of BIO is O, B-LABEL, I-LABEL"),
    ("Ann B-PER x\nLee B-PER\n", "line 2: found 2 columns, expected 3 as on line 1"),
    ("\tO\n", "line 1: the word (column 0, counted from 0) is empty"),
    (" O\n", "line 1: found 1 column, expected at least 2: a word and its tag"),
    ("Ann\t\n", "line 1: the tag (column 1, counted from 0) is empty"),
])
def test_in_columns(data: Path, world: Path, fails: Fails, text: str, message: str) -> None:
    write(data / "bad.conll", text)
    assert f"bad.conll, {message}" in fails(["evaluate", world / "runs/tag", "bad.conll"])


@pytest.mark.parametrize(("record", "message"), [
    ({"tokens": ["Ann", ""], "tags": ["O", "O"]}, "line 1: 'tokens': found an empty string"),
    ({"tokens": ["Ann"], "tags": ["B-PER", "O"]}, "line 1: found 1 tokens and 2 tags, expected one tag a token"),
    ({"tokens": ["Ann"], "tags": ["I-PER"]}, "line 1: tag 1 of 1 is 'I-PER' at the start"),
    ({"tokens": ["Ann"], "tags": [""]}, "line 1: 'tags': found an empty string"),
])
def test_in_json(data: Path, fails: Fails, record: object, message: str) -> None:
    write(data / "train.jsonl", json.dumps(record) + "\n")
    assert f"train.jsonl, {message}" in fails(["init", "tag", "train.jsonl", "--scheme", "BIO"])


def test_labels_with_dashes_and_blanks_are_labels(data: Path, call: Call) -> None:
    text = (data / "train.conll").read_text().replace(" B-", "\tB-").replace(" I-", "\tI-").replace(" O", "\tO")
    text = text.replace("-PER", "-a person-name").replace("-LOC", "-B-LOC")
    write(data / "odd.conll", text)
    assert call(["init", "tag", "odd.conll"])[0] == 0
    assert call(["train", "tag.toml", *TRAIN])[0] == 0
    code, output, _ = call(["evaluate", "runs/tag", "odd.conll"])
    assert code == 0
    assert "a person-name" in output
    assert "B-LOC" in output
    code, output, _ = call(["tag", "runs/tag"], b"Ann saw Rome .\n")
    assert code == 0
    write(data / "found.conll", output)
    assert call(["evaluate", "runs/tag", "found.conll"])[0] == 0


def test_a_hundred_thousand_labels(data: Path, call: Call, fails: Fails) -> None:
    write(data / "many.conll", "".join(f"word B-{number}\n\n" for number in range(100_000)))
    assert call(["init", "tag", "many.conll", "--dev", "dev.conll", "--scheme", "BIO"])[0] == 0
    message = fails(["train", "tag.toml", *TRAIN], log=True)
    assert ("many.conll: found 100,000 different labels, such as '0', '1', '10': the model would need 400,001 tags, "
            "and can have at most 4,096") in message
    assert not (data / "runs" / "tag").exists()
