"""What a run learns from others: the lesson is the mean of their beliefs, whatever they read; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files
from tiny_runs import write_run

from seq2x import checkpoint, config
from seq2x.batch import Batch
from seq2x.distil import _check_outputs
from seq2x.errors import ConfigError
from seq2x.model import Teacher, Teaching
from seq2x.predictors.base import batch_of
from seq2x.run import train
from seq2x.settings import RunConfig


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def student(files: Path, kind: str, *teachers: Path, changes: tuple[str, ...] = (), **training: Any) -> RunConfig:
    data = config.given(settings(files, kind, **training))
    data["distil"] = {"from": [str(one) for one in teachers], "temperature": 2.0, "weight": 0.5}
    return config.parse(RunConfig, data, "student", changes)


@pytest.mark.parametrize("kind", ["tag", "classify", "translate"])
def test_an_ensemble_teaches_a_smaller_one(files: Path, kind: str) -> None:
    teachers = [train(settings(files, kind, max_epochs=2), files / f"{seed}", overrides=[f"seed={seed}"],
                      say=quiet).directory for seed in (1, 2)]
    log: list[str] = []
    made = student(files, kind, *teachers, changes=("encoder.hidden=8",), max_epochs=2)
    whole = train(made, files / "whole", say=log.append)
    assert f"{kind} learns from 2 models at temperature 2, weight 0.5" in "\n".join(log)
    stored = load_file(whole.directory / "weights.safetensors")
    assert {name.split(".")[0] for name in stored} == {"encoder", "heads"}  # nothing of the teachers
    train(made, files / "parts", overrides=["training.max_steps=3"], say=quiet)
    train(made, files / "parts", resume=True, say=quiet)
    ends = [load_file(files / name / "resume/state.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0] if name.startswith("model."))
    plain = train(made.model_copy(update={"distil": None}), files / "plain", say=quiet)
    other = load_file(plain.directory / "weights.safetensors")
    assert not all(torch.equal(stored[name], other[name]) for name in stored)


def test_a_lesson_is_the_mean_of_beliefs(files: Path) -> None:
    teachers = [train(settings(files, "classify", max_epochs=1), files / f"{seed}", overrides=[f"seed={seed}"],
                      say=quiet).directory for seed in (1, 2)]
    loaded = [checkpoint.load(one) for one in teachers]
    source = batch_of([loaded[0].source.encode(text) for text in ("ann went to rome", "tom")]).source
    both = Teaching(tuple(Teacher(one.model, "classify") for one in loaded), 3.0, 0.5).lesson(Batch(source))
    for view in (None, 0):
        batch = Batch(source, views=(Batch(source),))
        each = [Teaching((Teacher(one.model, "classify", view),), 3.0, 0.5).lesson(batch).soft[0] for one in loaded]
        torch.testing.assert_close(both.soft[0], (each[0] + each[1]) / 2)
    assert both.soft[0].sum(1).tolist() == pytest.approx([1.0] * source.ids.shape[0])


@pytest.mark.parametrize("kind", ["tag", "classify"])
def test_a_teacher_may_read_other_tokens(files: Path, kind: str) -> None:
    """It reads letters, the student words: each batch has a view for it, row for row."""
    teacher = train(settings(files, kind, max_epochs=1), files / "teacher",
                    overrides=['text={kind="characters"}'], say=quiet)
    train(student(files, kind, teacher.directory, max_epochs=1), files / "student", say=quiet)
    assert (files / "student/weights.safetensors").exists()
    changes = (f"tasks.{kind}.limit={{max_tokens=5, on_long='truncate'}}",)
    with pytest.raises(ConfigError, match=r"needs all of every example, in memory; found: .* have more than 5 tokens"):
        train(student(files, kind, teacher.directory, changes=changes), files / "cut", say=quiet)


def test_what_does_not_fit_is_refused(files: Path) -> None:
    tagger = train(settings(files, "tag", max_steps=1), files / "tag", say=quiet).directory
    translator = train(settings(files, "translate", max_steps=1), files / "translate", say=quiet).directory
    with pytest.raises(ConfigError, match=r"no task here \(classify\) is one of all these runs \(tag\)"):
        train(student(files, "classify", tagger), files / "new", say=quiet)
    with pytest.raises(ConfigError, match=r"the labels of run 1 are not those of 'tag' here: not both have 'E-LOC'"):
        train(student(files, "tag", tagger, changes=("tasks.tag.scheme=BIO",)), files / "new", say=quiet)
    with pytest.raises(ConfigError, match="the tokens that run 1 predicts are not those of 'translate' here"):
        train(student(files, "translate", translator, changes=("text.size=290",)), files / "new", say=quiet)
    with pytest.raises(ConfigError, match=r"distil.task: there is no task 'tga'; did you mean 'tag'"):
        train(student(files, "tag", tagger, changes=("distil.task=tga",)), files / "new", say=quiet)
    with pytest.raises(ConfigError, match=r"distil\.from: "):
        student(files, "tag")


@pytest.mark.parametrize(("head", "message"), [
    ({"objective": "masked"}, "run 1 predicts hidden tokens, 'lm' here what follows and what is before; expected the"),
    ({"vocabulary": 9}, "run 1 predicts another part of the vocabulary than 'lm' here"),
])
def test_language_models_teach_what_they_predict(tmp_path: Path, head: dict[str, Any], message: str) -> None:
    task = {"kind": "language_model", "train": "train.txt", "limit": {"max_tokens": 40}}
    mine, other = (checkpoint.load(write_run(tmp_path / name, {"lm": {**task, "head": settings}}))
                   for name, settings in (("mine", {}), ("other", head)))
    _check_outputs(mine, "lm", mine, "lm", 1)
    with pytest.raises(ConfigError, match=message):
        _check_outputs(mine, "lm", other, "lm", 1)
