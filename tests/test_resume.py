"""Killed at any moment and resumed, a training is to the bit the one that was never stopped."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.pieces import kinds
from safetensors.torch import load_file
from tiny_data import go_on, pretrained, quiet, settings, write_files

from seq2x import checkpoint, config
from seq2x.errors import RunError
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.training.optimisers import OptimiserConfig
from seq2x.training.progress import FitConfig, Progress, Score, Update
from seq2x.training.schedules import ScheduleConfig

OPTIMISERS: list[dict[str, Any]] = [
    {"kind": "adam", "rate": 0.01}, {"kind": "adamw", "rate": 0.01}, {"kind": "sgd", "rate": 0.1, "momentum": 0.9},
    {"kind": "adam_then_sgd", "rate": 0.01, "switch": 5, "sgd_rate": 0.1},
]
SCHEDULES: list[dict[str, Any]] = [
    {"kind": "constant", "warmup": 3}, {"kind": "inverse_sqrt", "warmup": 4}, {"kind": "cosine", "warmup": 2},
    {"kind": "plateau"}, {"kind": "restarts", "patience": 1}, {"kind": "cyclic", "cycles": 3},
    {"kind": "steps", "start": 4, "every": 2},
]
MORE: list[dict[str, Any]] = [  # what else a state must hold
    {"ema": 0.9}, {"ema": 0.0, "average": 2}, {"ema": 0.9, "average": 3}, {"ema": 0.0, "patience": 2},
]


def test_every_kind_is_tested() -> None:
    for union, chosen in ((OptimiserConfig, OPTIMISERS), (ScheduleConfig, SCHEDULES)):
        assert kinds(union) == {one["kind"] for one in chosen}


def training(files: Path, number: int, **more: Any) -> RunConfig:
    """Three tasks mixed, BPE-dropout, dropout, accumulation, and the ``number``-th schedule, optimiser and so on."""
    often = {"accumulate": 2, "evaluate_every": 3, "batch_tokens": 160, "max_epochs": 2, "save_minutes": 1e-9}
    data = config.given(settings(files, "tag", "classify", "translate", **often, **MORE[number % len(MORE)], **more))
    data["optimiser"] = OPTIMISERS[number % len(OPTIMISERS)]
    data["schedule"] = SCHEDULES[number % len(SCHEDULES)]
    return config.parse(RunConfig, data, "test")


class Killed(BaseException):
    """As sudden as can be without a process of its own: nothing in the library catches it."""


class Killer:
    """A display that ends training at any call of its own, of which some come before a save and some after."""

    def __init__(self, after: int) -> None:
        self.left = after

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def started(self, steps: int, limits: FitConfig) -> None:  # noqa: ARG002
        self._live()

    def updated(self, update: Update) -> None:  # noqa: ARG002
        self._live()

    def evaluating(self, progress: Progress) -> None:  # noqa: ARG002
        self._live()

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:  # noqa: ARG002
        self._live()

    def say(self, line: str) -> None:
        """Lines are said in between."""


def assert_same(left: Path, right: Path) -> None:
    """The weights, the states, the metrics of two runs, to the bit; and every other file that they keep of weights."""
    names = [{str(path.relative_to(run)) for path in run.rglob("*.safetensors")} for run in (left, right)]
    assert names[0] == names[1]
    lines = [[(record["step"], record["best"], record["scores"]) for record in checkpoint.read_metrics(run)]
             for run in (left, right)]
    assert lines[0] == lines[1]
    differ = {}
    for name in sorted(names[0]):
        mine, other = load_file(left / name), load_file(right / name)
        assert mine.keys() == other.keys()
        differ |= {f"{name} {key}": (mine[key].double() - other[key].double()).abs().max().item() for key in mine
                   if not torch.equal(mine[key], other[key])}
    assert not differ


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


@pytest.mark.parametrize("number", range(max(len(OPTIMISERS), len(SCHEDULES))))
def test_stopped_after_any_call_it_goes_on(files: Path, number: int) -> None:
    _stopped_again_and_again(files, training(files, number), number)


def _stopped_again_and_again(files: Path, own: RunConfig, seed: int = 0) -> None:
    train(own, files / "whole", say=quiet)
    draw, stops = random.Random(seed), 0
    while True:
        try:
            train(own, files / "parts", resume=True, display=Killer(draw.randint(2, 12)), say=quiet)
        except Killed:
            stops += 1
        else:
            break
    assert stops >= 2
    assert_same(files / "whole", files / "parts")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_states_that_are_carried_from_batch_to_batch_go_on(files: Path, cell: str) -> None:
    data = config.given(training(files, {"lstm": 0, "gru": 4, "rnn": 2}[cell]))
    data["training"] |= {"batch_tokens": 60, "max_epochs": 3}
    data["encoder"] |= {"bidirectional": False, "cell": cell, "layers": 2, "initial": "learned"}
    data["text"]["dropout"] = 0.0
    data["tasks"] = {"lm": {"kind": "language_model", "train": f"{files}/train.src", "dev": f"{files}/dev.src",
                            "limit": {"max_tokens": 50}, "bptt": 3}}
    _stopped_again_and_again(files, config.parse(RunConfig, data, "test"))


def test_killed_at_any_moment_it_goes_on(files: Path) -> None:
    """Real processes and kill -9, at random moments: while it reads, learns, evaluates, writes."""
    own = training(files, 3, max_steps=30)
    (files / "run.toml").write_text(config.dump(own))
    began = time.monotonic()
    train(own, files / "whole", say=quiet)
    whole = time.monotonic() - began
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seq2x.run"])
    draw, killed = random.Random(5), 0
    while killed < 5:
        process = context.Process(target=go_on, args=(str(files / "run.toml"), str(files / "killed")))
        process.start()
        process.join(draw.uniform(0.1, 0.6) * whole)
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was quicker: once more, with less time
            shutil.rmtree(files / "killed")
            whole *= 0.7
        else:
            assert process.exitcode == -signal.SIGKILL
            killed += 1
    train(own, files / "killed", resume=True, say=quiet)
    assert_same(files / "whole", files / "killed")


def test_a_pretrained_encoder_goes_on_as_if_never_stopped(files: Path) -> None:
    for name, epochs in (("whole", 2), ("parts", 1)):
        train(config.parse(RunConfig, pretrained(files, "tag", max_epochs=epochs), "test"), files / name, say=quiet)
    own = config.parse(RunConfig, pretrained(files, "tag", max_epochs=2), "test")
    shutil.rmtree(files / "bert")
    train(own, files / "parts", resume=True, say=quiet)
    assert_same(files / "whole", files / "parts")


def test_data_that_a_pattern_did_not_match_before_are_refused(files: Path) -> None:
    (files / "shards").mkdir()
    shutil.copy(files / "train.conll", files / "shards" / "a.conll")
    data = config.given(settings(files, "tag", max_epochs=1))
    data["tasks"]["tag"]["train"] = f"{files}/shards/*.conll"
    train(config.parse(RunConfig, data, "test"), files / "run", say=quiet)
    shutil.copy(files / "dev.conll", files / "shards" / "b.conll")
    data["training"]["max_epochs"] = 2
    with pytest.raises(RunError, match=r"b\.conll is not the file that the run began with \(not read then, sha256 \w+"):
        train(config.parse(RunConfig, data, "test"), files / "run", resume=True, say=quiet)
    (files / "shards" / "a.conll").unlink()
    with pytest.raises(RunError, match=r"a\.conll is not the file .* then, not read now\)"):
        train(config.parse(RunConfig, data, "test"), files / "run", resume=True, say=quiet)
