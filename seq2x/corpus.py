"""The examples of a run: read, split and counted, what is learnt from them, and the datasets they become.

Knows no training and no run directory.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from seq2x.checkpoint import Loaded
from seq2x.data.batching import hold_out
from seq2x.data.cache import Cache, Stamp, stamp
from seq2x.data.coding import Coder, PairCoder, PlainCoder, TaggedCoder, TextCoder
from seq2x.data.datasets import CodedDataset, Dataset, in_memory
from seq2x.data.examples import Example, Examples, Pair, Text
from seq2x.data.files import expand, lines
from seq2x.data.readers import stream_pairs, stream_plain, stream_tagged, stream_texts
from seq2x.data.streams import Lanes, StreamDataset
from seq2x.errors import ConfigError, DataError, nearest
from seq2x.settings import ClassifyTask, Files, LanguageModelTask, RunConfig, TagTask, TaskConfig, TranslateTask
from seq2x.text import Processor, SubwordsConfig, TextConfig, Vocabulary, tags
from seq2x.text.partial import choices, convert_partial

Say = Callable[[str], None]


class Source(NamedTuple):
    """Where examples came from, for the log and the model card."""

    task: str
    split: str
    path: str
    examples: int
    sha256: str


MOST_TAGS = 4096
"""Tags that a tagger may have: of its 4096 * 4096 transitions, every step of a sentence reads all."""

Place = str | tuple[Files, ...]
"""What the settings give as train or dev: a file, a pattern, a list of them; of pairs also [source, target]."""


def read_examples(task: TaskConfig, path: Place, alignments: Sequence[str] = ()) -> list[Any]:
    """Read one file (or pair of files), or the shards of one, as a task's settings say; tags stay in their scheme."""
    reports: list[str] = []
    examples: Examples[Any] = Examples(stream_examples(task, path, reports, alignments))
    examples.report = "; ".join(reports)
    return examples


def read_dev(task: TaskConfig, seed: int) -> list[Any]:
    """Read what the best model of a run with this seed is chosen by: the dev files, or what is held out of train."""
    if task.dev is not None:
        return read_examples(task, task.dev)
    return hold_out(read_examples(task, task.train), task.hold_out, seed).dev


def stream_examples(
    task: TaskConfig, path: Place, reports: list[str], alignments: Sequence[str] = ()
) -> Iterator[Any]:
    """Yield what :func:`read_examples` returns, in constant memory; what was left out is added to ``reports``.

    ``alignments`` are those of pairs, where they are wanted: a file for each shard.
    """
    found = shards(task, path)
    if alignments and len(alignments) != len(found):
        raise DataError(f"found {len(found):,} files of {named(path)} and {len(alignments):,} of alignments; expected "
                        "as many")
    for number, files in enumerate(found):
        if task.kind == "classify":
            yield from stream_texts(files[0], task.data)
        elif task.kind == "tag":
            yield from stream_tagged(files[0], task.data)
        elif task.kind == "language_model":
            yield from stream_plain(files[0])
        else:
            yield from stream_pairs(files[0], files[1] if len(files) > 1 else None, task.data, reports,
                                    alignments[number] if alignments else None)


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


def alignments_of(task: TaskConfig) -> list[str]:
    """Return the files of the alignments of train."""
    return expand(task.alignments) if isinstance(task, TranslateTask) and task.alignments is not None else []


def training_files(task: TaskConfig) -> list[str]:
    """Return every file that train is read from."""
    return [*files_of(task, task.train), *alignments_of(task)]


def named(path: Place) -> str:
    """Return what the settings call some files, for a message."""
    if isinstance(path, str):
        return path
    names = [part if isinstance(part, str) else named(part).replace(" and ", ", ") for part in path]
    return " and ".join(names) if len(names) < 4 else f"{names[0]} ... {names[-1]} ({len(names):,} names)"


