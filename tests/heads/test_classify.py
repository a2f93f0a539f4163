"""The classification head: each pooling by hand, the loss against torch, what a sentence may not depend on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.batch import Encoded, mask_of
from seq2x.heads.base import Outputs
from seq2x.heads.classify import ClassifyHead, ClassifyHeadConfig, Pooling

POOLINGS: list[Pooling] = ["last", "max", "mean", "attention"]


def _head(config: ClassifyHeadConfig) -> ClassifyHead:
    torch.manual_seed(0)
    return config.build((6, 12), 10, Outputs(3)).eval()


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
    head, encoded = _head(ClassifyHeadConfig(pooling=pooling, layer=layer)), _encoded()
    pooled = head._pool(_loud(encoded))
    for row, length in enumerate(encoded.mask.sum(1).tolist()):
        states = encoded.layers[layer][row, :length]
        expected = {"last": encoded.summary[row], "max": states.amax(0), "mean": states.mean(0)}.get(pooling)
        if head.attention is not None:
            expected = head.attention(states)[:, 0].softmax(0) @ states
        torch.testing.assert_close(pooled[row], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_scores_equal_those_of_torch(smoothing: float) -> None:
    head, encoded = _head(ClassifyHeadConfig(hidden=7, label_smoothing=smoothing)), _encoded()
    target = torch.arange(8) % 3
    logits = head.output(head._pool(encoded))
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


def test_a_prediction_is_the_likeliest_label() -> None:
    head, encoded = _head(ClassifyHeadConfig()), _encoded()
    for prediction in head.predict(encoded):
        assert prediction.probabilities[prediction.label] == max(prediction.probabilities)
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert len(prediction.probabilities) == 3
