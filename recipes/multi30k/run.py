"""Train a translator on Multi30k, English to German, and score it on the three test sets, once.

    tools/get_data multi30k
    python recipes/multi30k/run.py recurrent --out runs/multi30k
    python recipes/multi30k/run.py transformer --out runs/multi30k-transformer
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from seq2x import Translator, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "multi30k"
SETTINGS = sorted(path.stem for path in HERE.glob("*.toml"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("settings", nargs="?", choices=SETTINGS, default="recurrent",
                    help=f"one of {', '.join(SETTINGS)} (default: %(default)s)", metavar="SETTINGS")
parser.add_argument("--out", type=Path, help="run directory (default: runs/multi30k-SETTINGS)")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
arguments = parser.parse_args()


def pair(split: str) -> tuple[str, str]:
    """The aligned files of a split."""
    return (DATA / f"{split}.en.gz").as_posix(), (DATA / f"{split}.de.gz").as_posix()


paths = [f"tasks.translate.{key}={json.dumps(pair(split))}" for key, split in (("train", "train"), ("dev", "val"))]
config = read(RunConfig, HERE / f"{arguments.settings}.toml", [*paths, *arguments.set])

out = arguments.out or Path("runs") / f"multi30k-{arguments.settings}"
run = train(config, out, resume=arguments.resume, display=ConsoleDisplay())
print(f"trained in {run.progress.seconds / 60:.1f} minutes; best dev score {run.progress.best:.2f}")

translator = Translator.load(run.directory)
for split in ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"):
    scores = evaluate(translator, read_examples(config.tasks["translate"], pair(split))).scores
    print(f"{split}: {scores}")
