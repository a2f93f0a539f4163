"""Train a translator on Tatoeba, English to German, at full size, and score it on the test set, once a seed.

    tools/get_data tatoeba-en-de
    python recipes/tatoeba/run.py
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import mean, stdev

from seq2x import Translator, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "tatoeba-en-de"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/tatoeba"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
arguments = parser.parse_args()


def pair(split: str) -> tuple[str, str]:
    """The aligned files of a split."""
    return (DATA / f"{split}.en.gz").as_posix(), (DATA / f"{split}.de.gz").as_posix()


paths = [f"tasks.translate.{split}={json.dumps(pair(split))}" for split in ("train", "dev")]
found: list[tuple[float, float]] = []
for seed in arguments.seeds:
    config = read(RunConfig, HERE / "tatoeba.toml", [*paths, f"seed={seed}", *arguments.set])
    run = train(config, arguments.out / f"seed-{seed}", resume=arguments.resume, display=ConsoleDisplay())
    print(f"seed {seed}: {run.progress.seconds / 60:.1f} minutes, {run.progress.step:,} updates; best dev BLEU "
          f"{run.progress.best:.2f} (greedy)", flush=True)
    scores = evaluate(Translator.load(run.directory), read_examples(config.tasks["translate"], pair("test"))).scores
    print(f"seed {seed}: test {scores}", flush=True)
    found.append((scores["bleu"], scores["chrf"]))

for name, values in zip(("BLEU", "chrF"), zip(*found, strict=True), strict=True):
    spread = f" +- {stdev(values):.2f}" if len(values) > 1 else ""
    print(f"test {name}, {len(values)} seeds: {mean(values):.2f}{spread}")
