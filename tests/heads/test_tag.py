"""The tagging head: legal tags only, losses and scores against the definitions, one batch learnt by heart."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.batch import Encoded, mask_of
from seq2x.errors import DataError
from seq2x.heads.base import Outputs
from seq2x.heads.tag import SpanFound, TagHead, TagHeadConfig
from seq2x.text import tags as scheme

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
Decoder = Literal["crf", "softmax"]
every_scheme = pytest.mark.parametrize("rules", ["BIO", "IOB1", "IOBES", "BILOU", "none"])
both = pytest.mark.parametrize("decoder", ["crf", "softmax"])


def _head(decoder: Decoder, hidden: int = 0, tags: tuple[str, ...] = TAGS, rules: str = "BIO") -> TagHead:
    torch.manual_seed(0)
    head = TagHeadConfig(decoder=decoder, hidden=hidden).build((6, 12), 10, Outputs(len(tags), tags, rules))
    for parameter in head.chain.parameters():
        torch.nn.init.normal_(parameter)
    return head.eval()


def _encoded(rows: int = 8, length: int = 12) -> Encoded:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    layers = tuple(3 * torch.randn(rows, length, width, generator=generator) for width in (6, 12))
    return Encoded(layers, mask_of(lengths, length), torch.zeros(rows, 10))


@both
def test_predictions_are_legal_where_the_best_tags_alone_are_not(decoder: Decoder) -> None:
    head, encoded = _head(decoder), _encoded(rows=40)
    predictions = head.predict(encoded)
    assert [len(prediction.tags) for prediction in predictions] == encoded.mask.sum(1).tolist()
    for prediction in predictions:
        scheme.check([TAGS[tag] for tag in prediction.tags], "BIO")
    free = head.emissions(encoded.states).argmax(2).tolist()
    assert any(row[0] in (2, 4) for row in free)  # an I- at the start


def test_the_softmax_decodes_the_most_probable_legal_tags() -> None:
    """I-PER is likeliest at both words; B-PER I-PER (0.3 * 0.6) beats O O (0.1 * 0.3) and all others."""
    head = _head("softmax", tags=TAGS[:3])
    logits = torch.tensor([[[0.1, 0.3, 0.6], [0.3, 0.1, 0.6]]]).log()
    head.emissions = torch.nn.Sequential()
    prediction = head.predict(Encoded((logits,), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 10)))[0]
    assert prediction.tags == [1, 2]
    legal = 0.1 * 0.4 + 0.3 * 1.0  # O then O or B; B then anything
    assert prediction.confidence == pytest.approx([0.3 / legal, 0.3 * 0.6 / legal])
    assert prediction.spans == [SpanFound("PER", 0, 2, pytest.approx(0.3 * 0.6 / legal))]


@both
def test_loss_and_scores_follow_their_definitions(decoder: Decoder) -> None:
    head, encoded = _head(decoder, hidden=7), _encoded()
    mask, emissions = encoded.mask, head.emissions(encoded.states)
    target = torch.zeros(mask.shape, dtype=torch.long).masked_fill(~mask, -100)  # all O; padding may hold anything
    loss, scores = head.loss(encoded, target), head.scores(encoded, target)
    if decoder == "softmax":
        torch.testing.assert_close(loss.total, F.cross_entropy(emissions[mask], target[mask], reduction="sum"))
        torch.testing.assert_close(loss.total, -scores.sum())
    else:
        torch.testing.assert_close(loss.total, -head.chain.log_likelihood(emissions, target, mask).sum())
        torch.testing.assert_close(scores[mask], head.marginals(encoded)[..., 0][mask].log().float())
    assert int(loss.count) == int(mask.sum())
    assert not scores[~mask].any()
    torch.testing.assert_close(head.marginals(encoded).sum(2), mask.double())


@both
def test_confidence_is_the_marginal_of_the_tag(decoder: Decoder) -> None:
    head, encoded = _head(decoder), _encoded()
    marginals = head.marginals(encoded)
    for row, prediction in enumerate(head.predict(encoded)):
        expected = marginals[row, range(len(prediction.tags)), prediction.tags].tolist()
        assert prediction.confidence == expected


@both
def test_a_batch_is_learnt_by_heart_and_every_parameter_learns(decoder: Decoder) -> None:
    head, encoded = _head(decoder, hidden=16).train(), _encoded(rows=4)
    legal = torch.tensor([[0, 1, 2, 3, 4, 4, 1, 3, 0, 0, 1, 2]]).expand(4, -1)
    optimiser = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        loss = head.loss(encoded, legal)
        loss.total.backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
        optimiser.step()
    for row, prediction in enumerate(head.eval().predict(encoded)):
        assert prediction.tags == legal[row, : len(prediction.tags)].tolist()
        assert min(prediction.confidence) > 0.8


@both
def test_a_sentence_is_tagged_alike_in_any_batch(decoder: Decoder) -> None:
    head, encoded = _head(decoder, hidden=16), _encoded(rows=24, length=32)
    with torch.inference_mode():
        together = head.predict(encoded)
        for row in range(24):
            one = encoded.select(torch.full((8,), row))
            length = int(one.mask[0].sum())
            alone = Encoded(tuple(layer[:, :length] for layer in one.layers), one.mask[:, :length], one.summary)
            assert head.predict(alone)[0] == together[row]


@every_scheme
@both
def test_every_scheme_tags_sentences_of_every_length(decoder: Decoder, rules: scheme.Scheme) -> None:
    tags = tuple(scheme.complete(["PER", "LOC"], rules))
    head, encoded = _head(decoder, tags=tags, rules=rules), _encoded()
    for prediction in head.predict(encoded):
        scheme.check([tags[tag] for tag in prediction.tags], rules)


class Truth:
    """The legal sequences of one row by enumeration, most probable first, and their probabilities."""

    def __init__(self, head: TagHead, encoded: Encoded, row: int, tags: tuple[str, ...], rules: scheme.Scheme,
                 allowed: Tensor) -> None:
        length = int(encoded.mask[row].sum())
        emissions = head.emissions(encoded.states)[row, :length].double()
        start, moves, end = head.chain.scores().start, head.chain.scores().transitions, head.chain.scores().end
        found = {}
        for path in itertools.product(range(len(tags)), repeat=length):
            legal = True
            try:
                scheme.check([tags[tag] for tag in path], rules)
            except DataError:
                legal = False
            if legal and allowed[row, range(length), path].all():
                score = start[path[0]] + end[path[-1]] + emissions[range(length), path].sum()
                found[path] = score + sum(moves[pair] for pair in itertools.pairwise(path))
        log_probs = torch.stack(list(found.values())).log_softmax(0).tolist()
        ordered = sorted(zip(found, log_probs, strict=True), key=lambda item: -item[1])
        self.paths = {path: math.exp(log_prob) for path, log_prob in ordered}
        self.spans: defaultdict[scheme.Span, float] = defaultdict(float)
        self.marginals = torch.zeros(length, len(tags), dtype=torch.float64)
        for path, probability in self.paths.items():
            self.marginals[range(length), path] += probability
            for span in scheme.spans([tags[tag] for tag in path], rules):
                self.spans[span] += probability


@every_scheme
@both
@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
def test_every_probability_equals_enumeration(decoder: Decoder, rules: scheme.Scheme, constrained: bool) -> None:
    """Best tags, marginals, k-best, every possible span: rows of 1 to 5 words, one label; the last in two labels."""
    tags = tuple(scheme.complete(["PER", "LOC"] if rules == "IOB1" else ["PER"], rules)) + (("X",) * (rules == "none"))
    head = _head(decoder, tags=tags, rules=rules).double()
    lengths = torch.tensor([3, 1, 4, 2] if len(tags) > 4 else [3, 1, 5, 2])
    torch.manual_seed(2)
    encoded = Encoded((torch.empty(0), 3 * torch.randn(4, 5, 12).double()), mask_of(lengths, 5), torch.zeros(4, 10))
    allowed = torch.rand(4, 5, len(tags)) < 0.8 if constrained else torch.ones(4, 5, len(tags), dtype=torch.bool)
    allowed[..., 0] = True
    given = allowed if constrained else None
    predictions = head.predict(encoded, allowed=given, k_best=6, marginals=True)
    labels = sorted(scheme.labels_of(tags, rules)) if rules != "none" else []
    every = [[scheme.Span(label, start, end) for label in labels for start in range(length)
              for end in range(start + 1, length + 1)] for length in lengths.tolist()]
    sure = head.span_marginals(encoded, every, given)
    for row, (prediction, single) in enumerate(zip(predictions, head.predict(encoded, allowed=given), strict=True)):
        truth = Truth(head, encoded, row, tags, rules, allowed)
        best = list(truth.paths.items())[:6]
        assert [(tuple(other.tags), other.probability) for other in prediction.alternatives] == [
            (path, pytest.approx(probability)) for path, probability in best]
        assert single == prediction._replace(alternatives=[], marginals=[])
        assert tuple(single.tags) == best[0][0]
        torch.testing.assert_close(torch.tensor(prediction.marginals).double(), truth.marginals, atol=1e-6, rtol=1e-6)
        assert sure[row] == pytest.approx([truth.spans[span] for span in every[row]], abs=1e-12)
        assert [tuple(span[:3]) for span in single.spans] == scheme.spans([tags[tag] for tag in single.tags], rules)
        assert [span.probability for span in single.spans] == pytest.approx([truth.spans[scheme.Span(*span[:3])]
                                                                             for span in single.spans])


@both
def test_a_forced_tag_comes_out_and_a_forbidden_one_does_not(decoder: Decoder) -> None:
    head, encoded = _head(decoder), _encoded()
    allowed = torch.ones(*encoded.mask.shape, len(TAGS), dtype=torch.bool)
    allowed[:, 0] = torch.tensor([tag == "B-LOC" for tag in TAGS])
    allowed[:, 1:, 0] = False  # no O
    for prediction in head.predict(encoded, allowed=allowed, k_best=3):
        for tags in (prediction.tags, *(other.tags for other in prediction.alternatives)):
            assert tags[0] == TAGS.index("B-LOC")
            assert 0 not in tags
        assert prediction.confidence[0] == pytest.approx(1)
    drawn = head.sample(encoded, 5, torch.Generator().manual_seed(0), allowed)
    assert [len(paths[0]) for paths in drawn] == encoded.mask.sum(1).tolist()
    for paths in drawn:
        for tags in paths:
            scheme.check([TAGS[tag] for tag in tags], "BIO")
            assert tags[0] == TAGS.index("B-LOC")
    allowed[3, 0] = torch.tensor([tag == "I-LOC" for tag in TAGS])
    with pytest.raises(DataError, match="row 3 of the batch: no sequence of tags of its length is legal and allowed"):
        head.predict(encoded, allowed=allowed)


@both
def test_spans_that_do_not_fit_are_refused(decoder: Decoder) -> None:
    head, encoded = _head(decoder), _encoded()
    none: list[list[scheme.Span]] = [[] for _ in range(8)]
    assert head.span_marginals(encoded, none) == none
    assert head.span_marginals(encoded, [[scheme.Span("ORG", 0, 1)], *none[1:]])[0] == [0.0]
    with pytest.raises(DataError, match=r"row 0 of the batch: the span 'PER' from 0 to 20 does not fit"):
        head.span_marginals(encoded, [[scheme.Span("PER", 0, 20)], *none[1:]])


@both
def test_sets_of_tags_teach_what_they_tell(decoder: Decoder) -> None:
    """Words whose tags are not known cost nothing; sets of one tag cost what tags do."""
    head, encoded = _head(decoder), _encoded()
    target = torch.zeros(encoded.mask.shape, dtype=torch.long)
    known = F.one_hot(target, len(TAGS)).bool()
    torch.testing.assert_close(head.loss(encoded, known).total, head.loss(encoded, target).total)
    anything = torch.ones_like(known)
    torch.testing.assert_close(head.loss(encoded, anything).total, torch.tensor(0.0), atol=1e-4, rtol=0)
    some = torch.where(torch.rand(known.shape[:2])[..., None] < 0.5, known, anything)
    loss = head.loss(encoded, some)
    assert 0 < loss.total < head.loss(encoded, target).total
    loss.total.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
    some[2, 0] = False
    with pytest.raises(DataError, match="row 2 of the batch: word 1 is allowed no tag at all"):
        head.loss(encoded, some)


def test_a_scheme_without_spans_refuses_them() -> None:
    head, encoded = _head("crf", tags=("NN", "VB"), rules="none"), _encoded()
    with pytest.raises(DataError, match="the scheme 'none' has no spans"):
        head.span_marginals(encoded, [[scheme.Span("NN", 0, 1)], *[[] for _ in range(7)]])


def test_a_scheme_that_lacks_tags_has_spans_all_the_same() -> None:
    """Only B- and O: spans of one word; longer ones are impossible."""
    head, encoded = _head("crf", tags=("O", "B-PER"), rules="BIO"), _encoded(length=3)
    spans = [[scheme.Span("PER", 0, 1)], *[[] for _ in range(7)]]
    assert head.span_marginals(encoded, spans)[0] == pytest.approx([float(head.marginals(encoded)[0, 0, 1])])
    row = int(encoded.mask.sum(1).argmax())
    spans = [[scheme.Span("PER", 0, 2)] if number == row else [] for number in range(8)]
    assert head.span_marginals(encoded, spans)[row] == [0.0]


def test_tags_that_leave_sentences_without_any_are_refused() -> None:
    with pytest.raises(DataError, match=r"IOBES tags B-PER, E-PER cannot tag sentences of every length"):
        _head("crf", tags=("B-PER", "E-PER"), rules="IOBES")


def test_the_learnt_weights_are_all_that_is_saved() -> None:
    assert set(_head("crf").state_dict()) == {
        "emissions.1.weight", "emissions.1.bias", "chain.transitions", "chain.start", "chain.end"
    }  # fmt: skip
