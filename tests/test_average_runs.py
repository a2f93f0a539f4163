"""The mean of the last weights: tried once, kept where it is better, and what is said of it is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import checkpoint, run
from seq2x.evaluation import Evaluation
from seq2x.run import train
from seq2x.training.distributed import Ranks


def scripted(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Let evaluations find these values, one after the other."""
    left: Iterator[float] = iter(values)

    def score(predictor: Any, examples: Any, predictions: list[Any], **_: Any) -> Evaluation:  # noqa: ARG001
        value = next(left)
        return Evaluation(value, "f1", {"f1": value}, predictions)

    monkeypatch.setattr(run, "score", score)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_the_card_has_the_scores_of_what_is_kept(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, 10.0, 20.0, 30.0, 25.0)
    train(settings(files, "tag", average=2), files / "run", say=quiet)
    assert "| tag | f1 | 30.00 |" in (files / "run/README.md").read_text()
    scripted(monkeypatch, 10.0, 20.0, 30.0, 35.0)
    train(settings(files, "tag", average=2), files / "better", say=quiet)
    assert "| tag | f1 | 35.00 |" in (files / "better/README.md").read_text()


def test_a_run_that_had_ended_keeps_its_mean(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, 10.0, 20.0, 30.0, 35.0, 33.0, 34.0)
    train(settings(files, "tag", average=2), files / "run", say=quiet)
    records, weights = checkpoint.read_metrics(files / "run"), load_file(files / "run/weights.safetensors")
    again = train(settings(files, "tag", average=2), files / "run", resume=True, say=quiet)
    assert checkpoint.read_metrics(files / "run") == records  # the mean is not tried again
    assert again.progress.best == 35
    more = train(settings(files, "tag", average=2, max_epochs=4), files / "run", resume=True, say=quiet)
    assert (more.progress.best, more.progress.best_step) == (35, again.progress.step)
    assert "| tag | f1 | 35.00 |" in (files / "run/README.md").read_text()
    kept = load_file(files / "run/weights.safetensors")
    assert all((kept[name] == tensor).all() for name, tensor in weights.items())


def test_all_processes_wait_for_the_weights_that_one_writes(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    looks = run._Training._checkpoints

    def looked(training: run._Training) -> list[Path]:
        said.append("looked")
        return looks(training)

    monkeypatch.setattr(Ranks, "wait", lambda _: said.append("waited"))
    monkeypatch.setattr(run._Training, "_checkpoints", looked)
    train(settings(files, "tag", average=2, max_epochs=2), files / "run", say=quiet)
    assert said[-2:] == ["waited", "looked"]
