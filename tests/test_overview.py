"""What a run says before it starts."""

from __future__ import annotations

from typing import Any

from contracts.pieces import build

from seq2x.config import parse
from seq2x.data.examples import Pair, Text
from seq2x.overview import Overview, ends, length_warning, lengths, model_size, parameters, repeated, too_long, updates
from seq2x.settings import RunConfig


def settings(**training: Any) -> RunConfig:
    return parse(RunConfig, {"tasks": {"a": {"kind": "classify", "train": "a.tsv", "limit": {"max_tokens": 100}}},
                             "training": training}, "test")


def test_a_label_that_repeats_is_left_out() -> None:
    said: list[str] = []
    rows = Overview(said.append)
    rows.row("data", "train")
    rows.under("data")("dev")
    rows.row("model", "large")
    rows.row("data", "again")
    assert said == ["data        train", "            dev", "model       large", "data        again"]


def test_parameters_are_counted_once_by_part() -> None:
    model = build("recurrent", "translate additive")
    counts = parameters(model)
    assert list(counts) == ["embeddings", "encoder", "head translate"]
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())
    assert counts["embeddings"] == sum(parameter.numel() for parameter in model.encoder.embedding.parameters())
    assert model_size(model).startswith(f"{sum(counts.values()):,} parameters: embeddings {counts['embeddings']:,}, ")


def test_lengths_are_spread_and_summed() -> None:
    assert lengths({"": [3, 4, 5]}) == "       12   4.0 on average, 5 at most"
    assert lengths({"source": [1000, 2000], "target": [4, 8]}) == (
        "    3,012   source 1500.0 on average, 2,000 at most; target 6.0 on average, 8 at most")


def test_an_update_is_said_with_all_its_factors() -> None:
    assert updates(settings(batch_tokens=2048), 9000, 90, 1800) == (
        "of 2,048 padded tokens, about 100 examples; 90 an epoch, 1,800 at most")
    assert updates(settings(batch_tokens=2048, accumulate=4), 9000, 23, 460) == (
        "of 8,192 padded tokens (2,048 x 4 batches), about 391 examples; 23 an epoch, 460 at most")


def test_every_end_is_named() -> None:
    assert ends(settings(max_epochs=1)) == "after 1 epoch; evaluated after every epoch"
    every = settings(max_epochs=20, max_steps=5000, max_minutes=7.5, patience=3, evaluate_every=100)
    assert ends(every) == ("after 20 epochs or 5,000 updates or 7.5 minutes or 3 evaluations without a better score; "
                           "evaluated every 100 updates")


def test_dev_examples_that_were_trained_on_are_counted() -> None:
    assert repeated([Text("a", "x"), Text("b", "x")], [Text("a", "y"), Text("c", "x"), Text("a", "x")]) == 2
    train = [Pair("ja", "yes"), Pair("nein", "no")]
    assert repeated(train, [Pair("ja", "yes"), Pair("ja", "no"), Pair("gut", "good")]) == 1


def test_targets_that_no_search_would_reach_are_warned_of() -> None:
    sources, targets = [10] * 1000, [30] * 990 + [31] * 10
    assert too_long(sources, targets, 2.0) == (10, 2.5)
    assert length_warning("de-en", sources, targets, 2.0) == ""  # one in a hundred is noise
    assert length_warning("de-en", sources, [70] * 20 + targets[20:], 2.0) == (
        "30 of 1,000 training targets are longer than a translation may become: tasks.de-en.search.max_length_ratio = "
        "2 allows 2 * source tokens + 10; 6 would hold 99.9 % of them")
    assert too_long(sources, [70] * 1000, 6.0)[0] == 0
