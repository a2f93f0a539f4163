"""The model card: everything a reader of a run wants to know, as valid Markdown tables."""

from __future__ import annotations

import tomllib
from typing import NamedTuple

from seq2x.card import model_card
from seq2x.config import dump, parse
from seq2x.settings import RunConfig
from seq2x.training.progress import Progress


class Row(NamedTuple):
    task: str
    split: str
    path: str
    examples: int
    sha256: str


CONFIG = parse(RunConfig, {
    "text": {"kind": "words"},
    "tasks": {
        "ner": {"kind": "tag", "train": "a|b.conll", "data": {"scheme": "BIO"}},
        "de-en": {"kind": "translate", "train": ["a.de", "a.en"]},
    },
}, "test")
DATA = [Row("ner", "train", "a|b.conll", 1200, "ab" * 32), Row("de-en", "train", "a.de", 900, "cd" * 32)]
PARTS = {"encoder": 1234000, "head ner": 567}
MACHINE = {"computed on": "cpu (Abacus 3), 2 threads, fp32"}
PROGRESS = Progress(step=300, epoch=3, seconds=90.0, evaluations=3, best=81.5, best_step=200, done="3 epochs")
METRICS = [
    {"step": 100, "scores": {"ner": {"f1": 11.0}}},
    {"step": 200, "versions": {"seq2x": "0.1", "torch": "2.9"}, "scores": {
        "ner": {"f1": 91.25, "words": 5000,
                "labels": {"PER": {"precision": 1.0, "recall": 2.0, "f1": 3.0, "support": 4}}},
        "de-en": {"bleu": 31.5, "bleu_signature": "nrefs:1|case:mixed"},
    }},
    {"step": 300, "scores": {"ner": {"f1": 22.0}}},
]


def test_it_says_what_was_kept_and_how_good_that_is() -> None:
    card = model_card(CONFIG, DATA, PROGRESS, METRICS, PARTS, MACHINE)
    assert card.startswith("# A tagger and translator of seq2x\n\n1,234,567 parameters (encoder 1,234,000, head ner "
                           "567); words as tokens, a recurrent encoder.")
    assert "| ner | f1 | 91.25 |" in card
    assert "| de-en | bleu_signature | `nrefs:1\\|case:mixed` |" in card
    assert "| PER | 1.00 | 2.00 | 3.00 | 4 |" in card
    assert "22.00" not in card
    assert "out of 3 evaluations" in card
    assert "`de-en` with beam 1" in card
    assert f"| ner | train | `a\\|b.conll` | 1,200 | `{'ab' * 32}` |" in card
    assert "300 updates, 3 whole epochs, 1.5 minutes" in card
    assert "ended by: 3 epochs" in card
    assert "torch 2.9" in card
    assert "seq2x tag runs/NAME --task ner <" in card
    assert 'Translator.load("runs/NAME", task="de-en").translate(' in card


def test_its_settings_can_be_read_back() -> None:
    card = model_card(CONFIG, DATA, PROGRESS, METRICS, PARTS, MACHINE)
    settings = card.partition("```toml\n")[2].rpartition("```")[0]
    assert settings == dump(CONFIG)
    assert parse(RunConfig, tomllib.loads(settings), "card") == CONFIG


def test_every_table_is_whole() -> None:
    card = model_card(CONFIG, DATA, PROGRESS, METRICS, PARTS, MACHINE)
    width = 0
    for line in card.partition("## Settings")[0].split("\n"):
        cells = line.replace("\\|", "").count("|")
        assert cells in (0, width) or not width
        width = cells


def test_nothing_was_evaluated_yet() -> None:
    card = model_card(CONFIG, DATA, Progress(step=5), [], PARTS, MACHINE)
    assert "ended by: still going on" in card


def test_it_names_the_machine_and_the_limits() -> None:
    card = model_card(CONFIG, DATA, PROGRESS, METRICS, PARTS, MACHINE)
    assert "- computed on: cpu (Abacus 3), 2 threads, fp32\n" in card
    assert ("- `ner`: a text of more than 1,000 tokens is tagged in windows of whole words (no longer one was in the "
            "training data); every answer is one of the labels in `labels.ner.txt`") in card
    assert "an output has at most 2 * source tokens + 10" in card
