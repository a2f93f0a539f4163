"""What a run takes from an older one that it begins with, and a run cut down to some of its tasks. Trains nothing.

Weights are taken by name. Rows that belong to a token, a label or a tag go to where the same string stands now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from seq2x import checkpoint
from seq2x import config as settings_file
from seq2x.checkpoint import Loaded
from seq2x.encoders.bag import BagEncoderConfig
from seq2x.errors import ConfigError, RunError, nearest
from seq2x.heads.base import Head
from seq2x.heads.language_model import LanguageModelHead
from seq2x.model import Model
from seq2x.nn.embeddings import Embedding
from seq2x.settings import RunConfig, SharingTask, StartConfig, TagTask
from seq2x.text import Processor, Vocabulary, tags

SHOWN = 5
"""Entries and differences that a message shows."""
FREE = {"keep": {"joint", "dropout"}, "grow": {"joint", "dropout", "size", "min_count"}}
"""Settings of a text processor that may be others than in the older run, if its vocabulary is kept or grows."""
COVERAGE = {"coverage", "feature", "refinement"}
"""Modules of coverage, which a head may be given later than the rest (See et al. 2017, section 4): they begin anew, but
for W3, the attention's ``feature``, which begins at zero, so that the model begins as it was."""


def fill_in(config: RunConfig, older: RunConfig) -> RunConfig:
    """Return ``config`` with what it leaves open as in ``older``: text, encoder, the heads that are taken.

    Of a run that goes on, ``older`` is what it began with: the same comes out without the run that it started from.
    """
    assert config.start is not None
    base = older.model_dump(mode="json", by_alias=True, exclude_none=True)
    if config.start.vocabulary == "grow":
        for side in ("text", "target_text"):
            base.get(side, {}).pop("size", None)  # of a vocabulary that has grown to it, nothing could grow
    if config.start.vocabulary != "new" and _translates(config) and not _translates(older) and "joint" in base["text"]:
        base["text"]["joint"] = False  # the older run has never seen the target's language
    found = settings_file.given(config)
    for part in ("text", "target_text", "encoder"):
        if part in base:
            found[part] = settings_file.laid_over(base[part], found.get(part, {}))
    for name in _heads(config, older):
        if older.tasks[name].kind == config.tasks[name].kind:
            task, before = found["tasks"][name], base["tasks"][name]
            for part in ("head", "auxiliary", "private"):
                if part in before and (part in task or part != "auxiliary"):  # which no prediction needs
                    task[part] = settings_file.laid_over(before[part], task.get(part, {}))
    return settings_file.parse(RunConfig, found, "start")


def load(config: RunConfig) -> Loaded:
    """Read the run to start from; ConfigError where its tasks or vocabularies cannot be those of ``config``."""
    start = config.start
    assert start is not None
    older = checkpoint.load(start.run)
    _check_tasks(config, older.config, start)
    if start.vocabulary == "new" and isinstance(config.encoder, BagEncoderConfig) and config.encoder.ngrams:
        raise ConfigError("start.vocabulary = 'new': the n-grams of an encoder of kind 'bag' are those of its own "
                          "vocabulary; expected 'keep' or 'grow'")
    if start.vocabulary != "new":
        _check_text("text", config.text, older.config.text, start)
        if config.target_text is not None and known(config, older)[1] is not None:
            _check_text("target_text", config.target_text, older.config.target_text or older.config.text, start)
    return older


def known(config: RunConfig, older: Loaded) -> tuple[Processor | None, Processor | None]:
    """Return the older run's processors of source and target, None for each that is learnt anew."""
    assert config.start is not None
    if config.start.vocabulary == "new":
        return None, None
    return older.source, None if older.target is older.source else older.target


def grown_labels(config: RunConfig, older: Loaded, learnt: Mapping[str, Vocabulary]) -> dict[str, Vocabulary]:
    """Return the labels of each task: those ``learnt`` from its data, and with ``labels = "grow"`` the older run's."""
    assert config.start is not None
    grown = dict(learnt)
    if config.start.labels == "grow":
        for name in set(_heads(config, older.config)) & set(learnt):
            now, before = config.tasks[name], older.config.tasks[name]
            if isinstance(now, TagTask) and isinstance(before, TagTask):
                both = (tags.labels_of(learnt[name].entries, now.model_scheme)
                        | tags.labels_of(older.labels[name].entries, before.model_scheme))
                grown[name] = Vocabulary(tags.complete(both, now.model_scheme))
            else:
                grown[name] = Vocabulary(sorted({*learnt[name].entries, *older.labels[name].entries}))
    return grown


