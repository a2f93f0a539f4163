"""Runs whose training data lie on disk: the same as from memory; a cache is used again, or made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import checkpoint, config
from seq2x.errors import ConfigError, DataError
from seq2x.run import train
from seq2x.settings import CorpusConfig, RunConfig


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def cached(config: RunConfig, **settings: Any) -> RunConfig:
    return config.model_copy(update={"corpus": CorpusConfig.model_validate({"memory": "cache", **settings})})


def records(directory: Path) -> list[Any]:
    return [(record["step"], record["scores"]) for record in checkpoint.read_metrics(directory)]


@pytest.mark.parametrize(("kinds", "workers"), [(("tag", "classify"), 0), (("translate",), 1)])
def test_a_cache_changes_nothing_but_the_memory(files: Path, kinds: tuple[str, ...], workers: int) -> None:
    config, log = settings(files, *kinds, max_epochs=2), list[str]()
    train(config, files / "memory", say=quiet)
    train(cached(config, workers=workers), files / "cache", say=log.append)
    assert records(files / "memory") == records(files / "cache")
    left, right = (load_file(files / name / "weights.safetensors") for name in ("memory", "cache"))
    assert all(left[name].equal(right[name]) for name in left)
    assert any("60 examples, " in line and "cache" in line for line in log)
    assert len((files / "cache" / "README.md").read_text().split("| train |")) == len(kinds) + (
        2 if "translate" in kinds else 1)


def test_a_cache_is_used_again_and_made_anew_where_it_is_stale(files: Path) -> None:
    log: list[str] = []
    config = cached(settings(files, "classify", max_epochs=1), cache=str(files / "shared"))
    train(config, files / "one", say=quiet)
    made = (files / "shared" / "classify" / "ids0").stat().st_ino
    train(config, files / "two", say=log.append)
    assert (files / "shared" / "classify" / "ids0").stat().st_ino == made
    assert any("since before" in line for line in log)
    with (files / "train.tsv").open("a") as file:
        file.write("seen\tann saw oslo\n")
    train(config, files / "three", say=log.append)
    assert any("is stale (the data has changed since); it is made anew" in line for line in log)
    assert any(" 61 examples" in line for line in log)


def test_a_stopped_run_goes_on_with_its_cache(files: Path) -> None:
    whole = cached(settings(files, "translate", max_epochs=3, evaluate_every=7), buffer=25)
    train(whole, files / "whole", say=quiet)
    part = whole.model_copy(update={"training": whole.training.model_copy(update={"max_steps": 10})})
    train(part, files / "part", say=quiet)
    log: list[str] = []
    train(whole.model_copy(update={"corpus": whole.corpus.model_copy(update={"workers": 1})}), files / "part",
          resume=True, say=log.append)
    assert any("since before" in line for line in log)
    left, right = (load_file(files / name / "resume" / "state.safetensors") for name in ("whole", "part"))
    assert all(left[name].equal(right[name]) for name in left)


def test_errors_of_a_streamed_corpus_leave_no_directory(files: Path) -> None:
    with (files / "train.conll").open("a") as file:
        file.write("anne I-PER\n")
    with pytest.raises(DataError, match=r"train\.conll, line \d+: "):
        train(cached(settings(files, "tag"), workers=1), files / "run", say=quiet)
    assert not (files / "run").exists()
    data = settings(files, "tag").model_dump(mode="json", exclude_none=True)
    del data["tasks"]["tag"]["dev"]
    with pytest.raises(ConfigError, match=r"tasks\.tag: the key 'dev' is missing, and corpus\.memory = 'cache'"):
        config.parse(RunConfig, {**data, "corpus": {"memory": "cache"}}, "test")


def test_overwriting_keeps_the_cache_in_use_alone(files: Path) -> None:
    config = cached(settings(files, "classify", max_epochs=1))
    train(config, files / "run", say=quiet)
    log: list[str] = []
    train(config, files / "run", overwrite=True, say=log.append)
    assert any("since before" in line for line in log)
    train(settings(files, "classify", max_epochs=1), files / "run", overwrite=True, say=quiet)
    assert not (files / "run" / "cache").exists()
