"""How good predictions are, by the field's own programs: seqeval for spans, sacrebleu for translations.

Knows no model and no file. Every value runs from 0 to 100, higher is better, but that of a perplexity, and where it
says error or repetition. seqeval and sacrebleu are slow to import, so that each is imported by the function that needs
it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from seq2x.errors import DataError
from seq2x.text.tags import Scheme, labels_of

_SEQEVAL = {"BIO": "IOB2", "IOB1": "IOB1", "IOBES": "IOBES", "BILOU": "BILOU"}
"""Our names of the schemes, and seqeval's."""
LARGEST = 700.0
"""The mean of the logarithms above which a perplexity is no number of the machine's any more."""

Links = AbstractSet[tuple[int, int]]
"""An alignment: pairs of places of a source word and a target word."""


class Measured(NamedTuple):
    """A score of sacrebleu's, and all that it takes to compute it again."""

    value: float
    signature: str


class LabelScore(NamedTuple):
    """How well the spans of one label were found."""

    precision: float
    recall: float
    f1: float
    support: int
    """Gold spans."""


class LabelScores(NamedTuple):
    """How well the labels of texts were found, of which each may have several: micro-averages, and each by itself."""

    precision: float
    recall: float
    f1: float
    macro_f1: float
    labels: dict[str, LabelScore]


class SpanScores(NamedTuple):
    """Micro-averages over all spans, and each label by itself."""

    precision: float
    recall: float
    f1: float
    labels: dict[str, LabelScore]


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the share of equal labels. ValueError for unequal numbers of them, or none."""
    _comparable(gold, predicted)
    return 100 * sum(map(str.__eq__, gold, predicted)) / len(gold)


def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the unweighted mean of the F1 of every label that is gold or predicted somewhere.

    ValueError for unequal numbers of labels, or none.
    """
    _comparable(gold, predicted)
    right = Counter(label for label, other in zip(gold, predicted, strict=True) if label == other)
    total = Counter(gold) + Counter(predicted)  # F1 = 2 TP / (2 TP + FP + FN), the denominator = gold + predicted
    return 100 * sum(2 * right[label] / count for label, count in total.items()) / len(total)


def label_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> LabelScores:
    """Return precision, recall and F1 of the labels of texts, and the unweighted mean of the labels' F1.

    ``gold`` and ``predicted`` hold the labels of each text. A precision, recall or F1 of nothing at all is 0.
    ValueError for unequal numbers of texts, or none.
    """
    _comparable(gold, predicted)
    right = Counter(label for labels, others in zip(gold, predicted, strict=True) for label in {*labels} & {*others})
    wanted, given = (Counter(label for labels in side for label in set(labels)) for side in (gold, predicted))

    def scored(right: int, given: int, wanted: int) -> LabelScore:
        return LabelScore(100 * right / max(1, given), 100 * right / max(1, wanted),
                          200 * right / max(1, given + wanted), wanted)

    each = {label: scored(right[label], given[label], wanted[label]) for label in sorted(wanted | given)}
    whole = scored(right.total(), given.total(), wanted.total())
    macro = sum(score.f1 for score in each.values()) / max(1, len(each))
    return LabelScores(*whole[:3], macro, each)


