"""Small invented data of every task, and settings that train on them in a second."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import torch
from tiny_bert import tiny_bert

from seq2x import config
from seq2x.run import train
from seq2x.settings import RunConfig

NAMES, PLACES = ["ann", "bob", "eve", "tom"], ["york", "rome", "oslo"]
WORDS = {"ann": "anna", "bob": "bert", "eve": "eva", "tom": "thomas", "york": "jork", "rome": "rom", "oslo": "osle",
         "went": "ging", "to": "nach", "saw": "sah", ".": "."}


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        if draw.random() < 0.5:
            made.append([(draw.choice(NAMES), "B-PER"), ("went", "O"), ("to", "O"), (draw.choice(PLACES), "B-LOC"),
                         (".", "O")])
        else:
            made.append([(draw.choice(NAMES), "B-PER"), (draw.choice(NAMES), "I-PER"), ("saw", "O"),
                         (draw.choice(PLACES), "B-LOC"), (".", "O")])
    return made


def write_files(folder: Path) -> Path:
    """Write train and dev files of every task into ``folder``."""
    for name, count, seed in (("train", 60, 1), ("dev", 12, 2)):
        write_split(folder, name, sentences(count, seed))
    return folder


def write_split(folder: Path, name: str, made: list[list[tuple[str, str]]]) -> None:
    """Write the same sentences as data of every task."""
    (folder / f"{name}.conll").write_text(
        "".join("".join(f"{word} {tag}\n" for word, tag in one) + "\n" for one in made))
    (folder / f"{name}.tsv").write_text(
        "".join(f"{'seen' if 'saw' in dict(one) else 'gone'}\t{' '.join(dict(one))}\n" for one in made))
    (folder / f"{name}.src").write_text("".join(" ".join(word for word, _ in one) + "\n" for one in made))
    (folder / f"{name}.tgt").write_text("".join(" ".join(WORDS[word] for word, _ in one) + "\n" for one in made))


def settings(files: Path, *kinds: str, **training: Any) -> RunConfig:
    tasks: dict[str, Any] = {
        "tag": {"kind": "tag", "train": f"{files}/train.conll", "dev": f"{files}/dev.conll", "data": {"scheme": "BIO"},
                "limit": {"max_tokens": 50}},
        "classify": {"kind": "classify", "train": f"{files}/train.tsv", "dev": f"{files}/dev.tsv",
                     "limit": {"max_tokens": 50}},
        "translate": {"kind": "translate", "train": [f"{files}/train.src", f"{files}/train.tgt"],
                      "dev": [f"{files}/dev.src", f"{files}/dev.tgt"], "limit": {"max_tokens": 50},
                      "search": {"beam_size": 2},
                      "head": {"decoder": {"kind": "recurrent", "width": 32, "hidden": 32}}},
    }
    data = {
        "threads": 1,
        "text": {"kind": "subwords", "size": 300, "dropout": 0.1} if "translate" in kinds else {"kind": "words"},
        "encoder": {"kind": "recurrent", "hidden": 16, "dropout": 0.1 if "tag" in kinds else 0.0,
                    "embedding": {"width": 32}},
        "tasks": {kind: tasks[kind] for kind in kinds},
        "optimiser": {"kind": "adam", "rate": 0.01},
        "schedule": {"kind": "constant"},
        "training": {"batch_tokens": 64, "max_epochs": 3, "ema": 0.5, **training},
    }
    return config.parse(RunConfig, data, "test")


def quiet(_: str) -> None:
    """The log where none is wanted."""


def go_on(toml: str, directory: str) -> None:
    """Begin a training, or go on with it: what a process that is to be killed runs."""
    torch.set_num_threads(1)
    train(toml, directory, resume=True, say=quiet)


def pretrained(files: Path, *kinds: str, **training: Any) -> dict[str, Any]:
    """The same tasks on top of a tiny BERT, which lies beside the data and is named once."""
    if not (files / "bert").exists():
        shutil.copytree(tiny_bert(), files / "bert")
    data = settings(files, *kinds, **training).model_dump(mode="json", exclude_none=True)
    data["encoder"] = {"kind": "pretrained", "model": f"{files}/bert", "mix": "scalar", "rate": 1.0, "rate_decay": 1.0}
    text = data.pop("text")
    return {**data, "target_text": text} if "translate" in kinds else data
