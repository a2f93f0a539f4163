"""Scores against their definitions: counted by hand, by set arithmetic over spans, and by the rules of conlleval."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from seq2x import metrics
from seq2x.errors import DataError
from seq2x.text import tags

SCHEMES: list[tags.Scheme] = ["BIO", "IOB1", "IOBES", "BILOU"]
LABELS = ["LOC", "PER", "X-", "_", "a-b"]
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[list[tags.Span]], list[list[tags.Span]], list[int]]:
    """Spans of gold and predicted sentences, and the words of each sentence."""
    lengths = draw(st.lists(st.integers(0, 8), min_size=1, max_size=5))
    made: list[list[list[tags.Span]]] = [[], []]
    for side in made:
        for length in lengths:
            cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
            kept = [ends for ends in pairwise(cuts) if draw(st.booleans())]
            side.append([tags.Span(draw(st.sampled_from(LABELS)), *ends) for ends in kept])
    return made[0], made[1], lengths


def f_scores(right: int, predicted: int, gold: int) -> tuple[float, float, float]:
    precision, recall = right / predicted if predicted else 0.0, right / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return 100 * precision, 100 * recall, 100 * f1


def conlleval(sequence: list[str]) -> set[tuple[str, int, int]]:
    """The chunks of a sequence by the rules of the CoNLL shared tasks' script, which know no scheme."""
    chunks, start, before = set(), 0, ("O", "")
    for position, tag in enumerate([*sequence, "O"]):
        prefix, _, label = tag.partition("-")
        differs = label != before[1]
        ends = before[0] != "O" and (before[0] in "ESLU" or prefix in "BSUO" or differs)
        starts = prefix != "O" and (prefix in "BSU" or before[0] in "ESLUO" or differs)
        if ends:
            chunks.add((before[1], start, position))
        if starts:
            start = position
        before = (prefix, label)
    return chunks


class TestSpanScores:
    @every_scheme
    @given(examples=sides())
    def test_is_set_arithmetic_over_spans(
        self, scheme: tags.Scheme, examples: tuple[list[list[tags.Span]], list[list[tags.Span]], list[int]]
    ) -> None:
        gold, predicted, lengths = examples
        written = [[tags.encode(spans, length, scheme) for spans, length in zip(side, lengths, strict=True)]
                   for side in (gold, predicted)]
        found = metrics.span_scores(*written, scheme)
        sets = [{(number, span) for number, spans in enumerate(side) for span in spans} for side in (gold, predicted)]
        expected = f_scores(len(sets[0] & sets[1]), len(sets[1]), len(sets[0]))
        assert found[:3] == pytest.approx(expected)
        assert list(found.labels) == sorted({span.label for _, span in sets[0] | sets[1]})
        for label, score in found.labels.items():
            own = [{item for item in side if item[1].label == label} for side in sets]
            assert score[:3] == pytest.approx(f_scores(len(own[0] & own[1]), len(own[1]), len(own[0])))
            assert score.support == len(own[0])

    @every_scheme
    @given(examples=sides())
    def test_agrees_with_conlleval_on_valid_tags(
        self, scheme: tags.Scheme, examples: tuple[list[list[tags.Span]], list[list[tags.Span]], list[int]]
    ) -> None:
        gold, predicted, lengths = examples
        written = [[tags.encode(spans, length, scheme) for spans, length in zip(side, lengths, strict=True)]
                   for side in (gold, predicted)]
        sets = [{(number, *chunk) for number, sentence in enumerate(side) for chunk in conlleval(sentence)}
                for side in written]
        expected = f_scores(len(sets[0] & sets[1]), len(sets[1]), len(sets[0]))
        assert metrics.span_scores(*written, scheme)[:3] == pytest.approx(expected)

    def test_by_hand(self) -> None:
        gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
        predicted = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC"]]
        scores = metrics.span_scores(gold, predicted, "BIO")
        assert scores[:3] == pytest.approx((100 / 3, 100 / 3, 100 / 3))
        assert scores.labels == {"LOC": (0, 0, 0, 2), "PER": (50, 100, pytest.approx(200 / 3), 1)}

    def test_is_strict(self) -> None:
        """A span that the scheme does not let begin is none, though a lenient reading would count it as right."""
        assert metrics.span_scores([["O", "B-PER"]], [["O", "I-PER"]], "BIO")[:3] == (0, 0, 0)
        assert metrics.span_scores([["B-PER", "E-PER"]], [["B-PER", "I-PER"]], "IOBES")[:3] == (0, 0, 0)

    def test_one_sequence_means_what_its_scheme_says(self) -> None:
        sequence = [["I-PER", "I-PER", "O"]]
        assert metrics.span_scores(sequence, sequence, "IOB1").f1 == 100
        assert metrics.span_scores(sequence, sequence, "BIO").f1 == 0

    def test_no_spans_at_all(self) -> None:
        assert metrics.span_scores([["O", "O"], []], [["O", "O"], []], "BIO") == (0, 0, 0, {})

    def test_what_cannot_be_scored(self) -> None:
        with pytest.raises(ValueError, match="'none' have no spans"):
            metrics.span_scores([["NOUN"]], [["NOUN"]], "none")
        with pytest.raises(ValueError, match="sentence 2 has 1 gold tags and 2 predicted ones"):
            metrics.span_scores([["O"], ["O"]], [["O"], ["O", "O"]], "BIO")
        with pytest.raises(ValueError, match="2 predictions cannot be compared to 1 gold"):
            metrics.span_scores([["O"]], [["O"], ["O"]], "BIO")
        with pytest.raises(DataError, match="a tag is 'S-PER'; a tag of BIO is O, B-LABEL, I-LABEL"):
            metrics.span_scores([["S-PER"]], [["O"]], "BIO")


