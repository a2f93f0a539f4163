from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _environment
import pytest
from _environment import ToolError, ask, prepare, run, venv_python

SCRIPTS = ["bench", "check", "get_data", "quickstart", "quickstart_data.py", "test"]


class Pip:
    """Stands for every program that prepare() starts."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.code = 0

    def __call__(self, command: list[str], *, root: Path) -> int:  # noqa: ARG002 - the signature of run()
        self.commands.append([str(word) for word in command])
        return self.code


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".venv").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("torch==1\n")
    return tmp_path


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(_environment, "run", pip)
    monkeypatch.setattr(_environment, "_version_of", lambda python: [3, 12])  # noqa: ARG005 - the signature
    return pip


def installed(pip: Pip) -> list[str]:
    return [command[command.index("-e") + 1] for command in pip.commands if "install" in command]


def test_pip_runs_once(project: Path, pip: Pip) -> None:
    assert prepare(root=project) == venv_python(project)
    prepare(root=project)
    assert installed(pip) == ["."]
    assert pip.commands[0][-2:] == ["-c", "constraints.txt"]


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_pip_runs_again_when_a_file_has_changed(file: str, project: Path, pip: Pip) -> None:
    prepare("test", project)
    (project / file).write_text("changed\n")
    prepare("test", project)
    assert installed(pip) == [".[test]", ".[test]"]


def test_extras_add_up(project: Path, pip: Pip) -> None:
    prepare("test", project)
    prepare(root=project)
    prepare("dev", project)
    prepare("test", project)
    assert installed(pip) == [".[test]", ".[dev,test]"]


def test_a_failed_pip_is_said_and_tried_again(project: Path, pip: Pip) -> None:
    pip.code = 1
    with pytest.raises(ToolError, match=r"PIP failed with exit code 1; its message stands above.*\n.*pip install"):
        prepare(root=project)
    pip.code = 0
    prepare(root=project)
    prepare(root=project)
    assert len(pip.commands) == 2


def test_a_damaged_stamp_is_no_stamp(project: Path, pip: Pip) -> None:
    (project / ".venv" / _environment.STAMP).write_text("{")
    prepare(root=project)
    assert installed(pip) == ["."]
    assert json.loads((project / ".venv" / _environment.STAMP).read_text())["extras"] == []


def test_a_venv_is_made_where_none_works(project: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter([None, [3, 12]])
    monkeypatch.setattr(_environment, "_version_of", lambda python: next(versions))  # noqa: ARG005 - the signature
    prepare(root=project)
    assert pip.commands[0] == [sys.executable, "-m", "venv", "--clear", ".venv"]


def test_a_venv_that_stays_broken_is_said(project: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_environment, "_version_of", lambda python: None)  # noqa: ARG005 - the signature
    with pytest.raises(ToolError, match="delete the folder"):
        prepare(root=project)
    pip.code = 1
    with pytest.raises(ToolError, match="python3-venv"):
        prepare(root=project)


def test_an_old_venv_is_said(project: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_environment, "_version_of", lambda python: [3, 9])  # noqa: ARG005 - the signature
    with pytest.raises(ToolError, match=r"holds Python 3.9, 3.11 or newer is needed"):
        prepare(root=project)
    assert pip.commands == []


def test_the_version_of_a_python() -> None:
    assert _environment._version_of(Path(sys.executable)) == list(sys.version_info[:2])
    assert _environment._version_of(Path("no/such/python")) is None


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_old_python_gets_one_line(script: str, tools: Path) -> None:
    code = (f"import sys; sys.version_info = (3, 9, 7); sys.path.insert(0, {str(tools)!r}); "
            f"sys.argv = ['tools/{script}']; exec(compile(open({str(tools / script)!r}).read(), 'script', 'exec'))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.startswith("seq2x needs Python 3.11 or newer; this is Python 3.9 ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_tool_has_help(script: str, tools: Path) -> None:
    answer = subprocess.run([sys.executable, tools / script, "--help"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"usage: tools/{script}")


def test_scripts_are_executable_and_plain(tools: Path) -> None:
    for script in SCRIPTS:
        assert (tools / script).read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert not [path for path in tools.iterdir() if path.is_symlink()]


def test_problems_are_one_paragraph_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: object) -> int:  # noqa: ARG001 - the signature of a tool
        raise ToolError("this is wrong; do that")

    with pytest.raises(SystemExit) as ended:
        _environment.main(fail)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: this is wrong; do that\n"


def test_ctrl_c_says_that_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> int:  # noqa: ARG001 - the signature of a tool
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        _environment.main(interrupted)
    assert ended.value.code == 130
    assert "the same command goes on from here" in capsys.readouterr().err


def test_programs_are_run_in_the_project(tmp_path: Path) -> None:
    code = "import os, sys, pathlib; pathlib.Path('here').write_text(os.environ['ONE']); sys.exit(3)"
    assert run([sys.executable, "-c", code], root=tmp_path, settings={"ONE": "1"}) == 3
    assert (tmp_path / "here").read_text() == "1"


def test_ctrl_c_leaves_a_program_the_time_to_save(tmp_path: Path, tools: Path) -> None:
    saving = """
import pathlib, signal, sys, time
def save(number, frame):
    time.sleep(0.5)
    pathlib.Path('saved').write_text('whole')
    sys.exit(130)
signal.signal(signal.SIGINT, save)
pathlib.Path('ready').write_text('')
time.sleep(30)
"""
    (tmp_path / "saving.py").write_text(saving)
    code = (f"import sys, pathlib; sys.path.insert(0, {str(tools)!r}); import _environment as e; "
            "e.main(lambda arguments: e.run([sys.executable, 'saving.py'], root=pathlib.Path('.')))")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C: to all of its programs
    message = process.communicate(timeout=20)[1]
    assert (tmp_path / "saved").read_text() == "whole"
    assert process.returncode == 130
    assert message == "\nstopped; the same command goes on from here\n"


def test_asking_a_program() -> None:
    echo = "import sys; print(sys.stdin.read().upper(), end='')"
    assert ask([sys.executable, "-c", echo], "über\n") == "ÜBER\n"
    with pytest.raises(ToolError, match="exit code 4 of"):
        ask([sys.executable, "-c", "import sys; sys.exit(4)"])


def test_constraints_pin_every_requirement() -> None:
    lines = (_environment.ROOT / "constraints.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert lines[0] == "torch==2.13.0"
    assert all(line.count("==") == 1 and "+" not in line and "@" not in line for line in lines)
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert {"numpy", "pydantic", "sentencepiece", "pytest", "hypothesis", "ruff", "mypy", "sacrebleu"} <= pinned
