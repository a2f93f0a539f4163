"""From text files to a run directory: ``train(config, out)``, on which ``seq2x train`` and the recipes stand."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seq2x import checkpoint
from seq2x import config as settings_file
from seq2x.batch import Batch
from seq2x.card import model_card
from seq2x.checkpoint import CARD, CONFIG, METRICS, STATE, WEIGHTS, Loaded
from seq2x.data.batching import Batches, Position, hold_out
from seq2x.data.datasets import Dataset, PairDataset, TaggedDataset, TextDataset
from seq2x.data.examples import Pair, Tagged, Text
from seq2x.data.readers import read_pairs, read_tagged, read_texts
from seq2x.errors import ConfigError, RunError
from seq2x.evaluation import check, evaluate
from seq2x.model import Model
from seq2x.predictors import Classifier, Tagger, Translator
from seq2x.settings import RunConfig, TagTask, TaskConfig, build_model
from seq2x.text import Processor, Vocabulary, tags
from seq2x.training.fit import Display, FitConfig, Progress, Score, State, Update, fit
from seq2x.version import __version__

Say = Callable[[str], None]
Example = Text | Tagged | Pair


class Source(NamedTuple):
    """Where examples came from, for the log and the model card."""

    task: str
    split: str
    path: str
    examples: int
    sha256: str


class Trained(NamedTuple):
    """What a training leaves."""

    directory: Path
    progress: Progress
    """``progress.best`` is the best dev score, ``progress.done`` why training ended."""


class _Silent:
    """The display where none is wanted."""

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        pass

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass


def train(
    config: RunConfig | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    display: Display | None = None,
    say: Say = print,
) -> Trained:
    """Train what ``config`` (settings, or a TOML file) describes, into the run directory ``out``.

    Without ``out`` that is runs/NAME for NAME.toml; settings that come from no file need one (RunError).
    ``overrides`` are ``key=value`` as ``--set`` takes them. ``resume`` goes on where a run stopped (or starts it where
    nothing was saved yet); ``overwrite`` starts afresh over an older run. Every line of the log goes to ``say``.
    """
    if out is None:
        if isinstance(config, RunConfig):
            raise RunError("settings that come from no file have no name: say where to train, train(config, out)")
        out = Path("runs") / Path(config).stem
    if not isinstance(config, RunConfig):
        config = settings_file.read(RunConfig, config, overrides)
    elif overrides:
        config = settings_file.parse(RunConfig, config.model_dump(mode="json", exclude_none=True), "config", overrides)
    directory = Path(out)
    _check_directory(directory, config, resume, overwrite)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with checkpoint.locked(directory):
        data = _Data(config, say)
        goes_on = resume and (directory / STATE).is_file()
        training = _Training(directory, _prepare(directory, config, data, goes_on, say), data, say)
        state = training.state() if goes_on else None
        if resume and state is None:
            say(f"{directory}: nothing to go on from yet; starting at the beginning")
        _lay_out(directory, training.loaded, goes_on, overwrite)  # only now: no mistake above has harmed an older run
        return training.run(display or _Silent(), state)


def read_examples(task: TaskConfig, path: str | tuple[str, str]) -> list[Any]:
    """Read one file (or pair of files) of a task as its settings say; tags stay in the file's scheme."""
    if task.kind == "classify":
        return read_texts(_one(path), task.data)
    if task.kind == "tag":
        return read_tagged(_one(path), task.data)
    source, target = (path, None) if isinstance(path, str) else path
    return read_pairs(source, target, task.data)


def predictor(loaded: Loaded, task: str) -> Classifier | Tagger | Translator:
    """Return the predictor of a task."""
    kinds: dict[str, type[Classifier] | type[Tagger] | type[Translator]]
    kinds = {"classify": Classifier, "tag": Tagger, "translate": Translator}
    return kinds[loaded.config.tasks[task].kind](loaded, task)


def _one(path: str | tuple[str, str]) -> str:
    assert isinstance(path, str)
    return path


