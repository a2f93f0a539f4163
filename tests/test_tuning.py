"""The search for settings: what it proposes, keeps and goes on with; on trainings of a second."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import settings, write_files

from seq2x import checkpoint, tuning
from seq2x import config as settings_file
from seq2x.cli import main
from seq2x.errors import ConfigError
from seq2x.settings import RunConfig
from seq2x.tuning import BEST, Range, changed, tune

SPACE = """
"optimiser.rate" = { low = 1e-4, high = 1e-1, log = true }
"encoder.hidden" = { low = 4, high = 16, step = 4 }
"encoder.cell" = { choices = ["lstm", "gru"] }
"tasks.classify.head" = { choices = [{ pooling = "max" }, { pooling = "mean" }] }
"""


def write_study(folder: Path, space: str = SPACE, **more: str) -> Path:
    files = write_files(folder)
    (folder / "base.toml").write_text(settings_file.dump(settings(files, "classify", max_epochs=2)))
    lines = {"config": f'"{folder}/base.toml"', "trials": "3", "startup": "1", **more}
    (folder / "study.toml").write_text(
        "".join(f"{key} = {value}\n" for key, value in lines.items()) + f"\n[space]\n{space}")
    return folder / "study.toml"


def test_the_best_settings_are_found_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, trials="5")
    assert main(["tune", str(study), "--out", str(tmp_path / "out")]) == 0
    output, log = capsys.readouterr()
    assert "best        trial" in output
    assert "of 5: dev score" in output
    assert log.count("trial ") == 5
    best = settings_file.read(RunConfig, tmp_path / "out" / BEST)
    assert 1e-4 <= best.optimiser.at(1).rate <= 1e-1
    (kept,) = (tmp_path / "out").glob("trial-*")
    assert checkpoint.read_config(kept) == best
    assert tune(study, tmp_path / "out").finished == 5  # the same again does nothing more
    assert tune(study, tmp_path / "out", trials=6).finished == 6


@pytest.mark.parametrize("sampler", ["gp", "random"])
def test_other_samplers_and_pruners(tmp_path: Path, sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, sampler=f'"{sampler}"', pruner='"hyperband"', keep='"all"')
    found = tune(study, tmp_path / "out", overrides=["seed=3"])
    assert found.finished == 3
    assert len(list((tmp_path / "out").glob("trial-*"))) == 3
    assert settings_file.read(RunConfig, tmp_path / "out" / BEST).seed == 3
    assert capsys.readouterr().out.count("trial ") == 3


def test_a_study_goes_on_in_the_middle_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second trial is killed in its second epoch, and goes on with the same settings."""
    study, seen = write_study(tmp_path, pruner='"none"', keep='"all"'), []
    plain = tuning._Watch.evaluated

    def killed(self: tuning._Watch, progress: object, score: object, improved: bool) -> None:
        plain(self, progress, score, improved)  # type: ignore[arg-type]
        seen.append(self.trial.number)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(tuning._Watch, "evaluated", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(study, tmp_path / "out", say=lambda _: None)
    before = checkpoint.read_config(tmp_path / "out/trial-1")
    found = tune(study, tmp_path / "out", say=lambda _: None)
    assert found.finished == 3
    assert seen == [0, 0, 1, 1, 1, 2, 2]  # an epoch is saved after it was reported
    assert checkpoint.read_config(tmp_path / "out/trial-1") == before


def test_poor_trials_are_stopped(tmp_path: Path) -> None:
    log: list[str] = []
    write_study(tmp_path, '"optimiser.rate" = { choices = [0.02, 1e-9] }', trials="4", sampler='"random"', seed="6")
    # the first has the better of the two rates: with the seed of the sampler, that is the case here
    found = tune(tmp_path / "study.toml", tmp_path / "out", overrides=["training.max_epochs=4"], say=log.append)
    assert found.parameters == {"optimiser.rate": "0.02"}
    assert any("stopped early" in line for line in log)


def test_a_setting_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study.toml: space: encoder: unknown key 'hiden'; did you mean 'hidden'"):
        tune(write_study(tmp_path, '"encoder.hiden" = { low = 1, high = 2 }'), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"space.encoder.hidden: found low = 9 and high = 2; expected low < high"):
        tune(write_study(tmp_path, '"encoder.hidden" = { low = 9, high = 2 }'), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"encoder.hidden: found step = 0.5 between whole numbers, 2 and 9; expected"):
        tune(write_study(tmp_path, '"encoder.hidden" = { low = 2, high = 9, step = 0.5 }'), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"space: encoder.dropout: found 1.5: Input should be less than 1"):
        tune(write_study(tmp_path, '"encoder.dropout" = { low = 0.1, high = 1.5 }'), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"space: encoder.cell: found 'gur'; did you mean 'gru'"):
        tune(write_study(tmp_path, '"encoder.cell" = { choices = ["lstm", "gur"] }'), tmp_path / "out")
    with pytest.raises(ConfigError, match="unknown key 'trails'; did you mean 'trials'"):
        tune(write_study(tmp_path, trails="3"), tmp_path / "out")
    with pytest.raises(ConfigError, match="storage: 'nosuch://x' cannot be used"):
        tune(write_study(tmp_path, storage='"nosuch://x"'), tmp_path / "out")
    for wrong in ({"low": 1}, {"choices": []}, {"choices": [1], "low": 1, "high": 2}):
        with pytest.raises(ConfigError):
            settings_file.parse(Range, wrong, "range")
    with pytest.raises(ConfigError, match="'encoder' is a value, not a table"):
        changed({"encoder": 3}, {"encoder.hidden": 4})
    assert not (tmp_path / "out" / BEST).exists()


def test_trials_that_cannot_be_trained_fail_by_themselves(tmp_path: Path) -> None:
    log: list[str] = []
    write_study(tmp_path, '"encoder.projection" = { choices = [0, 99] }', sampler='"random"', trials="6")
    assert tune(tmp_path / "study.toml", tmp_path / "out", say=log.append).finished == 6
    assert any("failed with encoder.projection = 99: trial" in line for line in log)


def test_other_choices_want_another_study(tmp_path: Path) -> None:
    """Bounds may change; what a trial before was drawn from may not. A last step that is cut off is no warning."""
    space = '"encoder.cell" = {{ choices = ["lstm"{more}] }}\n"encoder.hidden" = {{ low = 4, high = {high}, step = 3 }}'
    write_study(tmp_path, space.format(more="", high=8), trials="1")
    overrides = ["training.max_epochs=1"]
    first = tune(tmp_path / "study.toml", tmp_path / "out", overrides=overrides, say=str)
    assert first.parameters["encoder.hidden"] in (4, 7)
    write_study(tmp_path, space.format(more="", high=9), trials="2")
    assert tune(tmp_path / "study.toml", tmp_path / "out", overrides=overrides, say=str).finished == 2
    write_study(tmp_path, space.format(more=', "gru"', high=9), trials="3")
    with pytest.raises(ConfigError, match=r"'encoder.cell' has other choices, or is of another kind, than in trial 0"):
        tune(tmp_path / "study.toml", tmp_path / "out")


def test_a_study_without_a_whole_trial_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, '"encoder.projection" = { choices = [0] }', trials="1")
    failing = ["--set", "tasks.classify.head.class_weights={nobody=2.0}"]
    assert main(["tune", str(study), "--out", str(tmp_path / "out"), *failing]) == 2
    assert "none: no trial of 1 came to its end" in capsys.readouterr().out


