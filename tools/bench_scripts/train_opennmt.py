"""OpenNMT-py's own training (onmt.bin.train), watched where it reports and left there.

SETTINGS WORK: settings of OpenNMT-py, what train_data.py wrote.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import torch
import yaml
from _train import Clock, Enough

for name in ("spacy", "fasttext"):  # large, and imported for transforms that are not used here
    sys.modules[name] = ModuleType(name)

from onmt.bin import train as program  # noqa: E402 - after what it imports
from onmt.opts import train_opts  # noqa: E402
from onmt.trainer import Trainer  # noqa: E402
from onmt.utils.parse import ArgumentParser  # noqa: E402
from onmt.utils.statistics import Statistics  # noqa: E402


def main(settings: Path, work: Path) -> None:
    config = yaml.safe_load(settings.read_text(encoding="utf-8"))
    config |= {
        "data": {"multi30k": {"path_src": str(work / "train.en"), "path_tgt": str(work / "train.de"), "weight": 1}},
        "src_vocab": str(work / "vocabulary.txt"), "tgt_vocab": str(work / "vocabulary.txt"),
        "save_model": str(work / "opennmt"), "seed": int(os.environ["SEED"]),
    }
    filled = work / "opennmt.yaml"
    filled.write_text(yaml.safe_dump(config), encoding="utf-8")
    parser = ArgumentParser(description="bench")
    train_opts(parser)
    options, _ = parser.parse_known_args(["-config", str(filled)])
    clock = Clock()
    trainers: list[Trainer] = []

    def report(trainer: Trainer, _step: int, _steps: int, _rate: float, statistics: Statistics) -> Statistics:
        trainers[:] = [trainer]
        clock.updated(statistics.n_words)
        return Statistics()

    Trainer._maybe_report_training = report
    with suppress(Enough):
        program.train(options)
    (trainer,) = trainers
    vocabulary = trainer.model.generator.weight.shape[0]
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    clock.report(parameters=parameters, vocabulary=vocabulary, threads=torch.get_num_threads())


if __name__ == "__main__":
    folder = Path(__file__).parent
    main(folder / sys.argv[1], Path(sys.argv[2]))
