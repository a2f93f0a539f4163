"""``seq2x tune``: searches for settings."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from seq2x.cli.options import count

HELP = "search for the settings with the best dev score"
ABOUT = """\
Search for the settings with the best dev score: each trial is a training, proposed by Optuna from those before, and
stopped early where it has no hope. Ctrl-C saves; the same command again goes on, within a training too. A study goes
on with the settings that it began with; others want another --out. Several processes may work on one study, each with
an --out of its own, if it names a storage that all can reach.
Needs the package optuna: pip install 'seq2x[tune]'."""
EXAMPLES = """\
a study is a TOML file:
  config = "ner.toml"                            what all trials share
  trials = 40
  sampler = "tpe"                                or "gp" (a Gaussian process), "random"
  pruner = "median"                              or "hyperband", "none"

  [space]
  "optimiser.rate" = { low = 1e-4, high = 1e-2, log = true }
  "encoder.hidden" = { low = 50, high = 300, step = 50 }
  "encoder.dropout" = { low = 0.0, high = 0.6 }
  "encoder.cell" = { choices = ["lstm", "gru"] }

in OUT: best.toml (the best settings, for seq2x train), trial-N (the best run), study.db (all trials; Optuna's own
programs read it), begun.toml (whose OUT it is), importance.png (which settings mattered; needs matplotlib)

examples:
  seq2x tune study.toml                          (into runs/study)
  seq2x tune study.toml --trials 80              (forty more)
  seq2x train runs/study/best.toml --out runs/ner --set seed=2"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("study", metavar="STUDY", help="TOML file")
    parser.add_argument("--out", metavar="DIR", help="where everything goes (default: runs/NAME of NAME.toml)")
    parser.add_argument("--trials", type=count, metavar="N", help="trials in all (default: as the study says)")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", default=[],
                        help="override a setting that all trials share")


def run(arguments: Namespace) -> int:
    """Run the study; 130 where Ctrl-C ended it, 2 where no trial came to its end."""
    from seq2x.reports.importance import plot
    from seq2x.tuning import BEST, tune

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = tune(arguments.study, arguments.out, overrides=arguments.overrides, trials=arguments.trials, say=say)
    if found.best is None:
        print(f"{'best':<12}none: no trial of {found.finished} came to its end")
    else:
        print(f"{'best':<12}trial {found.best} of {found.finished}: dev score {found.value:.2f}, "
              f"{found.directory / BEST}")
    for name, share in found.importance.items():
        print(f"{'importance':<12}{share:6.1%}  {name}")
    if plot(found.importance, found.directory / "importance.png"):
        print(f"{'picture':<12}{found.directory / 'importance.png'}")
    return 130 if found.interrupted else 0 if found.best is not None else 2
