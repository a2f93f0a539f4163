"""Run directories of tiny models with random weights, as training would leave them; every sentence is invented."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tiny_bert import tiny_bert

from seq2x import checkpoint
from seq2x import config as settings_file
from seq2x.build import build_model
from seq2x.settings import RunConfig
from seq2x.text import Vocabulary, tags

LINES = [
    "Mira bought seven red kites in Oslo .", "Old Tarek sings", "The ferry to Bergen leaves at 10:30 , not earlier .",
    "Why did nobody tell Anna ?", "Snow !", "Two painters from Lisbon met Mr. Okoye near the mill .",
    "It isn't far .", "A very long road , they say , has no turning before the bridge at Narva .",
]
TARGETS = [
    "Mira kaufte sieben rote Drachen .", "Der alte Tarek singt", "Die Fähre geht um zehn .", "Warum nicht ?",
    "Schnee !", "Zwei Maler trafen ihn", "Es ist nah", "Eine lange Straße hat keine Kehre vor der Brücke",
]
LABELS = ["news", "question", "story"]
SPANS = ["LOC", "PER"]

TEXTS: dict[str, dict[str, Any]] = {
    "subwords": {"kind": "subwords", "size": 320},
    "tagged subwords": {"kind": "subwords", "size": 330, "symbols": ["<2de>", "<2fr>"]},
    "words": {"kind": "words"},
    "spelt words": {"kind": "words", "characters": True, "shapes": True, "lowercase": True},
    "characters": {"kind": "characters"},
}
SMALL = {"embedding": {"width": 16}, "dropout": 0.1}
ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {**SMALL, "kind": "recurrent", "hidden": 8},
    "recurrent, spelt": {"kind": "recurrent", "hidden": 8, "cell": "gru", "layers": 2,
                         "embedding": {"width": 10, "shape_width": 3,
                                       "characters": {"width": 6, "maps": 3, "windows": [2, 3]}}},
    "convolution": {**SMALL, "kind": "convolution", "windows": [2, 3], "maps": 8, "layers": 2},
    "bag": {"kind": "bag", "embedding": {"width": 8}, "buckets": 30},
    "transformer": {**SMALL, "kind": "transformer", "layers": 2, "heads": 2, "feedforward": 24},
    "transformer, learned positions": {**SMALL, "kind": "transformer", "layers": 1, "heads": 2, "feedforward": 24,
                                       "positions": "learned"},
    "pretrained": {"kind": "pretrained", "window": 16, "mix": "scalar"},  # and a tiny BERT
}
HEADS: dict[str, dict[str, Any]] = {
    "classify": {"kind": "classify", "pooling": "attention"},
    "tag": {"kind": "tag", "decoder": "crf", "pool": "mean"},
    "translate": {"kind": "translate", "decoder": {"kind": "recurrent", "width": 16, "hidden": 16}},
}


def task(kind: str, limit: int = 40, **settings: Any) -> dict[str, Any]:
    """The settings of a task; ``settings`` go over those here."""
    made: dict[str, Any] = {"kind": kind, "train": "train.txt", "limit": {"max_tokens": limit}, "head": HEADS[kind]}
    if kind == "tag":
        made["data"] = {"scheme": "BIO"}
    if kind == "translate":
        made["search"] = {"beam_size": 3, "max_length_ratio": 0.5}
    return {**made, **settings}


def write_run(
    directory: Path, tasks: dict[str, dict[str, Any]], encoder: str = "recurrent", text: str = "subwords", seed: int = 0
) -> Path:
    """Write a run whose weights are random and far from zero, so that nothing is equal by chance."""
    settings = {"text": TEXTS[text], "encoder": ENCODERS[encoder], "tasks": tasks}
    if encoder == "pretrained":
        own = {**ENCODERS[encoder], "model": tiny_bert()}
        translates = any(one["kind"] == "translate" for one in tasks.values())
        settings = {"target_text": TEXTS[text] if translates else None, "encoder": own, "tasks": tasks}
    config = RunConfig.model_validate(settings)
    source = config.text.learn([*LINES, *TARGETS] if config.joint else LINES)
    target = source if config.joint else (config.target_text or config.text).learn(TARGETS)
    labels = {}
    for name, one in config.tasks.items():
        if one.kind == "classify":
            labels[name] = Vocabulary(LABELS)
        if one.kind == "tag":
            labels[name] = Vocabulary(tags.complete(SPANS, one.model_scheme))
    torch.manual_seed(seed)
    model = build_model(config, source, target, labels)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint.save_text(directory, source, target)
    checkpoint.save_labels(directory, labels)
    checkpoint.save_encoder(directory, model)
    checkpoint.write(directory / checkpoint.CONFIG, settings_file.dump(config))
    checkpoint.save_weights(dict(model.named_parameters()), directory / checkpoint.WEIGHTS)
    return directory


def sentences(count: int, seed: int = 0, longest: int = 14) -> list[str]:
    """Invented sentences of 0 to ``longest`` words, known and unknown ones."""
    draw = random.Random(seed)
    known = [*" ".join(LINES).split(), "Zzyzx", "naïve", "12,345", "🙂", "über-alt", "x"]
    return [" ".join(draw.choices(known, k=draw.randint(0, longest))) for _ in range(count)]
