"""A decoder that starts from a language model is that language model, number for number, until it reads a source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import quiet, settings, write_files

from seq2x import checkpoint, config
from seq2x.batch import Tokens
from seq2x.build import build_model
from seq2x.checkpoint import Loaded
from seq2x.errors import ConfigError
from seq2x.heads.translate import TranslateHead
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.start_decoder import fill_decoder

WORDS = ["eine", "lange", "reise", "beginnt", "heute"]
TRANSFORMER = {"kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24}
RECURRENT = {"kind": "recurrent", "hidden": 24, "bidirectional": False}
LIKE = {"relu, sinusoidal": {}, "learned": {"positions": "learned", "max_length": 30, "activation": "gelu"},
        "rotary, swiglu, rms": {"positions": "rotary", "activation": "swiglu", "norm": "rms"}}


def shaken(made: Loaded) -> Loaded:
    """The same, no two weights equal by chance."""
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    made.model.eval()
    return made


def language_model(folder: Path, **encoder: Any) -> Loaded:
    """Write a run of one, which knows the words but the last, and another."""
    lm = {"kind": "language_model", "train": "a", "dev": "a", "limit": {"max_tokens": 30},
          "bptt": 6 if encoder.get("cell") == "gru" else 0}
    if not encoder.get("causal", True):
        lm["head"] = {"objective": "masked"}
    body = {"embedding": {"width": 16}, **encoder}
    made = config.parse(RunConfig, {"text": {"kind": "words"}, "encoder": body, "tasks": {"lm": lm}}, "lm")
    source = made.text.learn([[*WORDS[:-1], "gestern"]])
    folder.mkdir(exist_ok=True)
    older = shaken(Loaded(made, build_model(made, source, None, {}), source, None, {}))
    checkpoint.save_text(folder, source, None)
    checkpoint.write(folder / checkpoint.CONFIG, config.dump(made))
    checkpoint.save_weights(dict(older.model.named_parameters()), folder / checkpoint.WEIGHTS)
    return older


def translator(**decoder: Any) -> Loaded:
    """One with random weights."""
    task = {"kind": "translate", "train": ["a", "b"], "limit": {"max_tokens": 30},
            "head": {"decoder": {"width": 16, **decoder}}}
    encoder = {"kind": "recurrent", "hidden": 8, "embedding": {"width": 8}}
    data = {"text": {"kind": "words"}, "encoder": encoder, "tasks": {"translate": task}}
    made = config.parse(RunConfig, data, "translator")
    source, target = made.text.learn([["a", "long", "journey"]]), made.text.learn([WORDS])
    return shaken(Loaded(made, build_model(made, source, target, {}), source, target, {}))


@pytest.mark.parametrize("like", LIKE)
def test_a_transformer_that_finds_nothing_in_the_source_is_the_causal_language_model(
    tmp_path: Path, like: str
) -> None:
    older, made = language_model(tmp_path, **TRANSFORMER, **LIKE[like], causal=True), translator(
        **TRANSFORMER, **LIKE[like])
    said = fill_decoder(made, "translate", str(tmp_path))
    assert said == f"the decoder of translate: 2 layers of {tmp_path}, and the embeddings of 8 of 9 tokens"
    assert made.target is not None
    ids = [[*each.encode(" ".join(WORDS[:-1])).ids] for each in (older.source, made.target)]
    head = made.model.head("translate")
    assert isinstance(head, TranslateHead)
    with torch.no_grad():
        for layer in head.decoder.stack:
            for parameter in layer.cross.output.parameters():
                parameter.zero_()
        wanted = older.model.encoder(Tokens.of([ids[0]])).states
        memory, state = head.begin(made.model.encoder(Tokens.of([[4, 5, 6, 3]])))
        vectors, _, state = head.decoder.advance(memory, state, head.table(torch.tensor([ids[1][:2]])))
        torch.testing.assert_close(vectors, wanted[:, :2])
        for place, number in enumerate(ids[1][2:], start=2):  # and step by step
            vector, _, state = head.decoder.advance(memory, state, head.table(torch.tensor([[number]])))
            torch.testing.assert_close(vector, wanted[:, place : place + 1])


def test_what_attends_to_the_source_stays_as_it_was(tmp_path: Path) -> None:
    """From a masked language model as well, which is deeper; and of words that it does not know."""
    older = language_model(tmp_path, **{**TRANSFORMER, "layers": 3, "norm_first": False}, causal=False)
    made = translator(**TRANSFORMER, norm_first=False)
    before = {name: value.clone() for name, value in made.model.named_parameters()}
    fill_decoder(made, "translate", str(tmp_path))
    after = dict(made.model.named_parameters())
    kept = [name for name, value in after.items() if torch.equal(value, before[name])]
    others = [name for name in before if not name.startswith("heads.translate.")]
    new = [name for name in before if ".cross." in name or "norms.1" in name or name.endswith("translate.output.bias")]
    assert sorted(kept) == sorted([*others, *new])
    old = dict(older.model.encoder.named_parameters())
    assert torch.equal(after["heads.translate.decoder.stack.1.norms.2.weight"], old["stack.1.norms.1.weight"])
    assert made.target is not None
    table, place = after["heads.translate.table.weight"], made.target.encode(WORDS[-1]).ids[0]
    assert torch.equal(table[place], before["heads.translate.table.weight"][place])


@pytest.mark.parametrize(("encoder", "decoder", "message"), [
    (TRANSFORMER, {"kind": "recurrent"}, "found a decoder of the kind 'recurrent' here and an encoder of the kind "
                                         "'transformer' in .*; expected both 'recurrent', or both 'transformer'"),
    ({**TRANSFORMER, "heads": 4, "positions": "learned"}, {**TRANSFORMER, "feedforward": 32},
     r"encoder.heads = 4, expected 2; encoder.feedforward = 24, expected 32; encoder.positions = 'learned', expected "
     "'sinusoidal'"),
    ({**TRANSFORMER, "positions": "learned", "max_length": 40},
     {**TRANSFORMER, "positions": "learned", "max_length": 30}, r"encoder.max_length = 40, expected 30"),
    ({**TRANSFORMER, "embedding": {"width": 10, "vectors": {"path": "a", "mode": "two-channel"}}}, TRANSFORMER,
     r"encoder.embedding.width = 10, expected 16; encoder.embedding: vectors 20 wide, .*; expected those of tokens "
     "alone, 10 wide"),
    ({**RECURRENT, "hidden": 32}, {**RECURRENT, "hidden": 32, "cell": "gru"}, r"encoder.cell = 'lstm', expected 'gru'"),
])
def test_what_differs_is_named(tmp_path: Path, encoder: dict[str, Any], decoder: dict[str, Any], message: str) -> None:
    language_model(tmp_path, **encoder, **({"causal": True} if encoder["kind"] == "transformer" else {}))
    decoder = {key: value for key, value in decoder.items() if key != "bidirectional"}
    with pytest.raises(ConfigError, match=f"^tasks.translate.decoder_from: .*{message}"):
        fill_decoder(translator(**decoder), "translate", str(tmp_path))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_recurrent_cells_are_those_of_the_language_model(tmp_path: Path, cell: str) -> None:
    """Without attention in its vector, the decoder's states are those of the language model, number for number."""
    older, made = language_model(tmp_path, **RECURRENT, cell=cell), translator(
        kind="recurrent", hidden=24, cell=cell, input_feeding=False)
    said = fill_decoder(made, "translate", str(tmp_path))
    assert said == f"the decoder of translate: 1 layer of {tmp_path}, and the embeddings of 8 of 9 tokens"
    assert made.target is not None
    ids = [each.encode(" ".join(WORDS[:-1])).ids for each in (older.source, made.target)]
    head = made.model.head("translate")
    assert isinstance(head, TranslateHead)
    with torch.no_grad():
        wanted = older.model.encoder(Tokens.of([ids[0]])).states[0]
        embedded = head.table(torch.tensor(ids[1]))
        cells, hidden, memory = head.decoder.cells, torch.zeros(1, 24), torch.zeros(1, 24)
        for place, vector in enumerate(embedded):
            hidden, memory = cells[0](cells[0].input(vector[None]), hidden, memory if cell == "lstm" else None)
            torch.testing.assert_close(hidden[0], wanted[place])


def test_a_training_begins_with_it(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    older = language_model(files / "lm", **TRANSFORMER, causal=True)
    data = config.given(settings(files, "translate", max_steps=1))
    data["tasks"]["translate"] |= {"decoder_from": f"{files}/lm", "head": {"decoder": {**TRANSFORMER, "width": 16}}}
    data |= {"text": {"kind": "words"}, "optimiser": {"kind": "adam", "rate": 1e-30}}
    log: list[str] = []
    train(config.parse(RunConfig, data, "new"), files / "new", say=log.append)
    assert "the decoder of translate: 2 layers of" in "\n".join(log)
    new = dict(checkpoint.load(files / "new").model.named_parameters())
    old = dict(older.model.encoder.named_parameters())
    assert torch.equal(new["heads.translate.decoder.norm.weight"], old["norm.weight"])
    shutil.rmtree(files / "lm")  # no resume needs it
    longer = config.parse(RunConfig, data, "new", ["training.max_steps=2"])
    assert train(longer, files / "new", resume=True, say=quiet).progress.step == 2