def span_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: Scheme) -> SpanScores:
    """Return precision, recall and F1 of spans: right is the right label from the right first to the right last word.

    ``gold`` and ``predicted`` hold the tags of each sentence. seqeval (Nakayama 2018) in its strict mode counts, under
    the scheme given: there is no default, since a lenient reading of the same tags gives another, higher number. A
    precision, recall or F1 of nothing at all is 0. DataError for a tag that the scheme does not have; ValueError for
    the scheme ``none``, and for unequal numbers of sentences or words.
    """
    if scheme == "none":
        raise ValueError("tags of the scheme 'none' have no spans to score")
    _comparable(gold, predicted)
    for number, (tags, others) in enumerate(zip(gold, predicted, strict=True), start=1):
        if len(tags) != len(others):
            raise ValueError(f"sentence {number} has {len(tags):,} gold tags and {len(others):,} predicted ones")
    labels = sorted(labels_of({tag for side in (gold, predicted) for tags in side for tag in tags}, scheme))
    return _by_seqeval(gold, predicted, _SEQEVAL[scheme], {label: str(number) for number, label in enumerate(labels)})


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Measured:
    """Return corpus BLEU (Papineni et al. 2002), by sacrebleu (Post 2018) with its default 13a tokens.

    One reference a hypothesis, as running text. ValueError for unequal numbers of them, or none.
    """
    _comparable(references, hypotheses)
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Measured(float(value), str(metric.get_signature()))


def bleu_counts(hypothesis: str, reference: str) -> list[float]:
    """Return what the BLEU of a corpus is a sum of: both lengths, the right n-grams of each order, and all of them."""
    from sacrebleu.metrics.bleu import BLEU

    found = BLEU(effective_order=True).corpus_score([hypothesis], [[reference]])
    return [float(number) for number in (found.sys_len, found.ref_len, *found.counts, *found.totals)]


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Measured:
    """Return corpus chrF2 (Popovic 2015), by sacrebleu; see :func:`bleu`."""
    _comparable(references, hypotheses)
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Measured(float(value), str(metric.get_signature()))


def agreement(texts: Sequence[str]) -> list[float]:
    """Return the mean sentence chrF2 of each text with all of ``texts``, itself among them, as references.

    The utility of minimum Bayes risk (Kumar & Byrne 2004; Eikema & Aziz 2020). The numbers are sacrebleu's, whose own
    sentence scores count the n-grams of every text anew for every pair.
    """
    counts = Counter(texts)
    grams = {text: _grams(text) for text in counts}
    means = {one: math.fsum(count * _sentence_chrf(grams[one], grams[other]) for other, count in counts.items())
             / len(texts) for one in counts}
    return [means[text] for text in texts]


def repetition(texts: Sequence[str], size: int) -> float:
    """Return the share of n-grams of ``size`` words that their own text has had before (See et al. 2017, figure 4).

    Words are runs of letters and digits, whatever their case; 0 where no text has so many. To be read beside that of
    the references, as some things are said twice with reason.
    """
    total = again = 0
    for text in texts:
        words = re.findall(r"\w+", text.casefold())
        grams = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
        total, again = total + len(grams), again + len(grams) - len(set(grams))
    return 100 * again / max(total, 1)


