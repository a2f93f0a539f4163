"""The run directory: whole or not at all, checked when read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contracts.pieces import build

from seq2x import checkpoint
from seq2x.errors import RunError


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


def test_a_save_that_fails_leaves_what_stood_there(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(RunError, match="No space left on device; what stood there before is unharmed"):
        checkpoint.save_weights({"a": torch.zeros(1)}, weights)
    assert weights.read_bytes() == before
    assert [path.name for path in weights.parent.iterdir()] == [weights.name]


def test_state_comes_back_as_it_went(tmp_path: Path) -> None:
    tensors = {"random": torch.get_rng_state(), "a": torch.randn(3), "step": torch.tensor(4.0)}
    assert checkpoint.load_state(tmp_path) is None
    checkpoint.save_state(tensors, {"step": 4, "best": 0.1}, tmp_path)
    found, progress = checkpoint.load_state(tmp_path) or ({}, {})
    assert progress == {"step": 4, "best": 0.1}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_metrics_after_the_state_are_dropped(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.append_metrics(tmp_path, {"step": step, "note": "a\u2028b"})
    with (tmp_path / checkpoint.METRICS).open("a") as file:
        file.write('{"step": 4, "no')  # cut short by a kill
    checkpoint.keep_metrics(tmp_path, 2)
    assert [record["step"] for record in checkpoint.read_metrics(tmp_path)] == [1, 2]
    assert checkpoint.read_metrics(tmp_path)[0]["note"] == "a\u2028b"


def test_no_run_directory_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "chunker").mkdir()
    (tmp_path / "chunker" / "config.toml").touch()
    with pytest.raises(RunError, match=r"chunkr: no such directory; did you mean 'chunker'\?"):
        checkpoint.load(tmp_path / "chunkr")
