"""The curves of a training: what they show, and that a run that goes on draws them on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seq2x.reports.console import ConsoleDisplay
from seq2x.reports.tensorboard import TensorBoard, installed
from seq2x.training.progress import FitConfig, Progress, Score, Update

SCORES = {"ner": {"f1": 81.5, "words": 300, "scheme": "BIO", "labels": {"PER": {"f1": 70.0, "support": 3}}},
          "de-en": {"bleu": 20.5, "search": {"length_penalty": 1.0}}}


class Training:
    def __init__(self, directory: Path, stream: io.StringIO | None = None) -> None:
        self.now = 0.0
        console = ConsoleDisplay(stream=stream or io.StringIO(), clock=lambda: self.now)
        self.display = TensorBoard(console, directory, unit="words", clock=lambda: self.now)
        self.display.started(100, FitConfig(max_epochs=4))

    def run(self, first: int, last: int, tasks: tuple[str, ...] = ("ner",), factor: float = 1.0) -> None:
        for step in range(first, last + 1):
            self.now += 0.5
            latest = {f"{task} loss": step * factor for task in tasks}
            self.display.updated(Update(Progress(step=step), 0.1 / step, latest, 100, latest))

    def evaluate(self, step: int) -> None:
        self.display.evaluating(Progress(step=step))
        self.now += 60
        self.display.evaluated(Progress(step=step), Score(51.0, SCORES), True)


def curves(directory: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_curves_are_means_of_ten_updates(tmp_path: Path) -> None:
    stream = io.StringIO()
    training = Training(tmp_path / "tensorboard", stream)
    with training.display:
        training.run(1, 20)
        training.evaluate(20)
        training.run(21, 30)
    found = curves(tmp_path / "tensorboard")
    assert found["train/loss"] == [(10, 5.5), (20, 15.5), (30, 25.5)]
    assert found["train/rate"] == [(step, pytest.approx(0.1 / step)) for step in (10, 20, 30)]
    assert found["train/words per second"][1:] == [(20, 200.0), (30, 200.0)]  # the evaluation is not counted
    assert {tag: values for tag, values in found.items() if tag.startswith("dev/")} == {
        "dev/score": [(20, 51.0)], "dev/ner/f1": [(20, 81.5)], "dev/ner/labels/PER/f1": [(20, 70.0)],
        "dev/de-en/bleu": [(20, 20.5)]}
    assert "dev 51.00" in stream.getvalue()  # the other display hears all


def test_several_tasks_have_curves_of_their_own(tmp_path: Path) -> None:
    training = Training(tmp_path)
    with training.display:
        training.run(1, 10, tasks=("ner", "pos"))
    assert {"train/ner/loss", "train/pos/loss"} <= set(curves(tmp_path))


def test_going_on_leaves_one_value_a_step(tmp_path: Path) -> None:
    killed = Training(tmp_path)
    with killed.display:
        killed.run(1, 40, factor=-1.0)
        killed.evaluate(40)
    again = Training(tmp_path)  # from the state of update 25
    with again.display:
        again.run(26, 50)
    found = curves(tmp_path)
    assert found["train/loss"] == [(10, -5.5), (20, -15.5), (30, 28.0), (40, 35.5), (50, 45.5)]
    assert "dev/score" not in found or not found["dev/score"]


def test_it_is_installed_here() -> None:
    assert installed()


def test_without_an_update_nothing_is_written(tmp_path: Path) -> None:
    with Training(tmp_path / "tensorboard").display:
        pass
    assert not (tmp_path / "tensorboard").exists()
