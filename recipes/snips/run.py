"""Train one model of the intents and slots of SNIPS and score it on the test set, once a seed.

    tools/get_data snips
    python recipes/snips/run.py --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import mean, stdev

from seq2x import Classifier, Tagger, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "snips"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/snips"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
arguments = parser.parse_args()

FILES = {"slots": "slots.conll.gz", "intents": "intents.tsv.gz"}
paths = [f'tasks.{task}.{key}="{(DATA / f"{key}.{file}").as_posix()}"'
         for task, file in FILES.items() for key in ("train", "dev")]
found: dict[str, list[float]] = {"slots": [], "intents": []}
for seed in arguments.seeds:
    config = read(RunConfig, HERE / "snips.toml", [*paths, f"seed={seed}", *arguments.set])
    began = time.process_time()
    run = train(config, arguments.out / f"seed-{seed}", resume=arguments.resume, display=ConsoleDisplay())
    minutes = (time.process_time() - began) / 60
    print(f"seed {seed}: {minutes:.1f} CPU minutes; best dev mean {run.progress.best:.2f}", flush=True)
    for task, predictor in (("slots", Tagger), ("intents", Classifier)):
        test = read_examples(config.tasks[task], str(DATA / f"test.{FILES[task]}"))
        result = evaluate(predictor.load(run.directory, task), test)
        print(f"seed {seed}: test {task} {result.metric} {result.value:.2f}; {result.scores}", flush=True)
        found[task].append(result.value)

for task, values in found.items():
    spread = f" +- {stdev(values):.2f}" if len(values) > 1 else ""
    print(f"test {task}, {len(values)} seeds: {mean(values):.2f}{spread}")
