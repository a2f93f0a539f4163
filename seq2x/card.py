"""The model card: what a run is, what it was trained on, how good it is, how to use it; as the Markdown of README.md.

Knows settings and numbers only: no model, no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from seq2x.config import dump
from seq2x.settings import RunConfig, StartConfig, TaskConfig
from seq2x.training.progress import Progress
from seq2x.version import __version__


class Source(Protocol):
    """One file of the data; a pair of aligned files is two of these."""

    @property
    def task(self) -> str:
        """Name of the task."""

    @property
    def split(self) -> str:
        """What it was used for: train, dev ..."""

    @property
    def path(self) -> str:
        """As the settings name it."""

    @property
    def examples(self) -> int:
        """How many of its examples were used."""

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""


_NAMES = {"classify": "classifier", "tag": "tagger", "translate": "translator", "language_model": "language model"}
_COMMANDS = {
    "classify": "seq2x classify {run} < texts.txt > labels.tsv",
    "tag": "seq2x tag {run} < sentences.txt > tagged.conll",
    "translate": "seq2x translate {run} < in.txt > out.txt",
}
_PYTHON = {
    "classify": ("Classifier", 'classify("A text.").label'),
    "tag": ("Tagger", 'tag("A sentence.").spans'),
    "translate": ("Translator", 'translate("A sentence.").text'),
    "language_model": ("LanguageModel", 'score("A text.").perplexity'),
}


def model_card(
    config: RunConfig, data: Sequence[Source], progress: Progress, metrics: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, int], machine: Mapping[str, str],
) -> str:
    """Return the text of README.md.

    ``metrics`` are the lines of metrics.jsonl; the scores shown are those of the update whose weights were kept.
    ``parameters`` are counted by part of the model; ``machine`` says what trained it.
    """
    kept: Mapping[str, Any] = next((line for line in reversed(metrics)  # a mean that was no better is not kept
                                    if line["step"] == progress.best_step and line.get("kept", True)), {})
    kinds = [_NAMES[kind] for kind in dict.fromkeys(task.kind for task in config.tasks.values())]
    sections = [
        f"# A {' and '.join(kinds)} of seq2x",
        _description(config, parameters),
        f"## Scores\n\n{_scores(config.tasks, kept, progress, len(metrics))}",
        f"## Use\n\n{_use(config.tasks)}",
        "## Data\n\n" + _table(
            ("task", "split", "file", "examples", "sha256"),
            [(row.task, row.split, f"`{row.path}`", f"{row.examples:,}", f"`{row.sha256}`") for row in data],
        ),
        f"## Limits\n\n{_limits(config.tasks)}",
        f"## Training\n\n{_training(config, progress, kept.get('versions', {}), machine)}",
        f"## Settings\n\nAll of them, as in config.toml:\n\n```toml\n{dump(config)}```",
    ]
    return "\n\n".join(sections) + "\n"


def _description(config: RunConfig, parameters: Mapping[str, int]) -> str:
    each = ", ".join(f"{name} {size:,}" for name, size in parameters.items())
    lines = [f"{sum(parameters.values()):,} parameters ({each}); {config.text.kind} as tokens, a {config.encoder.kind} "
             "encoder."]
    for name, task in config.tasks.items():
        what = {
            "classify": "one label a text",
            "tag": "one tag a word",
            "translate": "a sentence out for a sentence in",
            "language_model": "the neighbours of each token of a text",
        }[task.kind]
        lines.append(f"- `{name}`: {what}{_details(task)}")
    return "\n".join([lines[0], "", *lines[1:]])


def _details(task: TaskConfig) -> str:
    if task.kind == "tag":
        return f"; tags of the files: {task.data.scheme}, learnt as {task.model_scheme}"
    if task.kind == "translate":
        how = task.search
        return f"; beam {how.beam_size}, length normalisation {how.length_norm}, exponent {how.length_penalty:g}"
    return ""


def _scores(
    tasks: Mapping[str, TaskConfig], kept: Mapping[str, Any], progress: Progress, evaluations: int
) -> str:
    found = {name: kept.get("scores", {}).get(name, {}) for name in tasks}
    rows = [(name, metric, value) for name, scores in found.items() for metric, value in _plain(scores)]
    greedy = [f"`{name}` with beam {task.dev_beam_size}" for name, task in tasks.items() if task.kind == "translate"]
    text = (f"On the dev data, after update {progress.best_step:,}, whose weights are kept; they were chosen by these "
            f"scores out of {evaluations:,} evaluation{'s' if evaluations != 1 else ''} (metrics.jsonl), so expect a "
            f"little less on other data.")
    if greedy:
        text += f" Translated during training: {', '.join(greedy)}."
    tables = [_table(("task", "metric", "value"), rows)]
    for name, scores in found.items():
        if labels := scores.get("labels"):
            tables.append(f"Labels of `{name}`:\n\n{_labels(labels)}")
    return "\n\n".join([text, *tables])


def _plain(scores: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Numbers and signatures; tables have their own place."""
    for name, value in scores.items():
        if isinstance(value, float):
            yield name, f"{value:.2f}"
        elif isinstance(value, int):
            yield name, f"{value:,}"
        elif isinstance(value, str):
            yield name, f"`{value}`"


