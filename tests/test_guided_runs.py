"""Runs with losses on the attention: alignments from a file to the loss, in memory and from a cache; a late start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.pieces import HEADS, batch, build, examples
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import config
from seq2x.batch import Tokens
from seq2x.errors import ConfigError, DataError
from seq2x.heads.translate import TranslateHead
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.training.progress import Update


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Each word of the source is the word of the target at its place, and they say so."""
    folder = write_files(tmp_path)
    lines = (folder / "train.src").read_text().split("\n")[:-1]
    (folder / "train.links").write_text(
        "".join(" ".join(f"{place}-{place}" for place, _ in enumerate(line.split())) + "\n" for line in lines))
    return folder


def guided(files: Path, head: dict[str, Any], corpus: dict[str, Any] | None = None, **task: Any) -> RunConfig:
    plain = settings(files, "translate", max_epochs=1).model_dump(mode="json", exclude_none=True)
    made = plain["tasks"]["translate"]
    made["head"] = {**made["head"], **head}
    return config.parse(RunConfig, {**plain, "corpus": corpus or {}, "tasks": {"translate": {**made, **task}}}, "test")


def test_guided_attention_is_the_same_from_a_cache(files: Path) -> None:
    made = {"head": {"guided_attention": 1.0}, "alignments": f"{files}/train.links"}
    train(guided(files, **made), files / "memory", say=quiet)
    train(guided(files, **made, corpus={"memory": "cache"}), files / "cache", say=quiet)
    left, right = (load_file(files / name / "weights.safetensors") for name in ("memory", "cache"))
    assert all(left[name].equal(right[name]) for name in left)
    assert "train.links" in (files / "cache" / "README.md").read_text()


class Watch:
    """A display that keeps the losses of every update."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def updated(self, update: Update) -> None:
        self.losses.append(dict(update.latest))

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_attention_goes_where_the_alignments_say(files: Path) -> None:
    """Backwards they are, which no attention would find by itself."""
    lines = (files / "train.src").read_text().split("\n")[:-1]
    (files / "train.links").write_text("".join(
        " ".join(f"{len(line.split()) - 1 - place}-{place}" for place, _ in enumerate(line.split())) + "\n"
        for line in lines))
    watch = Watch()
    head = {"guided_attention": 1.0, "decoder": {"kind": "recurrent", "width": 32, "hidden": 32, "coverage": {
        "kind": "none"}}}
    settings = guided(files, head, alignments=f"{files}/train.links")
    longer = settings.training.model_copy(update={"max_epochs": 6, "evaluate_every": 1000})
    settings = settings.model_copy(update={"training": longer})
    train(settings, files / "run", say=quiet, display=watch)
    first, last = watch.losses[0], watch.losses[-1]
    assert last["translate alignment"] < 0.7 * first["translate alignment"]
    assert last["translate loss"] < first["translate loss"]


@pytest.mark.parametrize(("head", "task", "message"), [
    ({"guided_attention": 0.5}, {}, "guided_attention = 0.5 needs the key 'alignments'"),
    ({}, {"alignments": "train.links"}, r"alignments are for head\.guided_attention, which is 0"),
    ({"decoder": {"kind": "recurrent", "attention": {"kind": "location", "length": 30}}}, {},
     r"head\.decoder\.attention\.length = 30 positions are fewer than limit\.max_tokens = 50"),
    ({"decoder": {"kind": "recurrent", "attention": {"kind": "locaton"}}}, {}, "location"),
])
def test_settings_must_fit(files: Path, head: dict[str, Any], task: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        guided(files, head, **task)


def test_alignments_are_as_many_as_the_shards(files: Path) -> None:
    made = guided(files, {"guided_attention": 1.0}, alignments=[f"{files}/train.links"] * 2)
    with pytest.raises(DataError, match=r"found 1 files of .* and 2 of alignments; expected as many"):
        train(made, files / "run", say=quiet)


def test_losses_on_attention_stand_beside_that_of_any_decoder() -> None:
    torch.manual_seed(0)
    for name in (name for name in HEADS if name.startswith("translate")):
        model = build("recurrent", name)
        head, made = model.head("translate"), batch("translate", examples("translate", 3))
        assert isinstance(head, TranslateHead)
        assert isinstance(made.target, Tokens)
        head.guided = 0.5
        head.coverage_loss = head.coverage_loss.model_copy(update={"loss": "one", "weight": 2.0, "from_step": 7})
        links = torch.zeros(3, made.target.ids.shape[1], made.source.ids.shape[1], dtype=torch.bool)
        links[:, 2, 0] = True
        aligned = Tokens(made.target.ids, made.target.mask, alignment=links)
        loss = head.loss(model.encode("translate", made), aligned)
        assert [(each.name, each.weight, each.from_step) for each in loss.beside] == [
            ("coverage", 2.0, 7), ("alignment", 0.5, 0)]
        assert all(int(each.count) == int(loss.count) and each.total.item() > 0 for each in loss.beside)