def alignment_error_rate(found: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> float:
    """Return 1 - (|A & S| + |A & P|) / (|A| + |S|) over all sentences, in per cent; lower is better (Och & Ney 2003).

    Of each sentence the links A that were ``found``, those S that are ``sure`` by hand, and those P that are at least
    ``possible``; P may leave the sure ones out. ValueError for unequal numbers of sentences, or none.
    """
    _comparable(sure, found)
    _comparable(possible, found)
    right = total = 0
    for links, certain, allowed in zip(found, sure, possible, strict=True):
        right += len(links & certain) + len(links & (certain | allowed))
        total += len(links) + len(certain)
    return 100 * (1 - right / total) if total else 0.0


def _grams(text: str, order: int = 6) -> list[Counter[str]]:
    """The n-grams of the characters of a text without blanks, n = 1 to ``order``."""
    joined = "".join(text.split())
    return [Counter(joined[place : place + size] for place in range(len(joined) - size + 1))
            for size in range(1, order + 1)]


def _sentence_chrf(hypothesis: Sequence[Counter[str]], reference: Sequence[Counter[str]], beta: float = 2.0) -> float:
    """chrF (Popovic 2015): the F of precision and recall, each averaged over the n that both sides have n-grams of."""
    shared = [(own, other) for own, other in zip(hypothesis, reference, strict=True) if own and other]
    if not shared:
        return 0.0
    matches = [(own & other).total() for own, other in shared]
    precision = sum(match / own.total() for match, (own, _) in zip(matches, shared, strict=True)) / len(shared)
    recall = sum(match / other.total() for match, (_, other) in zip(matches, shared, strict=True)) / len(shared)
    if not precision + recall:
        return 0.0
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


class Bin(NamedTuple):
    """The predictions whose confidence is in a range."""

    low: float
    high: float
    """The bounds, 0 to 1; the lower is outside, but for the first range."""
    predictions: int
    confidence: float
    """Their mean confidence, in per cent; 0 where there are none."""
    accuracy: float
    """The share of those that are right, in per cent; 0 where there are none."""


class Reliability(NamedTuple):
    """How far confidences are from the shares of right predictions."""

    error: float
    """The expected calibration error: the mean distance of the two over all predictions, in points of per cent."""
    bins: list[Bin]


def reliability(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> Reliability:
    """Return the expected calibration error (Naeini et al. 2015; Guo et al. 2017, equation 5), ``bins`` equal ranges.

    ``confidence`` are probabilities, ``right`` whether each prediction was. 0 is best. Without predictions there is no
    error: 0. ValueError for unequal numbers of them.
    """
    if len(confidence) != len(right):
        raise ValueError(f"{len(confidence):,} confidences cannot be compared to {len(right):,} answers")
    inside: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for value, is_right in zip(confidence, right, strict=True):
        inside[min(max(math.ceil(value * bins) - 1, 0), bins - 1)].append((value, is_right))
    table = [
        Bin(number / bins, (number + 1) / bins, len(some), 100 * sum(value for value, _ in some) / max(len(some), 1),
            100 * sum(is_right for _, is_right in some) / max(len(some), 1))
        for number, some in enumerate(inside)
    ]
    error = sum(one.predictions * abs(one.confidence - one.accuracy) for one in table) / max(len(confidence), 1)
    return Reliability(error, table)


def _by_seqeval(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str, names: Mapping[str, str]
) -> SpanScores:
    """Count with seqeval. It reads the label "X-" as "X", hence the ``names``, which are free of hyphens."""
    from seqeval import scheme as schemes
    from seqeval.metrics.v1 import precision_recall_fscore_support

    def plain(tags: Sequence[str]) -> list[str]:
        parts = [tag.partition("-") for tag in tags]
        return [f"{prefix}-{names[label]}" if label else prefix for prefix, _, label in parts]

    kind = getattr(schemes, scheme)
    sides = [[plain(tags) for tags in side] for side in (gold, predicted)]
    found = [schemes.Entities(side, kind) for side in sides]
    given = {"entities_true": found[0], "entities_pred": found[1], "scheme": kind, "zero_division": 0}
    used = sorted(found[0].unique_tags | found[1].unique_tags)  # the order in which seqeval returns them
    label_of = {name: label for label, name in names.items()}
    each = zip(*precision_recall_fscore_support(*sides, average=None, **given), strict=True)
    scores = {label_of[name]: LabelScore(100 * float(p), 100 * float(r), 100 * float(f), int(support))
              for name, (p, r, f, support) in zip(used, each, strict=True)}
    precision, recall, f1, _ = precision_recall_fscore_support(*sides, average="micro", **given)
    return SpanScores(100 * float(precision), 100 * float(recall), 100 * float(f1), dict(sorted(scores.items())))


def _comparable(gold: Sequence[object], predicted: Sequence[object]) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(predicted):,} predictions cannot be compared to {len(gold):,} gold ones")
    if not gold:
        raise ValueError("there is nothing to score")


def perplexity(log_prob: float, count: int) -> float:
    """Return exp(-log_prob / count) of ``count`` predictions whose probabilities have the product exp(log_prob).

    DataError where nothing was predicted.
    """
    if not count:
        raise DataError("the texts have no token beside a first one; a perplexity needs some to predict")
    return math.exp(min(-log_prob / count, LARGEST))
