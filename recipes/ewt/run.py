"""Train a part-of-speech tagger on UD English EWT and score it on the test set, once a seed.

    tools/get_data ud-english-ewt
    python recipes/ewt/run.py --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import mean, stdev

from seq2x import Tagger, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "ud-english-ewt"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/ewt"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
arguments = parser.parse_args()

paths = [f'tasks.upos.{key}="{(DATA / f"en_ewt-ud-{key}.conllu.gz").as_posix()}"' for key in ("train", "dev")]
found: list[float] = []
for seed in arguments.seeds:
    config = read(RunConfig, HERE / "ewt.toml", [*paths, f"seed={seed}", *arguments.set])
    began = time.process_time()
    run = train(config, arguments.out / f"seed-{seed}", resume=arguments.resume, display=ConsoleDisplay())
    minutes = (time.process_time() - began) / 60
    print(f"seed {seed}: {minutes:.1f} CPU minutes; best dev accuracy {run.progress.best:.2f}", flush=True)
    test = read_examples(config.tasks["upos"], str(DATA / "en_ewt-ud-test.conllu.gz"))
    result = evaluate(Tagger.load(run.directory), test)
    print(f"seed {seed}: test accuracy {result.value:.2f}; {result.scores}", flush=True)
    found.append(result.value)

spread = f" +- {stdev(found):.2f}" if len(found) > 1 else ""
print(f"test accuracy, {len(found)} seeds: {mean(found):.2f}{spread}")
