"""Scores as tables of plain text. Knows no model; what F1 is, metrics knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seq2x import mistakes
from seq2x.metrics import label_scores, reliability
from seq2x.samples import clean
from seq2x.settings import ClassifyTask, TagTask, TaskConfig
from seq2x.text.tags import Span

CONFUSION = 12
"""Labels of the largest confusion matrix; of more labels, only the commonest confusions are listed."""
CONTEXT = 12
"""Words shown before and after a mistake."""
_NOTES = ("scheme", "search", "bleu_signature", "chrf_signature")
_NAMES = {"bleu": "BLEU", "chrf": "chrF", "f1": "F1", "macro_f1": "macro F1", "micro_f1": "micro F1",
          "scheme": "scheme", "search": "search",
          "bleu_signature": "BLEU by", "chrf_signature": "chrF by"}


def details(task: TaskConfig, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
    """Return what an evaluation does not say by itself: the scores of each label, what was taken for what, and how
    far the confidences of a tagger, or the probabilities of a classifier, can be believed.

    Nothing where there are no labels. The scores of spans are among the scores already.
    """
    if task.kind == "translate" or task.kind == "language_model":
        return {}
    if task.kind == "tag":
        compared = _compared(task, examples, predictions)
        more: dict[str, Any] = {"confusion": mistakes.confusion(compared),
                                "reliability": _reliability(task, compared, predictions)}
        if task.data.scheme != "none":
            kinds = Counter(mistake.kind for mistake in mistakes.mistakes(compared))
            return {**more, "mistakes": {kind: kinds[kind] for kind in mistakes.KINDS}}
        gold, found = ([[tag] for one in side for tag in one.tags] for side in (examples, predictions))
        return {"labels": _each(gold, found), **more}
    return _of_texts(task, examples, predictions)


def _of_texts(task: ClassifyTask, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, Any]:
    """What a classifier's evaluation does not say; of several labels a text none is taken for another."""
    gold, found = ([one.labels for one in side] for side in (examples, predictions))
    labels = _each(gold, found)
    if task.data.separator:
        judged = [(value, label in wanted) for one, wanted in zip(predictions, gold, strict=True)
                  for label, value in one.probabilities.items()]
        return {"labels": labels, "reliability": _believed(judged, "labels")}
    compared = [mistakes.compare(*both, "none") for both in zip(gold, found, strict=True)]
    judged = [(one.probability, one.label == wanted[0]) for one, wanted in zip(predictions, gold, strict=True)]
    return {"labels": labels, "confusion": mistakes.confusion(compared), "reliability": _believed(judged, "texts")}


def _each(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {label: score._asdict() for label, score in label_scores(gold, found).labels.items()}


def _believed(judged: Sequence[tuple[float, bool]], of: str) -> dict[str, Any]:
    """How far probabilities are from the shares that came true."""
    found = reliability([value for value, _ in judged], [right for _, right in judged])
    return {"error": found.error, "of": of, "bins": [each._asdict() for each in found.bins]}


def errors(
    task: TagTask | ClassifyTask, examples: Sequence[Any], predictions: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """Yield the mistakes of a tagger, fit for JSON: ``kind``, ``file``, ``line``, ``gold``, ``found``, ``confidence``
    (of what was found) and the ``tokens``. In a scheme without spans, each wrong tag is one.

    Those of a classifier have the labels as ``gold`` and ``found``, the probability of the likeliest, and the ``text``.
    """
    if isinstance(task, ClassifyTask):
        for example, found in zip(examples, predictions, strict=True):
            if set(example.labels) != set(found.labels):
                yield {"kind": "wrong label", "file": example.where[0], "line": example.where[1],
                       "gold": list(example.labels), "found": list(found.labels),
                       "confidence": round(found.probability, 6), "text": example.text}
        return
    for mistake in mistakes.mistakes(_compared(task, examples, predictions)):
        example, prediction = examples[mistake.sentence], predictions[mistake.sentence]
        sure = None if mistake.found is None else _confidences(task, prediction)[mistake.found]
        yield mistakes.record(mistake, example.words, example.where, None if sure is None else round(sure, 6))


def error(found: Mapping[str, Any]) -> str:
    """Return a mistake as two lines: what it is, and its words, marked, with some before and after; or its text."""
    if "text" in found:
        labels = (f"{name} {', '.join(found[name]) or 'no label'}" for name in ("gold", "found"))
        what = f"{found['file']}, line {found['line']}: {found['kind']}: {clean(', '.join(labels))}"
        return f"  {what} ({found['confidence']:.2f})\n    {clean(found['text'])}"
    sides = [f"{name} {found[name]['label']} {found[name]['text']!r}" for name in ("gold", "found") if found[name]]
    sure = "" if found["confidence"] is None else f" ({found['confidence']:.2f})"
    span, words = found["gold"] or found["found"], list(found["tokens"])
    first, stop = max(span["first"] - CONTEXT, 0), span["stop"] + CONTEXT
    words[span["first"]] = f"[{words[span['first']]}"
    words[span["stop"] - 1] += "]"
    shown = " ".join([*(["..."] if first else []), *words[first:stop], *(["..."] if stop < len(words) else [])])
    what = f"{found['file']}, line {found['line']}: {found['kind']}: {clean(', '.join(sides))}{sure}"
    return f"  {what}\n    {clean(shown)}"


def _compared(task: TagTask, examples: Sequence[Any], predictions: Sequence[Any]) -> list[list[mistakes.Pair]]:
    return [mistakes.compare(example.tags, prediction.tags, task.data.scheme)
            for example, prediction in zip(examples, predictions, strict=True)]


def _confidences(task: TagTask, prediction: Any) -> dict[Span, float]:
    """How sure the model is of each span it found; where there are none, of each tag."""
    if task.data.scheme == "none":
        return {Span(tag, word, word + 1): sure
                for word, (tag, sure) in enumerate(zip(prediction.tags, prediction.confidence, strict=True))}
    return {Span(span.label, span.first, span.stop): span.confidence for span in prediction.spans}


def _reliability(
    task: TagTask, compared: Sequence[Sequence[mistakes.Pair]], predictions: Sequence[Any]
) -> dict[str, Any]:
    judged: list[tuple[float, bool]] = []
    for every, prediction in zip(compared, predictions, strict=True):
        good = {pair.found for pair in every if pair.found is not None and mistakes.kind(pair) is None}
        for span, confidence in _confidences(task, prediction).items():
            judged.append((confidence, span in good))
    return _believed(judged, "tags" if task.data.scheme == "none" else "spans")


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
    if result.get("mistakes"):
        parts.append(columns([("mistake", "times"), *((kind, f"{n:,}") for kind, n in result["mistakes"].items())]))
    if result.get("reliability"):
        parts.append(_bins(result["reliability"]))
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


def _bins(found: Mapping[str, Any]) -> str:
    """Confidences beside what came true, and the expected calibration error."""
    rows: list[tuple[str, ...]] = [("confidence", found["of"], "mean", "right")]
    rows += [(f"to {each['high']:.1f}", f"{each['predictions']:,}", *(f"{each[key]:.2f}" for key in
              ("confidence", "accuracy"))) for each in found["bins"] if each["predictions"]]
    return f"{columns(rows)}\n  expected calibration error {found['error']:.2f}"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)
