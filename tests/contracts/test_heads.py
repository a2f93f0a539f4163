"""What every head promises, over every encoder where the encoder could matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.pieces import ENCODERS, HEADS, batch, build, examples, kind_of, kinds, parse

from seq2x import checkpoint
from seq2x.batch import LENGTH_MULTIPLE, Batch
from seq2x.heads import HeadConfig, Outputs
from seq2x.heads.base import Lesson
from seq2x.heads.outputs import SearchConfig
from seq2x.heads.translate import DecoderConfig, TranslateHead
from seq2x.model import Model
from seq2x.nn.attention import AttentionConfig
from seq2x.nn.coverage import CoverageConfig
from seq2x.text import tags

every_head = pytest.mark.parametrize("head", HEADS)
ONE_OF_EACH = ["classify attention", "tag crf", "translate additive", "translate transformer"]
WHOLE = ("deep_convolution", "recurrent behind a pooled convolution")
"""Encoders that only heads of whole texts can read."""
pairs = pytest.mark.parametrize(("encoder", "head"), [
    (encoder, head) for encoder in ENCODERS for head in ONE_OF_EACH
    if head.startswith("classify") or not encoder.startswith(WHOLE)])


def predictions(model: Model, kind: str, chosen: Batch, count: int) -> list[object]:
    """What the head predicts for the first ``count`` rows, everything that it says of them."""
    model.eval()
    with torch.no_grad():
        encoded, head = model.encode(kind, chosen), model.head(kind)
        if isinstance(head, TranslateHead):
            return list(head.predict(encoded, SearchConfig(beam_size=3), n_best=3)[:count])
        return head.predict(encoded)[:count]


def test_every_kind_is_tested() -> None:
    assert {settings["kind"] for settings in HEADS.values()} == kinds(HeadConfig)
    decoders = {settings["decoder"]["kind"] for settings in HEADS.values() if settings["kind"] == "translate"}
    assert decoders == kinds(DecoderConfig)
    for part, union in (("attention", AttentionConfig), ("coverage", CoverageConfig)):
        decoders = [settings.get("decoder", {}) for settings in HEADS.values() if settings["kind"] == "translate"]
        assert {decoder[part]["kind"] for decoder in decoders if part in decoder} == kinds(union)


@every_head
def test_every_parameter_gets_a_gradient(head: str) -> None:
    """Coverage too: the bug of other toolkits was a coverage that never reached the attention."""
    kind = kind_of(head)
    model = build("recurrent", head).train()
    model(kind, batch(kind, examples(kind, 12))).total.backward()
    trained = {key: value.grad for key, value in model.named_parameters() if value.requires_grad}
    silent = [key for key, grad in trained.items() if grad is None or not grad.abs().sum()]
    pieces_only = ["encoder.embedding.spelling"]
    assert [key for key in silent if not key.startswith(tuple(pieces_only))] == []


@pairs
def test_together_is_alone_to_the_bit(encoder: str, head: str) -> None:
    """n sentences together, in any order, are n sentences alone."""
    kind, model = kind_of(head), build(encoder, head)
    chosen = examples(kind, 11)
    together = predictions(model, kind, batch(kind, chosen, LENGTH_MULTIPLE).pad_rows(), 11)
    alone = [predictions(model, kind, batch(kind, [one], LENGTH_MULTIPLE).pad_rows(), 1)[0] for one in chosen]
    assert together == alone
    backwards = predictions(model, kind, batch(kind, chosen[::-1], LENGTH_MULTIPLE).pad_rows(), 11)
    assert backwards == together[::-1]


@every_head
def test_every_head_together_is_alone_to_the_bit(head: str) -> None:
    kind, model = kind_of(head), build("recurrent", head)
    chosen = examples(kind, 9, seed=1)
    together = predictions(model, kind, batch(kind, chosen, LENGTH_MULTIPLE).pad_rows(), 9)
    alone = [predictions(model, kind, batch(kind, [one], LENGTH_MULTIPLE).pad_rows(), 1)[0] for one in chosen]
    assert together == alone


@every_head
def test_the_loss_is_a_sum_with_its_count(head: str) -> None:
    """Two batches have the sum of their losses, whatever the padding."""
    kind, model = kind_of(head), build("recurrent", head).eval()
    chosen = examples(kind, 10)
    with torch.no_grad():
        whole = model(kind, batch(kind, chosen))
        halves = [model(kind, batch(kind, part)) for part in (chosen[:3], chosen[3:])]
    assert float(whole.total) == pytest.approx(sum(float(half.total) for half in halves), rel=1e-5)
    assert int(whole.count) == sum(int(half.count) for half in halves)
    assert int(whole.count) == model.head(kind).count(batch(kind, chosen))
    counts = {"classify": 10, "several": 10, "tag": sum(len(one[2]) for one in chosen),
              "language_model": 2 * sum(len(one[0]) - 1 for one in chosen)}
    if head == "language_model masked":  # whatever the target's mask says is a unit: here, all tokens
        counts[kind] = sum(len(one[0]) for one in chosen)
    assert int(whole.count) == (counts.get(kind) or sum(len(one[3]) - 1 for one in chosen))


@every_head
def test_scores_are_log_probabilities_of_the_target(head: str) -> None:
    kind, model = kind_of(head), build("recurrent", head).eval()
    chosen = batch(kind, examples(kind, 6))
    with torch.no_grad():
        scores = model.head(kind).scores(model.encode(kind, chosen), chosen.target)
        loss = model(kind, chosen)
    assert (scores <= 1e-6).all()
    if kind == "translate":
        assert float(loss.parts["nll"]) == pytest.approx(-float(scores.sum()), rel=1e-4)


# what a softmax of tags believes obeys their rules, which its loss does not know
@pytest.mark.parametrize("head", [name for name in HEADS if name != "tag softmax"])
def test_it_learns_what_another_believes(head: str) -> None:
    """The cross-entropy against a belief is least, and its gradient nothing, where it is the model's own belief."""
    kind, teacher, student = kind_of(head), build("recurrent", head).eval(), build("recurrent", head).eval()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.1)
    chosen = batch(kind, examples(kind, 6))
    with torch.no_grad():
        soft = teacher.head(kind).soft(teacher.encode(kind, chosen), chosen.target, 2.0)
    plain, own, other = (
        model.head(kind).loss(model.encode(kind, chosen), chosen.target, lesson)
        for model, lesson in ((student, None), (teacher, Lesson(soft, 2.0, 0.25)), (student, Lesson(soft, 2.0, 0.25))))
    (mine,), (theirs,) = ([part for part in loss.beside if part.name == "distillation"] for loss in (own, other))
    assert (theirs.weight, int(theirs.count)) == (0.25 * 4, int(plain.count))
    assert other.total.item() == pytest.approx(0.75 * plain.total.item(), rel=1e-4)
    assert theirs.total.item() > mine.total.item() > 0
    flat, steep = (torch.autograd.grad(part.total, [one for one in model.parameters() if one.requires_grad],
                                       allow_unused=True) for model, part in ((teacher, mine), (student, theirs)))
    assert max(float(part.abs().max()) for part in flat if part is not None) < 1e-4
    assert max(float(part.abs().max()) for part in steep if part is not None) > 1e-3


