"""The flow around the trainings, with a library that only writes down what it was asked."""

from __future__ import annotations

import json
from pathlib import Path

import _quickstart
import pytest
from _baselines import Baseline
from _environment import ToolError
from _quickstart import PARTS, more, recorded, table


class Library:
    """Stands for `python -m seq2x ...` and for everything else that is run in .venv."""

    def __init__(self, root: Path) -> None:
        self.root, self.commands, self.code = root, [], 0

    def run(self, command: list[object]) -> int:
        words = [str(word) for word in command]
        self.commands.append(words)
        if "train" in words and self.code == 0:
            directory = self.root / words[words.index("--out") + 1]
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "README.md").write_text("card")
            (directory / "metrics.jsonl").write_text('{"seconds": 10}\n{"seconds": 83.4}\n')
        return self.code

    def ask(self, command: list[object], text: str = "") -> str:
        words = [str(word) for word in command]
        self.commands.append(words)
        if "evaluate" in words:
            scores = {"accuracy": 91.25, "bleu": 12.5, "bleu_signature": "nrefs:1|case:mixed"}
            return json.dumps({"run": "runs/x", "tasks": {"any": {"metric": "bleu", "scores": scores}}})
        if "-c" in words:
            return "3.5\n"
        lines = text.rstrip("\n").split("\n")
        if "classify" in words:
            return "good\t0.5\n" * len(lines)
        if "tag" in words:
            return "".join("".join(f"{word}\tX\n" for word in line.split()) + "\n" for line in lines)
        return "".join(f"out: {line}\n" for line in lines)

    def did(self, word: str) -> list[list[str]]:
        return [command for command in self.commands if word in command]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library(tmp_path)
    data = tmp_path / ".data" / "quickstart"
    for name, value in {"ROOT": tmp_path, "DATA": data, "RUNS": tmp_path / "runs",
                        "RECORD": tmp_path / "runs" / "quickstart.json", "run": library.run, "ask": library.ask,
                        "prepare": lambda: Path("python")}.items():
        monkeypatch.setattr(_quickstart, name, value)
    files = {
        "classifier/train.tsv": "good\ta film\n", "classifier/test.tsv": "good\tthat film\n",
        "tagger/train.conll": "a\tDT\n\n", "tagger/test.conll": "a\tDT\n\n",
        "translator/train.de": "ein Tor\n", "translator/train.en": "a gate\n",
        "translator/test.de": "das Tor\ndas Haus\n", "translator/test.en": "the gate\nthe house\n",
    }
    for part in PARTS:
        (data / part.name).mkdir(parents=True)
        (data / part.name / "counts.json").write_text("{}")
        part.config.parent.mkdir(parents=True, exist_ok=True)
        part.config.write_text("")
    for name, text in files.items():
        (data / name).write_text(text)
    return library


def test_everything_is_done_and_shown(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert _quickstart.tool([]) == 0
    assert library.commands[0][1:] == [str(library.root / "tools" / "quickstart_data.py"),
                                       "classifier", "tagger", "translator"]
    assert [command[1:4] + command[5:] for command in library.did("train")] == [
        ["-m", "seq2x", "train", "--out", f"runs/quickstart-{part.name}", "--resume"] for part in PARTS]
    out = capsys.readouterr().out
    assert "classifier  accuracy %  91.2   100.0 always good" in out
    assert "translator  BLEU        12.5     3.5 copying the source" in out
    assert "1:23 min  runs/quickstart-translator" in out
    assert "\nBLEU: nrefs:1|case:mixed\n" in out
    assert "output     out: das Haus\n    reference  the house" in out
    assert "    good 0.5           A warm, funny film" in out
    assert "    The/X old/X bridge/X near" in out


def test_what_is_finished_is_not_done_again(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    _quickstart.tool(["tagger"])
    first = table([PARTS[1]], recorded())
    _quickstart.tool(["tagger"])
    assert len(library.did("train")) == len(library.did("evaluate")) == 1
    assert "already trained: runs/quickstart-tagger" in capsys.readouterr().out
    assert table([PARTS[1]], recorded()) == first


def test_what_was_interrupted_goes_on(library: Library) -> None:
    library.code = 130
    with pytest.raises(ToolError, match=r"training of the tagger ended with exit code 130.*goes on from there"):
        _quickstart.train(PARTS[1], Path("python"))
    library.code = 0
    _quickstart.tool(["tagger"])
    assert [command[-1] for command in library.did("train")] == ["--resume", "--resume"]
    assert recorded()["tagger"]["score"] == 91.25


@pytest.mark.parametrize("changed", ["config", "data"])
def test_other_settings_or_data_start_afresh(changed: str, library: Library) -> None:
    _quickstart.tool(["tagger"])
    path = PARTS[1].config if changed == "config" else _quickstart.DATA / "tagger" / "counts.json"
    path.write_text("# changed")
    _quickstart.tool(["tagger"])
    assert [command[-1] for command in library.did("train")] == ["--resume", "--overwrite"]
    assert len(library.did("evaluate")) == 2


def test_a_deleted_run_is_trained_again(library: Library) -> None:
    _quickstart.tool(["tagger"])
    (library.root / "runs" / "quickstart-tagger" / "README.md").unlink()
    _quickstart.tool(["tagger"])
    assert len(library.did("train")) == 2


@pytest.mark.usefixtures("library")
def test_a_damaged_record_is_no_record() -> None:
    _quickstart.record("tagger", {"score": 1.0})
    assert recorded() == {"tagger": {"score": 1.0}}
    _quickstart.RECORD.write_text("{")
    assert recorded() == {}


def test_failures_are_said(library: Library) -> None:
    library.code = 2
    with pytest.raises(ToolError, match="the data is not complete"):
        _quickstart.tool(["tagger"])
    with pytest.raises(ToolError, match="unknown name 'tager'"):
        _quickstart.tool(["tager"])


def test_the_table_aligns() -> None:
    rows = table(PARTS[:1], {"classifier": {"score": 80.0, "signature": "", "seconds": 60.0, "baselines": [
        list(Baseline("always this", 50.04)), list(Baseline("never that", 9.0))]}}).split("\n")
    assert [row[31:] for row in rows[2:]] == [" 50.0 always this  1:00 min  runs/quickstart-classifier",
                                              "  9.0 never that"]
    assert set(rows[1]) == {"-"}


def test_the_commands_to_do_more() -> None:
    text = more(PARTS)
    for command in ("classify runs/quickstart-classifier < FILE", "translate --model runs/quickstart-translator < FILE",
                    "train my.toml"):
        assert command in text


@pytest.mark.parametrize("name", [part.name for part in PARTS])
def test_the_configurations_are_valid(name: str) -> None:
    from seq2x.config import read
    from seq2x.settings import RunConfig

    part = next(part for part in PARTS if part.name == name)
    config = read(RunConfig, part.config)
    assert config.training.max_minutes is not None
    (task,) = config.tasks.values()
    files = [task.train, task.dev] if isinstance(task.train, str) else [*task.train, *(task.dev or ())]
    assert all(str(file).startswith(f".data/quickstart/{name}/") for file in files)
