"""From text files to a run directory: ``train(config, out)``, on which ``seq2x train`` and the recipes stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from seq2x import bayes, checkpoint, distil, start
from seq2x import config as settings_file
from seq2x.build import build_model
from seq2x.card import model_card
from seq2x.checkpoint import CACHE, CARD, CONFIG, METRICS, STATE, WEIGHTS, Loaded
from seq2x.corpus import Corpus, check_choice, class_weights, learn_labels, learn_text
from seq2x.data.batching import Batches, Epochs, Position
from seq2x.data.datasets import Dataset
from seq2x.data.loading import load
from seq2x.data.streams import StreamDataset
from seq2x.data.vectors import read_vectors
from seq2x.errors import ConfigError, RunError
from seq2x.evaluation import AnyPredictor, calibrate, check, predict, score
from seq2x.heads.classify import ClassifyHead
from seq2x.machine import device_line, surroundings
from seq2x.model import Model
from seq2x.nn.embeddings import Embedding
from seq2x.overview import Overview, ends, model_size, parameters, say_data, updates, vocabulary
from seq2x.resuming import check_directory
from seq2x.samples import choose, show
from seq2x.settings import RunConfig, TranslateTask
from seq2x.start_decoder import fill_decoder
from seq2x.text import SPECIALS, Processor
from seq2x.text.pretrained import FOLDER
from seq2x.training.distributed import Ranks, choose_device, joined
from seq2x.training.fit import fit
from seq2x.training.progress import Display, Item, Progress, Score, Silent, State
from seq2x.version import __version__

Say = Callable[[str], None]


class Trained(NamedTuple):
    """What a training leaves."""

    directory: Path
    progress: Progress
    """``progress.best`` is the best dev score, ``progress.done`` why training ended."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a training; all is saved, and it can go on."""

    def __init__(self, trained: Trained) -> None:
        super().__init__(f"Ctrl-C; all is saved in {trained.directory}, and goes on with resume")
        self.trained = trained


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

    Ctrl-C lets the update end and saves all, then raises :class:`Interrupted`, so that no script goes on to test a
    model that is half trained; a second Ctrl-C stops at once.
    """
    if out is None:
        if isinstance(config, RunConfig):
            raise RunError("settings that come from no file have no name: say where to train, train(config, out)")
        out = Path("runs") / Path(config).stem
    if not isinstance(config, RunConfig):
        config = settings_file.read(RunConfig, config, overrides)
    elif overrides:
        config = settings_file.parse(RunConfig, settings_file.given(config), "config", overrides)
    directory = Path(out)
    if config.start is not None:
        config = _filled_in(directory, config, config.start.run, resume)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with joined(choose_device(config.device)) as ranks:
        if not ranks.first:
            display, say = None, _nothing
        trained = _train(config, directory, ranks, resume, overwrite, display or Silent(say), say)
    if trained.progress.done == "interrupted":
        raise Interrupted(trained)
    return trained


def _train(
    config: RunConfig, directory: Path, ranks: Ranks, resume: bool, overwrite: bool, display: Display, say: Say
) -> Trained:
    """The first of the processes checks and writes the directory; the others, who must see it too, wait and read."""
    if ranks.first:
        check_directory(directory, config, resume, overwrite)
    with checkpoint.locked(directory) if ranks.first else nullcontext():
        if not ranks.first:
            ranks.wait()
        rows = Overview(say)
        rows.row("run", f"{directory}, seed {config.seed}")
        data = Corpus(config, rows.under("data"), directory / CACHE)
        goes_on = resume and (directory / STATE).is_file()
        loaded = _prepare(directory, config, data, goes_on or not ranks.first, rows)
        loaded.model.to(ranks.device)
        training = _Training(directory, loaded, data, ranks, rows)
        state = training.state() if goes_on else None
        if not goes_on and config.start is None and (begun := bayes.begin(loaded, training.datasets)):
            rows.row("start", begun)
        if resume and state is None:
            rows.row("resume", "nothing to go on from yet; starting at the beginning")
        if ranks.first:  # only now: no mistake above has harmed an older run
            _lay_out(directory, training.loaded, goes_on, overwrite)
            ranks.wait()
        return training.run(display, state)


def _nothing(line: str) -> None:
    """Say nothing: what all processes know, the first one tells."""


def predictor(loaded: Loaded | Sequence[Loaded], task: str) -> AnyPredictor:
    """Return the predictor of a task of a run, or of several that act as one model."""
    first = loaded if isinstance(loaded, Loaded) else loaded[0]
    (found,) = (each for each in get_args(AnyPredictor) if each.kind == first.config.tasks[task].kind)
    made: AnyPredictor = found(loaded, task)
    return made


def _filled_in(directory: Path, config: RunConfig, older: str, resume: bool) -> RunConfig:
    """What the settings leave open is as in the older run; a run that goes on needs that no more."""
    if resume and (directory / STATE).is_file():
        return start.fill_in(config, checkpoint.read_config(directory))
    if Path(older).resolve() == directory.resolve():
        raise ConfigError(f"start.from: {older} is the run to be trained itself; choose another --out")
    return start.fill_in(config, checkpoint.read_config(Path(older)))


def _prepare(directory: Path, config: RunConfig, data: Corpus, goes_on: bool, rows: Overview) -> Loaded:
    """Learn the vocabularies (or read those of a run that goes on) and make the model."""
    older = None if config.start is None or goes_on else start.load(config)
    if goes_on:
        source, target = checkpoint.load_text(directory, config)
        labels = checkpoint.load_labels(directory, config)
    else:
        known = (None, None) if older is None else start.known(config, older)
        source, target = learn_text(config, data.train, rows.under("vocabulary"), known)
        labels = {name: learn_labels(config.tasks[name], data.seen[name]) for name in config.labelled}
        labels = labels if older is None else start.grown_labels(config, older, labels)
        for name, found in labels.items():
            check_choice(config.tasks[name], found)
    torch.manual_seed(config.seed)
    model = build_model(config, source, target, labels, _kept_encoder(directory, config, goes_on))
    if config.start is not None and config.start.freeze:
        model.encoder.requires_grad_(False)
    rows.row("vocabulary", vocabulary(config, source, target, labels))
    rows.row("model", model_size(model))
    loaded = Loaded(config, model, source, target, labels)
    if not goes_on and (config.start is None or config.start.vocabulary != "keep"):  # else all comes from the older run
        _fill_vectors(model, source, rows)
    for line in [] if older is None else start.take(loaded, older):
        rows.row("start", line)
    for name, task in config.tasks.items():
        if isinstance(task, TranslateTask) and task.decoder_from is not None and not goes_on:
            rows.row("start", fill_decoder(loaded, name, task.decoder_from))
    return loaded


def _kept_encoder(directory: Path, config: RunConfig, goes_on: bool) -> Path | None:
    """The folder that a run keeps of a pretrained encoder, where its weights come from that run anyway."""
    if goes_on:
        return directory / FOLDER
    return None if config.start is None else Path(config.start.run) / FOLDER


def _fill_vectors(model: Model, source: Processor, rows: Overview) -> None:
    """Begin with pretrained vectors of the source's words, where the encoder's settings name some."""
    for encoder in (model.encoder, *model.privates.values()):
        embedding = getattr(encoder, "embedding", None)
        if isinstance(embedding, Embedding) and embedding.config.vectors is not None:
            words, first = source.entries[len(SPECIALS):], len(SPECIALS)
            found = read_vectors(embedding.config.vectors.path, words, embedding.config.width)
            embedding.fill(found.ids + first, found.rows)
            rows.row("vectors", found.report)


def _lay_out(directory: Path, loaded: Loaded, goes_on: bool, overwrite: bool) -> None:
    """Write what training starts from; of a run that goes on, the settings with their new limits."""
    if overwrite:
        checkpoint.clear(directory, keep=CACHE if loaded.config.corpus.memory == "cache" else None)
    checkpoint.write(directory / CONFIG, settings_file.dump(loaded.config))  # first: it marks the directory as ours
    if not goes_on:
        for path in (directory / WEIGHTS, directory / METRICS, *directory.glob("checkpoints/*.safetensors"),
                     *directory.glob("snapshots/*.safetensors")):
            path.unlink(missing_ok=True)  # of a run that was killed before there was a state to go on from
        checkpoint.save_text(directory, loaded.source, loaded.target)
        checkpoint.save_labels(directory, loaded.labels)
        checkpoint.save_encoder(directory, loaded.model)


class _Training:
    """One training: datasets, evaluation and saving around :func:`seq2x.training.fit.fit`."""

    def __init__(self, directory: Path, loaded: Loaded, data: Corpus, ranks: Ranks, rows: Overview) -> None:
        self.directory, self.loaded, self.data, self.ranks, self.rows = directory, loaded, data, ranks, rows
        self.config = loaded.config
        self.datasets = {name: data.dataset(name, loaded, rows.under("cache")) for name in self.config.tasks}
        say_data(rows, self.config, data, self.datasets, loaded.source, loaded.target)
        self.batches = self._order()
        self.predictors = {name: predictor(loaded, name) for name in self.config.tasks}
        for name, made in self.predictors.items():
            check(made, data.dev[name])  # now, not after the first epoch
        for name, head in loaded.model.heads.items():
            if isinstance(head, ClassifyHead):
                counts = self.datasets[name].label_counts(len(loaded.labels[name]))
                head.weigh(class_weights(self.config, name, loaded.labels[name], counts, len(self.datasets[name])))
        self.views = distil.learn(loaded, data, self.datasets, rows, ranks.device)
        self.scores: dict[str, Any] = {}

    def _order(self) -> Epochs:
        """Say in which order the examples come, where they are no examples but one stream; return it."""
        config = self.config
        for name, dataset in self.datasets.items():
            if isinstance(dataset, StreamDataset):
                if self.ranks.world > 1:
                    raise ConfigError(f"tasks.{name}.bptt carries states from batch to batch, which a single process "
                                      f"can; found {self.ranks.world} processes")
                lanes = dataset.lanes
                self.rows.row("stream", f"{lanes.lanes:,} lanes of {lanes.length:,} tokens side by side, at most "
                                        f"{lanes.steps:,} of each a batch")
                return lanes
        return Batches(
            {name: dataset.lengths for name, dataset in self.datasets.items()}, config.training.batch_tokens,
            config.seed, {name: task.weight for name, task in config.tasks.items()}, config.mixing,
            config.corpus.buffer if config.corpus.memory == "cache" else None)

    def run(self, display: Display, state: State | None) -> Trained:
        """Train to the end, or to Ctrl-C."""
        if state is not None and self.ranks.first:
            checkpoint.keep_metrics(self.directory, state.progress.step)
        an_epoch = max(1, -(-self.batches.count(0) // self.config.training.accumulate))  # 0: few data, low weight
        steps = min(self.config.training.max_epochs * an_epoch, self.config.training.max_steps or 10**9)
        examples = sum(len(self.datasets[name]) * task.weight for name, task in self.config.tasks.items())
        self.rows.row("device", device_line(self.ranks.device, self.config.training.precision,
                                            self.ranks.world))
        self.rows.row("updates", updates(self.config, examples, an_epoch, steps))
        self.rows.row("ends", ends(self.config))
        progress = fit(
            self.loaded.model, self._stream, self._evaluate, self._save, self.config.training, self.config.optimiser,
            self.config.schedule, steps=steps, display=display, state=state, ranks=self.ranks,
        )
        if self.config.training.average and progress.done != "interrupted":
            self._try_average(progress, display)
        if self.ranks.first and (self.directory / WEIGHTS).exists():
            for path in [*sorted((self.directory / "snapshots").glob("*.safetensors")), self.directory / WEIGHTS]:
                self._calibrate(path)
            self._write_card(progress)
        return Trained(self.directory, progress)

    def _calibrate(self, path: Path) -> None:
        """Fit what is fitted to dev after training, for these weights; the model holds them afterwards."""
        checkpoint.load_weights(self.loaded.model, path)
        for name, made in self.predictors.items():
            if fitted := calibrate(made, self.data.dev[name]):
                which = name if path.name == WEIGHTS else f"{name}, {path.parent.name}/{path.name},"
                self.rows.row("calibrated", f"{which} on dev: {fitted}")
                checkpoint.save_weights(dict(self.loaded.model.named_parameters()), path)

    def state(self) -> State | None:
        """Read what an earlier training left to go on from; RunError where the data are others since."""
        found = checkpoint.load_state(self.directory)
        if found is None:
            return None
        tensors, record = found
        then, now = record.pop("data"), self.data.digests
        for path in {**then, **now}:  # a pattern may match more files since, or fewer
            if then.get(path) != now.get(path):
                was, is_ = (f"sha256 {one[path][:12]}..." if path in one else "not read" for one in (then, now))
                raise RunError(f"{self.directory}: {path} is not the file that the run began with ({was} then, {is_} "
                               "now)")
        progress = Progress(**record)
        self.rows.row("resume", f"going on after update {progress.step:,} (epoch {progress.epoch + 1}, batch "
                                f"{progress.batch + 1})")
        return State(progress, tensors)

    def _stream(self, epoch: int, batch: int) -> Iterator[Item]:
        """This process's rows of each batch; where it has none, one that counts nothing stands in."""
        def share(indices: list[int]) -> Sequence[int]:
            return self.ranks.part(indices) or indices[:1]

        loaded = load(self.datasets, self.batches, Position(epoch, batch), self.config.corpus.workers, share)
        for following, task, indices, made in loaded:
            own = self.ranks.part(indices)
            if self.views.get(task):
                made = replace(made, views=tuple(view.batch(own or indices[:1], None) for view in self.views[task]))
            yield Item(following, task, made, float(bool(own)), partial(_named, self.datasets[task], own))

    def _evaluate(self, model: Model) -> Score:  # noqa: ARG002 - the predictors hold it
        values, named, examples, self.scores = [], [], [], {}
        several = len(self.config.tasks) > 1
        for name, task in self.config.tasks.items():
            made, dev = self.predictors[name], self.data.dev[name]
            search = None
            if task.kind == "translate":
                search = task.search.model_copy(update={"beam_size": task.dev_beam_size})
            predictions = self.ranks.whole(predict(made, self.ranks.part(dev), search=search))
            result = score(made, dev, predictions, search=search)
            values.append(result.value)
            self.scores[name] = result.scores
            named.append(f"{name} {result.metric} {result.value:.2f}" if several else result.metric)
            chosen = choose(len(self.data.dev[name]), self.config.training.show_examples, self.config.seed)
            examples += show(name if several else "", task, [self.data.dev[name][index] for index in chosen],
                             [result.predictions[index] for index in chosen])
        weights = [task.dev_weight for task in self.config.tasks.values()]
        mean = sum(map(float.__mul__, values, weights)) / sum(weights)
        return Score(mean, self.scores, ", ".join(named), tuple(examples))

    def _save(self, state: State, kept: Mapping[str, dict[str, Tensor]]) -> None:
        if not self.ranks.first:
            return
        if self.scores:
            self._append_metrics(state.progress)
        for name, weights in kept.items():
            file = WEIGHTS if name == "best" else f"{name.replace('-', 's/')}.safetensors"
            checkpoint.save_weights(weights, self.directory / file)
        for path in self._checkpoints()[: -self.config.training.average or None]:
            path.unlink()
        checkpoint.save_state(state.tensors, {**asdict(state.progress), "data": self.data.digests}, self.directory)

    def _append_metrics(self, progress: Progress, more: Mapping[str, Any] | None = None) -> None:
        checkpoint.append_metrics(self.directory, {
            "step": progress.step, "epoch": progress.epoch, "best": progress.best,
            "seconds": round(progress.seconds, 1), "seed": self.config.seed, "scores": self.scores,
            "versions": {"seq2x": __version__, "torch": torch.__version__},
            "data": self.data.digests,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **(more or {}),
        })
        self.scores = {}

    def _try_average(self, progress: Progress, display: Display) -> None:
        """Evaluate the mean of the last checkpoints, if none has; keep it where it is the best."""
        self.ranks.wait()  # until the first process has written the last of them
        paths = self._checkpoints()
        mean_of = [int(path.stem) for path in paths]
        if len(paths) < 2 or mean_of in (line.get("mean_of") for line in checkpoint.read_metrics(self.directory)):
            return
        checkpoint.load_mean(self.loaded.model, paths)
        found = self._evaluate(self.loaded.model)
        better = progress.best is None or found.value > progress.best
        steps = ", ".join(f"{step:,}" for step in mean_of)
        display.say(f"mean of the weights after updates {steps}: dev {found.value:.2f}, "
                 f"{'better' if better else 'no better'} than {progress.best or 0:.2f}")
        if better:
            progress.best, progress.best_step = found.value, progress.step
            if self.ranks.first:
                weights = {name: parameter.detach() for name, parameter in self.loaded.model.named_parameters()}
                checkpoint.save_weights(weights, self.directory / WEIGHTS)
                checkpoint.amend_state({"best": progress.best, "best_step": progress.best_step}, self.directory)
        if self.ranks.first:
            self._append_metrics(progress, {"mean_of": mean_of, "kept": better})

    def _checkpoints(self) -> list[Path]:
        """The weights after the last evaluations, the oldest first."""
        return sorted((self.directory / "checkpoints").glob("*.safetensors"), key=lambda path: int(path.stem))

    def _write_card(self, progress: Progress) -> None:
        card = model_card(self.config, self.data.sources, progress, checkpoint.read_metrics(self.directory),
                          parameters(self.loaded.model),
                          surroundings(self.ranks.device, self.config.training.precision, self.ranks.world))
        checkpoint.write(self.directory / CARD, card)


def _named(dataset: Dataset, indices: Sequence[int]) -> list[str]:
    """Where the examples stand, for messages."""
    return ["{}:{}".format(*dataset.where(index)) for index in indices]
