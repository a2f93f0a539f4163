"""Small invented data, and runs trained on them through the command line itself: init, then train."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from seq2x.cli import main

NAMES, PLACES, VERBS = ["Ann", "Bob", "Eve", "Tom"], ["York", "Rome", "Oslo"], ["saw", "left", "loves"]
IN_GERMAN = {"saw": "sah", "left": "verliess", "loves": "liebt", "went": "ging", "to": "nach", "in": "in"}

Call = Callable[..., tuple[int, str, str]]


def sentence(draw: random.Random) -> list[tuple[str, str]]:
    """One sentence: words and their tags."""
    if draw.random() < 0.5:
        return [(draw.choice(NAMES), "B-PER"), ("went", "O"), ("to", "O"), (draw.choice(PLACES), "B-LOC"), (".", "O")]
    people = [(draw.choice(NAMES), "B-PER"), (draw.choice(NAMES), "I-PER")]
    return [*people, (draw.choice(VERBS), "O"), (draw.choice(PLACES), "B-LOC"), (".", "O")]


def write_data(folder: Path) -> None:
    """Write train and dev in a format for each kind of task."""
    for name, size, seed in (("train", 80, 1), ("dev", 15, 2)):
        draw = random.Random(seed)
        made = [sentence(draw) for _ in range(size)]
        texts = [" ".join(word for word, _ in one) for one in made]
        labels = ["gone" if "went" in text else "seen" for text in texts]
        german = [" ".join(IN_GERMAN.get(word, word) for word in text.split(" ")) for text in texts]
        write(folder / f"{name}.conll", "\n".join("".join(f"{word} {tag}\n" for word, tag in one) for one in made))
        write(folder / f"{name}.tsv", "".join(f"{label}\t{text}\n" for label, text in zip(labels, texts, strict=True)))
        write(folder / f"{name}.en", "".join(f"{text}\n" for text in texts))
        write(folder / f"{name}.de", "".join(f"{text}\n" for text in german))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


SMALL = {
    "tag": ["encoder.hidden=16", "encoder.dropout=0.1", "training.max_epochs=8", "optimiser.rate=0.02",
            "training.ema=0.5"],
    "classify": ["encoder.maps=8", "encoder.dropout=0.1", "training.max_epochs=8", "optimiser.rate=0.02",
                 "training.ema=0.5"],
    "translate": ["encoder.hidden=16", "encoder.embedding.width=32", "tasks.translate.head.decoder.width=32",
                  "tasks.translate.head.decoder.hidden=32", "training.max_epochs=20", "optimiser.rate=0.02",
                  "training.ema=0.5", "tasks.translate.search.beam_size=3"],
}
FILES = {
    "tag": (["train.conll"], ["dev.conll"]),
    "classify": (["train.tsv"], ["dev.tsv"]),
    "translate": (["train.de", "train.en"], ["dev.de", "dev.en"]),
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data, KIND.toml as init wrote it, and runs/KIND trained from it; not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    write_data(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for kind, (train, dev) in FILES.items():
            assert main(["init", kind, *train, "--dev", *dev]) == 0
            small = [part for setting in SMALL[kind] for part in ("--set", setting)]
            assert main(["train", f"{kind}.toml", *small]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the data, as the working directory."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line in this process: exit code, standard output, standard error."""

    def run(
        arguments: Sequence[str | Path], stdin: bytes = b"", program: Callable[[Sequence[str]], int] = main
    ) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        try:
            code = program([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's way out
            code = end.code if isinstance(end.code, int) else 1
        output, errors = capsys.readouterr()
        return code, output, errors

    return run


@pytest.fixture
def fails(call: Call) -> Callable[..., str]:
    """Run a command line that must end with exit code 2 and one paragraph, which is returned."""

    def run(arguments: Sequence[str | Path], stdin: bytes = b"", *, log: bool = False) -> str:
        """``log``: training may have said something before."""
        code, output, errors = call(arguments, stdin)
        assert code == 2
        assert output == ""
        message = errors[errors.index("seq2x") :] if not log else errors[errors.index("seq2x: error:") :]
        assert message.startswith("seq2x")
        assert "error: " in message
        assert "Traceback" not in errors
        assert "\n" not in message.rstrip("\n")
        return message

    return run
