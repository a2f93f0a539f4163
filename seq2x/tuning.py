"""The search for settings: trains a run for each proposal of Optuna's, stops the poor ones early, keeps the best.

Knows no command line. Whatever it needs to go on lies in the study's storage and in the runs' own directories, so that
the same call again goes on where the last one ended, within a training too.
"""

from __future__ import annotations

import json
import re
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from seq2x import checkpoint
from seq2x import config as settings_file
from seq2x.config import Config
from seq2x.errors import ConfigError, RunError, Seq2xError
from seq2x.resuming import LIMITS
from seq2x.run import Interrupted, train
from seq2x.settings import RunConfig
from seq2x.training.progress import Progress, Score, Silent

if TYPE_CHECKING:
    import optuna

Say = Callable[[str], None]
BEST = "best.toml"
MARK = "begun.toml"
OUT, BASE = "out", "base"  # where Optuna keeps in which directory a trial lies, and the settings that all share
FREE = set(LIMITS) - {"training.max_epochs", "training.max_steps", "training.max_minutes", "training.patience"}
"""Settings that may change from call to call, as no score depends on them."""
NO_MEMORY = re.compile("(?i)out of memory|allocate memory|not enough memory|alloc_failed")
"""How a RuntimeError of torch's says it."""


class Range(Config):
    """What a setting may be: from ``low`` to ``high``, whole numbers if both are, or one of ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = Field(False, description="evenly on a logarithmic scale, as rates want it")
    step: int | float | None = Field(None, gt=0, description="between neighbouring values")
    choices: tuple[Any, ...] | None = Field(None, description="any values, tables too")

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Range:
        bounds = (self.low, self.high)
        if self.choices is not None:
            if bounds != (None, None) or self.log or self.step is not None or not self.choices:
                raise ValueError("choices stand alone, and there is at least one; found others beside, or none")
        elif self.low is None or self.high is None:
            raise ValueError("expected low and high, or choices")
        elif self.low >= self.high or (self.log and (self.low <= 0 or self.step is not None)):
            raise ValueError(f"found low = {self.low} and high = {self.high}; expected low < high, and with log = true "
                             "low > 0 and no step")
        elif self.whole and self.step is not None and self.step != int(self.step):
            raise ValueError(f"found step = {self.step} between whole numbers, {self.low} and {self.high}; expected a "
                             "whole one (or bounds such as 1.0)")
        return self

    @property
    def whole(self) -> bool:
        """Whether it is of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self, engine: Any) -> Any:
        """Return what Optuna draws from; choices stand there as JSON."""
        kinds = engine.distributions
        if self.choices is not None:
            return kinds.CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        if self.whole:
            return kinds.IntDistribution(self.low, self.high, step=int(self.step or 1), log=self.log)
        return kinds.FloatDistribution(self.low, self.high, step=self.step, log=self.log)

    def value(self, drawn: Any) -> Any:
        """Return the setting that Optuna's value stands for."""
        return drawn if self.choices is None else json.loads(str(drawn))

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or the least and the greatest value."""
        return (self.low, self.high) if self.choices is None else self.choices


class StudyConfig(Config):
    """Everything that ``seq2x tune`` reads. What is maximised is the dev score that chooses a run's best weights."""

    config: str = Field(description="the TOML file of settings that all trials share")
    name: str | None = Field(None, description="of the study in its storage; left out: the name of this file")
    trials: int = Field(20, ge=1, description="trainings in all, failed and stopped ones among them")
    sampler: Literal["tpe", "gp", "random"] = Field(
        "tpe", description="tpe: Parzen estimators (Bergstra et al. 2011); gp: a Gaussian process (Snoek et al. 2012)")
    startup: int = Field(8, ge=1, description="trials at random before the sampler learns from them, and before any is "
                                              "stopped early")
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median", description="median: a trial below the median of the others at the same evaluation is stopped "
                              "(Golovin et al. 2017); hyperband: Li et al. 2018")
    seed: int = Field(1, ge=0, description="of the sampler; that of the trainings is in their settings")
    storage: str | None = Field(
        None, description="any URL that Optuna takes; left out: study.db (SQLite) beside the runs")
    keep: Literal["best", "all"] = Field("best", description="of which trials the run directories are kept")
    space: dict[str, Range] = Field(min_length=1, description="by the names of settings, such as 'optimiser.rate'")


