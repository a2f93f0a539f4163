"""What users get wrong, as it looks at the command line: exit code 2, one paragraph, no traceback."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x.cli import translate_main

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_a_missing_file(data: Path, world: Path, fails: Fails) -> None:
    assert "trian.conll: no such file; did you mean 'train.conll'?" in fails(["init", "tag", "trian.conll"])
    assert "no such file" in fails(["train", "none.toml"])
    assert "dve.tsv: no such file; did you mean 'dev.tsv'?" in fails(["evaluate", world / "runs/classify", "dve.tsv"])
    assert "none/in.txt: no such file, and the folder 'none' does not exist" in fails(
        ["translate", world / "runs/translate", "-i", "none/in.txt"])
    assert "dev.dee: no such file; did you mean 'dev.de'?" in fails(
        ["translate", world / "runs/translate", "-i", "dev.dee"])
    assert "no such directory; did you mean 'tag'?" in fails(["tag", world / "runs/tags"])
    assert "is no run directory (it has no config.toml)" in fails(["classify", data])
    text = data / "text.txt"
    text.write_text("It is not read.\n")
    assert "text.txt: is a file; expected a run directory" in fails(["tag", world / "runs/tag", text])
    shutil.copy(world / "tag.toml", "tag.toml")
    assert "gone.conll: no such file" in fails(["train", "tag.toml", "--set", "tasks.tag.train='gone.conll'"])


def test_an_empty_file(data: Path, world: Path, fails: Fails) -> None:
    write(data / "empty", "")
    for kind in ("tag", "classify", "translate"):
        assert "empty: the file is empty" in fails(["init", kind, "empty"])
    assert "the file is empty" in fails(["evaluate", world / "runs/tag", "empty"])
    write(data / "blank.conll", "\n\n")
    assert "blank.conll: holds no sentences" in fails(["evaluate", world / "runs/tag", "blank.conll"])


def test_unequal_parallel_files(data: Path, world: Path, fails: Fails) -> None:
    write(data / "short.en", "One .\n")
    both = "found 15 lines in dev.de and 1 lines in short.en"
    assert both in fails(["evaluate", world / "runs/translate", "dev.de", "short.en"])
    assert both in fails(["init", "translate", "dev.de", "short.en"])


def test_an_inside_tag_after_outside(data: Path, world: Path, fails: Fails) -> None:
    write(data / "bad.conll", "Ann B-PER\nwent O\n\nBob B-PER\nsaw O\nRome I-LOC\n")
    found = "bad.conll, line 6: tag 3 of 3 is 'I-LOC' after 'O'; BIO allows O or B-"
    assert found in fails(["evaluate", world / "runs/tag", "bad.conll"])
    message = fails(["init", "tag", "bad.conll"])
    assert found in message
    assert "--scheme" in message


def test_a_wrong_number_of_columns(data: Path, world: Path, fails: Fails) -> None:
    write(data / "bad.conll", "Ann B-PER\nwent O O\n")
    assert "bad.conll, line 2: found 3 columns, expected 2" in fails(["evaluate", world / "runs/tag", "bad.conll"])
    write(data / "bad.tsv", "gone\tAnn went .\nBob saw Rome .\n")
    assert "bad.tsv, line 2: found 1 column, expected 2" in fails(["evaluate", world / "runs/classify", "bad.tsv"])
    assert "bad.tsv, line 2: found 1 column, expected 2" in fails(["init", "classify", "bad.tsv"])
    assert "column" in fails(["init", "classify", "train.en"])
    assert "column" in fails(["init", "translate", "train.en"])
    assert "column" in fails(["init", "tag", "train.tsv", "--tag-column", "4"])


def test_invalid_utf8(data: Path, world: Path, fails: Fails, call: Call) -> None:
    write(data / "bad.tsv", b"gone\tAnn\nseen\tB\xff\n")
    where = "bad.tsv, line 2: invalid UTF-8 at byte 7 of the line: found 0xff"
    assert where in fails(["init", "classify", "bad.tsv"])
    assert where in fails(["evaluate", world / "runs/classify", "bad.tsv"])
    for command in ("tag", "classify", "translate"):
        code, output, errors = call([command, world / "runs" / command], b"Ann went .\nBob\nto \xc3(\nTom\n")
        assert code == 2
        assert "standard input, line 3: invalid UTF-8 at byte 4 of the line: found 0xc3" in errors
        assert "The lines before it are done" in errors
        assert "Traceback" not in errors
        records = output.count("\n\n") if command == "tag" else output.count("\n")
        assert records == 2


def test_a_misspelt_key(data: Path, world: Path, fails: Fails) -> None:
    text = (world / "tag.toml").read_text(encoding="utf-8")
    write(data / "bad.toml", text.replace("layers = 1", "layer = 1"))
    assert "bad.toml: encoder: unknown key 'layer'; did you mean 'layers'?" in fails(["train", "bad.toml"])
    write(data / "tag.toml", text)
    assert "encoder: unknown key 'layer'" in fails(["train", "tag.toml", "--set", "encoder.layer=2"])
    assert "expected KEY=VALUE" in fails(["train", "tag.toml", "--set", "encoder.layers"])
    write(data / "bad.toml", "seed = \n")
    assert "bad.toml: not valid TOML" in fails(["train", "bad.toml"])


def test_a_truncated_weights_file(data: Path, world: Path, fails: Fails) -> None:
    run = data / "cut"
    shutil.copytree(world / "runs/classify", run)
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "weights.safetensors: damaged or cut short" in fails(["classify", run], b"Ann went to Rome .\n")
    assert "damaged or cut short" in fails(["evaluate", run])
    weights.unlink()
    assert "weights.safetensors: no such file" in fails(["classify", run])


def test_a_label_unseen_in_training(data: Path, world: Path, fails: Fails) -> None:
    write(data / "new.tsv", "gone\tAnn went to Rome .\nlost\tBob saw Rome .\n")
    message = fails(["evaluate", world / "runs/classify", "new.tsv"])
    assert "new.tsv, line 2: the label 'lost' is not known (the training data have none)" in message
    write(data / "new.conll", "Ann B-PER\n\nIBM B-ORG\n")
    message = fails(["evaluate", world / "runs/tag", "new.conll"])
    assert "new.conll, line 3:" in message
    assert "'ORG'" in message


def test_an_empty_line(data: Path, world: Path, fails: Fails, call: Call) -> None:
    write(data / "gap.tsv", "gone\tAnn went to Rome .\n\nseen\tBob saw Rome .\n")
    assert "gap.tsv, line 2: found an empty line, expected 2" in fails(["evaluate", world / "runs/classify", "gap.tsv"])
    write(data / "gap.de", "Ann ging nach Rome .\n\n")
    write(data / "gap.en", "Ann went to Rome .\nBob .\n")
    assert "gap.de, line 2: the source is empty" in fails(
        ["evaluate", world / "runs/translate", "gap.de", "gap.en"])
    text = b"\nAnn ging nach Rome .\n   \n"
    code, output, _ = call(["translate", world / "runs/translate"], text)
    lines = output.split("\n")
    assert (code, len(lines), lines[0], lines[2], lines[3]) == (0, 4, "", "", "")
    assert lines[1]
    code, output, _ = call(["tag", world / "runs/tag"], text)
    assert code == 0
    assert output.startswith("\nAnn\t")
    assert output.endswith("\n\n\n")
    code, output, _ = call(["classify", world / "runs/classify"], text)
    assert (code, output.count("\n")) == (0, 3)


def test_a_line_separator_inside_a_line(world: Path, call: Call) -> None:
    text = "Ann went\u2028to Rome .\x85\x0b\x0c Bob\r\nTom saw Oslo .".encode()
    for command, records in (("translate", 2), ("classify", 2)):
        code, output, _ = call([command, world / "runs" / command], text)
        assert (code, output.count("\n")) == (0, records)
    code, output, _ = call(["tag", world / "runs/tag", "--format", "jsonl"], text)
    assert (code, output.count("\n")) == (0, 2)
    code, output, _ = call(["tag", world / "runs/tag", "--tokenised"], text)
    assert code == 0
    assert output.split("\n")[1].startswith("went\u2028to\t")


def test_ten_thousand_tokens_are_one_line(world: Path, call: Call) -> None:
    text = b"Tom sah Rome .\n" + b"Ann ging nach Rome . " * 2000 + b"\nBob sah Oslo .\n"
    code, output, errors = call(["--model", world / "runs/translate", "--beam-size", "1"], text, translate_main)
    assert (code, output.count("\n")) == (0, 3)
    assert "standard input, line 2: longer than the model's limit of 100 tokens; translated in" in errors
    assert errors.count("\n") == 1
    parts = re.search(r"translated in (\d+) parts", errors)
    assert parts is not None
    assert 100 <= int(parts[1]) < 150
    assert len(output.split("\n")[1].split()) >= int(parts[1])  # none of them was lost


@pytest.mark.parametrize("command", ["tag", "classify"])
def test_a_long_line_is_named(world: Path, call: Call, command: str) -> None:
    text = b"Tom saw Rome .\n" + b"Ann went to Rome . " * 30 + b"\n"
    code, output, errors = call([command, world / "runs" / command], text)
    assert code == 0
    assert (output.count("\n\n") if command == "tag" else output.count("\n")) == 2
    assert errors.startswith("seq2x: standard input, line 2: longer than the model's limit of 100 tokens; ")
    assert errors.endswith("in 2 parts\n")


def test_what_the_system_refuses(data: Path, world: Path, fails: Fails) -> None:
    assert (data / "train.tsv").is_file()
    shutil.copy(world / "classify.toml", data)
    message = fails(["train", "classify.toml", "--out", "train.tsv/run"], log=True)
    assert message == "seq2x: error: train.tsv/run: cannot be written: Not a directory; choose another --out\n"


@pytest.mark.parametrize("arguments", [["init", "classify", "one.tsv"], ["init", "tag", "outside.conll"]])
def test_nothing_to_learn(data: Path, fails: Fails, arguments: list[str]) -> None:
    write(data / "one.tsv", "good\tA film .\ngood\tAnother film .\n")
    write(data / "outside.conll", "A O\nfilm O\n")
    assert "there is nothing to learn" in fails(arguments)
    assert not (data / f"{arguments[1]}.toml").exists()
