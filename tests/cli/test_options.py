"""What argparse answers for: help, version, mistyped options; quickly and without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x.cli import COMMANDS, translate_main
from seq2x.cli.options import amount, column, count, positive
from seq2x.version import __version__

HEAVY = {"torch", "numpy", "rich", "pydantic", "sentencepiece", "safetensors", "sacrebleu", "seqeval"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["train", "--help"], ["translate", "--beam", "3"], ["init"], ["nonsense"]]
)
def test_help_and_mistakes_import_nothing_heavy(arguments: list[str]) -> None:
    code = ("import sys, runpy; sys.argv = ['seq2x', *sys.argv[1:]]\n"
            "try: runpy.run_module('seq2x', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)")
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(answer.stderr.split("\n")[-2].split())
    assert "argparse" in loaded
    assert not loaded & HEAVY


def test_the_help_of_each_command_has_examples(call: Callable[..., tuple[int, str, str]]) -> None:
    for name in COMMANDS:
        code, output, _ = call([name, "--help"])
        assert code == 0
        assert f"seq2x {name} " in output
        assert "examples:" in output
    code, output, _ = call(["--help"])
    assert code == 0
    assert all(f"    {name} " in output for name in COMMANDS)
    assert max(map(len, output.split("\n"))) <= 120


def test_version(call: Callable[..., tuple[int, str, str]]) -> None:
    assert call(["--version"])[:2] == (0, f"seq2x {__version__}\n")
    assert call(["--version"], program=translate_main)[:2] == (0, f"seq2x {__version__}\n")


@pytest.mark.parametrize(("arguments", "message"), [
    (["translate", "run", "--beamsize", "3"], r"unknown option --beamsize; did you mean '--beam-size'?"),
    (["translate", "run", "--beam-size", "0"], "argument --beam-size: found '0', expected a whole number of 1 or more"),
    (["translate", "run", "--beam-size", "two"], "found 'two', expected a whole number"),
    (["translate", "run", "--length-penalty", "nan"], "found 'nan', expected a number of 0 or more"),
    (["translate", "run", "--length-norm", "gnnmt"], "invalid choice: 'gnnmt'"),
    (["translate"], "one run directory is needed, as RUN or as --model RUN; found none"),
    (["translate", "a", "--model", "b"], "found 'a' and --model 'b'"),
    (["train"], "the following arguments are required: CONFIG"),
    (["train", "x.toml", "--resume", "--overwrite"], "not allowed with argument"),
    (["train", "x.toml", "--max-minutes", "0"], "expected a number of more than 0"),
    (["train", "x.toml", "one more"], "unexpected argument 'one more'"),
    (["trian"], "invalid choice: 'trian'"),
    ([], "the following arguments are required: COMMAND"),
    (["init", "tag", "a", "b"], "FILE: found 2 files, expected one file (dev data: --dev FILE)"),
    (["tag", "run", "--stream", "--window", "3"], "--stream answers each line before the next is read; found --window"),
    (["classify", "run", "-i", "./a.part", "-o", "a"], "-i ./a.part would be written over: -o a has that name until"),
    (["init", "tag", "a", "--scheme", "BIO", "b"], "FILE: found 2 files, expected one file"),
    (["init", "translate", "a", "b", "--dev", "c"], "--dev: found 1, expected 2 as for training"),
])
def test_mistakes(fails: Callable[..., str], arguments: list[str], message: str) -> None:
    assert message in fails(arguments)


def test_an_abbreviated_option_is_none(fails: Callable[..., str]) -> None:
    assert "unknown option --beam; did you mean '--beam-size'?" in fails(["translate", "run", "--beam", "3"])


def test_numbers() -> None:
    assert (count("12"), amount("0"), positive("0.5")) == (12, 0.0, 0.5)
    assert (column("-1"), column("3"), column("upos"), column("-x")) == (-1, 3, "upos", "-x")


def test_the_architecture_of_a_command() -> None:
    for module in COMMANDS.values():
        assert callable(module.add)
        assert callable(module.run)
        assert Path(str(module.__file__)).name == f"{module.__name__.rpartition('.')[2]}.py"
