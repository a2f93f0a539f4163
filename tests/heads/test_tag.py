"""The tagging head: legal tags only, losses and scores against the definitions, one batch learnt by heart."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from seq2x.batch import Encoded, mask_of
from seq2x.errors import DataError
from seq2x.heads.base import Outputs
from seq2x.heads.tag import TagHead, TagHeadConfig
from seq2x.text import tags as scheme

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
Decoder = Literal["crf", "softmax"]
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
    assert prediction.confidence == pytest.approx([0.3, 0.6])


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
        torch.testing.assert_close(scores[mask], head.chain.marginals(emissions, mask)[..., 0][mask].log())
    assert int(loss.count) == int(mask.sum())
    assert not scores[~mask].any()
    torch.testing.assert_close(head.marginals(encoded).sum(2), mask.float())


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


@pytest.mark.parametrize("rules", ["BIO", "IOB1", "IOBES", "BILOU", "none"])
@both
def test_every_scheme_tags_sentences_of_every_length(decoder: Decoder, rules: scheme.Scheme) -> None:
    tags = tuple(scheme.complete(["PER", "LOC"], rules))
    head, encoded = _head(decoder, tags=tags, rules=rules), _encoded()
    for prediction in head.predict(encoded):
        scheme.check([tags[tag] for tag in prediction.tags], rules)


def test_tags_that_leave_sentences_without_any_are_refused() -> None:
    with pytest.raises(DataError, match=r"IOBES tags B-PER, E-PER cannot tag sentences of every length"):
        _head("crf", tags=("B-PER", "E-PER"), rules="IOBES")


def test_the_learnt_weights_are_all_that_is_saved() -> None:
    assert set(_head("crf").state_dict()) == {
        "emissions.1.weight", "emissions.1.bias", "chain.transitions", "chain.start", "chain.end"
    }  # fmt: skip
