"""``seq2x train``: from a configuration to a run directory."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from seq2x.cli.options import positive

if TYPE_CHECKING:
    from seq2x.settings import RunConfig

HELP = "train what a configuration describes"
ABOUT = """\
Train what a configuration describes: vocabularies, model and scores end up in a run directory.
Ctrl-C saves, and --resume goes on as if training had never stopped."""
EXAMPLES = """\
examples:
  seq2x train ner.toml                                       (into runs/ner)
  seq2x train ner.toml --out runs/ner-wide --set encoder.hidden=300
  seq2x train ner.toml --set encoder.cell=gru --set training.max_epochs=5 --max-minutes 10
  seq2x train ner.toml --resume"""


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
    from seq2x.reports.console import ConsoleDisplay, clock
    from seq2x.run import train
    from seq2x.settings import RunConfig

    out = Path(arguments.out or Path("runs") / Path(arguments.config).stem)
    overrides = list(arguments.overrides)
    if arguments.max_minutes is not None:
        overrides.append(f"training.max_minutes={arguments.max_minutes!r}")
    config = settings_file.read(RunConfig, arguments.config, overrides)
    with ConsoleDisplay(config.training, unit=_unit(config), quiet=arguments.quiet) as display:
        trained = train(config, out, resume=arguments.resume, overwrite=arguments.overwrite, display=display,
                        say=display.say)
    progress = trained.progress
    best = "no evaluation yet"
    if progress.best is not None:
        best = f"best dev score {progress.best:.2f} at update {progress.best_step:,}"
    print(f"{out}: {progress.step:,} updates in {clock(progress.seconds)}; ended by {progress.done}; {best}")
    if progress.done == "interrupted":
        print(f"all is saved; to go on:\n  {_again(arguments)}")
        return 130
    _next(config, out)
    return 0


def _next(config: RunConfig, out: Path) -> None:
    """What can be done with the run now."""
    quoted = shlex.quote(str(out))
    print(f"next:\n  seq2x evaluate {quoted} [FILES]")
    several = len(config.tasks) > 1
    for name, task in config.tasks.items():
        print(f"  seq2x {task.kind} {quoted}{f' --task {name}' if several else ''} < in > out")


def _unit(config: RunConfig) -> str:
    units = {{"tag": "words", "classify": "texts", "translate": "tokens"}[task.kind] for task in config.tasks.values()}
    return units.pop() if len(units) == 1 else "units"


def _again(arguments: Namespace) -> str:
    """The command that goes on."""
    parts = ["seq2x", "train", arguments.config]
    if arguments.out:
        parts += ["--out", arguments.out]
    for override in arguments.overrides:
        parts += ["--set", override]
    if arguments.max_minutes is not None:
        parts += ["--max-minutes", f"{arguments.max_minutes:g}"]
    return shlex.join([*parts, "--resume"])
