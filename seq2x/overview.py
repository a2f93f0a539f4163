"""What a run says of itself before it starts: rows of a label and a text. Knows no file.

    run         runs/de-en, seed 1
    data        train     29,000 examples   train.de and train.en
                dev        1,014 examples   val.de and val.en
    vocabulary  8,000 subwords for both sides
    tokens      train    829,000   source 13.9 on average, 45 at most; target 14.7, 46 at most
    model       7,612,416 parameters: embeddings 2,048,000, encoder 2,367,744, head de-en 3,196,672
    device      cpu (AMD EPYC 9R14), 2 threads, fp32
    updates     of 2,048 padded tokens, about 125 examples; 232 an epoch, 4,640 at most
    ends        after 20 epochs, or after 5 evaluations without a better score
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import nn

from seq2x.corpus import Corpus, split_name
from seq2x.data.datasets import Dataset
from seq2x.data.examples import Example, Pair, Tagged, Text
from seq2x.model import Model
from seq2x.settings import RunConfig
from seq2x.text import Processor, Vocabulary

Say = Callable[[str], None]
LABEL = 12
"""Cells of the column of labels."""
SHARE = 0.01
"""Of the training pairs, this many must be too long for the search before it is worth a warning."""


class Overview:
    """Says rows one by one, as they become known; a label that repeats is left out."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, ""

    def row(self, label: str, text: str) -> None:
        """Say one row."""
        self._say(f"{label if label != self._last else '':<{LABEL}}{text}")
        self._last = label

    def under(self, label: str) -> Say:
        """Return what says rows of this label."""
        return lambda text: self.row(label, text)


def say_data(
    rows: Overview, config: RunConfig, data: Corpus, datasets: Mapping[str, Dataset], source: Processor,
    target: Processor | None,
) -> None:
    """Say how long the examples are, what was cut or left out, and what is wrong with them."""
    for name, dataset in datasets.items():
        train = dataset.side_lengths()
        if is_pair := config.tasks[name].kind == "translate":
            train[1] = [length - 1 for length in train[1]]  # as an output has them: without BOS
        dev = encoded_lengths(data.dev[name], source, target if is_pair else None)
        few = f" ({len(train[0]):,} examples, spread evenly)" if len(train[0]) < len(dataset) else ""
        for split, sides in (("train", dict(zip(dev, train, strict=True))), ("dev", dev)):
            rows.row("tokens", f"{split_name(config, name, split)} {lengths(sides)}{few if split == 'train' else ''}")
        if dataset.report:
            rows.row("limit", f"{split_name(config, name, 'train')} {dataset.report}")
        _warn(rows, config, name, data, train)


def _warn(rows: Overview, config: RunConfig, name: str, data: Corpus, train: Sequence[Sequence[int]]) -> None:
    """Say what is wrong with the examples of a task."""
    task = config.tasks[name]
    if config.corpus.memory == "all" and (both := repeated(data.train[name], data.dev[name])):  # else: one more reading
        rows.row("warning", f"{both:,} of {len(data.dev[name]):,} dev examples of {name} stand in its training "
                            "data too, word for word: the dev score will be too good")
    if task.kind == "translate" and (
            warning := length_warning(name, train[0], train[1], task.search.max_length_ratio)):
        rows.row("warning", warning)


def vocabulary(
    config: RunConfig, source: Processor, target: Processor | None, labels: Mapping[str, Vocabulary]
) -> str:
    """Return the sizes of the vocabularies."""
    parts = [f"{source.size:,} {config.text.kind}"]
    if target is source:
        parts[0] += " for both sides"
    elif target is not None:
        kind = (config.target_text or config.text).kind
        parts[0] += f" in, {target.size:,} {kind if kind != config.text.kind else ''}".rstrip() + " out"
    if source.character_size is not None:
        parts.append(f"{source.character_size:,} characters")
    tasks = config.tasks
    parts += [f"{len(entries):,} {'tags' if tasks[name].kind == 'tag' else 'labels'}"
              f"{f' of {name}' if len(tasks) > 1 else ''}" for name, entries in labels.items()]
    return ", ".join(parts)


