"""Several runs that act as one tagger or classifier: means of probabilities, whatever each run reads."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import sentences, task, write_run

from seq2x import checkpoint
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.predictors import Classifier, Constraints, LanguageModel, Tagger
from seq2x.text import tags

TEXTS = [*sentences(12, seed=3), " ".join(sentences(30, seed=4))]
"""The last is longer than a model reads at once."""
MEMBERS: list[tuple[str, str]] = [("recurrent", "words"), ("convolution", "subwords"), ("transformer", "words")]


def write(folder: Path, name: str, **settings: Any) -> list[Path]:
    return [write_run(folder / f"{name}{seed}", {name: task(name, **settings)}, encoder, text, seed)
            for seed, (encoder, text) in enumerate(MEMBERS)]


@pytest.fixture(scope="module")
def taggers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("taggers"), "tag")


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("classifiers"), "classify")


class TestTaggers:
    def test_marginals_are_averaged(self, tmp_path: Path) -> None:
        """Of plain tags all sequences are legal, so the mean is what comes out."""
        runs = [write_run(tmp_path / f"run{seed}", {"tag": task("tag", data={"scheme": "none"}, scheme="none")},
                          text="words", seed=seed) for seed in range(3)]
        together = Tagger.load(runs).tag(TEXTS[:3], marginals=True)
        each = [Tagger.load(run).tag(TEXTS[:3], marginals=True) for run in runs]
        for number, found in enumerate(together):
            for word, given in enumerate(found.marginals):
                for tag, value in given.items():
                    mean = sum(one[number].marginals[word][tag] for one in each) / 3
                    assert math.isclose(value, mean, rel_tol=1e-6)

    def test_what_comes_out_is_legal_and_the_batch_changes_nothing(self, taggers: list[Path]) -> None:
        tagger = Tagger.load(taggers)
        found = tagger.tag(TEXTS, k_best=3, marginals=True)
        assert [tagger.tag(text, k_best=3, marginals=True) for text in TEXTS] == found
        assert found != Tagger.load(taggers[0]).tag(TEXTS, k_best=3, marginals=True)
        assert found[-1].windows > 1
        assert len(found[-1].tags) == len(found[-1].tokens)
        for one in found:
            tags.check(one.tags, "BIO")
            assert all(0 <= span.confidence <= 1 + 1e-9 for span in one.spans)

    def test_one_model_twice_is_that_model_where_words_are_tagged_alone(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", {"tag": task("tag", head={"kind": "tag", "decoder": "softmax"},
                                                       data={"scheme": "none"}, scheme="none")})
        once, twice = (Tagger.load(runs).tag(TEXTS, marginals=True) for runs in (run, [run, run]))
        assert [one.tags for one in twice] == [one.tags for one in once]
        for one, other in zip(once, twice, strict=True):
            assert other.confidence == pytest.approx(one.confidence, rel=1e-9)

    def test_constraints_hold(self, taggers: list[Path]) -> None:
        tagger = Tagger.load(taggers)
        free = tagger.tag("Mira sings in Oslo")
        given = tagger.tag("Mira sings in Oslo", constraints=Constraints(spans=[tags.Span("LOC", 1, 3)]))
        assert ("LOC", 1, 3) in [(span.label, span.first, span.stop) for span in given.spans]
        assert ("LOC", 1, 3) not in [(span.label, span.first, span.stop) for span in free.spans]

    def test_other_tags_or_schemes_are_refused(self, taggers: list[Path], tmp_path: Path) -> None:
        other = write_run(tmp_path / "other", {"tag": task("tag", scheme="BIO")})
        with pytest.raises(RunError, match="need the same labels; the first has 9, number 2 5, and not both have"):
            Tagger.load([taggers[0], other])


class TestClassifiers:
    def test_probabilities_are_averaged(self, classifiers: list[Path]) -> None:
        together = Classifier.load(classifiers)
        each = [Classifier.load(run) for run in classifiers]
        for text, found in zip(TEXTS, together.classify(TEXTS), strict=True):
            own = [one.classify(text) for one in each]
            for label, value in found.probabilities.items():
                assert math.isclose(value, sum(one.probabilities[label] for one in own) / 3, rel_tol=1e-9)
            assert found.windows == max(one.windows for one in own)
            assert together.classify(text) == found

    def test_explanations_are_averaged(self, classifiers: list[Path]) -> None:
        found = Classifier.load(classifiers).classify("Snow in Oslo", explain=True)
        each = [Classifier.load(run).classify("Snow in Oslo", explain="attention").words for run in classifiers]
        for word, *own in zip(found.words, *each, strict=True):
            assert math.isclose(word.weight, sum(one.weight for one in own) / 3, rel_tol=1e-9)

    def test_it_is_calibrated_by_itself(self, classifiers: list[Path]) -> None:
        with pytest.raises(ConfigError, match="found 3 models that act as one"):
            Classifier.load(classifiers).calibrate(["Snow !"], [["news"]])

    @pytest.mark.parametrize(("texts", "gold", "message"), [
        ([], [], "found 0 texts, and the labels of 0; expected as many, and some"),
        (["Snow !"], [["news"], ["story"]], "found 1 texts, and the labels of 2"),
        (["Snow !"], ["news"], "text 1: found 'news'; expected a list of one label"),
        (["Snow !"], [["news", "story"]], r"text 1: found \['news', 'story'\]; expected a list of one label"),
        (["Snow !"], [["newz"]], "text 1: there is no label 'newz'; did you mean 'news'"),
    ])
    def test_it_is_calibrated_on_labels(
        self, classifiers: list[Path], texts: list[str], gold: list[list[str]], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            Classifier.load(classifiers[0]).calibrate(texts, gold)

    def test_one_label_and_several_are_no_ensemble(self, classifiers: list[Path], tmp_path: Path) -> None:
        other = write_run(tmp_path / "other", {"classify": task("classify", data={"separator": ","})}, text="words")
        with pytest.raises(RunError, match="one of the first and number 2 gives several labels a text"):
            Classifier.load([classifiers[0], other])


def test_snapshots_act_as_one(classifiers: list[Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(classifiers[0], tmp_path / "run"))
    (run / "snapshots").mkdir()
    with pytest.raises(RunError, match=r"snapshots: holds no weights; expected files such as 1\.safetensors"):
        Classifier.load(run / "snapshots")
    files = [run / "snapshots" / f"{number}.safetensors" for number in (1, 2, 10)]
    for seed, file in enumerate(files):
        shutil.copy(write_run(tmp_path / f"of{seed}", {"classify": task("classify")}, text="words", seed=seed + 5)
                    / "weights.safetensors", file)
    together = Classifier.load(run / "snapshots")
    assert len(together.runs) == 3
    assert together.classify(TEXTS) == Classifier.load(files).classify(TEXTS)
    assert Classifier.load(files[1]).classify(TEXTS) == Classifier.load(tmp_path / "of1").classify(TEXTS)
    assert [checkpoint.is_run(place) for place in (run, run / "snapshots", files[0], tmp_path, run / "config.toml")
            ] == [True, True, True, False, False]


def test_no_run_and_no_language_models(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="found no run"):
        Tagger.load([])
    settings = {"kind": "language_model", "train": "train.txt", "limit": {"max_tokens": 40}}
    run = write_run(tmp_path / "run", {"lm": settings})
    with pytest.raises(RunError, match="found 2 runs; a language model is scored by itself, expected one"):
        LanguageModel.load([run, run])
