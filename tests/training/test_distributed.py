"""Several processes that train one model: the same losses, nothing twice, resume; on gloo, started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from seq2x.training.distributed import Ranks, choose_device

SETTINGS = """
seed = 3
[text]
kind = "words"
[encoder]
kind = "recurrent"
hidden = 8
embedding = {{ width = 8 }}
[tasks.tag]
kind = "tag"
train = "{folder}/train.conll"
dev = "{folder}/dev.conll"
data = {{ scheme = "BIO" }}
limit = {{ max_tokens = 40 }}
[tasks.class]
kind = "classify"
train = "{folder}/train.tsv"
dev = "{folder}/dev.tsv"
limit = {{ max_tokens = 40 }}
[schedule]
kind = "plateau"
[training]
batch_tokens = 41
accumulate = 2
max_epochs = 2
evaluate_every = 3
"""
NAMES, PLACES = ["ann", "bob", "eve", "tom"], ["york", "rome", "oslo"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 19), ("dev", 7)):
        tagged, texts = [], []
        for index in range(count):
            name, place, more = NAMES[index % 4], PLACES[index % 3], index % 5
            tagged.append(f"{name} B-PER\nleft O\n{place} B-LOC\n" + "again O\n" * more)
            texts.append(f"{'long' if more > 2 else 'short'}\t{name} left {place}{' again' * more}")
        (folder / f"{split}.conll").write_text("\n".join(tagged) + "\n")
        (folder / f"{split}.tsv").write_text("\n".join(texts) + "\n")
    (folder / "run.toml").write_text(SETTINGS.format(folder=folder.as_posix()))
    return folder


def train(
    folder: Path, out: str, processes: int, *arguments: str
) -> tuple[dict[str, torch.Tensor], list[dict[str, object]]]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = ["-m", "seq2x.cli", "train", str(folder / "run.toml"), "--out", str(folder / out), *arguments]
    done = subprocess.run([*(start if processes > 1 else [sys.executable]), *command], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("vocabulary") <= 1  # only the first process speaks
    lines = (folder / out / "metrics.jsonl").read_text().splitlines()
    return load_file(folder / out / "resume" / "state.safetensors"), [json.loads(line) for line in lines]


def test_two_processes_train_as_one_does_and_resume_to_the_bit(folder: Path) -> None:
    one, scores = train(folder, "one", 1)
    two, both = train(folder, "two", 2)
    for name in (name for name in one if name.startswith("model.")):
        assert torch.allclose(one[name], two[name], atol=1e-6), name
    assert [record["scores"] for record in both] == [record["scores"] for record in scores]
    assert {"random.0", "random.1"} <= two.keys()
    train(folder, "parts", 2, "--set", "training.max_steps=5")
    parts, again = train(folder, "parts", 2, "--resume")
    for name, tensor in two.items():
        assert torch.equal(tensor, parts[name]), name
    assert [record["step"] for record in again if record["step"] != 5] == [record["step"] for record in both]


def test_shares_are_disjoint_and_whole() -> None:
    items = list(range(11))
    shares = [Ranks(rank, 3).part(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items
    alone = Ranks()
    assert alone.whole(alone.part(items)) == items
    assert alone.total([1, 2.5]) == [1, 2.5]


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda"}