def take(made: Loaded, older: Loaded) -> list[str]:
    """Fill the weights of ``made`` with those of ``older``; return lines that say what was taken, is new, was left.

    ConfigError, naming settings and sizes on both sides, where a part that is taken does not fit.
    """
    assert made.config.start is not None
    heads = _heads(made.config, older.config)
    prefixes = ("encoder.", *(f"heads.{name}." for name in heads), *(
        f"{kind}.{name}." for name in heads for kind in ("auxiliaries", "privates") if _both(made, older, kind, name)))
    places = _places(made, older, heads)
    new = {name: value for name, value in made.model.named_parameters() if name.startswith(prefixes)}
    old = dict(older.model.named_parameters(remove_duplicate=False))  # a table that was tied there may be none here
    _check_sizes(made, older, prefixes, places)
    taken = 0
    with torch.no_grad():
        for name, parameter in new.items():
            if name not in old:
                if "feature" in name.split("."):
                    parameter.zero_()
                continue
            axes, shared = places.get(id(parameter), ((), None))
            block: Tensor = old[name]
            if shared is None:
                parameter.copy_(block)
            else:
                for axis in axes:
                    block = block.index_select(axis, shared.old)
                put(parameter, axes, shared.new, block)
            taken += block.numel()
    return _report(made, older, heads, taken)


def extract(run: str | Path, out: str | Path, tasks: Sequence[str] = ()) -> Path:
    """Write the run ``run`` into the new directory ``out`` with some of its tasks alone (all, if none are named).

    What only training needs is left behind (a resume's state, auxiliary language models); what the tasks predict is
    the same to the bit. Returns ``out``. RunError for a
    task that the run has not, or where ``out`` holds something.
    """
    loaded, directory = checkpoint.load(run), Path(out)
    names = list(dict.fromkeys(tasks)) or list(loaded.config.tasks)
    for name in names:
        if name not in loaded.config.tasks:
            raise RunError(f"{run}: has no task {name!r}{nearest(name, loaded.config.tasks)}")
    if not checkpoint.is_empty(directory):
        raise RunError(f"{directory}: exists already; choose another --out")
    kept = {name: task.model_copy(update={"auxiliary": None}) if isinstance(task, SharingTask) else task
            for name, task in loaded.config.tasks.items() if name in names}
    if not any(task.dev_weight for task in kept.values()):  # another task's score chose the weights; one must count
        kept = {name: task.model_copy(update={"dev_weight": 1.0}) for name, task in kept.items()}
    translates = any(task.kind == "translate" for task in kept.values())
    config = loaded.config.model_copy(update={
        "tasks": kept, "start": None, "distil": None, "target_text": loaded.config.target_text if translates else None})
    model = Model(loaded.model.encoder, {name: loaded.model.head(name) for name in kept},
                  {name: loaded.model.own(name)._replace(auxiliary=None) for name in kept})
    labels = {name: entries for name, entries in loaded.labels.items() if name in kept}
    with checkpoint.locked(directory):
        small = Loaded(config, model, loaded.source, loaded.target if translates else None, labels)
        checkpoint.save_run(directory, small, _card(Path(run), config, loaded.config))
        metrics = Path(run) / checkpoint.METRICS
        if metrics.is_file():  # `seq2x evaluate` reads there which data were held out
            checkpoint.write(directory / checkpoint.METRICS, metrics.read_text(encoding="utf-8"))
    return directory


class Shared(NamedTuple):
    """Entries that an older and a newer vocabulary both have: their ids in each."""

    new: Tensor
    old: Tensor
    added: list[str]
    """Entries of the newer one alone."""
    left: list[str]
    """Entries of the older one alone."""

    @classmethod
    def of(cls, now: Sequence[str], before: Sequence[str]) -> Shared:
        """Compare the entries ``now`` and ``before``, by their strings."""
        ids = {entry: number for number, entry in enumerate(before)}
        pairs = [(number, ids[entry]) for number, entry in enumerate(now) if entry in ids]
        both = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
        here = set(now)
        return cls(both[:, 0], both[:, 1], [entry for entry in now if entry not in ids],
                   [entry for entry in before if entry not in here])


def _translates(config: RunConfig) -> bool:
    return any(task.kind == "translate" for task in config.tasks.values())


def _heads(config: RunConfig, older: RunConfig) -> list[str]:
    """The tasks whose heads are taken: those of the same name."""
    assert config.start is not None
    return [name for name in config.tasks if name in older.tasks] if config.start.take == "all" else []


