"""Whether bf16 learns what fp32 learns: the dev loss of both after as many updates, from the same seed.

SETTINGS DATA UPDATES: settings of ours, the folder of Multi30k, a number. Run by hand, with the Python of `.venv`;
minutes on two processors: `python tools/bench_scripts/train_precision.py transformer.toml .data/multi30k 2000`
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.data.examples import Pair
from seq2x.predictors import Translator
from seq2x.run import train
from seq2x.settings import RunConfig


def main(settings: Path, data: Path, updates: int) -> None:
    losses = {precision: dev_loss(settings, data, updates, precision) for precision in ("fp32", "bf16")}
    worse = losses["bf16"] / losses["fp32"] - 1
    for precision, loss in losses.items():
        print(f"{precision}: {loss:.4f} nats a token of dev after {updates:,} updates")
    print(f"bf16 is {abs(worse):.2%} {'above' if worse > 0 else 'below'} fp32; at most 0.5 % above counts")


def dev_loss(settings: Path, data: Path, updates: int, precision: str) -> float:
    """Nats a real token, end symbols among them, of the weights after the last update; computed in float32."""
    paths = {key: [str(data / f"{name}.{language}.gz") for language in ("en", "de")]
             for key, name in (("train", "train"), ("dev", "val"))}
    config = read(RunConfig, settings, [
        f'training.precision="{precision}"', f"training.max_steps={updates}", "training.max_epochs=1000",
        f"training.evaluate_every={updates}",  # once, so that the last weights are the best
        *(f"tasks.translate.{key}={json.dumps(files)}" for key, files in paths.items())])
    with tempfile.TemporaryDirectory() as out:
        train(config, out, say=lambda line: print(line, file=sys.stderr))
        translator = Translator.load(out)
        examples = read_examples(config.tasks["translate"], (paths["dev"][0], paths["dev"][1]))
        pairs = [(pair.source, pair.target) for pair in examples if isinstance(pair, Pair) and pair.target is not None]
        tokens = sum(len(translator.loaded.source.encode(target).ids) for _, target in pairs)
        return -sum(one.log_prob for one in translator.score(pairs)) / tokens


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
