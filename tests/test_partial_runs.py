"""A tagger learns from sentences of which not all is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import config
from seq2x.errors import ConfigError, DataError
from seq2x.run import train
from seq2x.settings import RunConfig


def partial(files: Path, **changes: Any) -> RunConfig:
    """Half of the names are unknown, and the verbs are one thing or another."""
    lines = (files / "train.conll").read_text().split("\n")
    for number, line in enumerate(lines):
        word, _, tag = line.partition(" ")
        if word in ("ann", "rome") and not tag.startswith("I-") and number % 2:
            lines[number] = f"{word} ?" if number % 4 == 1 else f"{word} {tag}|B-PER|B-LOC"
        elif word == "saw":
            lines[number] = "saw O|B-LOC"
    (files / "train.conll").write_text("\n".join(lines))
    made = settings(files, "tag", max_epochs=12).model_dump(mode="json", exclude_none=True)
    made["tasks"]["tag"]["data"] = {"scheme": "BIO", "partial": True}
    made["tasks"]["tag"] |= changes
    return config.parse(RunConfig, made, "test")


@pytest.mark.parametrize("decoder", ["crf", "softmax"])
def test_it_learns_from_what_is_known(tmp_path: Path, decoder: str) -> None:
    made = partial(write_files(tmp_path), head={"kind": "tag", "decoder": decoder})
    best = train(made, tmp_path / "run", say=quiet).progress.best
    assert best is not None
    assert best > 80
    assert (tmp_path / "run" / "labels.tag.txt").read_text().split() == [
        "O", *(f"{prefix}-{label}" for label in ("LOC", "PER") for prefix in "BIES")]


def test_a_cache_changes_nothing(tmp_path: Path) -> None:
    made = partial(write_files(tmp_path))
    made = made.model_copy(update={"training": made.training.model_copy(update={"max_epochs": 2})})
    train(made, tmp_path / "memory", say=quiet)
    stored = made.model_dump(mode="json", exclude_none=True) | {"corpus": {"memory": "cache"}}
    train(config.parse(RunConfig, stored, "test"), tmp_path / "cache", say=quiet)
    left, right = (load_file(tmp_path / name / "weights.safetensors") for name in ("memory", "cache"))
    assert all(left[name].equal(right[name]) for name in left)


def test_what_is_partly_known_cannot_be_scored(tmp_path: Path) -> None:
    made = partial(write_files(tmp_path), dev=str(tmp_path / "train.conll"))
    with pytest.raises(DataError, match=r"train.conll, line \d+: some of the tags are partly known or unknown; to "
                                        "score a model"):
        train(made, tmp_path / "run", say=quiet)


def test_nothing_known_at_all(tmp_path: Path) -> None:
    made = partial(write_files(tmp_path))
    (tmp_path / "train.conll").write_text("ann ?\nsaw ?\n")
    with pytest.raises(DataError, match=r"train.conll: every tag is '\?': there is nothing to learn"):
        train(made, tmp_path / "run", say=quiet)


def test_a_model_that_does_not_mark_the_ends(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scheme = 'BIO' cannot be learnt from partial tags in 'IOBES'"):
        partial(write_files(tmp_path), scheme="BIO", data={"scheme": "IOBES", "partial": True})
