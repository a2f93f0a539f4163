"""Our tagger: an epoch of the recipe for CoNLL-2000, through `seq2x.run.train`, then `Tagger.tag`.

DATA WORK: the folder of CoNLL-2000, where the run is left (for tag_start.py).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from _tag import BATCH, Clock, measure, read

from seq2x import Tagger, train
from seq2x.config import read as read_settings
from seq2x.settings import RunConfig
from seq2x.training.progress import FitConfig, Progress, Score, Update

PADDED = 28  # tokens of a sentence of mean length (25), as it is padded: so that 32 of them are a batch
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "tagging" / "conll2000.toml"


class Watch:
    """The display of a training that nobody looks at."""

    def __init__(self) -> None:
        self.clock = Clock(endless=False)

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        self.clock.updated(update.units)

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)


def main(data: Path, work: Path) -> None:
    config = read_settings(RunConfig, RECIPE, [
        f"tasks.chunks.train={json.dumps(str(data / 'train.txt.gz'))}", f"seed={os.environ['SEED']}",
        "training.max_epochs=1"])
    watch, out = Watch(), work / "run"
    shutil.rmtree(out, ignore_errors=True)
    train(config, out, display=watch, say=lambda line: print(line, file=sys.stderr))
    tagger = Tagger.load(out)

    def tag(sentences: list[list[str]]) -> int:
        return sum(len(found.spans) for found in tagger.tag(sentences, batch_tokens=BATCH * PADDED))

    parameters = sum(parameter.numel() for parameter in tagger.loaded.model.parameters())
    measure(watch.clock, tag, read(data / "test.txt.gz", 2), read(data / "train.txt.gz", 2)[:BATCH],
            {"parameters": parameters, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