def parameters(model: Model) -> dict[str, int]:
    """Return how many parameters each part of the model has; tied weights count once, where they come first."""
    parts: dict[str, nn.Module] = {"encoder": model.encoder}
    if isinstance(embedding := getattr(model.encoder, "embedding", None), nn.Module):
        parts = {"embeddings": embedding, **parts}
    parts |= {f"private encoder {name}": private for name, private in model.privates.items()}
    parts |= {f"head {name}": head for name, head in model.heads.items()}
    parts |= {f"auxiliary {name}": head for name, head in model.auxiliaries.items()}
    counts: dict[str, int] = {}
    known: set[int] = set()
    for name, part in parts.items():
        own = {id(parameter): parameter.numel() for parameter in part.parameters()}
        counts[name] = sum(size for key, size in own.items() if key not in known)
        known |= own.keys()
    return counts


def model_size(model: Model) -> str:
    """Return the parameters of the model and of its parts."""
    counts = parameters(model)
    each = ", ".join(f"{name} {size:,}" for name, size in counts.items())
    return f"{sum(counts.values()):,} parameters: {each}"


def lengths(sides: Mapping[str, Sequence[int]]) -> str:
    """Return the tokens of a split and their spread; ``sides`` are the lengths of the examples, by name of the side."""
    each = [f"{name} {sum(values) / max(1, len(values)):.1f} on average, {max(values, default=0):,} at most".strip()
            for name, values in sides.items()]
    return f"{sum(map(sum, sides.values())):>9,}   {'; '.join(each)}"


def encoded_lengths(
    examples: Iterable[Example], source: Processor, target: Processor | None
) -> dict[str, list[int]]:
    """Return the tokens of each example, end symbols included, by name of the side."""
    if target is None:
        return {"": [_length(example, source) for example in examples]}
    pairs = [example for example in examples if isinstance(example, Pair)]
    return {"source": [len(source.encode(pair.source).ids) for pair in pairs],
            "target": [len(target.encode(pair.target or "").ids) for pair in pairs]}


def _length(example: Example, source: Processor) -> int:
    if isinstance(example, Tagged):
        return len(source.encode_words(example.words).ids)
    return len(source.encode(example.text if isinstance(example, Text) else example.source).ids)


def updates(config: RunConfig, examples: float, an_epoch: int, steps: int) -> str:
    """Return what an update is and how many there are; ``examples`` of an epoch, weights of tasks included."""
    tokens, accumulate = config.training.batch_tokens, config.training.accumulate
    product = f"{tokens * accumulate:,} padded tokens{f' ({tokens:,} x {accumulate} batches)' * (accumulate > 1)}"
    return f"of {product}, about {examples / an_epoch:,.0f} examples; {an_epoch:,} an epoch, {steps:,} at most"


def ends(config: RunConfig) -> str:
    """Return when training will end."""
    limits = config.training
    ways = [f"{limits.max_epochs:,} epoch{'s' if limits.max_epochs != 1 else ''}"]
    if limits.max_steps is not None:
        ways.append(f"{limits.max_steps:,} updates")
    if limits.max_minutes is not None:
        ways.append(f"{limits.max_minutes:g} minutes")
    if limits.patience:
        ways.append(f"{limits.patience} evaluations without a better score")
    every = f"every {limits.evaluate_every:,} updates" if limits.evaluate_every else "after every epoch"
    return f"after {' or '.join(ways)}; evaluated {every}"


def repeated(train: Iterable[Example], dev: Sequence[Example]) -> int:
    """Return how many dev examples have the very contents of a training example (of a pair: both sides).

    Memory grows with dev alone.
    """
    wanted = {example.contents for example in dev}
    found = {example.contents for example in train if example.contents in wanted}
    return sum(example.contents in found for example in dev)


def too_long(sources: Sequence[int], targets: Sequence[int], ratio: float) -> tuple[int, float]:
    """Return how many targets are longer than ``max_length_ratio`` lets an output be, and a ratio that would do.

    Lengths count the end symbol, as the search does. The ratio, a multiple of 0.5, holds 99.9 % of the pairs.
    """
    over = sum(target > int(source * ratio) + 10 for source, target in zip(sources, targets, strict=True))
    needed = sorted((target - 10) / source for source, target in zip(sources, targets, strict=True))
    return over, math.ceil(needed[int(0.999 * (len(needed) - 1))] * 2) / 2


def length_warning(name: str, sources: Sequence[int], targets: Sequence[int], ratio: float) -> str:
    """Return a warning where more than a few targets are longer than the search would ever make them, or ""."""
    over, better = too_long(sources, targets, ratio)
    if over <= SHARE * len(targets):
        return ""
    key = f"tasks.{name}.search.max_length_ratio"
    return (f"{over:,} of {len(targets):,} training targets are longer than a translation may become: {key} = "
            f"{ratio:g} allows {ratio:g} * source tokens + 10; {better:g} would hold 99.9 % of them")
