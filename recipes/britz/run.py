"""The experiments of Britz et al. 2017 on a size that fits: trains every variant of one, prints the table.

    tools/get_data multi30k
    python recipes/britz/run.py beam --seeds 1 2
    python recipes/britz/run.py cell --seeds 1 2
"""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from seq2x import Translator, checkpoint, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.overview import parameters
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "multi30k"
BASE, EXPERIMENTS = (tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("britz", "experiments"))
BEAMS, PENALTIES = (1, 2, 4, 8, 10, 16, 32), (0.0, 0.5, 1.0)
COLUMNS = ("dev BLEU", "test BLEU", "test chrF", "parameters", "minutes")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("experiment", choices=["beam", *EXPERIMENTS], help="beam: its size by the length penalty")
parser.add_argument("--out", type=Path, default=Path("runs/britz"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], metavar="N", help="one training each")
parser.add_argument("--variants", nargs="+", metavar="NAME", help="default: all of the experiment")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
arguments = parser.parse_args()
variants = EXPERIMENTS.get(arguments.experiment, {})
chosen = arguments.variants or list(variants)
if unknown := [name for name in chosen if name not in variants]:
    parser.error(f"unknown variant {unknown[0]!r}; the choices are {', '.join(variants)}")


def pair(split: str) -> tuple[str, str]:
    """The aligned files of a split."""
    return (DATA / f"{split}.en.gz").as_posix(), (DATA / f"{split}.de.gz").as_posix()


def trained(variant: str, seed: int) -> tuple[Path, float, float]:
    """Train once, or take what is there; return the run, its best dev score (greedy) and its minutes."""
    paths = [f"tasks.translate.{key}={json.dumps(pair(split))}" for key, split in (("train", "train"), ("dev", "val"))]
    config = parse(RunConfig, laid_over(BASE, variants.get(variant, {})), variant,
                   [*paths, f"seed={seed}", *arguments.set])
    name = variant if variant == "base" else f"{arguments.experiment}-{variant}"
    directory = arguments.out / name / f"seed-{seed}"
    there = variant == "base" and (directory / checkpoint.CARD).is_file()  # another experiment has trained it
    run = train(config, directory, resume=arguments.resume or there, display=ConsoleDisplay())
    return directory, run.progress.best or 0.0, run.progress.seconds / 60


def kept(path: Path) -> dict[str, float] | None:
    """What was measured before, where it is to be gone on with."""
    if not arguments.resume or not path.exists():
        return None
    known: dict[str, float] = json.loads(path.read_text("utf-8"))
    return known


def one(variant: str, seed: int) -> dict[str, float]:
    """Train a variant, and score it on the test set."""
    path = arguments.out / "scores" / f"{arguments.experiment}.{variant}.seed-{seed}.json"
    found = kept(path)
    if found is None:
        directory, dev, minutes = trained(variant, seed)
        translator = Translator.load(directory)
        scores = evaluate(translator, read_examples(translator.task, pair("test_2016_flickr"))).scores
        found = {"dev BLEU": dev, "test BLEU": scores["bleu"], "test chrF": scores["chrf"], "minutes": minutes,
                 "parameters": sum(parameters(translator.loaded.model).values())}
        checkpoint.write(path, json.dumps(found, indent=1))
    return found


def searched(seed: int) -> dict[str, float]:
    """Dev BLEU of the one model for each beam and penalty: the search is a choice, made on dev."""
    path = arguments.out / "scores" / f"beam.seed-{seed}.json"
    found = kept(path) or {}
    if missing := [(beam, penalty) for beam in BEAMS for penalty in PENALTIES if f"{beam} {penalty}" not in found]:
        translator = Translator.load(trained("base", seed)[0])
        dev = read_examples(translator.task, pair("val"))
        for beam, penalty in missing:
            search = translator.search.model_copy(update={"beam_size": beam, "length_penalty": penalty})
            found[f"{beam} {penalty}"] = evaluate(translator, dev, search=search).scores["bleu"]
            checkpoint.write(path, json.dumps(found, indent=1))
            print(f"seed {seed}, beam {beam}, penalty {penalty:g}: {found[f'{beam} {penalty}']:.2f}", flush=True)
    return found


def cell(values: Sequence[float], digits: str = ".1f") -> str:
    """Mean and, of several values, standard deviation."""
    spread = f" +- {stdev(values):{digits}}" if len(values) > 1 and digits == ".1f" else ""
    return f"{mean(values):{digits}}{spread}"


if arguments.experiment == "beam":
    tables = [searched(seed) for seed in arguments.seeds]
    print(f"| beam | {' | '.join(f'penalty {penalty:g}' for penalty in PENALTIES)} |")
    print("|---" * (len(PENALTIES) + 1) + "|")
    for beam in BEAMS:
        cells = [cell([table[f"{beam} {penalty}"] for table in tables]) for penalty in PENALTIES]
        print(f"| {beam} | {' | '.join(cells)} |")
else:
    rows = [f"| {arguments.experiment} | {' | '.join(COLUMNS)} | seeds |", "|---" * (len(COLUMNS) + 2) + "|"]
    for name in chosen:
        runs = [one(name, seed) for seed in arguments.seeds]
        cells = [cell([run[column] for run in runs], ",.0f" if column == "parameters" else ".1f") for column in COLUMNS]
        rows.append(f"| {name} | {' | '.join(cells)} | {len(runs)} |")
        print("\n".join(rows), flush=True)
