"""The four models of the Keras tutorial on IMDB reviews, what is put right, and a better one: a table of the test set.

    tools/get_data imdb
    python recipes/imdb/run.py lstm dropout gates convolution --seeds 1 2 3
    python recipes/imdb/run.py masked whole variational pooled best --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
import tomllib
from functools import cache
from pathlib import Path
from statistics import mean, stdev

from seq2x import Classifier, Trained, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.overview import parameters
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "imdb"
BASES = {name: tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("tutorial", "right")}
VARIANTS = {variant: laid_over(BASES[base], changes)
            for base, table in tomllib.loads((HERE / "variants.toml").read_text("utf-8")).items()
            for variant, changes in table.items()}
TOGETHER = {"best": ("bag", "regions")}
"""What several models are that act as one."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("variants", nargs="*", default=[*VARIANTS, *TOGETHER], metavar="VARIANT",
                    help=f"of {', '.join([*VARIANTS, *TOGETHER])} (default: all)")
parser.add_argument("--out", type=Path, default=Path("runs/imdb"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
parser.add_argument("--no-test", action="store_true", help="dev only, to choose settings by")
arguments = parser.parse_args()
if unknown := set(arguments.variants) - {*VARIANTS, *TOGETHER}:
    parser.error(f"found {', '.join(sorted(unknown))}; expected some of {', '.join([*VARIANTS, *TOGETHER])}")

# reviews of one film stand together: the last 2,500 as dev are of other films than the rest
reviews = gzip.decompress((DATA / "train.tsv.gz").read_bytes()).removesuffix(b"\n").split(b"\n")
files = {"all": DATA / "train.tsv.gz", "first": arguments.out / "first.tsv", "dev": arguments.out / "dev.tsv"}
arguments.out.mkdir(parents=True, exist_ok=True)
for name, part in (("first", reviews[:-2500]), ("dev", reviews[-2500:])):
    files[name].write_bytes(b"".join(review + b"\n" for review in part))


@cache
def trained(variant: str, seed: int) -> tuple[Trained, float]:
    """Train once; and the CPU minutes of it."""
    task = VARIANTS[variant]["tasks"]["reviews"]
    paths = [f"tasks.reviews.{key}={json.dumps(files[task[key]].as_posix())}" for key in ("train", "dev")]
    config = parse(RunConfig, VARIANTS[variant], variant, [*paths, f"seed={seed}", *arguments.set])
    began = time.process_time()
    run = train(config, arguments.out / variant / f"seed-{seed}", resume=arguments.resume, display=ConsoleDisplay())
    return run, (time.process_time() - began) / 60


def one(variant: str, seed: int) -> tuple[float, float, int, float]:
    """Train what is not trained yet; return test and dev accuracy, parameters, CPU minutes of the training."""
    runs, times = zip(*(trained(member, seed) for member in TOGETHER.get(variant, (variant,))), strict=True)
    classifier, test = Classifier.load([run.directory for run in runs]), float("nan")
    size, minutes = sum(sum(parameters(each.model).values()) for each in classifier.runs), sum(times)
    dev = runs[0].progress.best if len(runs) == 1 else evaluated(classifier, files["dev"])
    if not arguments.no_test:
        test = evaluated(classifier, DATA / "test.tsv.gz")
    print(f"{variant}, seed {seed}: test {test:.2f}, dev {dev:.2f}, {minutes:.1f} minutes", flush=True)
    return test, dev or 0.0, size, minutes


def evaluated(classifier: Classifier, path: Path) -> float:
    """Accuracy, in %."""
    return evaluate(classifier, read_examples(classifier.task, str(path))).value


rows = ["| variant | test accuracy | dev accuracy | parameters | CPU minutes | seeds |", "|---" * 6 + "|"]
for variant in arguments.variants:
    tests, devs, sizes, times = zip(*(one(variant, seed) for seed in arguments.seeds), strict=True)
    scores = [f"{mean(each):.2f}{f' +- {stdev(each):.2f}' if len(each) > 1 else ''}" for each in (tests, devs)]
    rows.append(f"| {variant} | {' | '.join(scores)} | {sizes[0]:,} | {mean(times):.1f} | {len(tests)} |")
print("\n".join(rows))
