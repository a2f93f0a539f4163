"""``seq2x classify``: texts in, their labels out."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from seq2x.cli.options import add_batches, add_model, add_runs, add_streams, set_threads
from seq2x.cli.streams import Notice, Records, convert, in_parts

if TYPE_CHECKING:
    from seq2x.predictors import Classified

HELP = "classify texts"
ABOUT = "Classify texts, one a line; one record out for each line in, in the same order."
EXAMPLES = """\
output formats:
  tsv      label TAB probability; where a text may have several labels, those above the threshold, parted as in the
           training data, and the probability of each; with --explain a third column, the words that count most
  jsonl    a JSON object a line: text, label, probability, probabilities of all labels (best first); where a text may
           have several, labels; with --explain words, each with text, start, end (characters) and weight

examples:
  echo "A warm, funny film." | seq2x classify runs/reviews
  seq2x classify runs/reviews -i reviews.txt -o labels.tsv
  seq2x classify runs/a runs/b < reviews.txt                 (an ensemble: their probabilities are averaged)
  seq2x classify runs/reviews --format jsonl < reviews.txt
  seq2x classify runs/reviews --explain < reviews.txt        (and how much each word spoke for the label)"""
SHOWN = 5
"""Words of an explanation in a line of tsv."""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    add_runs(parser)
    parser.add_argument("--format", choices=("tsv", "jsonl"), default="tsv", help="see below (default: tsv)")
    parser.add_argument("--explain", nargs="?", const=True, default=False, choices=("attention", "gradient"),
                        help="how much each word spoke for the label: the weights of the model's attention, where it "
                             "has one, or gradient x input, which may be negative; reads each text once more")
    add_model(parser)
    add_batches(parser)
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Classify every line."""

    def load(window: int) -> Records:
        from seq2x.predictors import Classifier

        set_threads(arguments.threads)
        classifier = Classifier.load(arguments.runs, arguments.task)
        separator = classifier.task.data.separator
        write = partial({"tsv": tsv, "jsonl": jsonl}[arguments.format], explained=bool(arguments.explain))

        def records(lines: Iterator[str], notice: Notice) -> Iterator[str]:
            waiting: deque[str] = deque()  # as many as are read ahead
            kept = _keeping(lines, waiting)
            results = classifier.classify(kept, explain=arguments.explain, batch_tokens=arguments.batch_tokens,
                                          window=window)
            for number, found in enumerate(results, start=1):
                if found.windows > 1:
                    notice(in_parts(arguments, number, classifier.limit, "classified", found.windows))
                yield write(waiting.popleft(), found, separator=separator)

        return records

    return convert(arguments, load)


def _keeping(lines: Iterator[str], waiting: deque[str]) -> Iterator[str]:
    for line in lines:
        waiting.append(line)
        yield line


def tsv(text: str, found: Classified, *, separator: str, explained: bool) -> str:  # noqa: ARG001 - as jsonl
    """Return label TAB probability, or several of each, and the words of an explanation, where there is to be one."""
    columns = [separator.join(found.labels),
               separator.join(f"{found.probabilities[label]:.4f}" for label in found.labels)]
    if explained:  # of a text without words, too: each line has as many columns
        most = sorted(found.words, key=lambda word: -abs(word.weight))[:SHOWN]
        columns.append(" ".join(f"{word.text} {word.weight:+.3f}" for word in most))
    return "\t".join(columns)


def jsonl(text: str, found: Classified, *, separator: str, explained: bool) -> str:
    """Return one JSON object."""
    probabilities = {label: round(value, 6) for label, value in found.probabilities.items()}
    record = {"text": text, "label": found.label, "probability": round(found.probability, 6),
              **({"labels": found.labels} if separator else {}), "probabilities": probabilities,
              **({"words": [{**word._asdict(), "weight": round(word.weight, 6)} for word in found.words]}
                 if explained else {})}
    return json.dumps(record, ensure_ascii=False)
