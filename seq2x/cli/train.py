"""``seq2x train``: from a configuration to a run directory."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from seq2x.cli.options import positive

if TYPE_CHECKING:
    from seq2x.run import Trained
    from seq2x.settings import RunConfig, TaskConfig
    from seq2x.training.progress import Display, Progress

HELP = "train what a configuration describes"
ABOUT = """\
Train what a configuration describes: vocabularies, model and scores end up in a run directory.
Ctrl-C saves, and --resume goes on as if training had never stopped.

Before it starts, it says what will happen; at each evaluation, it shows what the model makes of a few dev examples.
Every evaluation is a line of RUN/metrics.jsonl; where the package tensorboard is installed, RUN/tensorboard has curves
(tensorboard --logdir runs). The log goes to standard error, without a moving line where that is no terminal; what
came out goes to standard output. NO_COLOR=1 switches colours off."""
EXAMPLES = """\
examples:
  seq2x train ner.toml                                       (into runs/ner)
  seq2x train ner.toml --out runs/ner-wide --set encoder.hidden=300
  seq2x train ner.toml --set encoder.cell=gru --set training.max_epochs=5 --max-minutes 10
  seq2x train ner.toml --resume
  seq2x train ner.toml --set training.show_examples=5 --set training.evaluate_every=500
  seq2x train ner.toml --quiet > result.txt"""

_OUTPUTS = {"tag": "tagged.conll", "classify": "labels.tsv", "translate": "out.txt"}


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("config", metavar="CONFIG", help="TOML file; `seq2x init` writes one")
    parser.add_argument("--out", metavar="RUN", help="run directory (default: runs/NAME for NAME.toml)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                        help="override a setting; may be given several times")
    parser.add_argument("--max-minutes", type=positive, metavar="M", help="stop after M minutes of training, resumes "
                                                                          "included, with the best model so far")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on where the run stopped (or start it)")
    how.add_argument("--overwrite", action="store_true", help="delete an older run of this name first")
    parser.add_argument("--quiet", action="store_true", help="say nothing but the result")


def run(arguments: Namespace) -> int:
    """Train, showing it; 130 where Ctrl-C ended it."""
    from seq2x import config as settings_file
    from seq2x.reports.console import ConsoleDisplay
    from seq2x.reports.tensorboard import TensorBoard, installed
    from seq2x.run import Interrupted, train
    from seq2x.settings import RunConfig

    out = Path(arguments.out or Path("runs") / Path(arguments.config).stem)
    overrides = list(arguments.overrides)
    if arguments.max_minutes is not None:
        overrides.append(f"training.max_minutes={arguments.max_minutes!r}")
    config = settings_file.read(RunConfig, arguments.config, overrides)
    with ExitStack() as stack:
        console = ConsoleDisplay(config.training, unit=_unit(config), quiet=arguments.quiet)
        display: Display = stack.enter_context(console)
        if installed():
            display = stack.enter_context(TensorBoard(console, out / "tensorboard", unit=_unit(config)))
        try:
            trained = train(config, out, resume=arguments.resume, overwrite=arguments.overwrite, display=display,
                            say=console.say)
        except Interrupted as found:
            trained = found.trained
    interrupted = trained.progress.done == "interrupted"
    if os.environ.get("RANK", "0") == "0":  # of several processes, the first speaks
        _say_end(arguments, config, trained, interrupted)
    return 130 if interrupted else 0


def _say_end(arguments: Namespace, config: RunConfig, trained: Trained, interrupted: bool) -> None:
    """Print where the best model lies, why training ended, and what can be done next."""
    out = trained.directory
    rows = [("best", _best(out, trained.progress)), ("ended", _ended(trained.progress))]
    rows += [("go on", _again(arguments))] if interrupted else _next(config, out)
    for number, (label, text) in enumerate(rows):
        print(f"{label if not number or rows[number - 1][0] != label else '':<12}{text}")


def _best(out: Path, progress: Progress) -> str:
    if progress.best is None:
        return f"{out}: no evaluation yet, so no model yet"
    return f"{out}: dev score {progress.best:.2f} after update {progress.best_step:,}"


def _ended(progress: Progress) -> str:
    from seq2x.reports.console import clock

    why = "Ctrl-C; all is saved" if progress.done == "interrupted" else progress.done
    return f"{why}; {progress.step:,} update{'s' if progress.step != 1 else ''} in {clock(progress.seconds)}"


def _next(config: RunConfig, out: Path) -> list[tuple[str, str]]:
    """What can be done with the run now: commands to copy."""
    run = shlex.quote(str(out))
    several = len(config.tasks) > 1
    commands = []
    for name, task in config.tasks.items():
        chosen = f" --task {name}" if several else ""
        commands.append(f"seq2x evaluate {run} {shlex.join(_test_files(task))}{chosen}")
        if task.kind in _OUTPUTS:
            commands.append(f"seq2x {task.kind} {run}{chosen} -i in.txt -o {_OUTPUTS[task.kind]}")
    return [("next", command) for command in commands]


def _test_files(task: TaskConfig) -> list[str]:
    """The test data beside the training data, where there are any of that name; else names to be filled in."""
    from seq2x.corpus import shards

    files = [Path(file) for file in shards(task, task.train)[0]]
    beside = [file.with_name(file.name.replace("train", "test")) for file in files]
    if all(found != file and found.is_file() for found, file in zip(beside, files, strict=True)):
        return [str(file) for file in beside]
    return [f"test{''.join(file.suffixes)}" for file in files]


def _unit(config: RunConfig) -> str:
    names = {"tag": "words", "classify": "texts", "translate": "tokens", "language_model": "tokens"}
    units = {names[task.kind] for task in config.tasks.values()}
    return units.pop() if len(units) == 1 else "units"


def _again(arguments: Namespace) -> str:
    """The command that goes on."""
    parts = ["seq2x", "train", arguments.config]
    if processes := os.environ.get("LOCAL_WORLD_SIZE"):
        parts = ["torchrun", "--nproc-per-node", processes, "-m", "seq2x", "train", arguments.config]
    if arguments.out:
        parts += ["--out", arguments.out]
    for override in arguments.overrides:
        parts += ["--set", override]
    if arguments.max_minutes is not None:
        parts += ["--max-minutes", f"{arguments.max_minutes:g}"]
    return shlex.join([*parts, "--resume"])
