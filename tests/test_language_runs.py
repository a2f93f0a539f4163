"""Language models with attention or of hidden tokens, from text files to scores, and a tagger that starts from one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import LanguageModel, checkpoint, config
from seq2x.batch import Tokens
from seq2x.errors import ConfigError
from seq2x.heads.translate import TranslateHead
from seq2x.run import train
from seq2x.settings import RunConfig

TRANSFORMER = {"kind": "transformer", "layers": 1, "heads": 2, "feedforward": 32, "embedding": {"width": 32}}
HEADS: dict[str, dict[str, Any]] = {
    "masked": {"objective": "masked", "masked": 0.3}, "key_value": {"attention": {"kind": "key_value", "window": 3}}}


@pytest.mark.parametrize("head", HEADS)
def test_a_tagger_starts_from_a_language_model(tmp_path: Path, head: str) -> None:
    files = write_files(tmp_path)
    data = config.given(settings(files, "tag", max_epochs=3))
    data |= {"encoder": TRANSFORMER} if head == "masked" else {}
    lm = {"kind": "language_model", "train": f"{files}/train.src", "dev": f"{files}/dev.src",
          "limit": {"max_tokens": 50}, "head": HEADS[head]}
    made = train(config.parse(RunConfig, {**data, "tasks": {"lm": lm}}, "lm"), files / "lm", say=quiet)
    assert made.progress.best is not None
    assert made.progress.best > 100 / 15  # better than evenly among 14 words and the end symbol
    model, texts = LanguageModel.load(files / "lm"), ["ann went to rome .", "tom", "eve bob saw york ."]
    found = model.score(texts)
    assert [model.score(text) for text in texts] == found
    assert [one.tokens for one in found] == [5, 1, 5]
    assert [one.backward is None for one in found] == [head == "masked"] * 3
    assert all(one.forward < 0 and math.isfinite(one.forward) for one in found)
    again = {**data, "start": {"from": f"{files}/lm", "take": "encoder"}}
    train(config.parse(RunConfig, again, "tag", ["optimiser.rate=1e-30", "training.max_steps=1"]), files / "tag",
          say=quiet)
    before, after = (load_file(files / name / "weights.safetensors") for name in ("lm", "tag"))
    taken = [name for name in after if name.startswith("encoder.")]
    assert taken
    assert all(torch.allclose(before[name], after[name]) for name in taken)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_decoder_starts_from_a_language_model_of_its_target(tmp_path: Path, cell: str) -> None:
    """Without attention in its vector, the decoder's states are those of the language model, number for number."""
    files = write_files(tmp_path)
    data = config.given(settings(files, "translate", max_steps=1))
    text = {"kind": "words"}
    lm = {"kind": "language_model", "train": f"{files}/train.tgt", "dev": f"{files}/dev.tgt",
          "limit": {"max_tokens": 50}, "bptt": 6 if cell == "gru" else 0}
    body = {"kind": "recurrent", "cell": cell, "hidden": 24, "bidirectional": False, "embedding": {"width": 32}}
    train(config.parse(RunConfig, {**data, "text": text, "encoder": body, "tasks": {"lm": lm}}, "lm"), files / "lm",
          say=quiet)
    log: list[str] = []
    task = "tasks.translate"
    changes = [f"{task}.decoder_from={files}/lm", f"{task}.head.decoder.hidden=24", "optimiser.rate=1e-30",
               f"{task}.head.decoder.cell={cell}", f"{task}.head.decoder.input_feeding=false"]
    made = config.parse(RunConfig, {**data, "text": text}, "new", changes)
    train(made, files / "new", say=log.append)
    assert "the decoder of translate: 1 layer of" in "\n".join(log)
    older, new = checkpoint.load(files / "lm"), checkpoint.load(files / "new")
    assert new.target is not None
    assert "embeddings of 15 of 15 tokens" in "\n".join(log)
    ids = [new.target.encode("anna ging nach rom .").ids, older.source.encode("anna ging nach rom .").ids]
    head = new.model.head("translate")
    assert isinstance(head, TranslateHead)
    with torch.no_grad():
        wanted = older.model.encoder(Tokens.of([ids[1]])).states[0]
        embedded = head.table(torch.tensor(ids[0]))
        cells, hidden, memory = head.decoder.cells, torch.zeros(1, 24), torch.zeros(1, 24)
        for place, vector in enumerate(embedded):
            hidden, memory = cells[0](cells[0].input(vector[None]), hidden, memory if cell == "lstm" else None)
            torch.testing.assert_close(hidden[0], wanted[place])
    with pytest.raises(ConfigError, match=r"decoder_from: .*encoder.hidden = 24, expected 32"):
        train(config.parse(RunConfig, {**data, "text": text}, "new", [changes[0], f"{task}.head.decoder.cell={cell}"]),
              files / "other", say=quiet)
