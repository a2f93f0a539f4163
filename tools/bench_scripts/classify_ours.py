"""Our classifier of reviews, a variant of recipes/imdb, through `seq2x.run.train`.

VARIANT WHAT DATA WORK: of that recipe; "epoch" for the seconds of one, at the pace of some updates, or "accuracy" for
that on the test part after all of the training; the folder of the reviews, where the run is put.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import torch
from _classify import Clock, Enough

from seq2x import Classifier, checkpoint, evaluate, train
from seq2x.build import build_model
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.settings import RunConfig
from seq2x.training.progress import FitConfig, Progress, Score, Update

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "imdb"
UPDATES = {"epoch": (10, 120), "accuracy": (0, 1_000_000)}
"""Those before the clock begins, and those that it measures."""
DEV = 2500


class Watch:
    """The display of a training that nobody looks at."""

    def __init__(self, what: str) -> None:
        self.clock = Clock(*UPDATES[what])

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        self.clock.updated(update.units)

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)


def settings(variant: str, data: Path, work: Path, seed: int = 1) -> RunConfig:
    """The settings of a variant; the reviews it trains on and its dev part are where the recipe has them."""
    every = tomllib.loads((RECIPE / "variants.toml").read_text("utf-8"))
    base = next(name for name, variants in every.items() if variant in variants)
    chosen = laid_over(tomllib.loads((RECIPE / f"{base}.toml").read_text("utf-8")), every[base][variant])
    files = {"all": data / "train.tsv.gz", "first": work / "first.tsv", "dev": work / "dev.tsv"}
    paths = [f"tasks.reviews.{part}={json.dumps(str(files[chosen['tasks']['reviews'][part]]))}"
             for part in ("train", "dev")]
    return parse(RunConfig, chosen, variant, [*paths, f"seed={seed}"])


def split(data: Path, work: Path) -> None:
    """Part the last reviews of the training part from the others."""
    reviews = gzip.decompress((data / "train.tsv.gz").read_bytes()).removesuffix(b"\n").split(b"\n")
    for name, part in (("first", reviews[:-DEV]), ("dev", reviews[-DEV:])):
        (work / f"{name}.tsv").write_bytes(b"\n".join(part) + b"\n")


def main(variant: str, what: str, data: Path, work: Path) -> None:
    config = settings(variant, data, work, int(os.environ["SEED"]))
    watch, out = Watch(what), work / "run"
    shutil.rmtree(out, ignore_errors=True)
    with suppress(Enough):
        train(config, out, display=watch, say=lambda line: print(line, file=sys.stderr))
    figures = {}
    if what == "accuracy":
        test = read_examples(config.tasks["reviews"], str(data / "test.tsv.gz"))
        figures["accuracy"] = evaluate(Classifier.load(out), test).value
    source, _ = checkpoint.load_text(out, config)
    model = build_model(config, source, None, checkpoint.load_labels(out, config))
    watch.clock.report(figures, parameters=sum(one.numel() for one in model.parameters()),
                       threads=torch.get_num_threads())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
