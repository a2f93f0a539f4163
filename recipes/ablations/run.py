"""The techniques of the text, measured: a base model, and one change at a time, on a small part of a public set.

    tools/get_data conll2000
    python recipes/ablations/run.py --task tag --seeds 3
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import time
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from seq2x import RunConfig, checkpoint, evaluate, train
from seq2x.compare import counts, p_value
from seq2x.config import laid_over, parse
from seq2x.corpus import read_examples
from seq2x.overview import parameters
from seq2x.reports.ablations import Row, markdown, plot
from seq2x.reports.console import ConsoleDisplay
from seq2x.run import predictor
from seq2x.text import SPECIALS

HERE, DATA = Path(__file__).parent, Path(os.environ.get("SEQ2X_DATA", ".data"))
TRAIN, DEV = {"tag": 2000, "classify": 2500, "translate": 6000}, 500
TASK = {"tag": "chunks", "classify": "questions", "translate": "translate"}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--task", choices=list(TASK), required=True)
parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 1 to N (default: 3)")
parser.add_argument("--variants", nargs="+", metavar="NAME", help="these alone, and what they are compared with")
parser.add_argument("--out", type=Path, default=Path("runs/ablations"), help="where everything goes")
parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting in all")
arguments = parser.parse_args()
OUT: Path = arguments.out / arguments.task
BASE, *MORE = (tomllib.loads((HERE / f"{name}.toml").read_text("utf-8"))
               for name in (arguments.task, "shared.variants", f"{arguments.task}.variants"))
VARIANTS: dict[str, Any] = {"base": {"cites": ""}, **MORE[0], **MORE[1]}


def prepare() -> None:
    """Write the parts of the set that are used, and raw text for the language models: train, or either side of it."""
    def read(name: str, end: str = "\n") -> list[str]:
        path = DATA / name
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return text.decode("utf-8").rstrip("\n").split(end)

    def save(name: str, items: list[str], end: str = "\n") -> None:
        (OUT / "data" / name).write_bytes("".join(item + end for item in items).encode("utf-8"))

    last = "raw.target" if arguments.task == "translate" else "raw"
    if (OUT / "data" / f"{last}.txt").exists():
        return
    (OUT / "data").mkdir(parents=True, exist_ok=True)
    size, raw = TRAIN[arguments.task], {}
    if arguments.task == "translate":
        for side in ("de", "en"):
            save(f"train.{side}", read(f"multi30k/train.{side}.gz")[:size])
            save(f"dev.{side}", read(f"multi30k/val.{side}.gz"))
            save(f"test.{side}", read(f"multi30k/test_2016_flickr.{side}.gz"))
        raw = {"raw": read("multi30k/train.de.gz"), "raw.target": read("multi30k/train.en.gz")}
    else:
        end, files = ("\n\n", "conll2000/{}.txt.gz") if arguments.task == "tag" else ("\n", "trec/{}.coarse.tsv")
        items, test = read(files.format("train"), end), read(files.format("test"), end)
        random.Random(0).shuffle(items)
        if arguments.task == "tag":
            raw["raw"] = [" ".join(line.split(" ")[0] for line in item.split("\n")) for item in items[DEV:]]
        else:
            test += items[DEV + size :]
            raw["raw"] = [item.split("\t")[1] for item in items[DEV : DEV + size]]
        for name, part in (("dev", items[:DEV]), ("train", items[DEV : DEV + size]), ("test", test)):
            save(f"{name}.data", part, end)
    for name, texts in raw.items():
        save(f"{name}.dev.txt", texts[:DEV])
        save(f"{name}.txt", texts[DEV:])


def files(kind: str, split: str, raw: str = "raw") -> Any:
    """The data of a task of some kind."""
    if kind == "language_model":
        return str(OUT / "data" / (f"{raw}.txt" if split == "train" else f"{raw}.dev.txt"))
    names = [f"{split}.de", f"{split}.en"] if kind == "translate" else [f"{split}.data"]
    paths = [str(OUT / "data" / name) for name in names]
    return paths if kind == "translate" else paths[0]


def settings_of(variant: dict[str, Any]) -> dict[str, Any]:
    """The base with a variant's changes."""
    found: dict[str, Any] = deepcopy(BASE)
    for key in variant.get("drop", []):
        *path, last = key.split(".")
        table = found
        for part in path:
            table = table[part]
        del table[last]
    return laid_over(found, variant.get("set", {}))


def trained(settings: dict[str, Any], directory: Path, seed: int, raw: str = "raw") -> float:
    """Train, unless that is done; return the minutes it took. Language models read the text ``raw``."""
    done = directory / "minutes.json"
    if not done.exists():
        for task in settings["tasks"].values():
            task |= {split: files(task["kind"], split, raw) for split in ("train", "dev")}
        config = parse(RunConfig, settings, str(directory), [f"seed={seed}", *arguments.set])
        began, fresh = time.process_time(), not (directory / checkpoint.STATE).exists()
        run = train(config, directory, resume=not fresh, display=ConsoleDisplay())
        checkpoint.write(done, json.dumps((time.process_time() - began if fresh else run.progress.seconds) / 60))
    return float(json.loads(done.read_text()))