def _check_directory(directory: Path, config: RunConfig, resume: bool, overwrite: bool) -> None:
    if checkpoint.is_empty(directory):
        return
    if not (directory / CONFIG).is_file():
        raise RunError(f"{directory}: exists and is no run directory; choose another --out")
    try:
        older = checkpoint.read_config(directory)
    except ConfigError as error:  # a config.toml of some other program, perhaps: none of ours to delete
        raise RunError(f"{directory}: is no run directory that this version can read ({error}); "
                       "delete it yourself, or choose another --out") from None
    if not resume and not overwrite:
        raise RunError(f"{directory}: holds a run already; --resume goes on with it, --overwrite starts afresh")
    if resume and (directory / STATE).is_file():
        _same(directory, older, config)
    elif resume and (directory / CARD).is_file():
        raise RunError(f"{directory}: was trained, but {STATE} is gone, without which it cannot go on; "
                       "--overwrite starts afresh")


LIMITS = ("threads", "training.max_epochs", "training.max_steps", "training.max_minutes", "training.patience")
"""Settings that a resumed run may have otherwise than it began with."""


def _same(directory: Path, old: RunConfig, new: RunConfig) -> None:
    before, after = (_flat(config.model_dump(mode="json")) for config in (old, new))
    changed = [key for key in before | after if before.get(key) != after.get(key) and key not in LIMITS]
    if changed:
        key = changed[0]
        raise RunError(
            f"{directory}: the run began with other settings: {key} was {before.get(key)!r}, now {after.get(key)!r}"
            f"{f', and {len(changed) - 1} more differ' if len(changed) > 1 else ''}; "
            f"--resume takes new limits only ({', '.join(LIMITS)})"
        )


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


class _Data:
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
            say(_reading(name, "train", task.train, examples))
            if task.dev is not None:
                self.train[name], self.dev[name] = examples, read_examples(task, task.dev)
                say(_reading(name, "dev", task.dev, self.dev[name]))
                self._record(name, "dev", task.dev, len(self.dev[name]))
            else:
                split = hold_out(examples, task.hold_out, config.seed)
                self.train[name], self.dev[name] = split
                say(f"{name}: no dev file, so {len(split.dev):,} examples of train are held out (hold_out = "
                    f"{task.hold_out:g}); {split.repeats:,} repeated examples stay on one side")
                self._record(name, "dev, held out of train", task.train, len(split.dev))
            self._record(name, "train", task.train, len(self.train[name]))

    def _record(self, task: str, split: str, path: str | tuple[str, str], examples: int) -> None:
        for file in (path,) if isinstance(path, str) else path:
            if file not in self.digests:  # what is held out comes out of the same file
                self.digests[file] = sha256_of(file)
            self.sources.append(Source(task, split, file, examples, self.digests[file]))


