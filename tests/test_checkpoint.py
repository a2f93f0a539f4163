"""The run directory: whole or not at all, checked when read."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from contracts.pieces import build
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import Classifier, Tagger, Translator, checkpoint
from seq2x.errors import RunError
from seq2x.run import train
from seq2x.text import Vocabulary


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(dict(build("recurrent", "classify last").named_parameters()), path)
    return path


def test_a_truncated_file_is_said_to_be_one(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"weights\.safetensors: damaged or cut short \([\d,]+ bytes\)"):
        checkpoint.load_weights(build("recurrent", "classify last"), weights)
    weights.write_bytes(b"")
    with pytest.raises(RunError, match="damaged or cut short"):
        checkpoint.load_weights(build("recurrent", "classify last"), weights)


def test_sizes_that_do_not_fit_are_both_said(tmp_path: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in build("recurrent", "classify last").named_parameters()}
    name = next(iter(tensors))
    tensors[name] = torch.zeros(7, 3)
    checkpoint.save_weights({**tensors, "stranger": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(RunError, match=rf"stranger is unknown; {name} has the size \[7, 3\] in the file, \[40, 16\]"):
        checkpoint.load_weights(build("recurrent", "classify last"), tmp_path / "other.safetensors")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file; has the training reached its first evaluation"):
        checkpoint.load_weights(build("recurrent", "classify last"), tmp_path / "weights.safetensors")


FULL = OSError(errno.ENOSPC, "No space left on device")
CLOSED = OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(("error", "advice"), [
    (FULL, "No space left on device; what stood there before is unharmed; make room, then go on with --resume"),
    (CLOSED, "Read-only file system; what stood there before is unharmed; make it writable, then go on with --resume"),
])
def test_a_save_that_fails_leaves_what_stood_there(
    weights: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, advice: str
) -> None:
    before = weights.read_bytes()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Vocabulary, "save", fail)
    with pytest.raises(RunError, match=rf"weights\.safetensors: cannot be written: {advice}"):
        checkpoint.save_weights({"a": torch.zeros(1)}, weights)
    with pytest.raises(RunError, match=r"config\.toml: cannot be written"):
        checkpoint.write(weights.parent / "config.toml", "seed = 1")
    with pytest.raises(RunError, match=r"cannot be written"):
        checkpoint.save_labels(weights.parent, {"ner": Vocabulary(["a"])})
    assert weights.read_bytes() == before
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]


def test_a_line_of_metrics_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    checkpoint.append_metrics(tmp_path, {"step": 1})
    with at_most(40), pytest.raises(RunError, match=r"metrics\.jsonl: cannot be written: File too large; what stood"):
        checkpoint.append_metrics(tmp_path, {"step": 2, "note": "x" * 60})
    assert checkpoint.read_metrics(tmp_path) == [{"step": 1}]
    checkpoint.append_metrics(tmp_path, {"step": 2})
    assert checkpoint.read_metrics(tmp_path) == [{"step": 1}, {"step": 2}]


def test_a_place_where_no_directory_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"cannot be written: Not a directory; choose another --out"), \
            checkpoint.locked(tmp_path / "file" / "run"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_leaves_the_last_good_state(tmp_path: Path) -> None:
    files, run = write_files(tmp_path), tmp_path / "run"
    train(settings(files, "classify", max_epochs=4), tmp_path / "whole", say=quiet)
    train(settings(files, "classify", max_epochs=2), run, say=quiet)
    kept = {name: (run / name).read_bytes() for name in (checkpoint.STATE, checkpoint.WEIGHTS)}
    with at_most(20_000), pytest.raises(RunError, match=r"File too large; .*; make room, then go on with --resume"):
        train(settings(files, "classify", max_epochs=4), run, resume=True, say=quiet)
    assert {name: (run / name).read_bytes() for name in kept} == kept
    assert not list(run.rglob("*.new"))
    train(settings(files, "classify", max_epochs=4), run, resume=True, say=quiet)
    whole, found = (load_file(tmp_path / name / checkpoint.STATE) for name in ("whole", "run"))
    assert all(torch.equal(whole[name], found[name]) for name in whole)
    steps = [[record["step"] for record in checkpoint.read_metrics(tmp_path / name)] for name in ("whole", "run")]
    assert steps[0] == steps[1]


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Inside, no file of this process can grow beyond ``size`` bytes: what a full disk does to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_state_comes_back_as_it_went(tmp_path: Path) -> None:
    tensors = {"random": torch.get_rng_state(), "a": torch.randn(3, 2), "step": torch.tensor(4.0),
               "half of it": torch.randn(4, 6)[:, ::2], "none": torch.zeros(0, 3), "yes": torch.tensor([True]),
               **{str(dtype): torch.arange(5).to(dtype) for dtype in checkpoint.DTYPES}}
    assert checkpoint.load_state(tmp_path) is None
    checkpoint.save_state(tensors, {"step": 4, "best": 0.1}, tmp_path)
    found, progress = checkpoint.load_state(tmp_path) or ({}, {})
    assert progress == {"step": 4, "best": 0.1}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in tensors.items())
    other = load_file(tmp_path / checkpoint.STATE)  # as the library reads it
    assert all(torch.equal(other[name], tensor) for name, tensor in tensors.items())


def test_metrics_after_the_state_are_dropped(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.append_metrics(tmp_path, {"step": step, "note": "a\u2028b"})
    with (tmp_path / checkpoint.METRICS).open("a") as file:
        file.write('{"step": 4, "no')  # cut short by a kill
    checkpoint.keep_metrics(tmp_path, 2)
    assert [record["step"] for record in checkpoint.read_metrics(tmp_path)] == [1, 2]
    assert checkpoint.read_metrics(tmp_path)[0]["note"] == "a\u2028b"


RUNS = Path(__file__).parent / "fixtures" / "runs"


def test_this_format_is_kept_for_those_to_come() -> None:
    """Where this fails, tests/fixtures/make_run.py writes it; older ones stay as they are."""
    assert (RUNS / f"format-{checkpoint.FORMAT}" / checkpoint.WEIGHTS).is_file()


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNS.glob("*.json")))
def test_a_run_of_every_released_format_predicts_what_it_did(name: str) -> None:
    expected = json.loads((RUNS / f"{name}.json").read_text(encoding="utf-8"))
    texts = expected["texts"]
    assert [list(found.tags) for found in Tagger.load(RUNS / name).tag(texts)] == expected["tags"]
    labels = Classifier.load(RUNS / name).classify(texts)
    translations = Translator.load(RUNS / name).translate(texts)
    # to the string; the last bits of a number are the machine's
    assert [[found.label, pytest.approx(found.probability)] for found in labels] == expected["labels"]
    assert [[found.text, pytest.approx(found.score)] for found in translations] == expected["translations"]


def test_no_run_directory_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "chunker").mkdir()
    (tmp_path / "chunker" / "config.toml").touch()
    with pytest.raises(RunError, match=r"chunkr: no such directory; did you mean 'chunker'\?"):
        checkpoint.load(tmp_path / "chunkr")
