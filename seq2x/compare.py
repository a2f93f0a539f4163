"""Whether one system's scores differ from another's by more than chance: paired approximate randomisation.

Knows no model and no file. A score is made of counts that add up over examples, so that two systems' outputs can be
exchanged example by example and be scored again thousands of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2x.metrics import bleu_counts
from seq2x.settings import TaskConfig
from seq2x.text.tags import spans

Counts = NDArray[np.float64]
ORDERS = 4
"""Of the n-grams of BLEU."""


def counts(task: TaskConfig, examples: Sequence[Any], predictions: Sequence[Any]) -> Counts:
    """Return the counts [N, F] that :func:`value` makes the task's score of: accuracy, span F1 or BLEU.

    ``predictions`` are those of an :class:`seq2x.Evaluation`. ValueError for a language model.
    """
    pairs = list(zip(examples, predictions, strict=True))
    if task.kind == "classify":
        rows = [[float(set(example.labels) == set(found.labels)), 1.0] for example, found in pairs]
    elif task.kind == "translate":
        rows = [bleu_counts(found.text, example.target or "") for example, found in pairs]
    elif task.kind == "tag" and task.data.scheme == "none":
        rows = [[float(sum(map(str.__eq__, example.tags, found.tags))), float(len(found.tags))]
                for example, found in pairs]
    elif task.kind == "tag":
        rows = []
        for example, found in pairs:
            gold, given = (set(spans(side, task.data.scheme)) for side in (example.tags, found.tags))
            rows.append([2.0 * len(gold & given), float(len(gold) + len(given))])
    else:
        raise ValueError(f"a task of the kind {task.kind!r} has no outputs to compare")
    return np.array(rows, dtype=np.float64)


def value(sums: Counts) -> NDArray[np.float64]:
    """Return the score, 0 to 100, of sums of counts [..., F]; what is made of nothing is 0.

    Two counts are a numerator and a denominator: of accuracy, of F1 = 2 right / (gold + found). More are those of
    BLEU, without smoothing.
    """
    if sums.shape[-1] == 2:
        return np.asarray(100 * sums[..., 0] / np.maximum(sums[..., 1], 1))
    found, wanted, right, total = np.split(sums, [1, 2, 2 + ORDERS], axis=-1)
    with np.errstate(divide="ignore"):
        precisions = np.log(right / np.maximum(total, 1)).mean(-1)
    brevity = np.minimum(0, 1 - wanted[..., 0] / np.maximum(found[..., 0], 1))
    return np.asarray(100 * np.exp(precisions + brevity))


def p_value(one: Sequence[Counts], other: Sequence[Counts], trials: int = 10_000, seed: int = 0) -> float:
    """Return how probable a mean difference as great as that found is, were the two systems alike (Noreen 1989).

    ``one`` and ``other`` hold the counts of the same examples, of one training a seed. In each trial the two outputs of
    an example of a pair of trainings are exchanged with probability 1/2 (stratified approximate randomisation; for F1
    and BLEU: Yeh 2000; Riezler & Maxwell 2005), and p = (1 + trials at least as far apart) / (1 + trials). It is about
    these models and other examples, not about other seeds. ValueError for unequal numbers.
    """
    if len(one) != len(other) or any(mine.shape != yours.shape for mine, yours in zip(one, other, strict=True)):
        raise ValueError("to be compared, two systems need as many trainings, each scored on the same examples")
    generator = np.random.default_rng(seed)
    observed, moved = 0.0, np.zeros(trials)
    for mine, yours in zip(one, other, strict=True):
        difference, sums = yours - mine, (mine.sum(0), yours.sum(0))
        observed += float(value(sums[1]) - value(sums[0]))
        for start in range(0, trials, 500):
            swapped = generator.integers(0, 2, (min(500, trials - start), len(mine))) @ difference
            moved[start : start + len(swapped)] += value(sums[1] - swapped) - value(sums[0] + swapped)
    return float((1 + (np.abs(moved) >= abs(observed) - 1e-9).sum()) / (1 + trials))