def _check_tasks(config: RunConfig, older: RunConfig, start: StartConfig) -> None:
    heads = _heads(config, older)
    if start.take == "encoder" and start.labels == "grow":
        raise ConfigError("start.labels = 'grow' is for heads of the older run, and take = 'encoder' takes none; "
                          "expected take = 'all', or labels = 'new'")
    if start.take == "all" and not heads:
        raise ConfigError(f"start.take = 'all': none of the tasks ({', '.join(config.tasks)}) is one of {start.run} "
                          f"({', '.join(older.tasks)}); name them as there, or take = 'encoder'")
    for name in heads:
        now, before = config.tasks[name], older.tasks[name]
        if now.kind != before.kind:
            raise ConfigError(f"tasks.{name}.kind: {before.kind!r} in {start.run}, {now.kind!r} here; name the task "
                              "otherwise, or start.take = 'encoder'")
        if (isinstance(now, TagTask) and isinstance(before, TagTask)
                and (now.model_scheme == "none") != (before.model_scheme == "none")):
            raise ConfigError(f"tasks.{name}.scheme: {before.model_scheme!r} in {start.run}, {now.model_scheme!r} "
                              "here; name the task otherwise, or start.take = 'encoder'")


def _check_text(table: str, now: settings_file.Config, before: settings_file.Config, start: StartConfig) -> None:
    differ = [line for key, line in _differences(before, now, table).items()
              if key.removeprefix(f"{table}.") not in FREE[start.vocabulary]]
    if differ:
        raise ConfigError(f"{'; '.join(differ[:SHOWN])} ({start.run} and here): start.vocabulary = "
                          f"{start.vocabulary!r} needs the same; leave it out, or 'new' learns another vocabulary")


def _differences(before: settings_file.Config, now: settings_file.Config, table: str) -> dict[str, str]:
    """Of each setting that differs, how it was and is; of another kind no more than that."""
    old, new = (settings_file.flat(config.model_dump(mode="json"), f"{table}.") for config in (before, now))
    keys = [key for key in old | new if old.get(key) != new.get(key)]
    if f"{table}.kind" in keys:
        keys = [f"{table}.kind"]
    return {key: f"{key} {old.get(key)!r} there, {new.get(key)!r} here" for key in keys}


