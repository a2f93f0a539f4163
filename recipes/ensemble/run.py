"""Ensembles of two to four translators, and means of checkpoints, on Multi30k: trains the models, prints the table.

    tools/get_data multi30k
    python recipes/ensemble/run.py --seeds 1 2 3 4
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tomllib
from pathlib import Path
from statistics import mean, stdev

from seq2x import Translator, checkpoint, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.overview import parameters
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
MODELS = HERE.parent / "multi30k"
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "multi30k"
COLUMNS = ("dev BLEU", "test BLEU", "test chrF", "parameters", "sentences/s")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--settings", choices=sorted(path.stem for path in MODELS.glob("*.toml")), default="recurrent",
                    help="of recipes/multi30k (default: %(default)s)")
parser.add_argument("--out", type=Path, default=Path("runs/ensemble"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
arguments = parser.parse_args()


def pair(split: str) -> tuple[str, str]:
    """The aligned files of a split."""
    return (DATA / f"{split}.en.gz").as_posix(), (DATA / f"{split}.de.gz").as_posix()


def trained(seed: int) -> Path:
    """Train one model, or take what is there."""
    base, own = (tomllib.loads(path.read_text("utf-8"))
                 for path in (MODELS / f"{arguments.settings}.toml", HERE / "ensemble.toml"))
    paths = [f"tasks.translate.{key}={json.dumps(pair(split))}" for key, split in (("train", "train"), ("dev", "val"))]
    config = parse(RunConfig, laid_over(base, own), arguments.settings, [*paths, f"seed={seed}", *arguments.set])
    directory = arguments.out / arguments.settings / f"seed-{seed}"
    return train(config, directory, resume=arguments.resume, display=ConsoleDisplay()).directory


def averaged(run: Path, count: int) -> Translator:
    """The mean of the last ``count`` checkpoints of a run; of one, it is the last itself."""
    loaded = checkpoint.load(run)
    paths = sorted((run / "checkpoints").glob("*.safetensors"), key=lambda path: int(path.stem))
    checkpoint.load_mean(loaded.model, paths[-count:])
    return Translator(loaded)


def measured(translator: Translator, models: int = 1) -> dict[str, float]:
    """Score on dev and, once, on the test set; the time is that of the test set."""
    dev, test = (read_examples(translator.task, pair(split)) for split in ("val", "test_2016_flickr"))
    dev_bleu = evaluate(translator, dev).scores["bleu"]
    began = time.perf_counter()
    scores = evaluate(translator, test).scores
    seconds = time.perf_counter() - began
    size = sum(parameters(translator.loaded.model).values())
    values = dev_bleu, scores["bleu"], scores["chrf"], models * size, len(test) / seconds
    return dict(zip(COLUMNS, values, strict=True))


def row(name: str, found: list[dict[str, float]]) -> str:
    """The mean of each column, with the standard deviation of several models."""
    cells = [name]
    for column in COLUMNS:
        values = [each[column] for each in found]
        spread = f" +- {stdev(values):.1f}" if len(values) > 1 and "test" in column else ""
        cells.append(f"{mean(values):{',.0f' if column == 'parameters' else '.1f'}}{spread}")
    return f"| {' | '.join(cells)} |"


runs = [trained(seed) for seed in arguments.seeds]
table = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
for title, count in (("last checkpoint", 1), ("mean of the last 3", 3), ("mean of the last 5", 5)):
    table.append(row(f"{title}, {len(runs)} seeds", [measured(averaged(run, count)) for run in runs]))
table.append(row(f"best on dev, {len(runs)} seeds", [measured(Translator.load(run)) for run in runs]))
for size in range(2, len(runs) + 1):
    table.append(row(f"ensemble of {size}", [measured(Translator.load(runs[:size]), size)]))
print("\n".join(table))