class _Mark(Config):
    """Whose a directory is; the id stands in the study too: another may have its name."""

    study: str
    storage: str
    id: str


class _Out(NamedTuple):
    """A directory of this study's, with the id of its mark."""

    directory: Path
    id: str

    def place(self, number: int) -> Path:
        return self.directory / f"trial-{number}"

    def holds(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> bool:
        """Whether the run of a trial was begun here."""
        return trial.user_attrs.get(OUT) == self.id and (self.place(trial.number) / checkpoint.CONFIG).is_file()


class Tuned(NamedTuple):
    """What a study has found so far."""

    directory: Path
    finished: int
    best: int | None
    """The number of the best trial; None while none is complete."""
    value: float | None
    parameters: dict[str, Any]
    importance: dict[str, float]
    """Of each setting for the score, all together 1 (PED-ANOVA, Watanabe et al. 2023); of few trials none."""
    interrupted: bool = False


def tune(
    study: str | Path, out: str | Path | None = None, *, overrides: Sequence[str] = (), trials: int | None = None,
    say: Say = print,
) -> Tuned:
    """Run a study, or go on with it, until it has its ``trials``; OUT/best.toml are the settings of the best.

    Without ``out`` that is runs/NAME for NAME.toml. ``overrides`` are of the shared settings. ConfigError names a
    setting of the space that is none, and the nearest, or a value that it cannot have; or what has changed since.
    """
    path = Path(study)
    settings = settings_file.read(StudyConfig, path)
    directory = Path(out or Path("runs") / path.stem)
    shared = settings_file.read(RunConfig, settings.config, overrides)
    base = settings_file.given(shared)
    _check_values(settings, base, f"{path}: space")
    with _quietly() as optuna:
        directory.mkdir(parents=True, exist_ok=True)
        storage = settings.storage or f"sqlite:///{(directory / 'study.db').as_posix()}"
        made = _study(optuna, settings, path.stem, storage)
        space = {name: each.distribution(optuna) for name, each in settings.space.items()}
        elsewhere = "give the study another name and another --out" if settings.storage else "choose another --out"
        _check_space(optuna, made, space, elsewhere)
        _check_base(made, shared, elsewhere)
        here = _claimed(made, storage, directory)
        _keep(made, settings, base, here)  # the last call may have ended before it did
        while len(_finished(optuna, made)) < (trials or settings.trials):
            trial = _begun(optuna, made, here) or made.ask(space)
            if _try(optuna, made, trial, settings, base, here, say):
                return _found(optuna, made, directory, True)
            _keep(made, settings, base, here)
        return _found(optuna, made, directory, False)


def changed(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with some that are named by their path, such as ``encoder.hidden``, others."""
    found: dict[str, Any] = json.loads(json.dumps(base))
    for name, value in values.items():
        *tables, key = name.split(".")
        table = found
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"space: {name!r}: {part!r} is a value, not a table")
        table[key] = value
    return found


def _check_values(settings: StudyConfig, base: Mapping[str, Any], source: str) -> None:
    """ConfigError for a value that a setting of the space can never have; what depends on others, a trial will tell."""
    for name, space in settings.space.items():
        for number, value in enumerate(space.ends):
            data = changed(base, {name: value})
            try:
                RunConfig.model_validate(data)
            except ValidationError as error:
                if number == 0 or any(problem["type"] != "value_error" for problem in error.errors()):
                    settings_file.parse(RunConfig, data, source)


def _check_space(engine: Any, study: optuna.Study, space: Mapping[str, Any], elsewhere: str) -> None:
    """ConfigError where the study has trials whose settings were drawn from something else."""
    for trial in study.get_trials(deepcopy=False):
        for name, before in trial.distributions.items():
            if name not in space:
                raise ConfigError(f"space: {name!r} is missing, which trial {trial.number} has; put it back, or "
                                  f"{elsewhere}")
            try:
                engine.distributions.check_distribution_compatibility(before, space[name])
            except ValueError:
                raise ConfigError(f"space: {name!r} has other choices, or is of another kind, than in trial "
                                  f"{trial.number} of this study; {elsewhere}") from None


def _claimed(study: optuna.Study, storage: str, directory: Path) -> _Out:
    """Mark the directory as this study's; ConfigError where it is another's."""
    path, shown = directory / MARK, re.sub(r"//[^/]*@", "//", storage)  # without a password
    if not path.is_file():
        run = next(directory.glob(f"trial-*/{checkpoint.CONFIG}"), None)
        if run is not None:
            raise ConfigError(f"{run.parent}: is there, and no {MARK} says of which study; choose another --out")
        mark = _Mark(study=study.study_name, storage=shown, id=uuid.uuid4().hex)
        study.set_user_attr(f"{OUT} {mark.id}", True)
        checkpoint.write(path, settings_file.dump(mark))
    mark = settings_file.read(_Mark, path)
    if f"{OUT} {mark.id}" not in study.user_attrs:
        raise ConfigError(f"{directory}: was begun by the study {mark.study!r} of {mark.storage}, and the study "
                          f"{study.study_name!r} of {shown} is another; choose another --out")
    return _Out(directory, mark.id)


def _check_base(study: optuna.Study, shared: RunConfig, elsewhere: str) -> None:
    """Note in the study what all trials share; ConfigError where its trials shared something else."""
    source = f"study {study.study_name!r}"
    if BASE not in study.user_attrs:
        if study.get_trials(deepcopy=False):
            raise ConfigError(f"{source}: does not tell what its trials share: an older seq2x began it; {elsewhere}")
        study.set_user_attr(BASE, shared.model_dump(mode="json", by_alias=True, exclude_none=True))
    noted = settings_file.parse(RunConfig, study.user_attrs[BASE], source)
    before, after = (settings_file.flat(each.model_dump(mode="json", by_alias=True)) for each in (noted, shared))
    others = [key for key in before | after if before.get(key) != after.get(key) and key not in FREE]
    if others:
        key = others[0]
        more = f", and {len(others) - 1} more differ" if len(others) > 1 else ""
        raise ConfigError(f"{source}: its trials share other settings: {key} was {before.get(key)!r}, now "
                          f"{after.get(key)!r}{more}; take the old value, or {elsewhere}")


@contextmanager
def _quietly() -> Iterator[Any]:
    """Optuna, without its remarks on what is new in it or on a last step that is cut off, and without its log."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("seq2x tune needs Optuna: pip install 'seq2x[tune]'") from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "The distribution is specified by", UserWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _study(engine: Any, settings: StudyConfig, name: str, storage: str) -> optuna.Study:
    pruners = {"median": lambda: engine.pruners.MedianPruner(n_startup_trials=settings.startup),
               "hyperband": engine.pruners.HyperbandPruner, "none": engine.pruners.NopPruner}
    try:
        made: optuna.Study = engine.create_study(
            study_name=settings.name or name, storage=storage, direction="maximize", load_if_exists=True,
            pruner=pruners[settings.pruner]())
    except Exception as error:  # of any of the data bases that a URL may name
        raise ConfigError(f"storage: {storage!r} cannot be used: {error}") from None
    samplers = {"tpe": "TPESampler", "gp": "GPSampler", "random": "RandomSampler"}
    # another seed for those that go on: else they would propose again what they began with
    arguments = {"seed": settings.seed + len(made.get_trials(deepcopy=False))}
    if settings.sampler != "random":
        arguments["n_startup_trials"] = settings.startup
    made.sampler = getattr(engine.samplers, samplers[settings.sampler])(**arguments)
    return made


def _finished(optuna: Any, study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    states = optuna.trial.TrialState
    return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED, states.FAIL))


def _begun(engine: Any, study: optuna.Study, here: _Out) -> optuna.Trial | None:
    """A trial that was left in the middle here, by a process that is no more."""
    for frozen in study.get_trials(deepcopy=False, states=(engine.trial.TrialState.RUNNING,)):
        if here.holds(frozen):
            try:
                with checkpoint.locked(here.place(frozen.number)):
                    found: optuna.Trial = engine.Trial(study, frozen._trial_id)
                    return found
            except RunError:
                continue  # another process is at it
    return None


def _try(
    optuna: Any, study: optuna.Study, trial: optuna.Trial, settings: StudyConfig, base: Mapping[str, Any],
    here: _Out, say: Say,
) -> bool:
    """Train one trial and tell the study; return whether it was interrupted, to be gone on with."""
    values = _values(settings, trial.params)
    shown = ", ".join(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
                      for name, value in values.items())
    state = optuna.trial.TrialState
    place = here.place(trial.number)
    if checkpoint.is_empty(place):  # else it is a trial to go on with, or no trial's at all
        trial.set_user_attr(OUT, here.id)
    try:
        config = settings_file.parse(RunConfig, changed(base, values), f"trial {trial.number}")
        watch = _Watch(optuna, study, trial)
        trained = train(config, place, resume=here.holds(trial), display=watch, say=_nothing)
        assert trained.progress.best is not None
        study.tell(trial, trained.progress.best)
        say(f"trial {trial.number}: {trained.progress.best:.2f} with {shown}")
    except Interrupted:
        return True
    except optuna.TrialPruned:
        study.tell(trial, state=state.PRUNED)
        say(f"trial {trial.number}: stopped early at {watch.last:.2f} with {shown}")
    except (Seq2xError, MemoryError, RuntimeError) as error:
        expected = isinstance(error, Seq2xError | MemoryError)
        if not expected and not NO_MEMORY.search(str(error)):
            raise
        study.tell(trial, state=state.FAIL)
        say(f"trial {trial.number}: failed with {shown}: {error if str(error) else 'memory ran out'}")
    return False


def _values(settings: StudyConfig, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a trial, as far as the space knows them."""
    return {name: space.value(drawn[name]) for name, space in settings.space.items() if name in drawn}


def _nothing(line: str) -> None:
    """The log of a trial; its run directory keeps what counts."""


class _Watch(Silent):
    """Tells the study each dev score, and ends a training that the pruner has no hope for."""

    def __init__(self, optuna: Any, study: optuna.Study, trial: optuna.Trial) -> None:
        super().__init__(_nothing)
        self.optuna, self.trial, self.last = optuna, trial, 0.0
        frozen = next(one for one in study.get_trials(deepcopy=False) if one.number == trial.number)
        self.known = set(frozen.intermediate_values)

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:  # noqa: ARG002 - a display's
        """Report the score of each evaluation once."""
        self.last = score.value
        if progress.evaluations in self.known:
            return
        self.known.add(progress.evaluations)
        self.trial.report(score.value, progress.evaluations)
        if not progress.done and self.trial.should_prune():
            raise self.optuna.TrialPruned


def _keep(study: optuna.Study, settings: StudyConfig, base: Mapping[str, Any], here: _Out) -> None:
    """Write the best settings, and delete the directories of this study's finished trials that are not wanted."""
    best = _best(study)
    if best is not None:
        config = settings_file.parse(RunConfig, changed(base, _values(settings, best.params)), BEST)
        checkpoint.write(here.directory / BEST, settings_file.dump(config))
    for trial in study.get_trials(deepcopy=False):
        lost = best is None or trial.number != best.number
        if settings.keep == "best" and trial.state.is_finished() and lost and here.holds(trial):
            place = here.place(trial.number)
            checkpoint.clear(place)
            (place / checkpoint.LOCK).unlink(missing_ok=True)
            place.rmdir()


def _best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    try:
        return study.best_trial
    except ValueError:  # none is complete
        return None


def _found(optuna: Any, study: optuna.Study, directory: Path, interrupted: bool) -> Tuned:
    best, importance = _best(study), {}
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) >= 4 and len({trial.value for trial in complete}) > 1:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
    number, value, values = (None, None, {}) if best is None else (best.number, best.value, dict(best.params))
    return Tuned(directory, len(_finished(optuna, study)), number, value, values, importance, interrupted)
