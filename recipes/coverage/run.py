"""Translation with and without each form of coverage: trains models without, goes on with each form, prints the table.

    tools/get_data bible tatoeba-en-fr gold-align-enfr
    python recipes/coverage/run.py --seeds 1 2
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from seq2x import Trained, Translator, checkpoint, metrics, train
from seq2x.config import laid_over, parse
from seq2x.data.files import read_lines
from seq2x.overview import parameters
from seq2x.predictors import Translation
from seq2x.reports.console import ConsoleDisplay
from seq2x.settings import RunConfig

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SEQ2X_DATA", ".data"))
RECURRENT, TRANSFORMER, ALIGNMENT, FURTHER, VARIANTS = (
    tomllib.loads((HERE / f"{name}.toml").read_text("utf-8"))
    for name in ("coverage", "transformer", "alignment", "further", "variants"))
BASES: dict[str, dict[str, Any]] = {"recurrent": {}, "transformer": TRANSFORMER}
"""What is trained without coverage, and every variant goes on from."""
BINS = ((1, 16), (17, 24), (25, 32), (33, 999))
"""Source words from and to, for BLEU by length."""
DROPPED = 0.1
"""A source word is dropped where its attention, summed over its pieces and the words of the output, is less."""
HEADER = ("variant", "BLEU", "chrF", *(f"{first}-{last}".replace("-999", "+") + " words" for first, last in BINS),
          "repeated 2-grams %", "4-grams %", "dropped words %", "length ratio", "AER", "parameters", "minutes", "seeds")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path("runs/coverage"), help="where the run directories go")
parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training each")
parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help="default: all")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
parser.add_argument("--no-alignment", action="store_true", help="leave out what the alignment error rate needs")
parser.add_argument("--resume", action="store_true", help="go on where it stopped; what is done is not done again")
arguments = parser.parse_args()


def parted(side: str, language: str) -> str:
    """A sentence as those of the gold pairs are: words parted, lower case, French articles and the like in full."""
    text = side.lower().replace("\u2019", "'")
    if language == "fr":
        text = re.sub(r"\b(qu|[cdjlmnst])'", r"\1e ", text)
    return " ".join(re.findall(r"\w+|'\w+|[^\w\s]", text))


def files(kind: str, part: str) -> list[str]:
    """Source and target of a part of the Bible, or of Tatoeba with its words parted."""
    if kind == "bible":
        return [(DATA / "bible" / f"{part}.{end}.gz").as_posix() for end in ("de", "en-bbe")]
    paths = [arguments.out / "alignment" / "data" / f"{part}.{language}" for language in ("en", "fr")]
    for path in paths:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = read_lines(DATA / "tatoeba-en-fr" / f"{path.name}.gz")
            checkpoint.write(path, "".join(f"{parted(line, path.suffix[1:])}\n" for line in lines))
    return [path.as_posix() for path in paths]


def fitted(kind: str, name: str, seed: int, laid: Mapping[str, Any], *overrides: str) -> Trained:
    """Train once, or take what is there."""
    paths = [f"tasks.translate.{part}={json.dumps(files(kind, part))}" for part in ("train", "dev")]
    config = parse(RunConfig, laid, name, [*paths, f"seed={seed}", *overrides, *arguments.set])
    return train(config, arguments.out / kind / name / f"seed-{seed}", resume=arguments.resume,
                 display=ConsoleDisplay())


def laid_of(kind: str, base: str) -> dict[str, Any]:
    """The settings of a model without coverage."""
    return laid_over(laid_over(RECURRENT, ALIGNMENT if kind == "alignment" else {}), BASES[base])


@cache
def begun(kind: str, base: str, seed: int) -> Trained:
    """The model without coverage."""
    return fitted(kind, base, seed, laid_of(kind, base))


@cache
def further(kind: str, variant: str, seed: int) -> Trained:
    """That model, trained further as a variant."""
    own = dict(VARIANTS[variant])
    base = own.pop("base", "recurrent")
    before = begun(kind, base, seed).directory
    laid = laid_over(laid_over(laid_of(kind, base), FURTHER), own)
    return fitted(kind, variant, seed, laid, f'start.from="{before.as_posix()}"')


def attended(found: Translation) -> list[float]:
    """The attention that each word of the source got from all the tokens of its translation but the end symbol."""
    sums: list[float] = []
    for part in found.alternatives[0].attention:
        for place, piece in enumerate(part.source[:-1]):
            if piece.startswith("\u2581") or not sums:
                sums.append(0.0)
            sums[-1] += sum(row[place] for row in part.weights[:-1])
    return sums


def measured(sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """What the texts alone say."""
    scores = {"BLEU": metrics.bleu(outputs, references).value, "chrF": metrics.chrf(outputs, references).value,
              "repeated 2-grams %": metrics.repetition(outputs, 2), "4-grams %": metrics.repetition(outputs, 4)}
    for name, (first, last) in zip(HEADER[3:], BINS, strict=False):
        rows = [row for row, source in enumerate(sources) if first <= len(source.split()) <= last]
        if rows:
            scores[name] = metrics.bleu([outputs[row] for row in rows], [references[row] for row in rows]).value
    lengths = [sum(len(text.split()) for text in side) for side in (outputs, references)]
    return {**scores, "length ratio": lengths[0] / lengths[1]}


def alignment_error(translator: Translator) -> float:
    """The error of the attention that a model has on the gold pairs, their translations given."""
    pairs = [tuple(side.lower().strip() for side in line.split("|||"))
             for line in read_lines(DATA / "gold-align-enfr" / "enfr.src-tgt") if line]
    gold: dict[str, list[set[tuple[int, int]]]] = {"-": [], "p": []}
    for line in read_lines(DATA / "gold-align-enfr" / "enfr.gold")[: len(pairs)]:
        for mark, sets in gold.items():  # counted from 1
            sets.append({(int(link.split(mark)[0]) - 1, int(link.split(mark)[1]) - 1)
                         for link in line.split() if mark in link})
    scored = translator.score([(source, target) for source, target in pairs], details=True)
    return metrics.alignment_error_rate([set(each.alignment) for each in scored], gold["-"], gold["p"])


def one(variant: str, seed: int) -> dict[str, float]:
    """Train, translate the test set, measure; once, and written down."""
    path = arguments.out / "scores" / f"{variant}.seed-{seed}.json"
    if arguments.resume and path.exists():
        known: dict[str, float] = json.loads(path.read_text("utf-8"))
        return known
    model = VARIANTS[variant].get("of", variant)
    run = further("bible", model, seed)
    translator = Translator.load(run.directory)
    search = translator.search.model_copy(update=VARIANTS[variant].get("tasks", {}).get("translate", {}).get("search"))
    sources, references = (read_lines(path) for path in files("bible", "test"))
    found = translator.translate(sources, search=search, details=True)
    sums = [each for translation in found for each in attended(translation)]
    scores = measured(sources, [translation.text for translation in found], references)
    scores |= {"dropped words %": 100 * sum(each < DROPPED for each in sums) / len(sums),
               "minutes": run.progress.seconds / 60,
               "parameters": sum(parameters(translator.loaded.model).values())}
    if not arguments.no_alignment:
        scores["AER"] = alignment_error(Translator.load(further("alignment", model, seed).directory))
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write(path, json.dumps(scores, indent=1))
    return scores


def row(name: str, runs: Sequence[Mapping[str, float]]) -> str:
    """The mean of each column, with the standard deviation of several runs."""
    cells = [name]
    for column in HEADER[1:-1]:
        values = [run[column] for run in runs if column in run]
        spread = f" +- {stdev(values):.1f}" if len(values) > 1 and column not in ("parameters", "minutes") else ""
        digits = {"parameters": ",.0f", "length ratio": ".2f"}.get(column, ".1f")
        cells.append(f"{mean(values):{digits}}{spread}" if values else "")
    return f"| {' | '.join([*cells, str(len(runs) or '')])} |"


table = [f"| {' | '.join(HEADER)} |", "|---" * len(HEADER) + "|"]
for name in arguments.variants:
    table.append(row(name, [one(name, number) for number in arguments.seeds]))
    print("\n".join(table), flush=True)
sources, references = (read_lines(path) for path in files("bible", "test"))
told = measured(sources, references, references)  # their own repetition
print(row("references", [{key: told[key] for key in ("repeated 2-grams %", "4-grams %", "length ratio")}]))