def _labels(labels: Mapping[str, Mapping[str, float]]) -> str:
    rows = [(label, *(f"{score[key]:.2f}" for key in ("precision", "recall", "f1")), f"{score['support']:,}")
            for label, score in labels.items()]
    return _table(("label", "precision", "recall", "F1", "support"), rows)


def _use(tasks: Mapping[str, TaskConfig]) -> str:
    several = len(tasks) > 1
    lines = ["```sh"]
    for name, task in tasks.items():
        run = f"runs/NAME --task {name}" if several else "runs/NAME"
        if task.kind in _COMMANDS:
            lines.append(_COMMANDS[task.kind].format(run=run))
    lines += ["```", "", "```python"]
    for name, task in tasks.items():
        kind, call = _PYTHON[task.kind]
        chosen = f', task="{name}"' if several else ""
        lines += [f"from seq2x import {kind}", f'{kind}.load("runs/NAME"{chosen}).{call}']
    return "\n".join([*lines, "```"])


def _limits(tasks: Mapping[str, TaskConfig]) -> str:
    lines = ["- It knows what the training data above show, and nothing else: on texts of another kind, time or "
             "language, expect less. It repeats what is wrong or unfair in them."]
    for name, task in tasks.items():
        most, kept = f"{task.limit.max_tokens:,}", {
            "error": "no longer one was in the training data", "skip": "longer ones were left out of the training data",
            "truncate": "longer ones were cut in training"}[task.limit.on_long]
        if task.kind == "translate":
            ratio = task.search.max_length_ratio
            lines.append(f"- `{name}`: a text of more than {most} tokens is translated in parts ({kept}); an output "
                         f"has at most {ratio:g} * source tokens + 10. A translation may read well and be wrong.")
        elif task.kind == "language_model":
            lines.append(f"- `{name}`: a text of more than {most} tokens is read in parts ({kept}).")
        else:
            how = "read in parts" if task.kind == "classify" else "tagged in windows of whole words"
            lines.append(f"- `{name}`: a text of more than {most} tokens is {how} ({kept}); every answer is one of the "
                         f"labels in `labels.{name}.txt`, however far from them the text is.")
    return "\n".join(lines)


def _training(
    config: RunConfig, progress: Progress, versions: Mapping[str, str], machine: Mapping[str, str]
) -> str:
    made = ", ".join(f"{name} {version}" for name, version in {"seq2x": __version__, **versions}.items())
    return "\n".join([
        f"- {progress.step:,} updates, {progress.epoch:,} whole epochs, {progress.seconds / 60:.1f} minutes",
        f"- ended by: {progress.done or 'still going on'}",
        f"- seed {config.seed}; {made}",
        *(f"- {name}: {value}" for name, value in machine.items()),
        *([] if config.start is None else [_start(config.start)]),
    ])


def _start(start: StartConfig) -> str:
    what = "all that fits" if start.take == "all" else "its encoder"
    frozen = ", which is not trained" if start.freeze else ""
    return f"- started from `{start.run}`: {what}{frozen}; vocabulary: {start.vocabulary}, labels: {start.labels}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
