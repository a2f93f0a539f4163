"""train and evaluate at the command line: what is said, what is left, how one goes on."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x import checkpoint
from seq2x.reports import tensorboard
from seq2x.reports.console import ConsoleDisplay
from seq2x.training.progress import Update

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
QUICK = ["--set", "encoder.maps=4", "--set", "training.max_epochs=2"]


@pytest.fixture
def own(data: Path, world: Path) -> Path:
    """The data and classify.toml in a folder of their own."""
    shutil.copy(world / "classify.toml", data)
    return data


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Press Ctrl-C in that update."""
    before = ConsoleDisplay.updated

    def updated(self: ConsoleDisplay, update: Update) -> None:
        before(self, update)
        if update.progress.step == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.05)  # a second signal before the handler of the first has run would be the same one

    monkeypatch.setattr(ConsoleDisplay, "updated", updated)


def test_a_training_tells_what_it_reads_and_leaves(own: Path, call: Call) -> None:
    code, output, errors = call(["train", "classify.toml", *QUICK])
    assert code == 0
    assert "data        train        80 examples   train.tsv\n" in errors
    assert "            dev          15 examples   dev.tsv\n" in errors
    assert "epoch 2/2  update" in errors
    assert "\r" not in errors  # no terminal, no moving line
    best, ended, evaluate, classify, end = output.split("\n")
    assert best.startswith("best        runs/classify: dev score ")
    assert ended.startswith("ended       2 epochs; ")
    assert evaluate == "next        seq2x evaluate runs/classify test.tsv"
    assert classify == "            seq2x classify runs/classify -i in.txt -o labels.tsv"
    assert end == ""
    card = (own / "runs/classify/README.md").read_text(encoding="utf-8")
    assert "| classify | train | `train.tsv` | 80 |" in card
    assert re.search(r"- computed on: cpu \(.+\), 1 thread, fp32 \(float32 throughout\); it has \d+ cores", card)


def test_a_quiet_training_says_the_result_only(own: Path, call: Call) -> None:
    code, output, errors = call(["train", "classify.toml", "--quiet", "--out", "here", *QUICK])
    assert (code, errors) == (0, "")
    assert output.startswith("best        here: ")
    assert (own / "here" / "weights.safetensors").is_file()


@pytest.mark.usefixtures("own")
def test_an_older_run_stays_unless_it_may_go(call: Call, fails: Fails) -> None:
    assert call(["train", "classify.toml", *QUICK])[0] == 0
    assert "--resume goes on with it, --overwrite starts afresh" in fails(["train", "classify.toml", *QUICK])
    assert call(["train", "classify.toml", "--overwrite", *QUICK])[0] == 0
    code, output, _ = call(["train", "classify.toml", "--resume", *QUICK, "--set", "training.max_epochs=3"])
    assert code == 0
    assert "ended       3 epochs" in output
    assert "other settings: encoder.maps was 4, now 5" in fails(
        ["train", "classify.toml", "--resume", *QUICK, "--set", "encoder.maps=5"], log=True)


def test_minutes_are_a_limit(own: Path, call: Call) -> None:
    code, output, _ = call(["train", "classify.toml", *QUICK, "--max-minutes", "1e-05"])
    assert code == 0
    assert "ended       1e-05 minutes; 1 update in 0:0" in output
    assert checkpoint.read_config(own / "runs/classify").training.max_minutes == 1e-05


@pytest.mark.usefixtures("own")
def test_ctrl_c_saves_and_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupted_at(patch, 3)
        code, output, errors = call(["train", "classify.toml", *QUICK])
    assert code == 130
    assert "Traceback" not in errors
    assert "3 updates" in output
    assert "ended       Ctrl-C; all is saved; 3 updates in 0:0" in output
    again = output.strip("\n").split("\n")[-1].removeprefix("go on       ")
    assert again == "seq2x train classify.toml --set encoder.maps=4 --set training.max_epochs=2 --resume"
    code, output, errors = call(again.split()[1:])
    assert code == 0
    assert "going on after update 3" in errors
    assert "ended       2 epochs" in output


@pytest.mark.usefixtures("own")
def test_a_second_ctrl_c_stops_at_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(monkeypatch, 2, times=2)
    code, output, errors = call(["train", "classify.toml", *QUICK])
    assert (code, output) == (130, "")
    assert errors.endswith("seq2x: interrupted\n")
    assert "Traceback" not in errors


