"""A bag that begins as naive Bayes: its tables against counts made by hand, its labels against naive Bayes itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_data import quiet

from seq2x import Classifier, bayes
from seq2x.config import parse
from seq2x.encoders.bag import BagEncoder, hashed
from seq2x.errors import ConfigError
from seq2x.heads.classify import ClassifyHead
from seq2x.run import train
from seq2x.settings import RunConfig

TEXTS = [("up", "very good"), ("down", "not good"), ("down", "bad bad film"), ("up", "good good film"),
         ("flat", "film"), ("down", "not very good film")]
ALPHA = 0.5


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "train.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in TEXTS))
    (tmp_path / "many.tsv").write_text("".join(
        f"{label}|film\t{text}\n" if "film" in text else f"{label}\t{text}\n" for label, text in TEXTS))
    return tmp_path


def config(files: Path, encoder: dict[str, Any] | None = None, task: dict[str, Any] | None = None,
           **training: Any) -> RunConfig:
    name = "many" if task and task.get("data") else "train"
    return parse(RunConfig, {
        "text": {"kind": "words"},
        "encoder": {"kind": "bag", "naive_bayes": ALPHA, "buckets": 100_000, "embedding": {"width": 5},
                    **(encoder or {})},
        "tasks": {"mood": {"kind": "classify", "train": f"{files}/{name}.tsv", "dev": f"{files}/{name}.tsv",
                           "limit": {"max_tokens": 20}, "head": {"pooling": "mean"}, **(task or {})}},
        "optimiser": {"kind": "adam", "rate": 0.01},
        "schedule": {"kind": "constant"},
        "training": {"batch_tokens": 64, "max_epochs": 1, **training},
    }, "test")


def untrained(files: Path, run: str, *given: Any) -> Classifier:
    """What training begins with: one update of a rate that moves nothing."""
    settings = config(files, *given)
    settings = settings.model_copy(update={"optimiser": settings.optimiser.model_copy(update={"rate": 1e-30})})
    return Classifier.load(train(settings, files / run, say=quiet).directory)


def features(text: str) -> set[tuple[str, ...]]:
    """The words and pairs of a text, with the end symbol that every text has."""
    words = [*text.split(), "<eos>"]
    return {(word,) for word in words} | set(pairwise(words))


def ratio(feature: tuple[str, ...], label: str) -> float:
    """log(p / |p|) - log(q / |q|), of texts counted one by one."""
    sides = [Counter(each for own, text in TEXTS if (own == label) == inside for each in features(text))
             for inside in (True, False)]
    every = {each for _, text in TEXTS for each in features(text)}
    # words of the vocabulary and buckets that no text has are features as well
    size = 100_000 + 3 + len({each for each in every if len(each) == 1})
    p, q = ((side[feature] + ALPHA) / (side.total() + ALPHA * size) for side in sides)
    return math.log(p / q)


def test_units_are_log_count_ratios(files: Path) -> None:
    classifier = untrained(files, "run")
    (loaded,) = classifier.runs
    encoder = loaded.model.encoder
    assert isinstance(encoder, BagEncoder)
    assert encoder.ngrams is not None
    assert len(loaded.source.entries) == 3 + len({word for _, text in TEXTS for word in (*text.split(), "<eos>")})
    ids = loaded.source.encode("not good film").ids
    for unit, label in enumerate(classifier.labels):
        for place, word in enumerate(("not", "good", "film", "<eos>")):
            assert encoder.embedding.table.weight[ids[place], unit].item() == pytest.approx(
                ratio((word,), label), abs=1e-4)
        row = hashed(torch.tensor([ids[:2]]), 2, 100_000)[0, 1]
        assert encoder.ngrams.weight[row, unit].item() == pytest.approx(ratio(("not", "good"), label), abs=1e-4)
        never = hashed(torch.tensor([[ids[1], ids[0]]]), 2, 100_000)[0, 1]
        assert encoder.ngrams.weight[never, unit].item() == 0
    assert encoder.embedding.table.weight[:, 3:].abs().max() > 0  # what is no label's begins at random


def mean_ratios(text: str, labels: Sequence[str]) -> list[float]:
    """The ratios of the words and pairs of a text that some text has, summed, over its words."""
    words = [*text.split(), "<eos>"]
    seen = [each for each in [*((word,) for word in words), *pairwise(words)]
            if any(each in features(other) for _, other in TEXTS)]
    return [sum(ratio(each, label) for each in seen) / len(words) for label in labels]


def test_labels_are_those_of_naive_bayes(files: Path) -> None:
    classifier = untrained(files, "run")
    deviations = [stdev(values) for values in zip(*(mean_ratios(text, classifier.labels) for _, text in TEXTS),
                                                  strict=True)]
    counts = Counter(label for label, _ in TEXTS)
    odds = [math.log((counts[label] + 1) / (len(TEXTS) - counts[label] + 1)) for label in classifier.labels]
    for text in ("not good", "very good", "bad", "good film", "film"):
        scores = [prior + value / mean(deviations)
                  for prior, value in zip(odds, mean_ratios(text, classifier.labels), strict=True)]
        found = classifier.classify(text).probabilities
        assert [found[label] for label in classifier.labels] == pytest.approx(
            torch.tensor(scores).softmax(0).tolist(), abs=1e-4)


def test_of_several_labels_each_is_against_the_rest(files: Path) -> None:
    classifier = untrained(files, "run", None, {"data": {"separator": "|"}})
    assert classifier.labels == ("down", "film", "flat", "up")
    (loaded,) = classifier.runs
    table = loaded.model.encoder.embedding.table.weight  # type: ignore[union-attr]
    word = loaded.source.encode("film").ids[0]
    assert table[word, 1] > 1 > table[word, 0]
    found, other = (one.probabilities["film"] for one in classifier.classify(["bad film", "very good"]))
    assert found > 0.7 > other


def test_counts_are_exact_in_any_number_of_texts(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = untrained(files, "whole").runs[0].model
    monkeypatch.setattr(bayes, "TEXTS", 2)
    parts = untrained(files, "parts").runs[0].model
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), parts.parameters(), strict=True))


def test_it_is_said_and_a_resume_begins_nothing_anew(files: Path) -> None:
    log: list[str] = []
    train(config(files, max_epochs=3), files / "whole", say=log.append)
    assert any("as naive Bayes of 6 texts: 15 words and n-grams" in line for line in log)
    train(config(files, max_epochs=1), files / "parts", say=quiet)
    log.clear()
    train(config(files, max_epochs=3), files / "parts", resume=True, say=log.append)
    assert not any("naive Bayes" in line for line in log)
    one, other = (load_file(files / run / "resume" / "state.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize(("encoder", "task", "message"), [
    ({"embedding": {"width": 2}}, {}, r"embedding.width = 2 is less than the 3 labels of tasks.mood.*; expected 3"),
    ({}, {"head": {"pooling": "max"}}, "naive_bayes: found tasks.mood.head.pooling = 'max', expected 'mean'"),
    ({}, {"head": {"pooling": "mean", "hidden": 4}}, "found tasks.mood.head.hidden = 4, expected 0"),
    ({}, {"head": {"pooling": "mean", "layer": 0}}, "found tasks.mood.head.layer = 0, expected -1"),
    ({"embedding": {"width": 5, "scale": True}}, {}, "found encoder.embedding.scale = true, expected false"),
])
def test_settings_that_it_does_not_fit_are_refused(
    files: Path, encoder: dict[str, Any], task: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config(files, encoder, task), files / "run", say=quiet)
    assert not (files / "run" / "weights.safetensors").exists()


def test_other_tasks_are_refused(files: Path) -> None:
    data = config(files).model_dump(mode="json", exclude_none=True)
    data["tasks"]["text"] = {"kind": "language_model", "train": f"{files}/train.tsv", "limit": {"max_tokens": 20}}
    with pytest.raises(ConfigError, match="naive_bayes: found 2 tasks, expected a single one"):
        train(parse(RunConfig, data, "test"), files / "run", say=quiet)


def test_the_output_reads_a_unit_a_label(files: Path) -> None:
    head = untrained(files, "run").runs[0].model.head("mood")
    assert isinstance(head, ClassifyHead)
    weight = head.output[-1].weight
    assert torch.allclose(weight, torch.eye(3, 5) * weight[0, 0])
