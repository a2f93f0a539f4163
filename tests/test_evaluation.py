"""Scores of predictors on examples whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import LABELS, sentences, task, write_run

from seq2x.data.examples import Pair, Tagged, Text
from seq2x.errors import DataError
from seq2x.evaluation import check, evaluate
from seq2x.heads import SearchConfig
from seq2x.predictors import Classifier, Tagger, Translator

WHERE = ("dev.txt", 7)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = {"topics": task("classify"), "names": task("tag"), "words": task("tag", data={"scheme": "none"}),
             "german": task("translate")}
    return write_run(tmp_path_factory.mktemp("run") / "tiny", tasks)


@pytest.fixture(scope="module")
def classifier(run: Path) -> Classifier:
    return Classifier.load(run)


@pytest.fixture(scope="module")
def tagger(run: Path) -> Tagger:
    return Tagger.load(run, "names")


@pytest.fixture(scope="module")
def translator(run: Path) -> Translator:
    return Translator.load(run)


class TestClassification:
    def test_counts_equal_labels(self, classifier: Classifier) -> None:
        texts = sentences(10)
        labels = [result.label for result in classifier.classify(texts)]
        right = evaluate(classifier, [Text(*pair) for pair in zip(texts, labels, strict=True)])
        assert (right.value, right.metric) == (100, "accuracy")
        assert right.scores == {"accuracy": 100, "macro_f1": 100, "texts": 10}
        assert right.predictions == classifier.classify(texts)
        other = next(label for label in LABELS if label != labels[0])
        examples = [Text(*pair) for pair in zip(texts, [other, *labels[1:]], strict=True)]
        assert evaluate(classifier, examples).value == 90

    def test_its_value_is_the_metric_of_the_task(self, tmp_path: Path) -> None:
        classifier = Classifier.load(write_run(tmp_path / "run", {"topics": task("classify", metric="macro_f1")}))
        texts = sentences(6)
        gold = [found.label for found in classifier.classify(texts)]
        gold[0] = next(label for label in LABELS if label != gold[0])
        found = evaluate(classifier, [Text(*pair) for pair in zip(texts, gold, strict=True)])
        assert found.metric == "macro_f1"
        assert found.value == found.scores["macro_f1"] != found.scores["accuracy"]


class TestTagging:
    def test_counts_spans_in_the_scheme_of_the_files(self, tagger: Tagger) -> None:
        words = [tuple(text.split()) for text in sentences(12)]
        tagged = tagger.tag([list(one) for one in words])
        right = evaluate(tagger, [Tagged(one, result.tags) for one, result in zip(words, tagged, strict=True)])
        assert (right.value, right.metric) == (100, "f1")
        assert right.scores["accuracy"] == right.scores["precision"] == right.scores["recall"] == 100
        assert right.scores["scheme"] == "BIO"
        assert (right.scores["sentences"], right.scores["words"]) == (12, sum(map(len, words)))
        spans = sum(len(result.spans) for result in tagged)
        assert sum(score["support"] for score in right.scores["labels"].values()) == spans > 0

    def test_counts_tags_and_spans_apart(self, tagger: Tagger) -> None:
        words = ("Two", "painters", "from", "Lisbon", "met", "Anna")
        result = tagger.tag([words])[0]
        found = evaluate(tagger, [Tagged(words, ("O",) * 6)])
        assert found.value == found.scores["recall"] == 0
        assert found.scores["accuracy"] == pytest.approx(100 * result.tags.count("O") / 6)

    def test_plain_tags_have_an_accuracy_only(self, run: Path) -> None:
        tagger = Tagger.load(run, "words")
        found = evaluate(tagger, [Tagged(("Snow", "falls"), ("LOC", "PER"))])
        assert found.metric == "accuracy"
        assert set(found.scores) == {"accuracy", "sentences", "words"}
        assert found.value == found.scores["accuracy"]


class TestTranslation:
    def test_scores_the_best_translations(self, translator: Translator) -> None:
        texts = [text for text in sentences(6, longest=8) if text]
        found = translator.translate(texts)
        right = evaluate(translator, [Pair(text, one.text) for text, one in zip(texts, found, strict=True)])
        assert right.metric == "bleu"
        assert right.value == right.scores["bleu"] == pytest.approx(100)
        assert right.scores["chrf"] == pytest.approx(100)
        assert "tok:13a" in right.scores["bleu_signature"]
        assert "nc:6" in right.scores["chrf_signature"]
        assert right.scores["search"]["beam_size"] == 3
        assert right.scores["sentences"] == len(texts)

    def test_takes_another_search(self, translator: Translator) -> None:
        search = SearchConfig(beam_size=1, max_length_ratio=0.1)
        found = evaluate(translator, [Pair("Snow !", "Schnee !")], search=search)
        assert found.predictions == [translator.translate("Snow !", search=search)]
        assert found.scores["search"] == search.model_dump()

    def test_counts_lines_translated_in_parts(self, translator: Translator) -> None:
        pairs = [Pair("Snow ! " * 60, "Schnee !"), Pair("Snow !", "Schnee !")]
        search = SearchConfig(beam_size=1, max_length_ratio=0.1)
        assert evaluate(translator, pairs, search=search).scores["split"] == 1


def test_scores_are_fit_for_json(classifier: Classifier, tagger: Tagger, translator: Translator) -> None:
    found = [evaluate(classifier, [Text("Snow !", "news")]), evaluate(tagger, [Tagged(("Snow", "!"), ("B-LOC", "O"))]),
             evaluate(translator, [Pair("Snow !", "Schnee !")])]
    for evaluation in found:
        assert json.loads(json.dumps(evaluation.scores)) == evaluation.scores


class TestBadExamples:
    def test_a_label_unseen_in_training(self, classifier: Classifier) -> None:
        with pytest.raises(DataError) as raised:
            evaluate(classifier, [Text("a", "news"), Text("b", "storm", WHERE)])
        assert str(raised.value) == (
            "dev.txt, line 7: the label 'storm' is not known (the training data have none); did you mean 'story'?")
        assert (raised.value.path, raised.value.line) == WHERE

    def test_a_span_unseen_in_training(self, tagger: Tagger) -> None:
        with pytest.raises(DataError, match=r"dev.txt, line 7: the label 'LOK' is not known.*did you mean 'LOC'"):
            evaluate(tagger, [Tagged(("a",), ("B-LOK",), WHERE)])

    def test_a_tag_unseen_in_training(self, run: Path) -> None:
        with pytest.raises(DataError, match=r"dev.txt, line 7: the tag 'NOUN' is not known.*choices are 'LOC', 'PER'"):
            evaluate(Tagger.load(run, "words"), [Tagged(("a",), ("NOUN",), WHERE)])

    def test_tags_against_the_scheme(self, tagger: Tagger) -> None:
        with pytest.raises(DataError, match=r"dev.txt, line 7: tag 2 of 2 is 'I-LOC' after 'O'; BIO allows"):
            evaluate(tagger, [Tagged(("a", "b"), ("O", "I-LOC"), WHERE)])

    def test_no_answer(self, classifier: Classifier, tagger: Tagger, translator: Translator) -> None:
        with pytest.raises(DataError, match=r"dev.txt, line 7: without its label, an example cannot be scored"):
            check(classifier, [Text("a", None, WHERE)])
        with pytest.raises(DataError, match=r"dev.txt, line 7: without its tags"):
            check(tagger, [Tagged(("a",), None, WHERE)])
        with pytest.raises(DataError, match=r"dev.txt, line 7: without its translation"):
            check(translator, [Pair("a", None, WHERE)])

    def test_no_examples(self, classifier: Classifier) -> None:
        with pytest.raises(DataError, match="no examples"):
            evaluate(classifier, [])

    def test_examples_of_another_kind(self, classifier: Classifier) -> None:
        with pytest.raises(TypeError, match="of the type Pair; expected Text"):
            evaluate(classifier, [Pair("a", "b")])