def test_evaluate_prints_a_table_of_each_kind(world: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    code, output, _ = call(["evaluate", "runs/tag"])
    assert code == 0
    assert "dev.conll" in output
    assert "scheme     BIO" in output
    assert all(f"\n  {label} " in output for label in ("label", "PER", "LOC"))
    code, output, _ = call(["evaluate", "runs/classify", "train.tsv"])
    assert code == 0
    assert "80 texts" in output
    assert "gold \\ found" in output
    code, output, _ = call(["evaluate", "runs/translate", "dev.de", "dev.en", "--beam-size", "2"])
    assert code == 0
    assert "beam_size 2" in output
    assert "BLEU by  nrefs:1|case:mixed" in output
    assert "chrF by" in output


@pytest.mark.parametrize(("kind", "metric", "least"), [
    ("tag", "f1", 90), ("classify", "accuracy", 90), ("translate", "bleu", 10),
])
def test_evaluate_json_is_one_object(
    world: Path, call: Call, monkeypatch: pytest.MonkeyPatch, kind: str, metric: str, least: float
) -> None:
    monkeypatch.chdir(world)
    code, output, _ = call(["evaluate", f"runs/{kind}", "--json"])
    assert (code, output.count("\n")) == (0, 1)
    found = json.loads(output)["tasks"][kind]
    assert found["metric"] == metric
    assert found["value"] == found["scores"][metric] > least
    if kind != "translate":
        best = checkpoint.read_metrics(world / "runs" / kind)[-1]["best"]
        assert found["value"] == best  # the same data, the same weights, the same search


def test_without_a_dev_file_it_is_what_was_held_out(own: Path, call: Call, fails: Fails) -> None:
    assert call(["init", "classify", "train.tsv", "--force"])[0] == 0
    assert call(["train", "classify.toml", *QUICK])[0] == 0
    code, output, _ = call(["evaluate", "runs/classify", "--json"])
    found = json.loads(output)["tasks"]["classify"]
    assert code == 0
    assert found["data"] == "held out of train.tsv"
    assert found["value"] == checkpoint.read_metrics(own / "runs/classify")[-1]["best"]
    with (own / "train.tsv").open("a") as file:
        file.write((own / "train.tsv").read_text().split("\n")[0] + "\n")
    checkpoint.append_metrics(own / "runs/classify", {"step": 999})  # of a record that does not say its data
    assert "train.tsv: is not the file that the run was trained on" in fails(["evaluate", "runs/classify"])


def test_a_run_of_two_tasks(data: Path, call: Call, fails: Fails) -> None:
    (data / "two.toml").write_text(
        'text = { kind = "words" }\nencoder = { kind = "recurrent", hidden = 8 }\ntraining = { max_epochs = 1 }\n'
        'tasks.names = { kind = "tag", train = "train.conll", dev = "dev.conll", data = { scheme = "BIO" } }\n'
        'tasks.verbs = { kind = "classify", train = "train.tsv", dev = "dev.tsv" }\n')
    code, output, errors = call(["train", "two.toml"])
    assert code == 0
    assert "names loss" in errors
    assert "seq2x evaluate runs/two test.conll --task names\n" in output
    assert "seq2x tag runs/two --task names -i in.txt -o tagged.conll\n" in output
    assert re.search(r"dev \d+\.\d\d \(names f1 \d+\.\d\d, verbs accuracy \d+\.\d\d\)", errors)
    code, output, _ = call(["evaluate", "runs/two"])
    assert code == 0
    assert "names (tag)" in output
    assert "verbs (classify)" in output
    assert call(["evaluate", "runs/two", "dev.tsv", "--task", "verbs"])[0] == 0
    assert "--task says which these files are for" in fails(["evaluate", "runs/two", "dev.tsv"])
    assert "has no task 'verb'; did you mean 'verbs'?" in fails(["evaluate", "runs/two", "--task", "verb"])
    assert "found 2 files, expected one" in fails(["evaluate", "runs/two", "a", "b", "--task", "verbs"])
    assert "no task 'name'; did you mean 'names'?" in fails(["tag", "runs/two", "--task", "name"])
    assert call(["tag", "runs/two", "--task", "names"], b"Ann went .\n")[0] == 0


@pytest.mark.usefixtures("own")
def test_next_is_the_test_data_that_are_there(own: Path, call: Call) -> None:
    shutil.copy(own / "dev.tsv", own / "test.tsv")
    _, output, _ = call(["train", "classify.toml", *QUICK, "--set", f'tasks.classify.train="{own}/train.tsv"'])
    command = next(line for line in output.split("\n") if line.startswith("next"))
    assert command == f"next        seq2x evaluate runs/classify {own}/test.tsv"
    assert call(shlex.split(command)[2:])[0] == 0


@pytest.mark.usefixtures("own")
def test_examples_are_always_the_same_ones(call: Call) -> None:
    def shown(*more: str) -> list[list[str]]:
        _, _, errors = call(["train", "classify.toml", "--overwrite", *QUICK, *more])
        evaluations = errors.split("  after 0:0")[1:]
        assert len(evaluations) == 2
        return [re.findall(r"^    (?:right|wrong) .*: (.*)$", part, re.MULTILINE) for part in evaluations]

    first, = set(map(tuple, shown()))
    assert len(first) == 2
    assert set(map(tuple, shown("--set", "optimiser.rate=0.1"))) == {first}
    assert shown("--set", "training.show_examples=0") == [[], []]


def test_a_target_without_a_translation_is_a_mistake(own: Path, fails: Fails) -> None:
    message = fails(["train", "classify.toml", "--set", "target_text.kind=words"])
    assert "target_text is for translation, and none of the tasks translates: found classify (classify)" in message
    assert not (own / "runs").exists()


def test_dev_examples_that_were_trained_on_are_warned_of(own: Path, call: Call) -> None:
    train = (own / "train.tsv").read_text(encoding="utf-8").split("\n")
    (own / "dev.tsv").write_text("\n".join([*train[:3], "gone\tNobody went to Turku .", ""]), encoding="utf-8")
    _, _, errors = call(["train", "classify.toml", *QUICK])
    assert "warning     3 of 4 dev examples of classify stand in its training data too, word for word" in errors


def test_curves_are_drawn_where_tensorboard_is_installed(
    own: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(["train", "classify.toml", "--quiet", *QUICK])[0] == 0
    assert list((own / "runs/classify/tensorboard").glob("events.out.tfevents.*"))
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    assert call(["train", "classify.toml", "--quiet", "--overwrite", *QUICK])[0] == 0
    assert not (own / "runs/classify/tensorboard").exists()


@pytest.mark.usefixtures("own")
def test_of_several_processes_the_first_speaks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert call(["train", "classify.toml", "--quiet", *QUICK]) == (0, "", "")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    interrupted_at(monkeypatch, 3)
    _, output, _ = call(["train", "classify.toml", "--overwrite", "--quiet", *QUICK])
    assert "go on       torchrun --nproc-per-node 2 -m seq2x train classify.toml --set encoder.maps=4" in output