def quick(study: Path, out: Path, *overrides: str, trials: int = 1) -> tuning.Tuned:
    return tune(study, out, overrides=["training.max_epochs=1", *overrides], trials=trials, say=str)


def test_what_all_trials_share_may_not_change(tmp_path: Path) -> None:
    """Else best.toml would be the best trial's values in settings that it never had."""
    study, out = write_study(tmp_path), tmp_path / "out"
    quick(study, out)
    best = (out / BEST).read_bytes()
    with pytest.raises(ConfigError, match=r"encoder.layers was 1, now 2; take the old value, or choose another --out"):
        quick(study, out, "encoder.layers=2", trials=2)
    with pytest.raises(ConfigError, match=r"seed was 1, now 8, and 1 more differ; take the old"):
        quick(study, out, "training.max_epochs=3", "seed=8", trials=2)
    assert (out / BEST).read_bytes() == best
    assert quick(study, out, "training.show_examples=1", trials=2).finished == 2  # no score depends on it


def test_what_trials_have_stays_in_the_space(tmp_path: Path) -> None:
    quick(write_study(tmp_path), tmp_path / "out")
    less = write_study(tmp_path, '"encoder.hidden" = { low = 4, high = 16, step = 4 }')
    with pytest.raises(ConfigError, match=r"'optimiser.rate' is missing, which trial 0 has; put it back, or choose an"):
        quick(less, tmp_path / "out", trials=2)


