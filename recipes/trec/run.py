"""Train a question classifier on TREC-6 and score it on the test set, once.

    tools/get_data trec
    python recipes/trec/run.py --out runs/trec
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from seq2x import Classifier, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "trec"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/trec"), help="run directory")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
arguments = parser.parse_args()

paths = [f'tasks.questions.train="{(DATA / "train.coarse.tsv").as_posix()}"']
config = read(RunConfig, HERE / "trec.toml", [*paths, *arguments.set])

began = time.process_time()
run = train(config, arguments.out, resume=arguments.resume, display=ConsoleDisplay())
print(f"trained in {(time.process_time() - began) / 60:.1f} CPU minutes; best dev accuracy {run.progress.best:.2f}")

test = read_examples(config.tasks["questions"], str(DATA / "test.coarse.tsv"))
scores = evaluate(Classifier.load(run.directory), test).scores
print(f"test, {len(test):,} questions: {scores}")