def place(name: str, seed: int, before: str = "") -> Path:
    """Where a variant is trained, or what comes ``before`` it."""
    return OUT / re.sub(r"\W+", "-", name) / f"seed-{seed}{before}"


def language_model(name: str, seed: int, key: str = "first") -> tuple[str, float]:
    """Train the language model that a variant begins with; return its run, and the minutes it took."""
    directory, settings = place(name, seed, f"-{key}"), settings_of(VARIANTS[name])
    settings = {key: table for key, table in settings.items() if key not in ("start", "tasks")}
    minutes = trained(laid_over(settings, VARIANTS[name][key]), directory, seed,
                      "raw.target" if key == "target_first" else "raw")
    return str(directory), minutes


def vectors_of(run: str) -> str:
    """Write the embeddings of a run's words in the text format of word2vec; return the file."""
    loaded, path = checkpoint.load(run), Path(run) / "vectors.txt"
    rows = loaded.model.encoder.table.weight.tolist()[len(SPECIALS) :]
    lines = [f"{len(rows)} {len(rows[0])}"] + [
        f"{word} {' '.join(f'{number:.6g}' for number in row)}"
        for word, row in zip(loaded.source.entries[len(SPECIALS) :], rows, strict=True)]
    checkpoint.write(path, "\n".join(lines) + "\n")
    return str(path)


def places_of(name: str, seed: int) -> tuple[list[Path], float]:
    """Train a variant with a seed; return the runs that act as one model, and minutes of processor time."""
    variant = VARIANTS[name]
    if like := variant.get("like"):
        return places_of(like, seed)
    if members := variant.get("members"):
        found = [places_of("base", seed + 1000 * number) for number in range(members)]
        return [places[0] for places, _ in found], sum(minutes for _, minutes in found)
    directory, settings, minutes = place(name, seed), settings_of(variant), list[float]()
    if "first" in variant:
        settings["start"]["from"], spent = language_model(name, seed)
        minutes.append(spent)
    if "target_first" in variant:
        settings["tasks"]["translate"]["decoder_from"], spent = language_model(name, seed, "target_first")
        minutes.append(spent)
    if like := variant.get("vectors"):
        run, spent = language_model(like, seed)
        settings["encoder"]["embedding"]["vectors"]["path"] = vectors_of(run)
        minutes.append(spent)
    if teachers := variant.get("teachers"):
        settings["distil"]["from"] = [str(run) for run in places_of(teachers, seed)[0]]
    minutes.append(trained(settings, directory, seed))
    return [directory / "snapshots" if variant.get("snapshots") else directory], sum(minutes)


def measured(name: str, seed: int) -> dict[str, Any]:
    """Train and test a variant with a seed, unless that is done; scores, cost, and the counts to compare with."""
    result = OUT / "results" / f"{re.sub(r'[^a-zA-Z0-9]+', '-', name)}.seed-{seed}.json"
    if not result.exists():
        places, minutes = places_of(name, seed)
        runs, settings = checkpoint.load_runs(places), settings_of(VARIANTS[name])
        task = runs[0].config.tasks[TASK[arguments.task]]
        test = read_examples(task, tuple(where) if isinstance(where := files(task.kind, "test"), list) else where)
        search = None if task.kind != "translate" else task.search.model_copy(
            update=settings["tasks"]["translate"].get("search", {}))
        found = evaluate(predictor(runs, TASK[arguments.task]), test, search=search)
        checkpoint.write(result, json.dumps({
            "metric": found.metric, "score": found.value, "minutes": minutes,
            "parameters": sum(sum(parameters(run.model).values()) for run in runs),
            "counts": counts(task, test, found.predictions).tolist()}))
        print(f"{name}, seed {seed}: test {found.metric} {found.value:.2f}", flush=True)
    return dict(json.loads(result.read_text()))


def row(name: str) -> Row:
    """All seeds of a variant, beside those of what it is compared with."""
    other = VARIANTS[name].get("against", "base")
    mine, yours = ([measured(one, seed) for seed in range(1, arguments.seeds + 1)] for one in (name, other))
    before, after = ([np.array(one["counts"]) for one in side] for side in (yours, mine))
    p = None if name == "base" else p_value(before, after)
    return Row(name, VARIANTS[name]["cites"], [one["score"] for one in mine],
               [one["score"] for one in yours] if name != "base" else [], p,
               sum(one["minutes"] for one in mine) / len(mine), mine[0]["parameters"])


prepare()
rows: list[Row] = []
for chosen in ["base", *(arguments.variants or list(VARIANTS)[1:])]:
    rows.append(row(chosen))
    metric = measured("base", 1)["metric"]
    checkpoint.write(OUT / "table.md", markdown(rows, metric))  # after each, so that one can look
plot(rows, metric, OUT / "plot.png")
print(markdown(rows, metric))