@every_head
def test_it_tells_what_it_has_for_each_output(head: str) -> None:
    kind, config = kind_of(head), parse(HeadConfig, HEADS[head])
    more = tuple(tags.complete(["LOC", "PER", "WAY"], "BIO"))
    few, many = {"classify": (Outputs(5), Outputs(6)),
                 "several": (Outputs(5, several=True), Outputs(6, several=True)),
                 "tag": (Outputs(5, more[:5], "BIO"), Outputs(7, more, "BIO")),
                 "translate": (Outputs(30), Outputs(33)),
                 "language_model": (Outputs(15, direction=8), Outputs(18, direction=8))}[kind]
    small, large = (config.build((16, 16), 16, outputs) for outputs in (few, many))
    told = {id(parameter): axes for parameter, axes in large.per_output()}
    for name, parameter in large.named_parameters():
        before = dict(small.named_parameters())[name].shape
        grown = tuple(axis for axis, size in enumerate(parameter.shape) if size != before[axis])
        assert told.get(id(parameter), ()) == grown, name


@pairs
def test_saved_and_loaded_it_predicts_the_same(encoder: str, head: str, tmp_path: Path) -> None:
    kind, model = kind_of(head), build(encoder, head)
    chosen = batch(kind, examples(kind, 5), LENGTH_MULTIPLE).pad_rows()
    before = predictions(model, kind, chosen, 5)
    checkpoint.save_weights(dict(model.named_parameters()), tmp_path / "weights.safetensors")
    other = build(encoder, head)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    checkpoint.load_weights(other, tmp_path / "weights.safetensors")
    assert predictions(other, kind, chosen, 5) == before


@pairs
def test_it_learns_one_batch_by_heart(encoder: str, head: str) -> None:
    kind, model = kind_of(head), build(encoder, head)
    chosen = examples(kind, 4, seed=2)
    whole = batch(kind, chosen)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    torch.manual_seed(1)
    for update in range(1, 601):
        model.train()
        loss = model(kind, whole)
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if update % 50 == 0:
            found = predictions(model, kind, batch(kind, chosen, LENGTH_MULTIPLE).pad_rows(), 4)
            if [output_of(kind, prediction) for prediction in found] == [one[3] for one in chosen]:
                return
    pytest.fail(f"after {update} updates: {found}")


def output_of(kind: str, prediction: Any) -> Any:
    """A prediction in the form of its target."""
    if kind == "translate":
        return [2, *prediction[0].tokens, 3]
    if kind == "several":
        return [value > 0.5 for value in prediction.probabilities]
    return prediction.label if kind == "classify" else prediction.tags
