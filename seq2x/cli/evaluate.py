"""``seq2x evaluate``: scores a run on data whose answers are known."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2x.cli.options import SEARCH, add_model, add_runs, add_search, count, search, set_threads
from seq2x.cli.streams import Output
from seq2x.errors import ConfigError, DataError, RunError, nearest

if TYPE_CHECKING:
    from seq2x.settings import RunConfig

HELP = "score a run on data with answers"
ABOUT = """\
Score a run on data with answers, in the format of its training data: accuracy and F1, strict span F1 in the scheme of
the files (seqeval), BLEU and chrF with signatures (sacrebleu). Of a tagger or a classifier also the scores of each
label, what was taken for what, the kinds of a tagger's mistakes, and how far confidences can be believed (expected
calibration error)."""
EXAMPLES = """\
examples:
  seq2x evaluate runs/ner test.conll
  seq2x evaluate runs/de-en test.de test.en --beam-size 10
  seq2x evaluate runs/a runs/b test.conll                    (an ensemble: their probabilities are averaged)
  seq2x evaluate runs/de-en                                  (the dev data, which chose the model)
  seq2x evaluate runs/ner test.conll --json
  seq2x evaluate runs/ner test.conll --errors 20             (the first 20 mistakes, with their sentences)
  seq2x evaluate runs/ner test.conll --errors mistakes.jsonl (all of them, a JSON object a line)"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    add_runs(parser)
    parser.add_argument("files", nargs="*", metavar="FILE",  # argparse gives them to the runs: see _runs_and_files
                        help="test data; for translation one file or two aligned ones (default: the dev data of the "
                             "first run)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--errors", metavar="N|FILE",
                        help="list the mistakes of a tagger or classifier: the first N, or all in a file of JSON lines")
    parser.add_argument("--overwrite", action="store_true", help="let --errors replace a file that exists")
    add_model(parser)
    add_search(parser)


def run(arguments: Namespace) -> int:
    """Evaluate the tasks and print what came out."""
    import json

    from seq2x import checkpoint
    from seq2x.evaluation import evaluate
    from seq2x.reports.tables import details, error, errors, table
    from seq2x.run import predictor

    listed, output = _listing(arguments)
    set_threads(arguments.threads)
    places, given = _runs_and_files([*arguments.runs, *arguments.files])
    runs = checkpoint.load_runs(places)
    loaded = runs[0]
    results: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    kinds = {task.kind for name, task in loaded.config.tasks.items() if arguments.task in (None, name)}
    if arguments.errors and kinds and not kinds & {"tag", "classify"}:
        raise ConfigError("--errors lists the mistakes of a tagger or classifier; no task that is evaluated here is "
                          "one")
    chosen = [name for name in SEARCH if getattr(arguments, name) is not None]
    if chosen and kinds and "translate" not in kinds:
        raise ConfigError(f"--{chosen[0].replace('_', '-')} says how translations are searched for; no task that is "
                          "evaluated here translates")
    for name, (files, examples) in _data(arguments.task, places[0], given, loaded.config).items():
        task = loaded.config.tasks[name]
        how = search(arguments, task.search) if task.kind == "translate" else None
        result = evaluate(predictor(runs, name), examples, search=how)
        results[name] = {"kind": task.kind, "data": files, "metric": result.metric, "value": result.value,
                         "scores": result.scores, **details(task, examples, result.predictions)}
        wrong: list[dict[str, Any]] = []
        if arguments.errors and (task.kind == "tag" or task.kind == "classify"):
            wrong = list(islice(errors(task, examples, result.predictions), listed))
            found += [{"task": name, **one} for one in wrong]
        if listed is not None:
            results[name] |= {"errors": wrong}
        if not arguments.json:
            print(("\n" if len(results) > 1 else "") + table(name, results[name]))
            if listed is not None and wrong:
                print("\n" + "\n".join(map(error, wrong)))
    if output is not None:
        with output:
            for one in found:
                output.write(json.dumps(one, ensure_ascii=False))
    if arguments.json:
        print(json.dumps({"run": " ".join(places), "tasks": results}, ensure_ascii=False))
    return 0


def _listing(arguments: Namespace) -> tuple[int | None, Output | None]:
    """How many mistakes are to be shown, None = all; and the file they go to, if it is one."""
    text = arguments.errors
    if text is None or (text.isascii() and text.removeprefix("-").isdigit()):
        try:
            return None if text is None else count(text), None
        except ArgumentTypeError as error:
            raise ConfigError(f"--errors: {error}") from None
    return None, Output(text, arguments.overwrite, flush=False)


def _runs_and_files(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The runs, at least one, and what follows them."""
    from seq2x.checkpoint import is_run

    count = 1
    while count < len(arguments) and is_run(arguments[count]):
        count += 1
    return list(arguments[:count]), list(arguments[count:])


def _data(chosen: str | None, place: str, files: list[str], config: RunConfig) -> dict[str, tuple[str, Any]]:
    """Of each task to evaluate, what its data are called, and the examples."""
    from seq2x.corpus import read_examples

    names = [chosen] if chosen else list(config.tasks)
    if names[0] not in config.tasks:
        raise RunError(f"{place}: has no task {names[0]!r}{nearest(names[0], config.tasks)}")
    if not files:
        return {name: _dev(Path(place), config, name) for name in names}
    if len(names) > 1:
        raise ConfigError(f"{place} has several tasks: --task says which these files are for"
                          f"{nearest('', names)}")
    task = config.tasks[names[0]]
    most = 2 if task.kind == "translate" else 1
    if len(files) > most:
        raise ConfigError(f"found {len(files)} files, expected {'one' if most == 1 else 'one or two'} for the task "
                          f"{names[0]!r}")
    path = (files[0], files[1]) if len(files) == 2 else files[0]
    return {names[0]: (" and ".join(files), read_examples(task, path))}


def _dev(directory: Path, config: RunConfig, name: str) -> tuple[str, Any]:
    """The dev data that the training chose the model by: a file, or what was held out."""
    from seq2x import checkpoint
    from seq2x.corpus import files_of, named, read_dev, sha256_of

    task = config.tasks[name]
    if task.dev is not None:
        return named(task.dev), read_dev(task, config.seed)
    metrics = checkpoint.read_metrics(checkpoint.directory_of(directory))
    records = [record["data"] for record in metrics if "data" in record]
    for path in files_of(task, task.train):
        # of a file that has changed, other examples would be drawn: some that the model has learnt
        if Path(path).exists() and records and records[-1].get(path) != sha256_of(path):
            raise DataError("is not the file that the run was trained on, so what was held out of it is not known; "
                            "name the files to evaluate on", path)
    return f"held out of {named(task.train)}", read_dev(task, config.seed)
