"""One encoder and what tasks have beside it: auxiliary objectives, private encoders, low layers, weights of losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from contracts.pieces import CHARACTERS, CLASSES, ENCODERS, HEADS, SIZE, TAGS, batch, examples, parse
from torch import nn

from seq2x.batch import LENGTH_MULTIPLE, Batch
from seq2x.encoders import EncoderConfig
from seq2x.heads import HeadConfig, LanguageModelHeadConfig, Outputs
from seq2x.model import Model, Own
from seq2x.nn.dropout import VariationalDropout
from seq2x.training.distributed import Ranks
from seq2x.training.engine import Engine
from seq2x.training.optimisers import SGDConfig
from seq2x.training.progress import FitConfig, Item, Progress, Score, Update
from seq2x.training.schedules import ConstantConfig

DEEP: dict[str, Any] = {"kind": "recurrent", "hidden": 8, "layers": 3, "embedding": {"width": 16}}


def make(
    *kinds: str, encoder: dict[str, Any] | None = None, private: str | None = None, layer: int = -1, **own: Any
) -> Model:
    """A model with heads of ``kinds`` on ``layer``, each with a language model beside it, and a private encoder."""
    torch.manual_seed(0)
    body = parse(EncoderConfig, encoder or ENCODERS["recurrent"]).build(SIZE, CHARACTERS)
    heads, extras = {}, {}
    for kind in kinds:
        other = None if private is None else parse(EncoderConfig, ENCODERS[private]).build(SIZE, CHARACTERS)
        beside = LanguageModelHeadConfig(width=9).build(body.dims, 0, Outputs(SIZE, direction=body.direction_width))
        extras[kind] = Own(auxiliary=beside, private=other, **{"auxiliary_weight": 0.1, **own})
        widths = tuple(width + (0 if other is None else other.dims[-1]) for width in body.dims)
        summary = body.summary_width + (0 if other is None else other.summary_width)
        outputs = {"tag": Outputs(len(TAGS), TAGS, "BIO"), "classify": Outputs(CLASSES)}[kind]
        settings = {**HEADS["tag crf" if kind == "tag" else "classify last"], "layer": layer}
        heads[kind] = parse(HeadConfig, settings).build(widths, summary, outputs)
    model = Model(body, heads, extras)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


class Silent:
    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        pass

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        raise AssertionError(line)


def still(model: Model) -> Model:
    for module in model.modules():
        if isinstance(module, nn.Dropout | VariationalDropout):
            module.p = module.rate = 0.0
    return model


def gradients(model: Model, batches: list[tuple[str, Batch]], accumulate: int) -> dict[str, torch.Tensor]:
    """What plain SGD takes off the weights in one update."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    config = FitConfig(accumulate=accumulate, clip=0)
    engine = Engine(model, config, SGDConfig(rate=1.0), ConstantConfig(), 1, Ranks(), Silent())

    def items() -> Iterator[Item]:
        for number, (task, made) in enumerate(batches, start=1):
            yield Item((0, number), task, made)

    engine.update(items())
    return {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", ["tag", "classify"])
@pytest.mark.parametrize("private", [None, "recurrent", "convolution", "transformer"])
def test_every_parameter_gets_a_gradient_and_every_count_is_known_before(kind: str, private: str | None) -> None:
    model = make(kind, private=private, orthogonality=0.05 if private else 0.0).train()
    made = batch(kind, examples(kind, 12))
    loss = model(kind, made)
    assert {"": int(loss.count), **{each.name: int(each.count) for each in loss.beside}} == model.counts(kind, made)
    assert [each.name for each in loss.beside] == ["language_model", *(["orthogonality"] if private else [])]
    (loss.total + sum(each.total for each in loss.beside)).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert silent == []


def test_the_language_model_beside_weighs_each_direction_as_told() -> None:
    """E + gamma (E_forward + E_backward), each a mean (Rei 2017, whose sums run over the same words)."""
    model = make("tag", auxiliary_weight=0.3).eval()
    made = batch("tag", examples("tag", 5))
    auxiliary = model.own("tag").auxiliary
    assert auxiliary is not None
    with torch.no_grad():
        (beside,) = model("tag", made).beside
        scores = auxiliary.scores(model.encoder(made.source), made.source)
    means = scores.sum((0, 1)) / made.source.mask[:, 1:].sum()
    assert float(beside.weight * beside.total / beside.count) == pytest.approx(-0.3 * float(means.sum()), rel=1e-4)


def test_the_penalty_is_the_squared_norm_of_a_sentences_product() -> None:
    model = make("tag", private="transformer", layer=0, orthogonality=0.05).eval()
    chosen = examples("tag", 4)
    made = batch("tag", chosen)
    private = model.own("tag").private
    assert private is not None
    with torch.no_grad():
        _, penalty = model("tag", made).beside
        shared, other = model.encoder(made.source).layers[0], private(made.source).states
    wanted = sum(float((shared[row, : len(ids)].T @ other[row, : len(ids)]).pow(2).sum())
                 for row, (ids, *_) in enumerate(chosen))
    assert float(penalty.total) == pytest.approx(wanted, rel=1e-4)
    assert (penalty.weight, int(penalty.count)) == (0.05, 4)


def test_the_head_reads_its_layer_beside_the_private_states() -> None:
    model = make("tag", encoder=DEEP, private="convolution", layer=1).eval()
    made = batch("tag", examples("tag", 3))
    encoded, shared = model.encode("tag", made), model.encoder(made.source)
    private = model.own("tag").private
    assert private is not None
    assert made.spans is not None
    both = torch.cat([shared.layers[1], private(made.source).states], dim=-1)
    assert torch.equal(encoded.layers[1][0, 0], both[0, int(made.spans[0, 0, 0])])


@pytest.mark.parametrize("private", ["recurrent", "convolution", "transformer"])
@pytest.mark.parametrize("kind", ["tag", "classify"])
def test_with_a_private_encoder_together_is_alone_to_the_bit(kind: str, private: str) -> None:
    model = make(kind, private=private).eval()
    chosen = examples(kind, 11)

    def predicted(some: list[Any]) -> list[Any]:
        with torch.no_grad():
            encoded = model.encode(kind, batch(kind, some, LENGTH_MULTIPLE).pad_rows())
            return model.head(kind).predict(encoded)[: len(some)]

    assert predicted(chosen) == [predicted([one])[0] for one in chosen]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_update_is_of_exact_means(accumulate: int) -> None:
    """However the sentences come in batches: the means run over all units of each objective in the update."""
    chosen = examples("tag", 12)
    parts = [chosen[:2], chosen[2:9], chosen[9:]] if accumulate == 3 else [chosen]
    model = still(make("tag", private="recurrent", orthogonality=0.05))
    taken = gradients(model, [("tag", batch("tag", part)) for part in parts], accumulate)
    other = still(make("tag", private="recurrent", orthogonality=0.05)).train()
    loss = other("tag", batch("tag", chosen))
    mean = loss.total / loss.count + sum(each.weight * each.total / each.count for each in loss.beside)
    mean.backward()
    for name, parameter in other.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(taken[name], parameter.grad, atol=2e-5, rtol=1e-3), name


def test_a_weight_of_a_loss_is_a_factor_on_its_gradient() -> None:
    """Of one task of several: the mean over its own units, all that is beside it too."""
    made = [(kind, batch(kind, examples(kind, 5))) for kind in ("tag", "classify")]
    both = gradients(still(make("tag", "classify")), made, 2)
    tag, classify = (gradients(still(make("tag", "classify", loss_weight=weight)), [one], 1)
                     for weight, one in ((1.0, made[0]), (3.0, made[1])))
    single = gradients(still(make("tag", "classify")), made[1:], 1)
    for name, taken in both.items():
        assert torch.allclose(taken, tag[name] + single[name], atol=1e-5), name
        assert torch.allclose(3 * single[name], classify[name], atol=1e-5), name


@pytest.mark.parametrize("connections", ["none", "residual", "highway", "dense", "dense-residual"])
def test_a_low_layer_is_supervised_alone(connections: str) -> None:
    """Its gradient reaches what is below, and nothing above (Soegaard & Goldberg 2016)."""
    encoder = {**DEEP, "connections": connections}
    model = make("tag", encoder=encoder, layer=2)
    loss = model.head("tag").loss(model.encode("tag", batch("tag", examples("tag", 6))),
                                  batch("tag", examples("tag", 6)).target)
    loss.total.backward()
    reached = {name for name, value in model.encoder.named_parameters() if value.grad is not None and value.grad.any()}
    layers = {name.split(".")[2] for name in reached if name.startswith("stack.layers.")}
    assert layers == {"0", "1"}
    assert any(name.startswith("embedding.") for name in reached)


def test_texts_without_words_add_nothing() -> None:
    """A batch of end symbols has no neighbours to predict: no loss, and no division by their number."""
    model = still(make("classify"))
    empty = [([3], [[1]], [(0, 1)], 2), ([3], [[1]], [(0, 1)], 4)]
    taken = gradients(model, [("classify", batch("classify", empty))], 1)
    assert all(value.isfinite().all() for value in taken.values())
    assert not any(value.any() for name, value in taken.items() if name.startswith("auxiliaries."))