class TestLabels:
    def test_accuracy(self) -> None:
        assert metrics.accuracy(["a", "b", "c", "a"], ["a", "b", "a", "b"]) == 50
        assert metrics.accuracy(["a"], ["a"]) == 100

    def test_macro_f1(self) -> None:
        # a: precision 1/2, recall 1/2; b: 1/2, 1; c: never predicted; d: never gold
        value = metrics.macro_f1(["a", "a", "b", "c"], ["a", "b", "b", "d"])
        assert value == pytest.approx(100 * (2 / 3 + 2 / 3 + 0 + 0) / 4)

    @given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=30))
    def test_macro_f1_by_its_definition(self, pairs: list[tuple[str, str]]) -> None:
        gold, predicted = [one for one, _ in pairs], [other for _, other in pairs]
        each = [f_scores(pairs.count((label, label)), predicted.count(label), gold.count(label))[2]
                for label in set(gold + predicted)]
        assert metrics.macro_f1(gold, predicted) == pytest.approx(sum(each) / len(each))

    @pytest.mark.parametrize("metric", [metrics.accuracy, metrics.macro_f1, metrics.bleu, metrics.chrf])
    def test_nothing_or_unequal(self, metric: object) -> None:
        assert callable(metric)
        with pytest.raises(ValueError, match="nothing to score"):
            metric([], [])
        with pytest.raises(ValueError, match="cannot be compared"):
            metric(["a"], ["a", "b"])


class TestTranslations:
    HYPOTHESES = ("The mill is old and red .", "Snow fell on the long road to Narva")
    REFERENCES = ("The mill is old and grey .", "Snow fell on the long way to Narva")

    def test_are_those_of_sacrebleu(self) -> None:
        expected = sacrebleu.corpus_bleu(self.HYPOTHESES, [self.REFERENCES]).score
        assert metrics.bleu(self.HYPOTHESES, self.REFERENCES).value == expected
        expected = sacrebleu.corpus_chrf(self.HYPOTHESES, [self.REFERENCES]).score
        assert metrics.chrf(self.HYPOTHESES, self.REFERENCES).value == expected

    def test_equal_texts_score_100(self) -> None:
        assert metrics.bleu(self.REFERENCES, self.REFERENCES).value == pytest.approx(100)
        assert metrics.chrf(self.REFERENCES, self.REFERENCES).value == pytest.approx(100)

    def test_empty_hypotheses_score_0(self) -> None:
        assert metrics.bleu(["", ""], self.REFERENCES).value == 0
        assert metrics.chrf(["", ""], self.REFERENCES).value == 0

    def test_signatures_say_how(self) -> None:
        version = f"version:{sacrebleu.__version__}"
        bleu, chrf = (metric(self.HYPOTHESES, self.REFERENCES).signature for metric in (metrics.bleu, metrics.chrf))
        assert bleu == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}"
        assert chrf == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{version}"


