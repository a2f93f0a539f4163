"""What the contract tests run over: every member of the unions, and its variants that take another path."""

from __future__ import annotations

import random
from typing import Any, get_args

import torch
from tiny_bert import tiny_bert

from seq2x.batch import Batch, Tokens
from seq2x.encoders import EncoderConfig
from seq2x.heads import HeadConfig, Outputs
from seq2x.model import Model
from seq2x.nn.embeddings import SHAPES
from seq2x.text import tags

SIZE, CHARACTERS, CLASSES, TARGETS = 40, 12, 5, 30
TAGS = tuple(tags.complete(["LOC", "PER"], "BIO"))

TINY = "a tiny BERT"
"""Stands for the folder of one, which is not made before it is needed."""
SMALL = {"embedding": {"width": 16}, "dropout": 0.1}
SPELT = {"embedding": {"width": 10, "dropout": 0.1, "characters": {"width": 6, "maps": 3, "windows": [2, 3]}}}
BY_RECURRENCE = {"embedding": {"width": 10, "type_dropout": 0.1,
                               "characters": {"kind": "recurrent", "width": 6, "hidden": 3}, "shape_width": 2}}
TWO_CHANNELS = {"embedding": {"width": 8, "vectors": {"path": "never opened", "mode": "two-channel"}}}
RECURRENT = {"kind": "recurrent", "hidden": 8}
ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {**SMALL, **RECURRENT},
    "recurrent two layers, gru": {**SMALL, **RECURRENT, "layers": 2, "cell": "gru",
                                  "embedding": {"width": 16, "scale": True}},
    "recurrent plain, spelt": {**SPELT, **RECURRENT, "cell": "rnn"},
    "recurrent residual, step by step, gru, two channels": {
        **TWO_CHANNELS, **RECURRENT, "layers": 2, "cell": "gru", "connections": "residual", "input_dropout": 0.05,
        "recurrent_dropout": 0.1, "output_dropout": 0.0},
    "recurrent highway, projected, weights dropped": {
        **SMALL, **RECURRENT, "hidden": 12, "projection": 8, "layers": 2, "connections": "highway",
        "weight_dropout": 0.1},
    "recurrent dense, learned start, spelt by recurrence, shapes": {
        **BY_RECURRENCE, **RECURRENT, "layers": 2, "connections": "dense", "initial": "learned",
        "dropout": 0.1},
    "recurrent sum of all earlier": {**SMALL, **RECURRENT, "layers": 3, "cell": "rnn", "connections": "dense-residual",
                                     "weight_dropout": 0.1, "initial": "learned"},
    "recurrent one direction": {**SMALL, "kind": "recurrent", "hidden": 16, "bidirectional": False},
    "recurrent from right to left": {**SMALL, **RECURRENT, "hidden": 16, "layers": 2, "bidirectional": False,
                                     "reversed": True},
    "recurrent behind a pooled convolution": {**SMALL, **RECURRENT,
                                              "front": {"maps": 12, "window": 3, "pool": 2}},
    "deep_convolution": {"kind": "deep_convolution", "embedding": {"width": 6}, "maps": [8, 8, 16], "blocks": [1, 2, 1],
                         "dropout": 0.1},
    "deep_convolution, shortcuts": {"kind": "deep_convolution", "embedding": {"width": 6}, "maps": [8, 16],
                                    "blocks": [1, 1], "shortcuts": True},
    "convolution": {**SMALL, "kind": "convolution", "windows": [2, 3], "maps": 8, "layers": 2},
    "bag": {"kind": "bag", "embedding": {"width": 16}, "ngrams": [2, 3], "buckets": 50, "begin": True, "dropout": 0.1},
    "bag of words alone": {"kind": "bag", "embedding": {"width": 16}, "ngrams": []},
    "transformer": {**SMALL, "kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24},
    "transformer, learned positions": {**SMALL, "kind": "transformer", "layers": 1, "heads": 2, "feedforward": 24,
                                       "positions": "learned"},
    "transformer, rotary, swiglu, rms": {**SMALL, "kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24,
                                         "positions": "rotary", "activation": "swiglu", "norm": "rms"},
    "transformer, norms last": {**SMALL, "kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24,
                                "norm_first": False},
    "transformer, causal": {**SMALL, "kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24, "causal": True},
    "pretrained": {"kind": "pretrained", "model": TINY},
    "pretrained, mixed, frozen below, in windows": {"kind": "pretrained", "model": TINY, "mix": "scalar", "freeze": 1,
                                                    "window": 16},
}
DECODER = {"kind": "recurrent", "width": 16, "hidden": 16, "dropout": 0.1}
TRANSFORMER = {"kind": "transformer", "width": 16, "layers": 1, "heads": 2, "feedforward": 24, "dropout": 0.1}
HEADS: dict[str, dict[str, Any]] = {
    **{f"classify {pooling}": {"kind": "classify", "pooling": pooling, "hidden": 7}
       for pooling in ("last", "max", "mean", "max-mean", "k-max", "attention")},
    "classify hops, kept apart, weighed, calibrated": {
        "kind": "classify", "pooling": "attention", "hops": 3, "attention_width": 9, "penalty": 0.5,
        "class_weights": "balanced", "calibrate": True, "label_smoothing": 0.1},
    "classify several labels": {"kind": "classify", "pooling": "k-max", "k": 2, "threshold": "tuned"},
    **{f"tag {decoder}": {"kind": "tag", "decoder": decoder} for decoder in ("crf", "softmax")},
    "tag mean of pieces": {"kind": "tag", "pool": "mean"},
    **{f"translate {cell}": {"kind": "translate", "decoder": {**DECODER, "cell": cell}}
       for cell in ("lstm", "gru", "rnn")},
    **{f"translate {attention}": {"kind": "translate", "decoder": {**DECODER, "attention": {"kind": attention}}}
       for attention in ("additive", "multiplicative", "dot")},
    "translate coverage one": {"kind": "translate", "decoder": {**DECODER, "coverage": {"kind": "sum", "loss": "one"}}},
    "translate no coverage": {"kind": "translate", "decoder": {**DECODER, "coverage": {"kind": "none"}}},
    "translate two layers, no feeding": {"kind": "translate", "tie": "none",
                                         "decoder": {**DECODER, "layers": 2, "input_feeding": False}},
    "translate location, by fertility": {"kind": "translate", "decoder": {
        **DECODER, "attention": {"kind": "location", "length": 24}, "coverage": {"kind": "fertility"}}},
    "translate key and value, gated coverage": {"kind": "translate", "decoder": {
        **DECODER, "attention": {"kind": "key_value", "width": 12}, "coverage": {"kind": "gated", "width": 5}}},
    "translate narrow product, words consumed, learned start": {"kind": "translate", "decoder": {
        **DECODER, "attention": {"kind": "multiplicative", "width": 10}, "initial": "learned",
        "coverage": {"kind": "embedding", "width": 6, "update": "subtract"}}},
    "translate three layers, attention from the first, words gated": {"kind": "translate", "decoder": {
        **DECODER, "layers": 3, "connections": "dense-residual", "attend_from": "first", "initial": "zero",
        "cell": "gru", "coverage": {"kind": "embedding", "width": 6}}},
    "translate dense, narrow output, words and states": {
        "kind": "translate", "tie": "none", "also_layers": [0], "decoder": {
            **DECODER, "layers": 2, "connections": "dense", "output_width": 10, "coverage": {
                "kind": "none", "loss": "one", "from_step": 2}}},
    "language_model": {"kind": "language_model", "width": 9, "dropout": 0.1},
    "language_model of the most frequent": {"kind": "language_model", "width": 16, "vocabulary": 20},
    "language_model key and value": {"kind": "language_model", "width": 9, "attention": {"window": 3}},
    "language_model masked": {"kind": "language_model", "width": 9, "objective": "masked"},
    "translate transformer": {"kind": "translate", "decoder": TRANSFORMER},
    "translate transformer, two layers": {"kind": "translate", "tie": "none",  # and wider than what it attends to
                                          "decoder": {**TRANSFORMER, "width": 24, "layers": 2, "activation": "gelu"}},
    "translate transformer, coverage": {"kind": "translate", "decoder": {
        **TRANSFORMER, "layers": 2, "coverage": {"kind": "sum", "width": 6, "loss": "min"}}},
    "translate transformer, rotary, swiglu, rms, coverage": {"kind": "translate", "decoder": {
        **TRANSFORMER, "positions": "rotary", "activation": "swiglu", "norm": "rms", "coverage": {"kind": "sum"}}},
    "translate transformer, learned, norms last": {"kind": "translate", "decoder": {
        **TRANSFORMER, "positions": "learned", "norm_first": False}},
}


def parse(union: Any, settings: dict[str, Any]) -> Any:
    (found,) = [member for member in get_args(get_args(union)[0])
                if member.model_fields["kind"].default == settings["kind"]]
    if settings.get("model") == TINY:
        settings = {**settings, "model": tiny_bert(SIZE)}
    return found.model_validate(settings)


def kinds(union: Any) -> set[str]:
    return {member.model_fields["kind"].default for member in get_args(get_args(union)[0])}


def kind_of(head: str) -> str:
    """The kind of a head, or "several" of a classifier of several labels a text."""
    return "several" if "several" in head else str(HEADS[head]["kind"])


def build(encoder: str, head: str) -> Model:
    """A model with one head, called by its kind, all weights away from zero, so that nothing is equal by chance."""
    torch.manual_seed(0)
    body = parse(EncoderConfig, ENCODERS[encoder]).build(SIZE, CHARACTERS)
    config: Any = parse(HeadConfig, HEADS[head])
    outputs = {"classify": Outputs(CLASSES), "several": Outputs(CLASSES, several=True),
               "tag": Outputs(len(TAGS), TAGS, "BIO"), "translate": Outputs(TARGETS),
               "language_model": Outputs(SIZE, direction=body.direction_width, causal=body.causal)}
    kind = kind_of(head)
    model = Model(body, {kind: config.build(body.dims, body.summary_width, outputs[kind])})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def examples(kind: str, count: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """(ids, characters, spans, target) of invented sentences of 2 to 20 tokens; pieces of words where words matter."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        length = draw.randint(2, 20)
        ids = [*[draw.randrange(4, SIZE) for _ in range(length)], 3]
        characters = [[draw.randrange(1, CHARACTERS) for _ in range(draw.randint(1, 6))] for _ in ids]
        starts = sorted({0, *[position for position in range(1, length) if draw.random() < 0.6]})
        spans = list(zip(starts, [*starts[1:], length], strict=True))
        target: Any = draw.randrange(CLASSES)
        if kind == "several":
            target = [draw.random() < 0.4 for _ in range(CLASSES)]
        if kind == "tag":
            target = [TAGS.index(draw.choice(["O", "B-LOC", "B-PER"])) for _ in spans]
        if kind == "translate":
            target = [2, *[draw.randrange(4, TARGETS) for _ in range(draw.randint(2, 9))], 3]
        if kind == "language_model":
            target = ids
        made.append((ids, characters, spans, target))
    return made


def batch(kind: str, chosen: list[tuple[Any, ...]], multiple: int = 1) -> Batch:
    ids, characters, spans, targets = zip(*chosen, strict=True)
    width = max(map(len, spans))
    ranges = torch.tensor([[*row, *[(0, 0)] * (width - len(row))] for row in spans])
    target: Any = torch.tensor(targets) if kind in ("classify", "several") else Tokens.of(targets)
    if kind == "tag":
        target = torch.tensor([[*row, *[0] * (width - len(row))] for row in targets])
    shapes = [[number % SHAPES or 1 for number in row] for row in ids]
    return Batch(Tokens.of(ids, characters, multiple, shapes), ranges, target)
