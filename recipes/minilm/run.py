"""Fine-tune MiniLM on sets of tagging and classification and score it on the test sets, once a seed.

    pip install -e ".[pretrained]" -c constraints.txt
    tools/get_data minilm ncbi-disease
    python recipes/minilm/run.py ncbi-disease --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import os
import time
import tomllib
from pathlib import Path
from statistics import mean, stdev

from seq2x import Classifier, Tagger, evaluate, train
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data"))
BASE, SETS = (tomllib.loads((HERE / f"{name}.toml").read_text("utf-8")) for name in ("minilm", "sets"))
KINDS: dict[str, type[Tagger] | type[Classifier]] = {"tag": Tagger, "classify": Classifier}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", choices=list(SETS), help="the set")
parser.add_argument("--model", type=Path, default=DATA / "minilm", help="folder of the model (default: %(default)s)")
parser.add_argument("--out", type=Path, default=Path("runs/minilm"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--resume", action="store_true", help="go on where an earlier run stopped")
parser.add_argument("--no-test", action="store_true", help="dev only, to choose settings by")
arguments = parser.parse_args()

chosen, folder = dict(SETS[arguments.name]), DATA / arguments.name
test = str(folder / chosen.pop("test"))
((name, task),) = chosen["tasks"].items()
paths = [f'tasks.{name}.{key}="{(folder / task[key]).as_posix()}"' for key in ("train", "dev") if key in task]
found: list[float] = []
for seed in arguments.seeds:
    settings = [*paths, f'encoder.model="{arguments.model.as_posix()}"', f"seed={seed}", *arguments.set]
    config = parse(RunConfig, laid_over(BASE, chosen), arguments.name, settings)
    began = time.process_time()
    directory = arguments.out / arguments.name / f"seed-{seed}"
    run = train(config, directory, resume=arguments.resume, display=ConsoleDisplay())
    minutes = (time.process_time() - began) / 60
    print(f"seed {seed}: {minutes:.1f} CPU minutes; best dev {run.progress.best:.2f}", flush=True)
    if not arguments.no_test:
        result = evaluate(KINDS[task["kind"]].load(directory), read_examples(config.tasks[name], test))
        print(f"seed {seed}: test {result.metric} {result.value:.2f}; {result.scores}", flush=True)
        found.append(result.value)

if found:
    spread = f" +- {stdev(found):.2f}" if len(found) > 1 else ""
    print(f"{arguments.name}, test, {len(found)} seeds: {mean(found):.2f}{spread}")
