"""Language models that read their texts as one stream, from text files to scores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import LanguageModel, checkpoint, config
from seq2x.batch import Tokens
from seq2x.data.examples import Text
from seq2x.errors import ConfigError
from seq2x.evaluation import evaluate
from seq2x.heads.language_model import LanguageModelHead
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.training.distributed import Ranks

TEXTS = ["ann went to rome .", "tom", "", "eve bob saw york .", "tom went to oslo ."]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def streamed(files: Path, *overrides: str, **encoder: Any) -> RunConfig:
    data = config.given(settings(files, "tag", max_epochs=2))
    data["tasks"] = {"lm": {"kind": "language_model", "train": f"{files}/train.src", "dev": f"{files}/dev.src",
                            "limit": {"max_tokens": 50}, "bptt": 7}}
    data["encoder"] |= {"bidirectional": False, **encoder}
    return config.parse(RunConfig, data, "lm.toml", overrides)


SPELT = {"embedding": {"width": 20, "characters": {"width": 8, "maps": 6}, "shape_width": 2}}
VARIANTS: dict[str, dict[str, Any]] = {
    "lstm": {}, "gru, two layers, learned start": {"cell": "gru", "layers": 2, "initial": "learned"},
    "spelt, projected": {**SPELT, "hidden": 20, "projection": 8}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_score_is_that_of_one_long_text(files: Path, variant: str) -> None:
    spelt = ["text={kind='words', characters=true, shapes=true}"] if variant.startswith("spelt") else []
    log: list[str] = []
    train(streamed(files, *spelt, **VARIANTS[variant]), files / "lm", say=log.append)
    assert "9 lanes of 40 tokens side by side, at most 7 of each a batch" in "\n".join(log)
    model = LanguageModel.load(files / "lm")
    found = model.score(TEXTS)
    encodings = [model.loaded.source.encode(text) for text in TEXTS]
    ids, characters, shapes = ([item for one in encodings for item in one[field] or ()] for field in (0, 2, 3))
    head = model.loaded.model.head("lm")
    assert isinstance(head, LanguageModelHead)
    with torch.no_grad():
        whole = Tokens.of([ids], [characters] if spelt else None, shapes=[shapes] if spelt else None)
        encoded = model.loaded.model.encoder(whole)
        values = [0.0, *(float(head.networks[0](encoded.states[0, place]).log_softmax(-1)[gold])
                         for place, gold in enumerate(ids[1:]))]
    ends = [0, *(sum(len(one.ids) for one in encodings[: number + 1]) for number in range(len(TEXTS)))]
    assert [one.forward for one in found] == pytest.approx(
        [math.fsum(values[start:stop]) for start, stop in pairwise(ends)], rel=1e-4)
    assert [one.tokens for one in found] == [5, 2, 1, 6, 6]
    assert {(one.backward, one.windows) for one in found} == {(None, 1)}


def test_a_score_depends_on_the_texts_before_alone(files: Path) -> None:
    train(streamed(files), files / "lm", say=quiet)
    model = LanguageModel.load(files / "lm")
    found = model.score(TEXTS)
    assert model.score(TEXTS, batch_tokens=1, window=1) == list(model.score(iter(TEXTS))) == found
    assert model.score(TEXTS[:3]) == found[:3]
    assert model.score(TEXTS[0]) == found[0]
    assert model.score(TEXTS[3]).forward != found[3].forward
    assert model.score("") == (0, 0.0, None, 1)
    model.limit = 3
    parts = model.score(TEXTS)
    assert [one.windows for one in parts] == [2, 1, 1, 2, 2]
    assert [one.forward for one in parts] == pytest.approx([one.forward for one in found], rel=1e-5)
    assert [one.tokens for one in parts] == [one.tokens for one in found]
    scores = evaluate(model, [Text(text) for text in TEXTS]).scores
    assert scores["tokens"] == 20
    recorded = checkpoint.read_metrics(files / "lm")[-1]["scores"]["lm"]
    assert recorded["tokens"] == sum(len(line.split()) + 1 for line in (files / "dev.src").read_text().splitlines()) - 1


def test_a_cache_gives_the_same(files: Path) -> None:
    for memory in ("all", "cache"):
        train(streamed(files, f"corpus.memory='{memory}'", "corpus.workers=1"), files / memory, say=quiet)
    left, right = (load_file(files / memory / "weights.safetensors") for memory in ("all", "cache"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_it_learns_what_goes_beyond_a_text(files: Path) -> None:
    """Lines of one word that follow each other in a fixed order: without the line before, nobody knows the next."""
    order = ["ann", "bob", "eve", "tom"]
    for name, count in (("train", 60), ("dev", 10)):
        (files / f"{name}.src").write_text("".join(f"{word}\n" for word in chain(*[order] * count)))
    train(streamed(files, "training.max_epochs=10", "encoder.dropout=0.0"), files / "lm", say=quiet)
    found = LanguageModel.load(files / "lm").score(order * 3)
    assert min(one.forward for one in found[4:]) > 2 * math.log(0.9)


def test_other_runs_start_from_its_encoder(files: Path) -> None:
    train(streamed(files), files / "lm", say=quiet)
    data = config.given(settings(files, "tag"))
    data["start"] = {"from": f"{files}/lm", "take": "encoder"}
    train(config.parse(RunConfig, data, "tag", ["optimiser.rate=1e-30", "training.max_steps=1",
                                                "encoder.bidirectional=false"]), files / "tag", say=quiet)
    before, after = (load_file(files / name / "weights.safetensors") for name in ("lm", "tag"))
    taken = [name for name in after if name.startswith("encoder.")]
    assert taken
    assert all(torch.allclose(before[name], after[name]) for name in taken)


REFUSED = {
    "encoder.bidirectional=true": "found encoder.bidirectional = true, expected false",
    "encoder.reversed=true": "found encoder.reversed = true, expected false",
    "encoder.front={pool=1}": "found encoder.front, expected none",
    "encoder={kind='transformer'}": "found encoder.kind = 'transformer', expected 'recurrent'",
    "tasks.lm.head.objective='masked'": "found head.objective = 'masked', expected 'neighbours'",
    "tasks.lm.head.attention={window=3}": "found head.attention, expected none",
    "tasks.lm.weight=2": "found weight = 2, expected 1",
    "text={kind='subwords', dropout=0.1}": "found text.dropout = 0.1, expected 0",
    "distil={from='elsewhere'}": "found distil, expected none",
    "tasks.lm.bptt=65": "found training.batch_tokens = 64, expected 65 or more",
    "tasks.other={kind='language_model', train='a', dev='b', limit={max_tokens=50}}": "found 2 tasks, expected",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_cannot_be_carried_is_refused(files: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=rf"tasks\.lm\.bptt = .* carries states .*: {REFUSED[override]}"):
        streamed(files, override)


def test_without_dev_or_with_too_few_tokens_it_is_refused(files: Path) -> None:
    data = config.given(streamed(files))
    del data["tasks"]["lm"]["dev"]
    with pytest.raises(ConfigError, match="found no dev, expected a file"):
        config.parse(RunConfig, data, "lm.toml")
    (files / "train.src").write_text("ann went to rome .\n")
    with pytest.raises(ConfigError, match="room for 9 lanes of so many tokens, and all of train has 6 tokens"):
        train(streamed(files), files / "lm", say=quiet)


def test_several_processes_are_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def joined(device: torch.device) -> Iterator[Ranks]:
        yield Ranks(0, 2, device)

    monkeypatch.setattr("seq2x.run.joined", joined)
    with pytest.raises(ConfigError, match="which a single process can; found 2 processes"):
        train(streamed(files), files / "lm", say=quiet)


def test_texts_may_be_longer_than_a_batch(files: Path) -> None:
    assert streamed(files, "tasks.lm.limit.max_tokens=1000").tasks["lm"].limit.max_tokens == 1000
