"""How good a predictor is on examples: predict them all, compare with what they should be.

Knows no file and no model: predictor and examples are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from seq2x import metrics
from seq2x.data.examples import Pair, Tagged, Text, Where
from seq2x.errors import DataError, nearest
from seq2x.heads import SearchConfig
from seq2x.predictors import Classifier, LanguageModel, Scored, Tagger, Translator
from seq2x.predictors.classifier import Classified
from seq2x.predictors.tagged import Tagged as TaggedText
from seq2x.predictors.translated import Translation
from seq2x.text import tags
from seq2x.text.partial import is_partial

E = TypeVar("E", Text, Tagged, Pair)

AnyPredictor = Classifier | Tagger | Translator | LanguageModel


class Evaluation(NamedTuple):
    """What came out."""

    value: float
    """What training maximises, 0 to 100: ``scores[metric]``."""
    metric: str
    scores: dict[str, Any]
    """Every metric, its signature, and what was counted; fit for JSON."""
    predictions: list[Any]
    """Of each example, in order, as the predictor gave them."""


def evaluate(
    predictor: AnyPredictor,
    examples: Sequence[Text] | Sequence[Tagged] | Sequence[Pair],
    *,
    search: SearchConfig | None = None,
) -> Evaluation:
    """Score ``predictor`` on examples of its kind; ``search`` is for a translator, else its own.

    classify: accuracy and macro F1, of several labels a text also micro F1, its precision and recall. tag: span
    F1 (seqeval, strict, in the scheme of the files) and the accuracy of tags, the latter alone where the scheme has no
    spans. translate: BLEU and chrF (sacrebleu). language_model: the perplexity, and 100 / perplexity, which is the
    geometric mean of the tokens' probabilities in per cent, as value.

    Examples longer than the model's limit are predicted in windows and count like all others. Raises what
    :func:`check` raises.
    """
    check(predictor, examples)
    return score(predictor, examples, predict(predictor, examples, search=search), search=search)


def predict(
    predictor: AnyPredictor,
    examples: Sequence[Text] | Sequence[Tagged] | Sequence[Pair],
    *,
    search: SearchConfig | None = None,
) -> list[Any]:
    """Return the prediction of each example; the first half of :func:`evaluate`."""
    if isinstance(predictor, Classifier):
        return predictor.classify([example.text for example in _only(examples, Text)])
    if isinstance(predictor, LanguageModel):
        return predictor.score([example.text for example in _only(examples, Text)])
    if isinstance(predictor, Tagger):
        return predictor.tag([example.words for example in _only(examples, Tagged)])
    return predictor.translate([example.source for example in _only(examples, Pair)], search=search)


def score(
    predictor: AnyPredictor,
    examples: Sequence[Text] | Sequence[Tagged] | Sequence[Pair],
    predictions: list[Any],
    *,
    search: SearchConfig | None = None,
) -> Evaluation:
    """Compare the predictions with the examples; the second half of :func:`evaluate`."""
    if isinstance(predictor, Classifier):
        return _classification(predictor, _only(examples, Text), predictions)
    if isinstance(predictor, LanguageModel):
        return _language(_only(examples, Text), predictions)
    if isinstance(predictor, Tagger):
        return _tagging(predictor, _only(examples, Tagged), predictions)
    return _translation(predictor, _only(examples, Pair), predictions, search or predictor.search)


def check(
    predictor: AnyPredictor, examples: Sequence[Text] | Sequence[Tagged] | Sequence[Pair]
) -> None:
    """Raise DataError, with file and line, for an example that ``predictor`` cannot be scored on.

    That is one without its answer, one with a label or tag that the training data did not have, and one whose tags
    break the scheme; also where there are no examples at all.
    """
    if not examples:
        raise DataError("there are no examples to evaluate on")
    if isinstance(predictor, Classifier):
        for text in _only(examples, Text):
            _there(text.label, "label", text.where)
            _known(text.labels, predictor.labels, "label", text.where)
    elif isinstance(predictor, LanguageModel):
        _only(examples, Text)
    elif isinstance(predictor, Tagger):
        for sentence in _only(examples, Tagged):
            _check_tags(predictor, sentence)
    else:
        for pair in _only(examples, Pair):
            _there(pair.target, "translation", pair.where)


def calibrate(predictor: AnyPredictor, examples: Sequence[Any]) -> str:
    """Fit to dev what makes probabilities of a classifier's outputs; "" where the settings want nothing fitted."""
    if not isinstance(predictor, Classifier):
        return ""
    return predictor.calibrate([example.text for example in examples], [example.labels for example in examples])


