"""Chunking with and without a second objective, equal time and parameters: trains every variant, prints the table.

    tools/get_data conll2000
    python recipes/multitask/run.py --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import tomllib
from pathlib import Path
from statistics import mean, stdev

from seq2x import Tagger, checkpoint, evaluate, extract, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.overview import parameters
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "conll2000"
BASE, VARIANTS = (tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("multitask", "variants"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/multitask"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="one training each")
parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help="default: all")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
arguments = parser.parse_args()


def one(variant: str, seed: int) -> tuple[float, float, int, int, int, float]:
    """Train once; return test F1, dev F1, parameters in use and in training, updates, wall minutes."""
    settings = laid_over(BASE, VARIANTS[variant])
    paths = [f'tasks.{task}.train="{(DATA / "train.txt.gz").as_posix()}"' for task in settings["tasks"]]
    config = parse(RunConfig, settings, variant, [*paths, f"seed={seed}", *arguments.set])
    directory = arguments.out / variant / f"seed-{seed}"
    run = train(config, directory, resume=arguments.resume, display=ConsoleDisplay())
    small = arguments.out / variant / f"seed-{seed}-chunks"  # the model in use: no head but that of the chunks
    tagger = Tagger.load(small if small.exists() else extract(directory, small, ["chunks"]))
    test = evaluate(tagger, read_examples(config.tasks["chunks"], str(DATA / "test.txt.gz")))
    sizes = [sum(parameters(checkpoint.load(path).model).values()) for path in (small, directory)]
    dev = next(line["scores"]["chunks"]["f1"] for line in checkpoint.read_metrics(directory)
               if line["step"] == run.progress.best_step)
    print(f"{variant}, seed {seed}: test F1 {test.value:.2f}, dev F1 {dev:.2f}", flush=True)
    return test.value, dev, *sizes, run.progress.step, run.progress.seconds / 60


rows = ["| variant | test F1 | dev F1 | parameters in use | in training | updates | minutes | seeds |",
        "|---" * 8 + "|"]
for variant in arguments.variants:
    tests, devs, used, trained, updates, minutes = zip(*(one(variant, seed) for seed in arguments.seeds), strict=True)
    scores = [f"{mean(each):.2f}{f' +- {stdev(each):.2f}' if len(each) > 1 else ''}" for each in (tests, devs)]
    rows.append(f"| {variant} | {' | '.join(scores)} | {used[0]:,} | {trained[0]:,} | {mean(updates):,.0f} | "
                f"{mean(minutes):.1f} | {len(tests)} |")
print("\n".join(rows))