class Streamed(Iterable[Any]):
    """The training examples of a task that are never all in memory: read anew each time."""

    def __init__(self, task: TaskConfig) -> None:
        self._task = task

    def __iter__(self) -> Iterator[Any]:
        return stream_examples(self._task, self._task.train, [], alignments_of(self._task))


class Corpus:
    """The examples of every task, read and split; what was read is said."""

    def __init__(self, config: RunConfig, say: Say, cache: Path) -> None:
        """``cache`` is the folder of coded examples where ``corpus.memory`` is "cache" and names none."""
        self.train: dict[str, Iterable[Any]] = {}
        self.dev: dict[str, list[Any]] = {}
        self.seen: dict[str, Iterable[Any]] = {}
        """Train before anything is held out: what labels and tags may occur."""
        self.sources: list[Source] = []
        self._stamps: dict[str, Stamp] = {}
        self._cache = Path(config.corpus.cache or cache)
        for name, task in config.tasks.items():
            if config.corpus.memory == "cache":
                self.train[name] = self.seen[name] = Streamed(task)
                files = training_files(task)
                self._look_at(files, Cache(self._cache / name).stamps)
                size = sum(self._stamps[file].size for file in files) / 2**20
                say(f"{split_name(config, name, 'train')} {size:>9,.1f} MiB        {named(task.train)}, in a stream")
            else:
                self.seen[name] = self._read(name, config, say)
            if task.dev is not None:
                self.dev[name] = read_examples(task, task.dev)
                say(_reading(config, name, "dev", task.dev, self.dev[name]))
                self._record(name, "dev", shards(task, task.dev), _count(self.dev[name]))

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file that was read."""
        return {file: stamp.sha256 for file, stamp in self._stamps.items()}

    def dataset(self, name: str, loaded: Loaded, say: Say) -> Dataset:
        """Return the training examples of a task as tensors; what becomes of a cache is said."""
        coder = _coder(name, loaded)
        examples = _converted(loaded.config.tasks[name], self.train[name])
        if loaded.config.corpus.memory == "cache":
            made = self._cached(name, loaded, coder, examples, say)
        else:
            made = in_memory(coder, list(examples))
        task, tokens = loaded.config.tasks[name], loaded.config.training.batch_tokens
        if not len(made):
            raise DataError(f"every example has more than {task.limit.max_tokens:,} tokens and was left out; expected "
                            f"a higher tasks.{name}.limit.max_tokens, or on_long = 'truncate'", named(task.train))
        if isinstance(task, LanguageModelTask) and task.bptt:
            return StreamDataset(coder, made, Lanes(name, made.tokens, tokens // task.bptt, task.bptt))
        return made

    def _read(self, name: str, config: RunConfig, say: Say) -> list[Any]:
        """Read train, and hold out what there is no dev file for."""
        task = config.tasks[name]
        examples = self.train[name] = read_examples(task, task.train, alignments_of(task))
        say(_reading(config, name, "train", task.train, examples))
        groups = _groups(task)
        if task.dev is None:
            try:
                split = hold_out(examples, task.hold_out, config.seed)
            except DataError as error:
                raise DataError(str(error), named(task.train)) from None
            self.train[name], self.dev[name] = split
            say(f"{split_name(config, name, 'dev')} {len(split.dev):>9,} of these examples, held out of train "
                f"(hold_out = {task.hold_out:g}); {split.repeats:,} repeated examples stay on one side")
            self._record(name, "dev, held out of train", groups, _count(split.dev))
        self._record(name, "train", groups, _count(self.train[name]))
        return examples

    def _cached(
        self, name: str, loaded: Loaded, coder: Coder[Any], examples: Iterable[Any], say: Say
    ) -> CodedDataset:
        """Return what the cache holds, made first where there is none that fits."""
        task, cache = loaded.config.tasks[name], Cache(self._cache / name)
        files = training_files(task)
        made_from = {
            "the data": [[file, self._stamps[file].sha256] for file in files],
            f"tasks.{name}.data": task.data.model_dump(mode="json"),
            f"tasks.{name}.limit": task.limit.model_dump(mode="json"),
            "text": loaded.config.text.model_dump(mode="json", exclude={"dropout", "lines"}),
            "target_text": (loaded.config.target_text or loaded.config.text).model_dump(
                mode="json", exclude={"dropout", "lines"}),
            "the vocabulary": [_digest(side.processor) for side in coder.sides],
            "text.dropout (which needs the text itself)": [side.drops for side in coder.sides],
            "the labels": loaded.labels[name].entries if name in loaded.labels else [],
        }
        made_from = json.loads(json.dumps(made_from))  # as a file gives it back
        begins = split_name(loaded.config, name, "train")
        if stale := cache.stale(made_from):
            say(f"{begins} {cache.folder} is stale ({stale}); it is made anew")
        if stale is not None:
            cache.make(made_from, {file: self._stamps[file] for file in files}, coder, examples,
                       loaded.config.corpus.workers, lambda line: say(f"{begins} {line}"))
        self._record(name, "train", _groups(task), cache.counts)
        say(f"{begins} {cache.examples:>9,} examples, {cache.tokens:,} tokens, {cache.size / 2**20:,.1f} MiB in "
            f"{cache.folder}{'' if stale is not None else ' since before'}")
        return CodedDataset(coder, cache.open(coder), cache.report)

    def _look_at(self, files: Iterable[str], known: Mapping[str, Stamp]) -> None:
        for file in files:
            if file not in self._stamps:  # what is held out comes out of the same file
                next(lines(file))  # a file that is missing or empty is told now
                self._stamps[file] = stamp(file, known.get(file))

    def _record(self, task: str, split: str, groups: Iterable[tuple[str, ...]], counts: Mapping[str, int]) -> None:
        """Keep what was read; ``counts`` are the examples by the first file of each group."""
        for files in dict.fromkeys(groups):
            self._look_at(files, {})
            self.sources += [Source(task, split, file, counts.get(files[0], 0), self._stamps[file].sha256)
                             for file in files]


def _groups(task: TaskConfig) -> list[tuple[str, ...]]:
    """The files of train that hold the same examples: one a shard, or a source, a target and their alignments."""
    found, links = shards(task, task.train), alignments_of(task)
    return [(*files, link) for files, link in zip(found, links, strict=True)] if links else found


def _count(examples: Iterable[Example]) -> Counter[str]:
    """How many were read of each file."""
    return Counter(example.where[0] for example in examples)


def _coder(name: str, loaded: Loaded) -> Coder[Any]:
    """What turns the examples of a task into numbers."""
    task, seed = loaded.config.tasks[name], loaded.config.seed
    if task.kind == "classify":
        return TextCoder(loaded.source, loaded.labels[name], seed, task.limit, bool(task.data.separator))
    if task.kind == "language_model":
        return PlainCoder(loaded.source, seed, task.limit)
    if task.kind == "tag":
        return TaggedCoder(loaded.source, loaded.labels[name], seed, task.limit, task.model_scheme, task.data.partial)
    assert loaded.target is not None
    return PairCoder(loaded.source, loaded.target, seed, task.limit, task.alignments is not None)


def _converted(task: TaskConfig, examples: Iterable[Any]) -> Iterable[Any]:
    """The examples with their tags in the scheme that the model learns."""
    if task.kind != "tag":
        return examples
    found, scheme = task.data.scheme, task.model_scheme
    convert = convert_partial if task.data.partial else tags.convert
    return (replace(example, tags=tuple(convert(example.tags, found, scheme))) for example in examples)


def _digest(processor: Processor) -> str:
    """The sha256 of everything that a processor saves."""
    digest = hashlib.sha256()
    with TemporaryDirectory() as folder:
        processor.save(Path(folder), "text")
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    return stamp(path).sha256


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
    train: Mapping[str, Iterable[Any]],
    say: Say,
    known: tuple[Processor | None, Processor | None] = (None, None),
) -> tuple[Processor, Processor | None]:
    """Learn what turns text into tokens, for the source and, where the run translates, the target; one may be both.

    ``known`` are those of an older run: they are kept, or grow, as ``config.start`` says.
    """
    translates = any(task.kind == "translate" for task in config.tasks.values())

    def texts(*sides: str) -> Iterator[str | Sequence[str]]:
        for side in sides:
            for example in (example for examples in train.values() for example in examples):
                if isinstance(example, Pair):
                    yield example.source if side == "source" else example.target or ""
                elif side == "source":
                    yield example.text if isinstance(example, Text) else example.words

    def learn(settings: TextConfig, older: Processor | None, *sides: str) -> Processor:
        if older is not None and config.start is not None and config.start.vocabulary == "keep":
            return older
        count = 0

        def counted() -> Iterator[str | Sequence[str]]:
            nonlocal count
            for count, item in enumerate(texts(*sides), start=1):  # noqa: B007 - counts beyond the loop
                yield item

        processor = settings.learn(counted(), older)
        if isinstance(settings, SubwordsConfig) and count > settings.lines:
            say(f"learnt from {settings.lines:,} lines, drawn at random of {count:,} (lines = {settings.lines})")
        return processor

    if not translates:
        return learn(config.text, known[0], "source"), None
    if config.joint:
        joint = learn(config.text, known[0], "source", "target")
        return joint, joint
    return learn(config.text, known[0], "source"), learn(config.target_text or config.text, known[1], "target")


def learn_labels(task: TaskConfig, examples: Iterable[Any]) -> Vocabulary:
    """Return the labels of a task, or the tags of the scheme that its model works in."""
    if not isinstance(task, TagTask):
        labels = sorted({label for example in examples for label in example.labels})
        if not labels:
            raise DataError("no text has a label: there is nothing to learn", named(task.train))
        return Vocabulary(labels)
    found = {tag for example in examples for tag in example.tags}
    if task.data.partial:
        found = {part for tag in found for part in choices(tag)}
        if not found:
            raise DataError("every tag is '?': there is nothing to learn", named(task.train))
    known = sorted(tags.labels_of(found, task.data.scheme))
    complete = known if task.data.scheme == "none" else tags.complete(known, task.model_scheme)
    if len(complete) > MOST_TAGS:
        raise DataError(f"found {len(known):,} different labels, such as {', '.join(map(repr, known[:3]))}: the model "
                        f"would need {len(complete):,} tags, and can have at most {MOST_TAGS:,}, as it keeps a score "
                        "for each pair of them. Is tag_column the column of the tags?", named(task.train))
    return Vocabulary(complete)


def check_choice(task: TaskConfig, labels: Vocabulary) -> None:
    """DataError where a text has one label and there is no other, so that nothing is to be learnt."""
    if task.kind == "classify" and not task.data.separator and len(labels) == 1:
        raise DataError(f"every text has the label {labels.entries[0]!r}: there is nothing to learn; data.label_column "
                        "says where the labels are", named(task.train))


def class_weights(config: RunConfig, name: str, labels: Vocabulary, counts: Sequence[int], texts: int) -> list[float]:
    """Return the factor on the loss for each label of a task; ``counts`` of the training ``texts`` have it.

    Balanced are n / (K n_k) where a text has one of K labels (King & Zeng 2001), and (n - n_k) / n_k, the odds against
    label k, where it may have several. ConfigError for a label that there is none of.
    """
    task = config.tasks[name]
    assert isinstance(task, ClassifyTask)
    wanted = task.head.class_weights
    if isinstance(wanted, str):
        some = [min(max(1, count), max(1, texts - 1)) for count in counts]
        each = [texts - count if task.data.separator else texts / len(some) for count in some]
        return [weight / count if wanted == "balanced" else 1.0 for weight, count in zip(each, some, strict=True)]
    for label in wanted:
        if label not in labels:
            raise ConfigError(f"tasks.{name}.head.class_weights: there is no label {label!r}"
                              f"{nearest(label, labels.entries)}")
    return [wanted.get(label, 1.0) for label in labels.entries]
