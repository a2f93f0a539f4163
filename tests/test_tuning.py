"""The search for settings: what it proposes, keeps and goes on with; on trainings of a second."""

from __future__ import annotations

from pathlib import Path

import pytest
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
