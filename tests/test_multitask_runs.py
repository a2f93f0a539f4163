"""Runs whose tasks have something beside them, language models and private encoders: trained, taken, extracted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import LanguageModel, Tagger, checkpoint, config, evaluate, extract
from seq2x.cli import main
from seq2x.corpus import read_examples
from seq2x.errors import ConfigError, DataError
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.training.progress import FitConfig, Progress, Score, Update

AUXILIARY = {"kind": "language_model", "weight": 0.1, "width": 8}
PRIVATE = {"kind": "recurrent", "hidden": 4, "embedding": {"width": 8}}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    for name in ("train", "dev"):
        text = (tmp_path / f"{name}.src").read_text()
        (tmp_path / f"{name}.txt").write_text(text.replace("\n", "\n\n"))  # blank lines part texts, and are none
    return tmp_path


def laid(files: Path, *kinds: str, **more: Any) -> RunConfig:
    """The settings of small runs, with ``more`` over them."""
    data = config.given(settings(files, *kinds, ema=0.0))
    return config.parse(RunConfig, config.laid_over(data, more), "test")


def whole(files: Path, **training: Any) -> RunConfig:
    """A tagger with a language model and a private encoder beside it, a classifier, and a language model of its own."""
    tag = {"auxiliary": AUXILIARY, "private": PRIVATE, "orthogonality": 0.05, "loss_weight": 2.0}
    return laid(files, "tag", "classify", encoder={"layers": 2}, training=training,
                tasks={"tag": {**tag, "head": {"layer": 1}}, "lm": language(files, dev_weight=0.0),
                       "classify": {"private": {"kind": "convolution", "maps": 4}}})


def language(files: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "language_model", "train": f"{files}/train.txt", "dev": f"{files}/dev.txt",
            "limit": {"max_tokens": 50}, "head": {"width": 8}, **more}


def test_all_of_it_learns_and_comes_back(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []
    trained = train(whole(files, max_epochs=8), files / "run", say=log.append)
    scores = checkpoint.read_metrics(trained.directory)[-1]["scores"]
    mean = (scores["tag"]["f1"] + scores["classify"]["accuracy"]) / 2
    assert max(record["best"] for record in checkpoint.read_metrics(trained.directory)) >= mean > 90
    assert 1 < scores["lm"]["perplexity"] < 6  # of 14 words and the end symbol
    assert scores["lm"]["probability"] == pytest.approx(100 / scores["lm"]["perplexity"])
    assert "private encoder tag" in "\n".join(log)
    assert "auxiliary tag" in "\n".join(log)
    stored = load_file(trained.directory / "weights.safetensors")
    assert {name.split(".")[0] for name in stored} == {"encoder", "heads", "auxiliaries", "privates"}
    capsys.readouterr()
    assert main(["evaluate", str(trained.directory)]) == 0
    assert "perplexity" in capsys.readouterr().out
    assert "LanguageModel.load" in (trained.directory / "README.md").read_text()


def test_each_objective_is_in_the_log_as_the_mean_of_its_own_units(files: Path) -> None:
    seen: dict[str, float] = {}

    class Watch:
        def started(self, steps: int, limits: FitConfig) -> None:
            pass

        def updated(self, update: Update) -> None:
            seen.update({key: value for key, value in update.latest.items() if key not in seen})

        def evaluating(self, progress: Progress) -> None:
            pass

        def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
            pass

        def say(self, line: str) -> None:
            raise AssertionError(line)

    trained = train(whole(files, max_epochs=1), files / "run", display=Watch(), say=quiet)
    assert {"tag loss", "tag language_model", "tag orthogonality", "classify loss", "lm loss"} <= set(seen)
    evenly = math.log(checkpoint.load(trained.directory).source.size)  # what a fresh model gives each token
    assert seen["tag language_model"] == pytest.approx(evenly, rel=0.2)
    assert seen["lm loss"] == pytest.approx(evenly, rel=0.2)


def test_stopped_and_resumed_is_never_stopped(files: Path) -> None:
    train(whole(files, max_epochs=2), files / "whole", say=quiet)
    train(whole(files, max_epochs=2, max_steps=9), files / "parts", say=quiet)
    train(whole(files, max_epochs=2), files / "parts", resume=True, say=quiet)
    mine, other = (load_file(files / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_an_extracted_task_keeps_its_private_encoder_and_needs_no_language_model(files: Path) -> None:
    trained = train(whole(files, max_epochs=2), files / "run", say=quiet)
    small = extract(trained.directory, files / "small", ["tag"])
    stored = load_file(small / "weights.safetensors")
    assert {name.split(".")[0] for name in stored} == {"encoder", "heads", "privates"}
    assert not any(".classify." in name for name in stored)
    texts = ["ann went to rome .", "", "bob eve saw york ."]
    assert Tagger.load(small).tag(texts) == Tagger.load(trained.directory).tag(texts)
    spoken = extract(trained.directory, files / "spoken", ["lm"])
    assert LanguageModel.load(spoken).score(texts) == LanguageModel.load(trained.directory, "lm").score(texts)


def test_another_run_takes_them_by_word_and_fills_in_what_the_head_needs(files: Path) -> None:
    train(whole(files, max_epochs=1), files / "old", say=quiet)
    (files / "train.conll").write_text("zoe B-PER\nsaw O\nkayak O\n\nann B-PER\n\nbob B-PER\nwent O\n")
    (files / "train.txt").write_text("zoe saw kayak\nann went\n")
    data = config.given(whole(files, max_steps=1))
    for part in ("text", "encoder"):
        del data[part]
    del data["tasks"]["classify"], data["tasks"]["tag"]["private"], data["tasks"]["tag"]["orthogonality"]
    data["start"] = {"from": f"{files}/old", "vocabulary": "grow", "labels": "grow"}
    log: list[str] = []
    made = train(config.parse(RunConfig, data, "new", ["optimiser.rate=1e-30"]), files / "new", say=log.append)
    old, new = (load_file(directory / "weights.safetensors") for directory in (files / "old", made.directory))
    before, after = (checkpoint.load(directory) for directory in (files / "old", made.directory))
    assert set(after.source.entries) - set(before.source.entries) == {"zoe", "kayak"}
    for name in ("auxiliaries.tag.networks.1.2.weight", "heads.lm.networks.0.2.weight", "heads.lm.networks.1.2.bias",
                 "privates.tag.embedding.table.weight"):
        for entry in before.source.entries:
            here, there = after.source.entries.index(entry), before.source.entries.index(entry)
            assert torch.equal(new[name][here], old[name][there])
    assert torch.equal(new["auxiliaries.tag.networks.0.0.weight"], old["auxiliaries.tag.networks.0.0.weight"])
    text = "\n".join(log)
    assert "the private encoder of tag and the auxiliary language model of tag" in text
    assert "tokens predicted by lm: " in text
    assert "tokens predicted beside tag: " in text


def test_a_private_encoder_cannot_be_put_on_or_off_a_head_that_is_taken(files: Path) -> None:
    train(laid(files, "tag"), files / "old", say=quiet, overrides=["training.max_steps=1"])
    wanted = laid(files, "tag", tasks={"tag": {"private": PRIVATE}}, start={"from": f"{files}/old"})
    with pytest.raises(ConfigError, match=r"tasks.tag.private none there, recurrent here"):
        train(wanted, files / "new", say=quiet)


@pytest.mark.parametrize(("encoder", "where"), [
    ({"kind": "convolution"}, "tasks.tag.auxiliary: a language model needs"),
    ({"kind": "transformer"}, "tasks.tag.auxiliary: a language model needs"),
])
def test_an_encoder_that_sees_both_sides_has_no_language_model(
    files: Path, encoder: dict[str, Any], where: str
) -> None:
    wanted = laid(files, "tag", encoder=encoder, tasks={"tag": {"auxiliary": AUXILIARY}})
    with pytest.raises(ConfigError, match=where):
        train(wanted, files / "run", say=quiet)
    assert not (files / "run").exists()
    with pytest.raises(ConfigError, match=r"tasks.lm.head: a language model needs"):
        train(laid(files, "tag", encoder=encoder, tasks={"lm": language(files)}), files / "run", say=quiet)


@pytest.mark.parametrize(("more", "message"), [
    ({"orthogonality": 0.05}, "orthogonality = 0.05 needs a private encoder"),
    ({"private": {"kind": "pretrained", "model": "x"}}, "unknown kind 'pretrained'"),
    ({"auxiliary": {"kind": "language_model", "weight": 0.0}}, "greater than 0"),
    ({"auxiliary": {"kind": "language_model", "layer": 7}}, "found layer = 7; the encoder has 0 to 1"),
    ({"dev_weight": 0.0}, "dev_weight is 0 in every task"),
    ({"private": {"kind": "transformer", "positions": "learned", "max_length": 9}},
     "tasks.tag.private.max_length = 9 learned positions are fewer"),
    ({"private": {"kind": "recurrent", "embedding": {"shape_width": 3}}},
     "tasks.tag.private.embedding.shape_width needs"),
])
def test_what_does_not_fit_is_told(files: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as found:
        train(laid(files, "tag", tasks={"tag": more}), files / "run", say=quiet)
    assert message in str(found.value)


@pytest.mark.parametrize("memory", ["all", "cache"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_language_model_of_raw_text_alone(files: Path, bidirectional: bool, memory: str) -> None:
    data = config.given(laid(files, "tag", encoder={"bidirectional": bidirectional}, corpus={"memory": memory},
                             training={"max_epochs": 3}))
    data["tasks"] = {"lm": language(files)}
    trained = train(config.parse(RunConfig, data, "test"), files / "run", say=quiet)
    model = LanguageModel.load(trained.directory)
    texts = [example.text for example in read_examples(model.loaded.config.tasks["lm"], f"{files}/dev.txt")]
    assert len(texts) == 12
    found = model.score(texts)
    assert found == [model.score(text) for text in texts]
    assert list(model.score(iter(texts), window=1)) == found
    assert (found[0].backward is None) != bidirectional
    result = evaluate(model, read_examples(model.loaded.config.tasks["lm"], f"{files}/dev.txt"))
    total = sum(one.forward + (one.backward or 0) for one in found)
    tokens = sum(one.tokens for one in found)
    assert tokens == sum(len(text.split()) for text in texts)
    assert result.scores["perplexity"] == pytest.approx(math.exp(-total / (tokens * (1 + bidirectional))))
    assert trained.progress.best == pytest.approx(100 / result.scores["perplexity"], rel=1e-5)
    assert ("forward_perplexity" in result.scores) == bidirectional


def test_long_and_empty_texts_are_scored_too(files: Path) -> None:
    data = config.given(laid(files, "tag", training={"max_steps": 1}))
    data["tasks"] = {"lm": language(files)}
    model = LanguageModel.load(train(config.parse(RunConfig, data, "test"), files / "run", say=quiet).directory)
    nothing, long = model.score(["", "ann saw rome . " * 40])
    assert (nothing.tokens, nothing.forward, nothing.perplexity) == (0, 0.0, 1.0)
    assert long.windows > 1
    assert long.tokens == 160
    with pytest.raises(DataError, match="no token beside a first one"):
        evaluate(model, [read_examples(model.loaded.config.tasks["lm"], f"{files}/dev.txt")[0].__class__("")])
