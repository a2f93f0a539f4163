"""Train a classifier of sentences from scratch and score it on the test set, once a seed.

    tools/get_data sentence_polarity
    python recipes/sentences/run.py sentence_polarity --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from seq2x import Classifier, Evaluation, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data"))
BASE, SETS = (tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("sentences", "sets"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", choices=list(SETS), help="the set")
parser.add_argument("--out", type=Path, default=Path("runs/sentences"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
parser.add_argument("--no-test", action="store_true", help="dev only, to choose settings by")
arguments = parser.parse_args()

chosen = dict(SETS[arguments.name])
pattern = (DATA / arguments.name / chosen.pop("files")).as_posix()
files = {part: pattern.format(part=part) for part in ("train", "dev", "test")}
parts = ("train",) if "hold_out" in chosen.get("tasks", {}).get("sentences", {}) else ("train", "dev")
paths = [f'tasks.sentences.{part}="{files[part]}"' for part in parts]
found: list[float] = []
runs: list[Path] = []


def test(runs: Sequence[Path]) -> Evaluation:
    """Score one model, or several that act as one."""
    return evaluate(Classifier.load(runs), read_examples(config.tasks["sentences"], files["test"]))


for seed in arguments.seeds:
    config = parse(RunConfig, laid_over(BASE, chosen), arguments.name, [*paths, f"seed={seed}", *arguments.set])
    began = time.process_time()
    directory = arguments.out / arguments.name / f"seed-{seed}"
    run = train(config, directory, resume=arguments.resume, display=ConsoleDisplay())
    minutes = (time.process_time() - began) / 60
    print(f"seed {seed}: {minutes:.1f} CPU minutes; best dev {run.progress.best:.2f}", flush=True)
    if not arguments.no_test:
        result = test([directory])
        print(f"seed {seed}: test {result.metric} {result.value:.2f}; {result.scores}", flush=True)
        found.append(result.value)
        runs.append(directory)

if found:
    spread = f" +- {stdev(found):.2f}" if len(found) > 1 else ""
    print(f"{arguments.name}, test, {len(found)} seeds: {mean(found):.2f}{spread}")
    if len(found) > 1:
        print(f"all of them together: {test(runs).value:.2f}")
