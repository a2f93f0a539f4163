"""Scores as tables of plain text. Knows no model; what F1 is, metrics knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from seq2x.metrics import span_scores
from seq2x.settings import TaskConfig

CONFUSION = 12
"""Labels of the largest confusion matrix; of more labels, only the commonest confusions are listed."""
_NOTES = ("scheme", "search", "bleu_signature", "chrf_signature")
_NAMES = {"bleu": "BLEU", "chrf": "chrF", "f1": "F1", "macro_f1": "macro F1", "scheme": "scheme", "search": "search",
          "bleu_signature": "BLEU by", "chrf_signature": "chrF by"}


def details(task: TaskConfig, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
    """Return what an evaluation does not say by itself: the scores of each label, and what was taken for what.

    Nothing for translations, nor for spans, whose labels are among the scores.
    """
    if task.kind == "classify":
        gold = [[example.label] for example in examples]
        found = [[prediction.label] for prediction in predictions]
    elif task.kind == "tag" and task.data.scheme == "none":
        gold, found = [example.tags for example in examples], [prediction.tags for prediction in predictions]
    else:
        return {}
    # a label that stands by itself is a span of one word
    single = [[[f"S-{label}" for label in labels] for labels in side] for side in (gold, found)]
    labels = {label: score._asdict() for label, score in span_scores(single[0], single[1], "IOBES").labels.items()}
    pairs = Counter((right, taken) for rights, takens in zip(gold, found, strict=True)
                    for right, taken in zip(rights, takens, strict=True))
    confusion: dict[str, dict[str, int]] = {}
    for (right, taken), count in sorted(pairs.items()):
        confusion.setdefault(right, {})[taken] = count
    return {"labels": labels, "confusion": confusion}


def table(name: str, result: Mapping[str, Any]) -> str:
    """Return the table of one task: ``result`` is what ``seq2x evaluate --json`` prints of it."""
    scores = result["scores"]
    rows = [(_NAMES.get(key, key), f"{value:6.2f}") for key, value in scores.items() if isinstance(value, float)]
    counts = [f"{value:,} {key}" for key, value in scores.items() if isinstance(value, int) and key != "split"]
    rows.append(("on", " ".join(counts)))
    if scores.get("split"):
        rows.append(("note", f"{scores['split']:,} longer than the model's limit, translated in parts"))
    rows += [(_NAMES[key], _flat(scores[key])) for key in _NOTES if key in scores]
    width = max(len(key) for key, _ in rows)
    parts = [f"{name} ({result['kind']}), {result['data']}",
             "\n".join(f"  {key:<{width}}  {value}" for key, value in rows)]
    labels: Mapping[str, Any] = result.get("labels") or scores.get("labels") or {}
    if labels:
        parts.append(_labels(labels))
    if result.get("confusion"):
        parts.append(_confusion(result["confusion"]))
    return "\n\n".join(part for part in parts if part)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _labels(labels: Mapping[str, Mapping[str, float]]) -> str:
    """Precision, recall, F1 and support, the label with the most examples first."""
    ordered = sorted(labels.items(), key=lambda item: -item[1]["support"])
    rows: list[tuple[str, ...]] = [("label", "precision", "recall", "F1", "support")]
    rows += [(label, *(f"{score[key]:.2f}" for key in ("precision", "recall", "f1")), f"{score['support']:,}")
             for label, score in ordered]
    return columns(rows)


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """A matrix for a few labels; for many, the commonest confusions."""
    names = sorted(set(confusion) | {taken for row in confusion.values() for taken in row})
    if len(names) <= CONFUSION:
        rows = [("gold \\ found", *names)]
        rows += [(right, *(f"{confusion.get(right, {}).get(taken, 0):,}" for taken in names)) for right in names]
        return columns(rows)
    wrong = Counter({(right, taken): count for right, row in confusion.items() for taken, count in row.items()
                     if right != taken})
    if not wrong:
        return ""
    return columns([("gold -> found", "times"),
                    *((f"{right} -> {taken}", f"{count:,}") for (right, taken), count in wrong.most_common(CONFUSION))])


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
