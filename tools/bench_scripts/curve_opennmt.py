"""OpenNMT-py's dev BLEU against its own wall minutes: a line "minutes TAB BLEU" a checkpoint, into a file.

SETTINGS WORK MINUTES EVERY FILE [KEY=VALUE ...]: settings of OpenNMT-py, what train_data.py wrote; how long to train,
and how often to keep the weights; settings that are others. The weights are translated greedily after the training,
whose clock stands while a checkpoint is written.

    .venv/bin/python tools/bench_scripts/train_data.py recurrent.toml .data/multi30k .bench/curve
    .bench/opennmt-py/.venv/bin/python tools/bench_scripts/curve_opennmt.py recurrent.yaml .bench/curve 60 4 \
        .bench/curve/recurrent.tsv batch_size=1024
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # or torch refuses what the peer has just saved

import yaml
from _train import Enough

for name in ("spacy", "fasttext"):  # large, and imported for transforms that are not used here
    sys.modules[name] = ModuleType(name)

import sacrebleu  # noqa: E402 - after what is left out
from onmt.bin import train as program  # noqa: E402
from onmt.inference_engine import InferenceEnginePY  # noqa: E402
from onmt.opts import train_opts, translate_opts  # noqa: E402
from onmt.trainer import Trainer  # noqa: E402
from onmt.utils.parse import ArgumentParser  # noqa: E402
from onmt.utils.statistics import Statistics  # noqa: E402


def train(settings: Path, work: Path, minutes: float, every: float, overrides: dict[str, Any]) -> dict[int, float]:
    """Train for so many minutes; return when each checkpoint was reached, by its update."""
    config = yaml.safe_load(settings.read_text(encoding="utf-8")) | overrides
    config |= {
        "data": {"multi30k": {"path_src": str(work / "train.en"), "path_tgt": str(work / "train.de"), "weight": 1}},
        "src_vocab": str(work / "vocabulary.txt"), "tgt_vocab": str(work / "vocabulary.txt"),
        "save_model": str(work / f"curve-{settings.stem}"), "seed": int(os.environ.get("SEED", "1")),
    }
    filled = work / f"curve-{settings.stem}.yaml"
    filled.write_text(yaml.safe_dump(config), encoding="utf-8")
    parser = ArgumentParser(description="curve")
    train_opts(parser)
    options, _ = parser.parse_known_args(["-config", str(filled)])
    reached: dict[int, float] = {}
    began, due = time.monotonic(), every

    def report(trainer: Trainer, step: int, _steps: int, _rate: float, _statistics: Statistics) -> Statistics:
        nonlocal began, due
        passed = (time.monotonic() - began) / 60
        if passed >= due:
            paused = time.monotonic()
            trainer.model_saver.save(step)
            reached[step] = passed
            due += every
            began += time.monotonic() - paused
            print(f"{passed:.1f} minutes: update {step}", file=sys.stderr, flush=True)
        if passed >= minutes:
            raise Enough
        return Statistics()

    Trainer._maybe_report_training = report
    with suppress(Enough):
        program.train(options)
    return reached


def bleu(model: Path, work: Path) -> float:
    """Dev BLEU of greedy translations, as our runs have it on the way."""
    parser = ArgumentParser(description="curve")
    translate_opts(parser)
    options = parser.parse_args(["-model", str(model), "-src", str(work / "val.pieces.en"), "-output",
                                 str(work / "curve.txt"), "-beam_size", "1", "-batch_size", "64", "-max_length", "100"])
    for check in (ArgumentParser.validate_translate_opts, ArgumentParser._get_all_transform_translate,
                  ArgumentParser._validate_transforms_opts, ArgumentParser.validate_translate_opts_dynamic):
        check(options)
    lines, references = ((work / name).read_text(encoding="utf-8").split("\n")[:-1]
                         for name in ("val.pieces.en", "val.de"))
    _, found = InferenceEnginePY(options).infer_list(lines)
    return float(sacrebleu.corpus_bleu([text(best) for best, *_ in found], [references]).score)


def text(pieces: str) -> str:
    """Running text of SentencePiece's pieces; letters that are spelt in bytes become themselves again."""
    joined = pieces.replace(" ", "").replace("\u2581", " ").strip()
    return re.sub("(?:<0x[0-9A-F]{2}>)+", _letters, joined)


def _letters(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("<0x", "").replace(">", "")).decode("utf-8", "replace")


def main(settings: Path, work: Path, minutes: float, every: float, out: Path, *given: str) -> None:
    overrides = {key: yaml.safe_load(value) for key, _, value in (each.partition("=") for each in given)}
    reached = train(settings, work, minutes, every, overrides)
    lines = [f"{passed:.2f}\t{bleu(work / f'curve-{settings.stem}_step_{step}.pt', work):.2f}\n"
             for step, passed in reached.items()]
    out.write_text("".join(lines), encoding="utf-8", newline="\n")
    print("".join(lines))


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]),
         Path(sys.argv[5]), *sys.argv[6:])
