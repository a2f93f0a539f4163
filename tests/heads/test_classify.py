"""The classification head: each pooling by hand, the loss against torch, what a sentence may not depend on."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.batch import Encoded, mask_of
from seq2x.config import parse
from seq2x.errors import ConfigError
from seq2x.heads.base import Outputs
from seq2x.heads.classify import ClassifyHead, ClassifyHeadConfig, Pooling

POOLINGS: list[Pooling] = ["last", "max", "mean", "max-mean", "k-max", "attention"]


def _head(config: ClassifyHeadConfig, several: bool = False) -> ClassifyHead:
    torch.manual_seed(0)
    return config.build((6, 12), 10, Outputs(3, several=several)).eval()


def _encoded(rows: int = 8, length: int = 16, seed: int = 0) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    layers = tuple(torch.randn(rows, length, width, generator=generator) for width in (6, 12))
    return Encoded(layers, mask_of(lengths, length), torch.randn(rows, 10, generator=generator))


def _loud(encoded: Encoded) -> Encoded:
    """The same with other states at padding."""
    layers = tuple(layer.masked_fill(~encoded.mask[..., None], 1e9) for layer in encoded.layers)
    return Encoded(layers, encoded.mask, encoded.summary)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layer", [0, -1])
def test_pooling_by_hand(pooling: Pooling, layer: int) -> None:
    layer = -1 if pooling == "last" else layer  # which has no choice
    head, encoded = _head(ClassifyHeadConfig(pooling=pooling, layer=layer)), _encoded()
    pooled, _ = head._pool(_loud(encoded))
    for row, length in enumerate(encoded.mask.sum(1).tolist()):
        states = encoded.layers[layer][row, :length]
        expected = {"last": encoded.summary[row], "max": states.amax(0), "mean": states.mean(0),
                    "max-mean": torch.cat([states.amax(0), states.mean(0)])}.get(pooling)
        if head.attention is not None:
            expected = head.attention(states)[:, 0].softmax(0) @ states
        if pooling == "k-max":
            columns = [[column[at] for at in sorted(sorted(range(length), key=lambda at: -column[at])[:3])]
                       for column in states.T.tolist()]
            expected = torch.tensor([column + [0.0] * (3 - len(column)) for column in columns]).T.flatten()
        torch.testing.assert_close(pooled[row], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_scores_equal_those_of_torch(smoothing: float) -> None:
    head, encoded = _head(ClassifyHeadConfig(hidden=7, label_smoothing=smoothing)), _encoded()
    target = torch.arange(8) % 3
    logits = head.logits(encoded)
    loss = head.loss(encoded, target)
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="sum"))
    torch.testing.assert_close(head.scores(encoded, target), -F.cross_entropy(logits, target, reduction="none"))
    torch.testing.assert_close(loss.parts["nll"], -head.scores(encoded, target).sum())
    assert int(loss.count) == 8


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_parameter_gets_a_gradient(pooling: Pooling) -> None:
    head = _head(ClassifyHeadConfig(pooling=pooling, hidden=7)).train()
    head.loss(_encoded(), torch.arange(8) % 3).total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_sentence_is_classified_alike_in_any_batch(pooling: Pooling) -> None:
    head, encoded = _head(ClassifyHeadConfig(pooling=pooling, hidden=9)), _encoded(rows=24, length=80)
    together = head.predict(encoded)
    for row, length in enumerate(encoded.mask.sum(1).tolist()):
        one, padded = encoded.select(torch.full((8,), row)), length + -length % 16

        def cut(states: Tensor, padded: int = padded) -> Tensor:
            return states[:, :padded]

        alone = Encoded(tuple(cut(layer) for layer in one.layers), cut(one.mask), one.summary)
        assert head.predict(alone)[0] == together[row]


def test_k_max_chooses_the_first_of_equals_however_long_the_padding() -> None:
    head = _head(ClassifyHeadConfig(pooling="k-max", k=2))
    states = torch.zeros(8, 48, 12)
    states[:, 5] = 1.0
    long, short = (Encoded((states[:, :size],), mask_of(torch.full((8,), 9), size), states[:, 0]) for size in (48, 16))
    assert torch.equal(head._pool(long)[0], head._pool(short)[0])
    assert torch.equal(head._pool(long)[0].view(8, 2, 12)[0, :, 0], torch.tensor([0.0, 1.0]))


def test_several_hops_and_what_keeps_them_apart() -> None:
    """M = A H and P = ||A A' - I||_F^2 (Lin et al. 2017, equations 7 and 8)."""
    config = ClassifyHeadConfig(pooling="attention", hops=4, attention_width=5, penalty=0.3)
    head, encoded = _head(config), _encoded()
    target = torch.arange(8) % 3
    pooled, loss = head._pool(encoded)[0], head.loss(encoded, target)
    assert head.attention is not None
    excess = 0.0
    for row, length in enumerate(encoded.mask.sum(1).tolist()):
        states = encoded.states[row, :length]
        weights = head.attention(states).softmax(0).T.detach()
        torch.testing.assert_close(pooled[row].view(4, 12), weights @ states)
        excess += float((weights @ weights.T - torch.eye(4)).square().sum())
    plain = F.cross_entropy(head.logits(encoded), target, reduction="sum")
    assert loss.parts["penalty"].item() == pytest.approx(excess, rel=1e-4)
    assert loss.total.item() == pytest.approx(plain.item() + 0.3 * excess, rel=1e-4)
    attended = head.attended(encoded)
    assert attended is not None
    torch.testing.assert_close(attended.sum(1), torch.ones(8))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_several_labels_a_text(smoothing: float) -> None:
    head, encoded = _head(ClassifyHeadConfig(label_smoothing=smoothing), several=True), _encoded()
    target = torch.rand(8, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    logits, loss = head.logits(encoded), head.loss(encoded, target)
    wanted = target.float() * (1 - smoothing) + smoothing / 2
    torch.testing.assert_close(loss.total, F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum"))
    right = torch.where(target, logits.sigmoid(), 1 - logits.sigmoid())
    torch.testing.assert_close(head.scores(encoded, target), right.log().sum(1))
    torch.testing.assert_close(loss.parts["nll"], -right.log().sum())
    probabilities = torch.tensor([one.probabilities for one in head.predict(encoded)])
    torch.testing.assert_close(probabilities, logits.sigmoid())
    torch.testing.assert_close(head.log_odds(encoded), logits)


@pytest.mark.parametrize("several", [False, True])
def test_class_weights_equal_those_of_torch(several: bool) -> None:
    head, encoded = _head(ClassifyHeadConfig(label_smoothing=0.1), several), _encoded()
    head.weigh([2.0, 0.5, 1.0])
    weights, logits = torch.tensor([2.0, 0.5, 1.0]), head.logits(encoded)
    if several:
        target = (torch.arange(24) % 5 < 2).view(8, 3)
        expected = F.binary_cross_entropy_with_logits(
            logits, target * 0.9 + 0.05, reduction="sum", pos_weight=weights)
    else:
        target = torch.arange(8) % 3
        each = F.cross_entropy(logits, target, reduction="none", label_smoothing=0.1)
        expected = (each * weights[target]).sum()
    torch.testing.assert_close(head.loss(encoded, target).total, expected)
    assert "weights" not in head.state_dict()  # for training only


def test_a_temperature_is_of_predictions_and_not_of_the_loss() -> None:
    head, encoded = _head(ClassifyHeadConfig(calibrate=True)), _encoded()
    target = torch.arange(8) % 3
    before, loss = head.logits(encoded), head.loss(encoded, target)
    head.tune(temperature=2.0, threshold=0.3)
    torch.testing.assert_close(head.logits(encoded), before / 2)
    torch.testing.assert_close(head.loss(encoded, target).total, loss.total)
    assert head.bar == 0.5  # there is room for a temperature alone
    expected = (before / 2).log_softmax(1).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(head.scores(encoded, target), expected)


def test_log_odds() -> None:
    head, encoded = _head(ClassifyHeadConfig()), _encoded()
    probabilities = head.log_probs(encoded).exp()
    torch.testing.assert_close(head.log_odds(encoded), (probabilities / (1 - probabilities)).log())


@pytest.mark.parametrize(("settings", "message"), [
    ({"hops": 2}, "hops = 2 is of attention; found pooling = 'max'"),
    ({"penalty": 1.0, "pooling": "mean"}, "penalty = 1 is of attention; found pooling = 'mean'"),
    ({"attention_width": 9}, "attention_width = 9 is of attention; found pooling = 'max'"),
    ({"k": 2, "pooling": "attention"}, "k = 2 is of k-max; found pooling = 'attention'"),
    ({"class_weights": {"spam": 0.0}}, "greater than 0"),
    ({"threshold": 1.0}, "less than 1"),
])
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(ClassifyHeadConfig, settings, "head")


def test_a_prediction_is_the_likeliest_label() -> None:
    head, encoded = _head(ClassifyHeadConfig()), _encoded()
    for prediction in head.predict(encoded):
        assert prediction.probabilities[prediction.label] == max(prediction.probabilities)
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert len(prediction.probabilities) == 3
