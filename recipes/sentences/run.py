"""Train classifiers of sentences from scratch, and score them, as one, on the test set, once a seed.

    tools/get_data sentence_polarity
    python recipes/sentences/run.py sentence_polarity --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
import tomllib
from pathlib import Path
from statistics import mean, stdev

from seq2x import Classifier, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_dev, read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data"))
MODELS = {name: tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("convolutions", "bag")}
SETS = tomllib.loads((HERE / "sets.toml").read_text("utf-8"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", choices=list(SETS), help="the set")
parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="default: both, as one")
parser.add_argument("--members", type=int, metavar="N", help="trainings of each that act as one (default: sets.toml's)")
parser.add_argument("--out", type=Path, default=Path("runs/sentences"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training of each model each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of both")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
parser.add_argument("--no-test", action="store_true", help="dev only, to choose settings by")
arguments = parser.parse_args()

chosen = SETS[arguments.name]
pattern = (DATA / arguments.name / chosen["files"]).as_posix()
files = {part: pattern.format(part=part) for part in ("train", "dev", "test")}
share, members = chosen.get("hold_out"), arguments.members or chosen.get("members", 1)
whole = bool(share) and not arguments.no_test
"""Whether settings are chosen and nothing is held out any more: the last weights are kept, whatever they score."""
keys = [f'tasks.sentences.train="{files["train"]}"']
if whole:
    keys += [f'tasks.sentences.dev="{files["train"]}"', "training.evaluate_every=1_000_000"]
else:
    keys += [f"tasks.sentences.hold_out={share}" if share else f'tasks.sentences.dev="{files["dev"]}"']


def trained(model: str, seed: int) -> Path:
    """Train one model; return its run."""
    config = parse(RunConfig, laid_over(MODELS[model], chosen.get(model, {})), f"{arguments.name}, {model}",
                   [*keys, f"seed={seed}", *arguments.set])
    directory: Path = arguments.out / arguments.name / model / f"seed-{seed}"
    best = train(config, directory, resume=arguments.resume, display=ConsoleDisplay()).progress.best
    print(f"seed {seed}, {model}: {'train' if whole else 'dev'} {best:.2f}", flush=True)
    return directory


def score(runs: list[Path], part: str, seed: int = 1) -> float:
    """Accuracy of models that act as one; of the dev part that this seed held out, if it was held out."""
    classifier = Classifier.load(runs)
    task = classifier.task
    return evaluate(classifier, read_dev(task, seed) if part == "dev" else read_examples(task, files["test"])).value


def spread(values: list[float]) -> str:
    """Mean and, of several values, standard deviation."""
    return f"{mean(values):.2f}{f' +- {stdev(values):.2f}' if len(values) > 1 else ''}"


every: list[Path] = []
found: dict[str, list[float]] = {"dev": [], "test": []}
for seed in arguments.seeds:
    began = time.process_time()
    runs = [trained(model, seed + 100 * member) for model in arguments.models for member in range(members)]
    minutes = (time.process_time() - began) / 60
    every += runs
    if not whole:
        found["dev"].append(score(runs, "dev", seed))
    if not arguments.no_test:
        found["test"].append(score(runs, "test"))
    values = ", ".join(f"{part} {each[-1]:.2f}" for part, each in found.items() if each)
    print(f"seed {seed}: {values}; {minutes:.1f} CPU minutes", flush=True)

print(f"{arguments.name}, {len(arguments.seeds)} seeds: {', '.join(f'{k} {spread(v)}' for k, v in found.items() if v)}")
if len(found["test"]) > 1:
    print(f"all of them together: test {score(every, 'test'):.2f}")
