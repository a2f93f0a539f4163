"""How much each word spoke for a label: against the model itself, its words left out or made louder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import ENCODERS, TEXTS, sentences, task, write_run

from seq2x import Classifier, ConfigError
from seq2x.text import split

TEXT = "Mira  bought seven red kites in Oslo, didn't she?"
GRADIENT = {"kind": "classify", "pooling": "mean"}


def run(folder: Path, encoder: str = "recurrent", text: str = "words", **settings: Any) -> Classifier:
    return Classifier.load(write_run(folder / "run", {"topics": task("classify", **settings)}, encoder, text))


@pytest.mark.parametrize(("encoder", "text"), [
    *(("recurrent", text) for text in TEXTS if text != "spelt words"), ("recurrent, spelt", "spelt words"),
    *((encoder, "subwords") for encoder in ENCODERS if encoder != "recurrent, spelt")])
def test_every_word_has_its_weight(encoder: str, text: str, tmp_path: Path) -> None:
    classifier = run(tmp_path, encoder, text, head=GRADIENT)
    plain, found = (classifier.classify(TEXT, explain=explain) for explain in (False, True))
    assert found[:-1] == plain[:-1]
    assert [word[:3] for word in found.words] == [tuple(word) for word in split(TEXT)]
    assert any(word.weight for word in found.words)
    assert classifier.classify([TEXT, "", "Snow !"], explain="gradient")[0] == found
    assert plain.words == ()


def test_attention_is_shared_out_among_the_words(tmp_path: Path) -> None:
    classifier = run(tmp_path)  # whose head attends
    for text in sentences(6):
        found = classifier.classify(text, explain=True)
        assert found.words == classifier.classify(text, explain="attention").words
        assert all(word.weight >= 0 for word in found.words)
        end = 1 - sum(word.weight for word in found.words)  # what the end symbol got
        assert -1e-6 < end < 1


def test_the_gradient_is_that_of_the_log_odds(tmp_path: Path) -> None:
    """Against the difference that a word makes whose vector is a little longer."""
    classifier = run(tmp_path, head=GRADIENT)
    found = classifier.classify("Snow in Oslo", explain="gradient")
    label, table = classifier.labels.index(found.label), classifier.loaded.model.encoder.table.weight
    for word in found.words:
        row = classifier.loaded.source.encode(word.text).ids[0]
        odds = []
        for factor in (0.99, 1.01):
            with torch.no_grad():
                kept = table[row].clone()
                table[row] *= factor
                probability = classifier.classify("Snow in Oslo").probabilities[found.label]
                table[row] = kept
            odds.append(torch.tensor(probability, dtype=torch.float64).logit())
        assert float(odds[1] - odds[0]) / 0.02 == pytest.approx(word.weight, abs=2e-3)
    assert classifier.labels[label] == found.label


def test_a_long_text_is_explained_in_its_parts(tmp_path: Path) -> None:
    classifier = run(tmp_path, limit=12)
    text = " ".join(sentences(9, longest=10))
    found = classifier.classify(text, explain=True)
    assert found.windows > 3
    assert len(found.words) == len(split(text))
    assert sum(word.weight > 0 for word in found.words) == len(found.words)
    assert sum(word.weight for word in found.words) < 1


def test_a_pretrained_encoder_is_explained_within_its_reach(tmp_path: Path) -> None:
    classifier = run(tmp_path, "pretrained", "subwords", head=GRADIENT, limit=40)
    assert classifier.loaded.model.encoder.reach == 15
    text = "The ferry to Bergen leaves at ten , not earlier , as nobody told Anna near the mill ."
    assert all(word.weight for word in classifier.classify(text, explain=True).words)


def test_only_words_that_were_read_count(tmp_path: Path) -> None:
    settings = {"kind": "words", "keep_last": 3, "pad_to": 3, "punctuation": False}
    TEXTS["the last words"] = settings
    try:
        classifier = run(tmp_path, text="the last words", head=GRADIENT)
    finally:
        del TEXTS["the last words"]
    weights = [word.weight for word in classifier.classify("Old Tarek sings in Oslo .", explain=True).words]
    assert [weight != 0 for weight in weights] == [False, False, True, True, True, False]
    assert classifier.classify("Oslo .", explain=True).words[1].weight == 0


def test_an_attention_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the head 'topics' has none over tokens \\(pooling = 'mean'\\)"):
        run(tmp_path, head=GRADIENT).classify(TEXT, explain="attention")
    with pytest.raises(ConfigError, match="explain: found 'atention'; did you mean 'attention'"):
        run(tmp_path / "other").classify(TEXT, explain="atention")  # type: ignore[call-overload]