def _classification(classifier: Classifier, examples: Sequence[Text], predictions: list[Classified]) -> Evaluation:
    gold, found = [example.labels for example in examples], [prediction.labels for prediction in predictions]
    each = metrics.label_scores(gold, found)
    scores: dict[str, Any] = {"accuracy": 100 * sum(map(_same, gold, found)) / len(gold), "macro_f1": each.macro_f1}
    if classifier.head.several:
        scores |= {"micro_f1": each.f1, "precision": each.precision, "recall": each.recall}
    scores["texts"] = len(examples)
    if classifier.task.metric not in scores:  # of one label a text, the micro-average is the accuracy
        scores["micro_f1"] = each.f1
    return Evaluation(scores[classifier.task.metric], classifier.task.metric, scores, predictions)


def _same(gold: Sequence[str], found: Sequence[str]) -> bool:
    return set(gold) == set(found)


def _tagging(tagger: Tagger, examples: Sequence[Tagged], predictions: list[TaggedText]) -> Evaluation:
    gold = [example.tags or () for example in examples]
    found = [prediction.tags for prediction in predictions]
    flat = [[tag for sentence in side for tag in sentence] for side in (gold, found)]
    scores: dict[str, Any] = {"accuracy": metrics.accuracy(*flat), "sentences": len(examples), "words": len(flat[0])}
    metric = "accuracy"
    if tagger.scheme != "none":
        metric, spans = "f1", metrics.span_scores(gold, found, tagger.scheme)
        labels = {label: score._asdict() for label, score in spans.labels.items()}
        scores = {**spans._asdict(), **scores, "scheme": tagger.scheme, "labels": labels}
    return Evaluation(scores[metric], metric, scores, predictions)


def _language(examples: Sequence[Text], predictions: list[Scored]) -> Evaluation:
    sides = {"forward": [found.forward for found in predictions],
             "backward": [found.backward for found in predictions if found.backward is not None]}
    tokens = sum(found.tokens for found in predictions)
    sums = {side: math.fsum(values) for side, values in sides.items() if values}
    perplexity = metrics.perplexity(sum(sums.values()), tokens * len(sums))
    scores = {"probability": 100 / perplexity, "perplexity": perplexity,
              **{f"{side}_perplexity": metrics.perplexity(value, tokens) for side, value in sums.items()
                 if len(sums) > 1},
              "texts": len(examples), "tokens": tokens}
    return Evaluation(scores["probability"], "probability", scores, predictions)


def _translation(
    translator: Translator, examples: Sequence[Pair], predictions: list[Translation], search: SearchConfig
) -> Evaluation:
    sides = [prediction.text for prediction in predictions], [example.target or "" for example in examples]
    bleu, chrf = metrics.bleu(*sides), metrics.chrf(*sides)
    scores = {
        "bleu": bleu.value, "chrf": chrf.value, "bleu_signature": bleu.signature, "chrf_signature": chrf.signature,
        "sentences": len(examples), "split": sum(prediction.windows > 1 for prediction in predictions),
        "search": search.model_dump(),
    }
    metric = translator.task.metric
    return Evaluation(bleu.value if metric == "bleu" else chrf.value, metric, scores, predictions)


def _check_tags(tagger: Tagger, sentence: Tagged) -> None:
    gold, where = _there(sentence.tags, "tags", sentence.where), sentence.where
    if tagger.task.data.partial and is_partial(gold):
        raise DataError("some of the tags are partly known or unknown; to score a model, all of them must be known "
                        "(dev data in a file of their own)", *where)
    try:
        tags.check(gold, tagger.scheme)
    except DataError as error:
        raise DataError(str(error), *where) from None
    what = "tag" if tagger.scheme == "none" else "label"  # of a span; which prefixes it was seen with is no matter
    _known(sorted(tags.labels_of(gold, tagger.scheme)), tagger.labels, what, where)


def _there(answer: Any, what: str, where: Where) -> Any:
    if answer is None:
        raise DataError(f"without its {what}, an example cannot be scored", *where)
    return answer


def _known(found: Iterable[str], known: Sequence[str], what: str, where: Where) -> None:
    for entry in found:
        if entry not in known:
            raise DataError(f"the {what} {entry!r} is not known (the training data have none){nearest(entry, known)}",
                            *where)


def _only(examples: Sequence[Any], kind: type[E]) -> Sequence[E]:
    for example in examples:
        if not isinstance(example, kind):
            raise TypeError(f"found an example of the type {type(example).__name__}; expected {kind.__name__}")
    return examples
