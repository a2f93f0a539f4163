"""What a run learns from older runs: reads them, checks that they fit, and lets the model ask them. Trains nothing.

Teachers may be of any size and kind, and may cut text into other tokens than the student, but for a target that both
write: each reads the training data in its own way, as a view of every batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from seq2x import checkpoint
from seq2x.checkpoint import Loaded
from seq2x.corpus import Corpus
from seq2x.data.coding import Limit
from seq2x.data.datasets import Dataset
from seq2x.errors import ConfigError, nearest
from seq2x.model import Teacher, Teaching
from seq2x.overview import Overview
from seq2x.settings import DistilConfig, LanguageModelTask, RunConfig, TagTask
from seq2x.text import same_entries

NO_LIMIT = Limit(max_tokens=10**9)
"""Of what a teacher reads: the student's data are the student's to cut."""


def learn(
    loaded: Loaded, data: Corpus, datasets: Mapping[str, Dataset], rows: Overview, device: torch.device
) -> dict[str, list[Dataset]]:
    """Let the model of ``loaded`` learn from the runs that ``config.distil`` names, if any.

    Returns the views of the training data that each task's teachers read. ConfigError where they do not fit.
    """
    settings, config = loaded.config.distil, loaded.config
    if settings is None:
        return {}
    teachers = checkpoint.load_runs(settings.runs, str(device))
    views: dict[str, list[Dataset]] = {}
    for name in config.tasks:
        tasks = [_task(settings, config, name, each) for each in teachers]
        if None in tasks:
            continue
        views[name] = []
        made = []
        for number, (each, task) in enumerate(zip(teachers, tasks, strict=True), start=1):
            assert task is not None
            _check_outputs(loaded, name, each, task, number)
            view = None
            if not loaded.reads_as(each):
                view = len(views[name])
                views[name].append(_view(loaded, name, each, data, datasets[name]))
            made.append(Teacher(each.model.requires_grad_(False), task, view))
        loaded.model.learn_from(name, Teaching(tuple(made), settings.temperature, settings.weight))
        rows.row("distil", f"{name} learns from {len(made)} model{'s' if len(made) > 1 else ''} at temperature "
                           f"{settings.temperature:g}, weight {settings.weight:g}")
    if not views:
        raise ConfigError(f"distil.from: no task here ({', '.join(config.tasks)}) is one of all these runs "
                          f"({', '.join(teachers[0].config.tasks)}); name them as there, or give distil.task")
    return views


def _task(settings: DistilConfig, config: RunConfig, name: str, teacher: Loaded) -> str | None:
    """The teacher's task that ``name`` learns from; None = it has none."""
    there = teacher.config.tasks
    if settings.task is not None and settings.task not in there:
        raise ConfigError(f"distil.task: there is no task {settings.task!r}{nearest(settings.task, there)}")
    wanted = settings.task or name
    same = [other for other, task in there.items() if task.kind == config.tasks[name].kind]
    if wanted in same:
        return wanted
    return same[0] if len(same) == len(config.tasks) == 1 else None


def _check_outputs(loaded: Loaded, name: str, teacher: Loaded, task: str, number: int) -> None:
    """ConfigError where student and teacher do not choose from the same."""
    here, there = loaded.config.tasks[name], teacher.config.tasks[task]
    if name in loaded.labels and loaded.labels[name].entries != teacher.labels[task].entries:
        both = set(loaded.labels[name].entries) ^ set(teacher.labels[task].entries)
        raise ConfigError(f"distil.from: the labels of run {number} are not those of {name!r} here: not both have "
                          f"{', '.join(map(repr, sorted(both)[:5]))}")
    if isinstance(here, TagTask) and isinstance(there, TagTask) and here.model_scheme != there.model_scheme:
        raise ConfigError(f"distil.from: run {number} tags in the scheme {there.model_scheme!r}, {name!r} here in "
                          f"{here.model_scheme!r}; expected the same")
    if here.kind == "classify" and there.kind == "classify" and bool(here.data.separator) != bool(there.data.separator):
        raise ConfigError(f"distil.from: one of run {number} and {name!r} here gives several labels a text; expected "
                          "both or none")
    one, other = (each.target if here.kind == "translate" else each.source for each in (loaded, teacher))
    if here.kind in ("translate", "language_model") and not same_entries(one, other):
        raise ConfigError(f"distil.from: the tokens that run {number} predicts are not those of {name!r} here; "
                          "expected the same vocabulary: the same training data and settings of text, or a student "
                          "that [start] takes it from")
    if isinstance(here, LanguageModelTask) and isinstance(there, LanguageModelTask):
        if here.head.vocabulary != there.head.vocabulary:
            raise ConfigError(f"distil.from: run {number} predicts another part of the vocabulary than {name!r} here")
        ours, theirs = _predicted(loaded, here), _predicted(teacher, there)
        if ours != theirs:
            raise ConfigError(f"distil.from: run {number} predicts {theirs}, {name!r} here {ours}; expected the same")


def _predicted(loaded: Loaded, task: LanguageModelTask) -> str:
    """What a language model predicts, in words."""
    if task.head.objective == "masked":
        return "hidden tokens"
    return "what follows and what is before" if loaded.model.encoder.direction_width else "what follows"


def _view(loaded: Loaded, name: str, teacher: Loaded, data: Corpus, own: Dataset) -> Dataset:
    """The training data of a task as a teacher reads them, example for example."""
    config = loaded.config
    if own.report or config.corpus.memory == "cache":
        why = own.report or "corpus.memory = 'cache'"
        raise ConfigError(f"distil.from: a teacher that cuts text into other tokens needs all of every example, in "
                          f"memory; found: {why}")
    task = config.tasks[name].model_copy(update={"limit": NO_LIMIT})
    reading = config.model_copy(update={"tasks": {**config.tasks, name: task}})
    view = data.dataset(name, loaded._replace(config=reading, source=teacher.source), lambda _: None)
    if len(view) != len(own):
        raise ConfigError(f"distil.from: a teacher reads {len(view):,} of the {len(own):,} examples of {name!r}")
    return view
