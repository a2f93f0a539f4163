"""Our training, through `seq2x.run.train` as `seq2x train` does it, watched and left by its display.

SETTINGS DATA WORK PRECISION: settings of ours, the folder of Multi30k, what train_data.py wrote, fp32 or bf16. Without
bfloat16 instructions a machine trains in fp32 for both; the fact "bfloat16" says so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from _train import Clock, Enough

from seq2x.build import build_model
from seq2x.checkpoint import load_text, read_config
from seq2x.config import read
from seq2x.machine import chosen_precision
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.training.progress import FitConfig, Progress, Score, Update


class Watch:
    """The display of a training that nobody looks at."""

    def __init__(self) -> None:
        self.clock = Clock()

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        self.clock.updated(update.units)

    def evaluating(self, progress: Progress) -> None:
        raise RuntimeError(f"an evaluation at update {progress.step}: the machine is too quick for this measurement")

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)


def main(settings: Path, data: Path, work: Path, precision: str) -> None:
    paths = {"train": [str(data / f"train.{language}.gz") for language in ("en", "de")],
             "dev": [str(work / f"dev.{language}") for language in ("en", "de")]}
    precision = "auto" if precision == "bf16" else precision
    config = read(RunConfig, settings, [f"seed={os.environ['SEED']}", f'training.precision="{precision}"', *(
        f"tasks.translate.{key}={json.dumps(files)}" for key, files in paths.items())])
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=work) as out:
        with suppress(Enough):
            train(config, out, display=watch, say=lambda line: print(line, file=sys.stderr))
        run = Path(out)
        if (run / "source.model").read_bytes() != (work / "learnt.model").read_bytes():
            raise RuntimeError("the run learnt other subwords than the peer was given")
        source, target = load_text(run, read_config(run))
    parameters = sum(parameter.numel() for parameter in build_model(config, source, target, {}).parameters())
    watch.clock.report(parameters=parameters, vocabulary=source.size, threads=torch.get_num_threads(),
                       bfloat16=int(chosen_precision(precision, "cpu") == "bf16"))


if __name__ == "__main__":
    folder = Path(__file__).parent
    main(folder / sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
