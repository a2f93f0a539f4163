"""The examples of a run: read, split and counted, what is learnt from them, and the datasets they become.

Knows no training and no run directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from seq2x.checkpoint import Loaded
from seq2x.data.batching import hold_out
from seq2x.data.datasets import Dataset, PairDataset, TaggedDataset, TextDataset
from seq2x.data.examples import Examples, Pair, Tagged, Text
from seq2x.data.files import expand
from seq2x.data.readers import stream_pairs, stream_tagged, stream_texts
from seq2x.errors import DataError
from seq2x.settings import Files, RunConfig, TagTask, TaskConfig
from seq2x.text import Processor, TextConfig, Vocabulary, tags

Say = Callable[[str], None]
Example = Text | Tagged | Pair


class Source(NamedTuple):
    """Where examples came from, for the log and the model card."""

    task: str
    split: str
    path: str
    examples: int
    sha256: str


Place = str | tuple[Files, ...]
"""What the settings give as train or dev: a file, a pattern, a list of them; of pairs also [source, target]."""


def read_examples(task: TaskConfig, path: Place) -> list[Any]:
    """Read one file (or pair of files), or the shards of one, as a task's settings say; tags stay in their scheme."""
    reports: list[str] = []
    examples: Examples[Any] = Examples(stream_examples(task, path, reports))
    examples.report = "; ".join(reports)
    return examples


def stream_examples(task: TaskConfig, path: Place, reports: list[str]) -> Iterator[Any]:
    """Yield what :func:`read_examples` returns, in constant memory; what was left out is added to ``reports``."""
    for files in shards(task, path):
        if task.kind == "classify":
            yield from stream_texts(files[0], task.data)
        elif task.kind == "tag":
            yield from stream_tagged(files[0], task.data)
        else:
            yield from stream_pairs(files[0], files[1] if len(files) > 1 else None, task.data, reports)


def shards(task: TaskConfig, path: Place) -> list[tuple[str, ...]]:
    """Return the files to read, in order: one a shard, or a source and a target."""
    if isinstance(path, str) or task.kind != "translate":
        return [(file,) for file in expand(cast("Files", path))]
    sides = [expand(side) for side in path]
    if len(sides[0]) != len(sides[-1]):
        raise DataError(f"found {len(sides[0]):,} files of {named(path[0])} and {len(sides[-1]):,} of "
                        f"{named(path[-1])}; expected as many, each the translation of the other")
    return list(zip(*sides, strict=True))


def files_of(task: TaskConfig, path: Place) -> list[str]:
    """Return every file to read."""
    return [file for files in shards(task, path) for file in files]


def named(path: Place) -> str:
    """Return what the settings call some files, for a message."""
    if isinstance(path, str):
        return path
    names = [part if isinstance(part, str) else named(part).replace(" and ", ", ") for part in path]
    return " and ".join(names) if len(names) < 4 else f"{names[0]} ... {names[-1]} ({len(names):,} names)"


class Corpus:
    """The examples of every task, read and split; what was read is said."""

    def __init__(self, config: RunConfig, say: Say) -> None:
        self.train: dict[str, list[Any]] = {}
        self.dev: dict[str, list[Any]] = {}
        self.seen: dict[str, list[Any]] = {}
        """Train before anything is held out: what labels and tags may occur."""
        self.sources: list[Source] = []
        self.digests: dict[str, str] = {}
        """The sha256 of every file that was read."""
        for name, task in config.tasks.items():
            examples = self.seen[name] = read_examples(task, task.train)
            say(_reading(config, name, "train", task.train, examples))
            files = files_of(task, task.train)
            if task.dev is not None:
                self.train[name], self.dev[name] = examples, read_examples(task, task.dev)
                say(_reading(config, name, "dev", task.dev, self.dev[name]))
                self._record(name, "dev", files_of(task, task.dev), len(self.dev[name]))
            else:
                split = hold_out(examples, task.hold_out, config.seed)
                self.train[name], self.dev[name] = split
                say(f"{split_name(config, name, 'dev')} {len(split.dev):>9,} of these examples, held out of train "
                    f"(hold_out = {task.hold_out:g}); {split.repeats:,} repeated examples stay on one side")
                self._record(name, "dev, held out of train", files, len(split.dev))
            self._record(name, "train", files, len(self.train[name]))

    def dataset(self, name: str, loaded: Loaded) -> Dataset:
        """Return the training examples of a task as tensors."""
        task, examples, seed = loaded.config.tasks[name], self.train[name], loaded.config.seed
        if task.kind == "classify":
            return TextDataset(examples, loaded.source, loaded.labels[name], seed, task.limit)
        if task.kind == "tag":
            scheme = task.model_scheme
            converted = [replace(example, tags=tuple(tags.convert(example.tags, task.data.scheme, scheme)))
                         for example in examples]
            return TaggedDataset(converted, loaded.source, loaded.labels[name], seed, task.limit, scheme)
        assert loaded.target is not None
        return PairDataset(examples, loaded.source, loaded.target, seed, task.limit)

    def _record(self, task: str, split: str, files: Iterable[str], examples: int) -> None:
        for file in files:
            if file not in self.digests:  # what is held out comes out of the same file
                self.digests[file] = sha256_of(file)
            self.sources.append(Source(task, split, file, examples, self.digests[file]))


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def split_name(config: RunConfig, name: str, split: str) -> str:
    """Return how rows on a split of a task begin: "train", or with the task where there are several."""
    if len(config.tasks) == 1:
        return f"{split:<5}"
    return f"{name:<{max(map(len, config.tasks))}}  {split:<5}"


def _reading(config: RunConfig, name: str, split: str, path: Place, examples: Sequence[Example]) -> str:
    report = getattr(examples, "report", "")
    return (f"{split_name(config, name, split)} {len(examples):>9,} examples   {named(path)}"
            f"{f'; {report}' if report else ''}")


def learn_text(
    config: RunConfig,
    train: Mapping[str, Sequence[Any]],
    known: tuple[Processor | None, Processor | None] = (None, None),
) -> tuple[Processor, Processor | None]:
    """Learn what turns text into tokens, for the source and, where the run translates, the target; one may be both.

    ``known`` are those of an older run: they are kept, or grow, as ``config.start`` says.
    """
    translates = any(task.kind == "translate" for task in config.tasks.values())

    def texts(side: str) -> Iterator[str | Sequence[str]]:
        for example in (example for examples in train.values() for example in examples):
            if isinstance(example, Pair):
                yield example.source if side == "source" else example.target or ""
            elif side == "source":
                yield example.text if isinstance(example, Text) else example.words

    def learn(settings: TextConfig, older: Processor | None, *sides: str) -> Processor:
        if older is not None and config.start is not None and config.start.vocabulary == "keep":
            return older
        return settings.learn((text for side in sides for text in texts(side)), older)

    if not translates:
        return learn(config.text, known[0], "source"), None
    if config.joint:
        joint = learn(config.text, known[0], "source", "target")
        return joint, joint
    return learn(config.text, known[0], "source"), learn(config.target_text or config.text, known[1], "target")


def learn_labels(task: TaskConfig, examples: Sequence[Any]) -> Vocabulary:
    """Return the labels of a task, or the tags of the scheme that its model works in."""
    if not isinstance(task, TagTask):
        return Vocabulary(sorted({example.label for example in examples}))
    found = {tag for example in examples for tag in example.tags}
    if task.data.scheme == "none":
        return Vocabulary(sorted(found))
    return Vocabulary(tags.complete(sorted(tags.labels_of(found, task.data.scheme)), task.model_scheme))