def _entries(loaded: Loaded, heads: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Every vocabulary of a run, by what its entries are called."""
    yield "tokens", loaded.source.entries
    if loaded.source.character_entries is not None:
        yield "characters", loaded.source.character_entries
    for name in heads:
        for what, head in _language_models(loaded.model, name):
            yield what, loaded.source.entries[: head.size]
        if name in loaded.labels:
            yield f"labels of {name}", loaded.labels[name].entries
        elif isinstance(loaded.model.head(name), LanguageModelHead):
            continue
        elif loaded.target is not None:
            yield f"target tokens of {name}", loaded.target.entries


def _language_models(model: Model, name: str) -> Iterator[tuple[str, LanguageModelHead]]:
    """The language models of a task, by what their outputs are called."""
    if isinstance(head := model.head(name), LanguageModelHead):
        yield f"tokens predicted by {name}", head
    if (auxiliary := model.own(name).auxiliary) is not None:
        yield f"tokens predicted beside {name}", auxiliary


def _both(made: Loaded, older: Loaded, kind: str, name: str) -> bool:
    """Whether a task has an auxiliary language model, or a private encoder, on both sides."""
    return all(name in getattr(loaded.model, kind) for loaded in (made, older))


def _vocabularies(made: Loaded, older: Loaded, heads: Sequence[str]) -> dict[str, Shared]:
    before = dict(_entries(older, heads))
    return {name: Shared.of(entries, before.get(name, ())) for name, entries in _entries(made, heads)}


def _places(made: Loaded, older: Loaded, heads: Sequence[str]) -> dict[int, tuple[tuple[int, ...], Shared]]:
    """Of each parameter (its id) with a part for each entry of a vocabulary: along which axes, and of which entries."""
    shared = _vocabularies(made, older, heads)
    places: dict[int, tuple[tuple[int, ...], Shared]] = {}
    for module in (*made.model.encoder.modules(), *made.model.privates.modules()):
        if isinstance(module, Embedding):
            for table in filter(None, (module.table, module.static)):
                places[id(table.weight)] = ((0,), shared["tokens"])
            if module.spelling is not None:
                places[id(module.spelling.table.weight)] = ((0,), shared["characters"])
    for name in heads:
        placed: list[tuple[str, Head]] = [*_language_models(made.model, name)]
        if not isinstance(made.model.head(name), LanguageModelHead):
            placed.append((f"{'labels' if name in made.labels else 'target tokens'} of {name}", made.model.head(name)))
        for what, head in placed:
            for parameter, axes in head.per_output():
                places.setdefault(id(parameter), (axes, shared[what]))  # one tied to the source's table has its place
    return places


def _check_sizes(
    made: Loaded, older: Loaded, prefixes: tuple[str, ...], places: Mapping[int, tuple[tuple[int, ...], Shared]]
) -> None:
    new, old = (dict(loaded.model.named_parameters(remove_duplicate=False)) for loaded in (made, older))
    problems = [f"{name} is not there" for name, _ in made.model.named_parameters()
                if name.startswith(prefixes) and name not in old and not COVERAGE & set(name.split("."))]
    problems += [f"{name} is not here" for name, _ in older.model.named_parameters()
                 if name.startswith(prefixes) and name not in new]
    for name in (name for name in new if name in old):
        axes = places.get(id(new[name]), ((),))[0]
        sizes = [[size for axis, size in enumerate(each[name].shape) if axis not in axes] for each in (old, new)]
        if name.startswith(prefixes) and sizes[0] != sizes[1]:
            problems.append(f"{name} is {list(old[name].shape)} there, {list(new[name].shape)} here")
    if not problems:
        return
    assert made.config.start is not None
    differ = list(_differences(older.config.encoder, made.config.encoder, "encoder").values())
    for name in _heads(made.config, older.config):
        for part in ("head", "auxiliary", "private"):
            before, now = (getattr(each.config.tasks[name], part, None) for each in (older, made))
            if (before is None) != (now is None) and part == "private":
                differ.append(f"tasks.{name}.private {'none' if before is None else before.kind} there, "
                              f"{'none' if now is None else now.kind} here")
            elif before is not None and now is not None:
                differ += _differences(before, now, f"tasks.{name}.{part}").values()
    what = f"settings that differ: {'; '.join(differ[:SHOWN])}; " if differ else ""
    raise ConfigError(f"start: the weights of {made.config.start.run} do not fit: {what}{problems[0]}"
                      f"{f', and {len(problems) - 1} more' if len(problems) > 1 else ''}")


def put(whole: Tensor, axes: Sequence[int], ids: Tensor, block: Tensor) -> None:
    """Write ``block`` into ``whole`` at ``ids`` along every one of ``axes``."""
    if len(axes) > 1:
        part = whole.index_select(axes[0], ids)
        put(part, axes[1:], ids, block)
        block = part
    whole.index_copy_(axes[0], ids, block)


def _report(made: Loaded, older: Loaded, heads: Sequence[str], taken: int) -> list[str]:
    assert made.config.start is not None
    total = sum(parameter.numel() for parameter in made.model.parameters())
    parts = ["the encoder", *(f"the head {name}" for name in heads),
             *(f"the {what} of {name}" for kind, what in (("privates", "private encoder"),
                                                          ("auxiliaries", "auxiliary language model"))
               for name in heads if _both(made, older, kind, name))]
    lines = [f"from {made.config.start.run}: {' and '.join(parts)}, {taken:,} of {total:,} parameters"]
    for name, shared in _vocabularies(made, older, heads).items():
        beyond = _some('new', shared.added) + _some('left', shared.left)
        lines.append(f"{name}: {len(shared.new):,} taken{beyond}")
    before = dict(older.model.named_parameters(remove_duplicate=False))
    for name in heads:
        added = [parameter.numel() for what, parameter in made.model.head(name).named_parameters()
                 if f"heads.{name}.{what}" not in before]
        if added:
            lines.append(f"new: the coverage of {name}, {sum(added):,} parameters")
    for what, here, there in (("new", made, older), ("left", older, made)):
        names = [name for name in here.config.tasks if name not in heads or name not in there.config.tasks]
        if names:
            lines.append(f"{what}: the head {', '.join(names)}")
    return lines


def _some(what: str, entries: Sequence[str]) -> str:
    more = ", ..." if len(entries) > SHOWN else ""
    return f"; {len(entries):,} {what}: {', '.join(entries[:SHOWN])}{more}" if entries else ""


def _card(run: Path, config: RunConfig, whole: RunConfig) -> str:
    names = ", ".join(f"`{name}`" for name in config.tasks)
    path = run / checkpoint.CARD
    older = path.read_text(encoding="utf-8") if path.is_file() else ""
    return (f"# {names} of `{run}`\n\nExtracted from that run, which has {len(whole.tasks)} tasks; of these, here are "
            f"{names}. The card of the whole run follows.\n\n{older}")
