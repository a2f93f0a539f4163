"""Classifiers from files to predictions: several labels a text, weights of classes, what is fitted to dev."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files

from seq2x import Classifier, checkpoint, evaluate
from seq2x.config import parse
from seq2x.corpus import class_weights, read_examples
from seq2x.data.examples import Text
from seq2x.errors import ConfigError, DataError
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.text import Vocabulary


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    for name in ("train", "dev"):  # the label of the file, and one for each place that is named
        rows = [line.split("\t") for line in (tmp_path / f"{name}.tsv").read_text().strip().split("\n")]
        (tmp_path / f"{name}.many.tsv").write_text("".join(
            "|".join([*([label] if label == "seen" else []), *(place for place in ("york", "rome") if place in text)])
            + f"\t{text}\n" for label, text in rows))
    return tmp_path


def contradict(files: Path, name: str, label: str) -> None:
    """Add to dev what no model can find: where all is right, there is no temperature to fit."""
    with (files / name).open("a") as file:
        file.write(f"{label}\tann bob saw rome .\n{label}\ttom eve saw rome .\n")


def several(files: Path, head: dict[str, Any] | None = None, **training: Any) -> RunConfig:
    data = settings(files, "classify", **training).model_dump(mode="json", exclude_none=True)
    data["tasks"]["classify"] |= {
        "train": f"{files}/train.many.tsv", "dev": f"{files}/dev.many.tsv", "data": {"separator": "|"},
        "metric": "micro_f1", "head": {"pooling": "max", **(head or {})}}
    return parse(RunConfig, data, "test")


def test_snapshots_are_fitted_to_dev_as_the_best_weights_are(files: Path) -> None:
    config = several(files, {"threshold": "tuned", "calibrate": True}, max_epochs=4)
    config = parse(RunConfig, {**config.model_dump(mode="json", exclude_none=True),
                               "schedule": {"kind": "cyclic", "cycles": 2}}, "test")
    contradict(files, "dev.many.tsv", "york")
    log: list[str] = []
    run = train(config, files / "run", say=log.append).directory
    assert sum("snapshots/" in line and "on dev: " in line for line in log) == 2
    for path in (run / "snapshots/1.safetensors", run / "snapshots/2.safetensors", run / "weights.safetensors"):
        kept = load_file(path)
        assert {kept[f"heads.classify.{name}"].item() for name in ("temperature", "threshold")}.isdisjoint({1.0, 0.5})


def test_several_labels_are_learnt(files: Path) -> None:
    log: list[str] = []
    result = train(several(files, {"threshold": "tuned", "calibrate": True}, max_epochs=10), files / "run",
                   say=log.append)
    assert result.progress.best is not None
    assert result.progress.best > 90
    classifier = Classifier.load(result.directory)
    assert classifier.labels == ("rome", "seen", "york")
    found = classifier.classify(["ann bob saw rome .", "tom went to oslo ."])
    assert [set(one.labels) for one in found] == [{"rome", "seen"}, set()]
    assert [one.label in one.labels for one in found] == [True, False]
    scores = evaluate(classifier, read_examples(classifier.task, f"{files}/dev.many.tsv")).scores
    assert scores["micro_f1"] >= result.progress.best  # the threshold was tuned on the same texts
    assert {"accuracy", "macro_f1", "precision", "recall"} <= set(scores)
    assert any(line.startswith("calibrated  classify on dev: temperature ") and ", threshold " in line for line in log)


def test_a_cache_holds_several_labels(files: Path) -> None:
    config = several(files, max_epochs=2)
    train(config, files / "memory", say=quiet)
    cached = parse(RunConfig, config.model_dump(mode="json", exclude_none=True), "test", ['corpus.memory="cache"'])
    train(cached, files / "cache", say=quiet)
    left, right = (load_file(files / name / "weights.safetensors") for name in ("memory", "cache"))
    assert all(left[name].equal(right[name]) for name in left)


def test_calibrated_a_run_goes_on_as_if_never_stopped(files: Path) -> None:
    contradict(files, "dev.many.tsv", "york")
    calibrated = {"calibrate": True, "class_weights": "balanced"}
    train(several(files, calibrated, max_epochs=4), files / "whole", say=quiet)
    train(several(files, calibrated, max_epochs=2), files / "parts", say=quiet)
    train(several(files, calibrated, max_epochs=4), files / "parts", resume=True, say=quiet)
    left, right = (load_file(files / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(left[name].equal(right[name]) for name in left)
    assert float(left["heads.classify.temperature"]) != 1
    mine, other = (checkpoint.read_metrics(files / name)[-1]["scores"] for name in ("whole", "parts"))
    assert mine == other


def test_a_temperature_makes_probabilities_no_less_likely(files: Path) -> None:
    contradict(files, "dev.tsv", "gone")
    config = settings(files, "classify", max_epochs=3)
    data = config.model_dump(mode="json", exclude_none=True)
    data["tasks"]["classify"]["head"]["calibrate"] = True
    run = Classifier.load(train(parse(RunConfig, data, "test"), files / "run", say=quiet).directory)
    dev = read_examples(run.task, f"{files}/dev.tsv")
    assert run.head.temperature is not None

    def likelihood() -> float:
        product = 1.0
        for one in dev:
            product *= run.classify(one.text).probabilities[one.label]
        return product

    best = likelihood()
    for factor in (0.7, 1.4):
        run.head.temperature.mul_(factor)
        assert likelihood() <= best
        run.head.temperature.div_(factor)


def weights(config: RunConfig, counts: list[int], texts: int) -> list[float]:
    return class_weights(config, "classify", Vocabulary(["a", "b", "c"]), counts, texts)


def test_weights_of_classes(files: Path) -> None:
    one = settings(files, "classify")
    assert weights(one, [6, 3, 1], 10) == [1, 1, 1]
    data = one.model_dump(mode="json", exclude_none=True)
    data["tasks"]["classify"]["head"]["class_weights"] = "balanced"
    balanced = weights(parse(RunConfig, data, "test"), [6, 3, 1], 10)
    assert balanced == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert sum(map(float.__mul__, balanced, [6.0, 3.0, 1.0])) == pytest.approx(10)
    assert weights(several(files, {"class_weights": "balanced"}), [6, 3, 0], 10) == pytest.approx([4 / 6, 7 / 3, 9])
    assert weights(several(files, {"class_weights": {"c": 3.0}}), [6, 3, 1], 10) == [1, 1, 3]
    with pytest.raises(ConfigError, match=r"tasks.classify.head.class_weights: there is no label 'cc'.*'c'"):
        weights(several(files, {"class_weights": {"cc": 3.0}}), [6, 3, 1], 10)


def test_settings_and_data_without_a_choice(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks.classify.head: threshold = 'tuned' is for texts that may have seve"):
        train(settings(files, "classify"), files / "run", overrides=["tasks.classify.head.threshold='tuned'"],
              say=quiet)
    (files / "train.tsv").write_text("seen\tann saw rome .\nseen\ttom saw york .\n")
    with pytest.raises(DataError, match=r"train.tsv: every text has the label 'seen': there is nothing to learn"):
        train(settings(files, "classify"), files / "run", say=quiet)


@pytest.mark.parametrize(("text", "kind", "limit", "message"), [
    ({"punctuation": False}, "tag", 50, "tasks.tag is of the kind 'tag', which needs all"),
    ({"keep_last": 50}, "classify", 50, "tasks.classify.limit.max_tokens = 50 has no room for the 50 words"),
])
def test_whole_texts_alone_may_lose_words(
    files: Path, text: dict[str, Any], kind: str, limit: int, message: str
) -> None:
    data = settings(files, kind).model_dump(mode="json", exclude_none=True)
    data["text"] |= text
    data["tasks"][kind]["limit"]["max_tokens"] = limit
    with pytest.raises(ConfigError, match=message):
        parse(RunConfig, data, "test")


def test_a_text_without_labels_can_be_scored(files: Path) -> None:
    run = Classifier.load(train(several(files, max_epochs=1), files / "run", say=quiet).directory)
    found = evaluate(run, [Text("ann went to oslo .", ()), Text("bob saw rome .", ("rome", "seen"))])
    assert 0 <= found.scores["micro_f1"] <= 100
    assert found.scores["texts"] == 2
