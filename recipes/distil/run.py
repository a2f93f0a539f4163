"""Sequence-level distillation on Multi30k (Kim & Rush 2016): a teacher translates train, a small student learns that.

    tools/get_data multi30k
    python recipes/distil/run.py --teacher runs/multi30k-transformer
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from seq2x import Translator, checkpoint, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.data.files import read_lines
from seq2x.overview import parameters
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data")) / "multi30k"
COLUMNS = ("parameters", "dev BLEU", "test BLEU, beam 5", "sentences/s", "test BLEU, greedy", "sentences/s")
KINDS = ("gold", "distilled", "both")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--teacher", type=Path, nargs="+", metavar="RUN",
                    help="run directories, several are an ensemble; left out: recipes/multi30k/transformer is trained")
parser.add_argument("--out", type=Path, default=Path("runs/distil"), help="where the run directories go")
parser.add_argument("--students", nargs="+", default=list(KINDS), choices=KINDS, help="what they learn (default: all)")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of students")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
arguments = parser.parse_args()


def file(split: str, language: str) -> str:
    """One side of a split."""
    return (DATA / f"{split}.{language}.gz").as_posix()


def trained(name: str, settings: Path, train_files: object, overrides: list[str]) -> Path:
    """Train a model, or take what is there."""
    paths = [f"tasks.translate.train={json.dumps(train_files)}",
             f"tasks.translate.dev={json.dumps([file('val', 'en'), file('val', 'de')])}"]
    config = read(RunConfig, settings, [*paths, *overrides])
    return train(config, arguments.out / name, resume=arguments.resume, display=ConsoleDisplay()).directory


def translated(teacher: Translator) -> Path:
    """The target of train as the teacher has it."""
    path: Path = arguments.out / "distilled.de"
    if not (arguments.resume and path.exists()):
        search = teacher.search.model_copy(update={"beam_size": 5})
        found = teacher.translate(read_lines(file("train", "en")), search=search)
        checkpoint.write(path, "".join(f"{each.text}\n" for each in found))
    return path


def row(name: str, translator: Translator, models: int = 1) -> str:
    """Size, scores, and speed on one thread: sentences a second of processor time, whatever else runs beside."""
    dev, test = (read_examples(translator.task, (file(split, "en"), file(split, "de")))
                 for split in ("val", "test_2016_flickr"))
    cells = [f"{models * sum(parameters(translator.loaded.model).values()):,}"]
    beams = [translator.search.model_copy(update={"beam_size": size}) for size in (5, 1)]
    cells.append(f"{evaluate(translator, dev, search=beams[0]).scores['bleu']:.1f}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for search in beams:
        began = time.process_time()
        bleu = evaluate(translator, test, search=search).scores["bleu"]
        cells += [f"{bleu:.1f}", f"{len(test) / (time.process_time() - began):.0f}"]
    torch.set_num_threads(threads)
    return f"| {name} | {' | '.join(cells)} |"


gold = [file("train", "en"), file("train", "de")]
teachers = arguments.teacher or [trained("teacher", HERE.parent / "multi30k" / "transformer.toml", gold, [])]
teacher = Translator.load(teachers)
table = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|",
         row(f"teacher{f', an ensemble of {len(teachers)}' if len(teachers) > 1 else ''}", teacher, len(teachers))]
distilled = translated(teacher).as_posix()
data = {"gold": gold, "distilled": [gold[0], distilled], "both": [[gold[0], gold[0]], [gold[1], distilled]]}
for kind in arguments.students:
    student = trained(f"student-{kind}", HERE / "student.toml", data[kind], arguments.set)
    table.append(row(f"student, {kind}", Translator.load(student)))
print("\n".join(table))