class TestReliability:
    def test_is_the_distance_of_confidence_and_share(self) -> None:
        found = metrics.reliability([0.05, 0.15, 0.15, 1.0, 0.95], [False, True, False, True, True], bins=10)
        assert [one.predictions for one in found.bins] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]
        assert (found.bins[1].confidence, found.bins[1].accuracy) == pytest.approx((15, 50))
        assert found.error == pytest.approx((1 * 5 + 2 * 35 + 2 * 2.5) / 5)

    def test_bounds_belong_to_the_range_below(self) -> None:
        assert [one.predictions for one in metrics.reliability([0.0, 0.5, 1.0], [True] * 3, bins=2).bins] == [2, 1]

    def test_of_nothing(self) -> None:
        found = metrics.reliability([], [])
        assert (found.error, sum(one.predictions for one in found.bins)) == (0, 0)
        with pytest.raises(ValueError, match="1 confidences cannot be compared to 0 answers"):
            metrics.reliability([0.5], [])


class TestAgreement:
    @given(st.lists(st.text(alphabet="ab c.", max_size=12), min_size=1, max_size=6))
    def test_is_the_mean_of_sacrebleus_sentence_scores(self, texts: list[str]) -> None:
        metric = sacrebleu.CHRF()
        expected = [sum(metric.sentence_score(one, [other]).score for other in texts) / len(texts) for one in texts]
        assert metrics.agreement(texts) == pytest.approx(expected)

    def test_of_equal_texts(self) -> None:
        assert metrics.agreement(["the mill"] * 3) == pytest.approx([100.0] * 3)
        assert metrics.agreement([]) == []


def test_perplexity_is_the_inverse_of_the_geometric_mean_of_probabilities() -> None:
    log_prob = math.log(0.5) + math.log(0.125)
    assert metrics.perplexity(log_prob, 2) == pytest.approx(4.0)
    assert math.isfinite(metrics.perplexity(-1e9, 3))  # so that it can be written as JSON
    with pytest.raises(DataError, match="no token beside a first one"):
        metrics.perplexity(0.0, 0)


def test_repetition_by_hand() -> None:
    texts = ["The dog saw the dog.", "a cat", ""]
    assert metrics.repetition(texts, 1) == pytest.approx(100 * 2 / 7)  # the, dog
    assert metrics.repetition(texts, 2) == pytest.approx(100 * 1 / 5)  # the dog
    assert metrics.repetition(texts, 3) == 0.0
    assert metrics.repetition(["a cat"], 3) == 0.0
    assert metrics.repetition(["so it was so it was so it was"], 3) == pytest.approx(100 * 4 / 7)


def test_alignment_error_rate_by_hand() -> None:
    sure = [{(0, 0), (1, 1)}, {(0, 0)}]
    possible: list[set[tuple[int, int]]] = [{(1, 2)}, set()]
    assert metrics.alignment_error_rate(sure, sure, possible) == 0.0
    found = [{(0, 0), (1, 2)}, {(0, 1)}]  # one sure and two possible of three, where there are three sure ones
    assert metrics.alignment_error_rate(found, sure, possible) == pytest.approx(100 * (1 - 3 / 6))
    assert metrics.alignment_error_rate([set(), set()], sure, possible) == 100.0
    assert metrics.alignment_error_rate([set()], [set()], [set()]) == 0.0
    with pytest.raises(ValueError, match="2 predictions cannot be compared to 1 gold"):
        metrics.alignment_error_rate(found, sure[:1], possible[:1])


@given(st.lists(st.tuples(*[st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)))] * 3), min_size=1, max_size=3))
def test_with_sure_links_alone_the_error_is_one_minus_the_f1_of_links(sentences) -> None:
    found, sure, _ = zip(*sentences, strict=True)
    right = sum(len(links & gold) for links, gold in zip(found, sure, strict=True))
    total = sum(map(len, found)) + sum(map(len, sure))
    expected = 100 * (1 - 2 * right / total) if total else 0.0
    assert metrics.alignment_error_rate(found, sure, [set()] * len(found)) == pytest.approx(expected)
    if all(links <= wanted | gold for links, gold, wanted in sentences):
        error = metrics.alignment_error_rate(found, sure, [wanted for *_, wanted in sentences])
        assert error <= expected + 1e-9
