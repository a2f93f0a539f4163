"""Language models with attention or of hidden tokens, from text files to scores, and a tagger that starts from one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import LanguageModel, config
from seq2x.run import train
from seq2x.settings import RunConfig

TRANSFORMER = {"kind": "transformer", "layers": 1, "heads": 2, "feedforward": 32, "embedding": {"width": 32}}
HEADS: dict[str, dict[str, Any]] = {
    "masked": {"objective": "masked", "masked": 0.3}, "key_value": {"attention": {"kind": "key_value", "window": 3}},
    "causal": {}}


@pytest.mark.parametrize("head", HEADS)
def test_a_tagger_starts_from_a_language_model(tmp_path: Path, head: str) -> None:
    files = write_files(tmp_path)
    data = config.given(settings(files, "tag", max_epochs=3))
    if head != "key_value":
        data["encoder"] = {**TRANSFORMER, "causal": head == "causal"}
    lm = {"kind": "language_model", "train": f"{files}/train.src", "dev": f"{files}/dev.src",
          "limit": {"max_tokens": 50}, "head": HEADS[head]}
    made = train(config.parse(RunConfig, {**data, "tasks": {"lm": lm}}, "lm"), files / "lm", say=quiet)
    assert made.progress.best is not None
    assert made.progress.best > 100 / 15  # better than evenly among 14 words and the end symbol
    model, texts = LanguageModel.load(files / "lm"), ["ann went to rome .", "tom", "eve bob saw york ."]
    found = model.score(texts)
    assert [model.score(text) for text in texts] == found
    assert [one.tokens for one in found] == [5, 1, 5]
    assert [one.backward is None for one in found] == [head != "key_value"] * 3
    assert all(one.forward < 0 and math.isfinite(one.forward) for one in found)
    again = {**data, "start": {"from": f"{files}/lm", "take": "encoder"}}
    train(config.parse(RunConfig, again, "tag", ["optimiser.rate=1e-30", "training.max_steps=1"]), files / "tag",
          say=quiet)
    before, after = (load_file(files / name / "weights.safetensors") for name in ("lm", "tag"))
    taken = [name for name in after if name.startswith("encoder.")]
    assert taken
    assert all(torch.allclose(before[name], after[name]) for name in taken)