def test_a_study_of_an_older_version_is_told(tmp_path: Path) -> None:
    import optuna
    (tmp_path / "out").mkdir()
    optuna.create_study(study_name="study", storage=f"sqlite:///{tmp_path}/out/study.db").add_trial(
        optuna.create_trial(value=1.0))
    with pytest.raises(ConfigError, match=r"study 'study': does not tell what its trials share: an older seq2x"):
        quick(write_study(tmp_path), tmp_path / "out", trials=2)


def test_two_studies_do_not_share_a_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    quick(write_study(tmp_path), out)
    before = {path: path.read_bytes() for path in [out / BEST, *out.glob("trial-0/*.*")]}
    other = write_study(tmp_path, name='"other"')
    with pytest.raises(ConfigError, match=r"out: was begun by the study 'study' of .*, and the study 'other' of .* is "
                                          r"another; choose another --out"):
        quick(other, out)
    with pytest.raises(ConfigError, match="is another; choose another --out"):  # of the same name
        quick(write_study(tmp_path, storage=f'"sqlite:///{tmp_path}/elsewhere.db"'), out)
    assert {path: path.read_bytes() for path in before} == before
    (out / "study.db").unlink()
    with pytest.raises(ConfigError, match="is another; choose another --out"):
        quick(write_study(tmp_path), out)


def test_runs_of_others_stay(tmp_path: Path) -> None:
    """Nothing is begun beside them, gone on with, or deleted."""
    quick(write_study(tmp_path), tmp_path / "first")
    shutil.copytree(tmp_path / "first/trial-0", tmp_path / "out/trial-0")
    with pytest.raises(ConfigError, match=r"trial-0: is there, and no begun.toml says of which study; choose another"):
        quick(write_study(tmp_path), tmp_path / "out")
    shutil.copytree(tmp_path / "first/trial-0", tmp_path / "first/trial-1")
    log: list[str] = []
    found = tune(tmp_path / "study.toml", tmp_path / "first", overrides=["training.max_epochs=1"], trials=3,
                 say=log.append)
    assert "trial 1: failed" in log[0]
    assert "holds a run already" in log[0]
    assert found.best != 1
    assert (tmp_path / "first/trial-1/weights.safetensors").is_file()


def test_the_best_are_written_where_nothing_is_left_to_train(tmp_path: Path) -> None:
    """As after a kill between the end of a trial and that."""
    study, out = write_study(tmp_path, keep='"all"'), tmp_path / "out"
    quick(study, out, trials=2)
    best = (out / BEST).read_bytes()
    (out / BEST).write_text("old")
    assert quick(write_study(tmp_path), out, trials=2).finished == 2
    assert (out / BEST).read_bytes() == best
    assert len(list(out.glob("trial-*"))) == 1


@pytest.mark.parametrize("error", [
    MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")])
def test_a_trial_without_memory_fails_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception,
) -> None:
    plain, log = tuning.train, []

    def filled(config: RunConfig, directory: Path, **more: Any) -> object:
        if directory.name == "trial-0":
            raise error
        return plain(config, directory, **more)

    monkeypatch.setattr(tuning, "train", filled)
    found = tune(write_study(tmp_path), tmp_path / "out", overrides=["training.max_epochs=1"], trials=2, say=log.append)
    assert (found.finished, found.best) == (2, 1)
    assert "trial 0: failed with" in log[0]
    assert f": {error}" in log[0] if str(error) else ": memory ran out" in log[0]


def test_other_errors_end_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(tuning, "train", broken)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        tune(write_study(tmp_path), tmp_path / "out")