def sha256_of(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reading(name: str, split: str, path: str | tuple[str, str], examples: Sequence[Example]) -> str:
    report = getattr(examples, "report", "")
    files = path if isinstance(path, str) else " and ".join(path)
    return f"{name}: {len(examples):,} examples of {split} from {files}{f'; {report}' if report else ''}"


def _prepare(directory: Path, config: RunConfig, data: _Data, goes_on: bool, say: Say) -> Loaded:
    """Learn the vocabularies (or read those of a run that goes on) and make the model."""
    if goes_on:
        source, target = checkpoint.load_text(directory, config)
        labels = checkpoint.load_labels(directory, config)
    else:
        source, target = _learn_text(config, data.train)
        labels = {name: _labels(task, data.seen[name]) for name, task in config.tasks.items()
                  if task.kind != "translate"}
    torch.manual_seed(config.seed)
    model = build_model(config, source, target, labels)
    _say_model(model, source, target, labels, say)
    return Loaded(config, model, source, target, labels)


def _lay_out(directory: Path, loaded: Loaded, goes_on: bool, overwrite: bool) -> None:
    """Write what training starts from; of a run that goes on, the settings with their new limits."""
    if overwrite:
        checkpoint.clear(directory)
    checkpoint.write(directory / CONFIG, settings_file.dump(loaded.config))  # first: it marks the directory as ours
    if not goes_on:
        for name in (WEIGHTS, METRICS):  # of a run that was killed before there was a state to go on from
            (directory / name).unlink(missing_ok=True)
        checkpoint.save_text(directory, loaded.source, loaded.target)
        checkpoint.save_labels(directory, loaded.labels)


def _learn_text(config: RunConfig, train: Mapping[str, Sequence[Any]]) -> tuple[Processor, Processor | None]:
    translates = any(task.kind == "translate" for task in config.tasks.values())

    def texts(side: str) -> Iterator[str | Sequence[str]]:
        for example in (example for examples in train.values() for example in examples):
            if isinstance(example, Pair):
                yield example.source if side == "source" else example.target or ""
            elif side == "source":
                yield example.text if isinstance(example, Text) else example.words

    if not translates:
        return config.text.learn(texts("source")), None
    if config.joint:
        joint = config.text.learn(text for side in ("source", "target") for text in texts(side))
        return joint, joint
    return config.text.learn(texts("source")), (config.target_text or config.text).learn(texts("target"))


def _labels(task: TaskConfig, examples: Sequence[Any]) -> Vocabulary:
    if not isinstance(task, TagTask):
        return Vocabulary(sorted({example.label for example in examples}))
    found = {tag for example in examples for tag in example.tags}
    if task.data.scheme == "none":
        return Vocabulary(sorted(found))
    return Vocabulary(tags.complete(sorted(tags.labels_of(found, task.data.scheme)), task.model_scheme))


def _say_model(
    model: Model, source: Processor, target: Processor | None, labels: Mapping[str, Vocabulary], say: Say
) -> None:
    parts = {"encoder": model.encoder, **{f"head {name}": head for name, head in model.heads.items()}}
    counts: dict[str, int] = {}
    known: set[int] = set()
    for name, part in parts.items():
        own = {id(parameter): parameter.numel() for parameter in part.parameters()}
        counts[name] = sum(size for key, size in own.items() if key not in known)  # tied weights count once
        known |= own.keys()
    vocabulary = f"{source.size:,} tokens"
    if target is not None and target is not source:
        vocabulary += f" in, {target.size:,} out"
    if source.character_size is not None:
        vocabulary += f", {source.character_size:,} characters"
    vocabulary += "".join(f", {len(entries):,} labels of {name}" for name, entries in labels.items())
    say(f"vocabulary: {vocabulary}")
    each = ", ".join(f"{name} {size:,}" for name, size in counts.items())
    say(f"model: {sum(counts.values()):,} parameters ({each})")


class _Training:
    """One training: datasets, evaluation and saving around :func:`seq2x.training.fit.fit`."""

    def __init__(self, directory: Path, loaded: Loaded, data: _Data, say: Say) -> None:
        self.directory, self.loaded, self.data, self.say = directory, loaded, data, say
        self.config = loaded.config
        self.datasets = {name: self._dataset(name, task) for name, task in self.config.tasks.items()}
        self.batches = Batches(
            {name: dataset.lengths for name, dataset in self.datasets.items()},
            self.config.training.batch_tokens,
            self.config.seed,
            {name: task.weight for name, task in self.config.tasks.items()},
        )
        self.predictors = {name: predictor(loaded, name) for name in self.config.tasks}
        for name, made in self.predictors.items():
            check(made, data.dev[name])  # now, not after the first epoch
        self.scores: dict[str, Any] = {}

    def _dataset(self, name: str, task: TaskConfig) -> Dataset:
        examples, seed = self.data.train[name], self.config.seed
        dataset: Dataset
        if task.kind == "classify":
            dataset = TextDataset(examples, self.loaded.source, self.loaded.labels[name], seed, task.limit)
        elif task.kind == "tag":
            scheme = task.model_scheme
            converted = [replace(example, tags=tuple(tags.convert(example.tags, task.data.scheme, scheme)))
                         for example in examples]
            dataset = TaggedDataset(converted, self.loaded.source, self.loaded.labels[name], seed, task.limit, scheme)
        else:
            assert self.loaded.target is not None
            dataset = PairDataset(examples, self.loaded.source, self.loaded.target, seed, task.limit)
        if dataset.report:
            self.say(f"{name}: {dataset.report}")
        return dataset

    def run(self, display: Display, state: State | None) -> Trained:
        """Train to the end, or to Ctrl-C."""
        if state is not None:
            checkpoint.keep_metrics(self.directory, state.progress.step)
        an_epoch = max(1, -(-len(self.batches.epoch(0)) // self.config.training.accumulate))  # 0: few data, low weight
        steps = min(self.config.training.max_epochs * an_epoch, self.config.training.max_steps or 10**9)
        self.say(f"training: {an_epoch:,} updates an epoch, {steps:,} at most, {torch.get_num_threads()} threads")
        progress = fit(
            self.loaded.model, self._stream, self._evaluate, self._save, self.config.training,
            self.config.optimiser, self.config.schedule, steps=steps, display=display, state=state,
        )
        if (self.directory / WEIGHTS).exists():
            checkpoint.load_weights(self.loaded.model, self.directory / WEIGHTS)
            self._write_card(progress)
        return Trained(self.directory, progress)

    def state(self) -> State | None:
        """Read what an earlier training left to go on from; RunError where the data are others since."""
        found = checkpoint.load_state(self.directory)
        if found is None:
            return None
        tensors, record = found
        digests = self.data.digests
        for path, digest in record.pop("data").items():
            if digests.get(path) != digest:
                raise RunError(f"{self.directory}: {path} is not the file that the run began with "
                               f"(sha256 {digest[:12]}... then, {str(digests.get(path))[:12]}... now)")
        progress = Progress(**record)
        self.say(f"going on after update {progress.step:,} (epoch {progress.epoch + 1}, batch {progress.batch + 1})")
        return State(progress, tensors)

    def _stream(self, epoch: int, batch: int) -> Iterator[tuple[tuple[int, int], str, Batch]]:
        number = epoch
        for following, task, indices in self.batches.from_(Position(epoch, batch)):
            yield following, task, self.datasets[task].batch(indices, number)
            number = following.epoch

    def _evaluate(self, model: Model) -> Score:  # noqa: ARG002 - the predictors hold it
        values, self.scores = [], {}
        for name, task in self.config.tasks.items():
            made = self.predictors[name]
            search = None
            if task.kind == "translate":
                search = task.search.model_copy(update={"beam_size": task.dev_beam_size})
            result = evaluate(made, self.data.dev[name], search=search)
            values.append(result.value)
            self.scores[name] = result.scores
        return Score(sum(values) / len(values), self.scores)

    def _save(self, state: State, weights: dict[str, torch.Tensor] | None) -> None:
        progress = asdict(state.progress)
        if self.scores:
            checkpoint.append_metrics(self.directory, {
                "step": state.progress.step, "epoch": state.progress.epoch, "best": state.progress.best,
                "seconds": round(state.progress.seconds, 1), "seed": self.config.seed, "scores": self.scores,
                "versions": {"seq2x": __version__, "torch": torch.__version__},
                "data": self.data.digests,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            })
            self.scores = {}
        if weights is not None:
            checkpoint.save_weights(weights, self.directory / WEIGHTS)
        checkpoint.save_state(state.tensors, {**progress, "data": self.data.digests}, self.directory)

    def _write_card(self, progress: Progress) -> None:
        count = sum(parameter.numel() for parameter in self.loaded.model.parameters())
        metrics = checkpoint.read_metrics(self.directory)
        card = model_card(self.config, self.data.sources, progress, metrics, count)
        checkpoint.write(self.directory / CARD, card)
