"""Train a tagger on one of four sets, from scratch, and score it on the test set, once a seed.

    tools/get_data conll2000
    python recipes/tagging/run.py conll2000 --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
import tomllib
from pathlib import Path
from statistics import mean, stdev

from seq2x import Tagger, evaluate, train
from seq2x.config import parse
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", choices=sorted(path.stem for path in HERE.glob("*.toml")), help="the set")
parser.add_argument("--out", type=Path, default=Path("runs/tagging"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
parser.add_argument("--no-test", action="store_true", help="dev only, to choose settings by")
arguments = parser.parse_args()

settings = tomllib.loads((HERE / f"{arguments.name}.toml").read_text("utf-8"))
((name, task),) = settings["tasks"].items()
test = (DATA / arguments.name / task["train"].replace("train", "test")).as_posix()
for part in {"train", "dev"} & set(task):
    task[part] = (DATA / arguments.name / task[part]).as_posix()
found: list[float] = []
for seed in arguments.seeds:
    config = parse(RunConfig, settings, arguments.name, [f"seed={seed}", *arguments.set])
    began = time.process_time()
    directory = arguments.out / arguments.name / f"seed-{seed}"
    run = train(config, directory, resume=arguments.resume, display=ConsoleDisplay())
    minutes = (time.process_time() - began) / 60
    print(f"seed {seed}: {minutes:.1f} CPU minutes; best dev {run.progress.best:.2f}", flush=True)
    if not arguments.no_test:
        result = evaluate(Tagger.load(directory), read_examples(config.tasks[name], test))
        print(f"seed {seed}: test {result.metric} {result.value:.2f}; {result.scores}", flush=True)
        found.append(result.value)

if found:
    spread = f" +- {stdev(found):.2f}" if len(found) > 1 else ""
    print(f"{arguments.name}, test, {len(found)} seeds: {mean(found):.2f}{spread}")
