"""Scores from sums of counts, against those of the field's programs; and exchanges, against all that there are."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seq2x import metrics
from seq2x.compare import counts, p_value, value
from seq2x.config import parse
from seq2x.settings import RunConfig

PAIRS = [("a man sleeps in the warm sun .", "a man sleeps in the sun ."),
         ("two dogs run over wet grass", "dogs run fast"),
         ("he reads a very old book today", "he reads a very old book .")]


def task(kind: str, **settings: Any) -> Any:
    files = ["a", "b"] if kind == "translate" else "a"
    return parse(RunConfig, {"tasks": {"t": {"kind": kind, "train": files, **settings}}}, "test").tasks["t"]


def test_sums_give_the_scores_of_the_programs() -> None:
    examples = [SimpleNamespace(target=right) for _, right in PAIRS]
    found = counts(task("translate"), examples, [SimpleNamespace(text=text) for text, _ in PAIRS])
    assert float(value(found.sum(0))) == pytest.approx(metrics.bleu(*zip(*PAIRS, strict=True)).value)
    gold = [["B-A", "I-A", "O", "B-B"], ["O", "O"], ["B-B", "B-B"]]
    tags = [["B-A", "O", "O", "B-B"], ["O", "B-A"], ["B-B", "B-B"]]
    rows = counts(task("tag", data={"scheme": "BIO"}), [SimpleNamespace(tags=one) for one in gold],
                  [SimpleNamespace(tags=one) for one in tags])
    assert float(value(rows.sum(0))) == pytest.approx(metrics.span_scores(gold, tags, "BIO").f1)
    plain = counts(task("tag", data={"scheme": "none"}), [SimpleNamespace(tags=one) for one in gold],
                   [SimpleNamespace(tags=one) for one in tags])
    assert float(value(plain.sum(0))) == pytest.approx(75.0)
    labels = counts(task("classify"), [SimpleNamespace(labels=("x",))] * 2,
                    [SimpleNamespace(labels=("x",)), SimpleNamespace(labels=("y",))])
    assert float(value(labels.sum(0))) == 50.0
    with pytest.raises(ValueError, match="has no outputs to compare"):
        counts(task("language_model"), [], [])


def test_p_is_the_share_of_exchanges_that_part_them_as_far() -> None:
    draw = np.random.default_rng(0)
    one, other = (np.stack([draw.integers(0, 2, 9), np.ones(9)], 1).astype(float) for _ in range(2))
    other[:6, 0] = 1
    observed = abs(value(other.sum(0)) - value(one.sum(0)))
    far = 0
    for swapped in itertools.product([False, True], repeat=9):
        mask = np.array(swapped)[:, None]
        sides = [value(np.where(mask, *pair).sum(0)) for pair in ((one, other), (other, one))]
        far += abs(sides[0] - sides[1]) >= observed - 1e-9
    assert p_value([one], [other], 4000) == pytest.approx(far / 2**9, abs=0.03)
    assert p_value([one], [one], 200) == 1.0
    assert p_value([one] * 3, [other] * 3, 2000) <= p_value([one], [other], 2000)
    with pytest.raises(ValueError, match="need as many trainings"):
        p_value([one], [other, other])
