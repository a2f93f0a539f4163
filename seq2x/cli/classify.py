"""``seq2x classify``: texts in, their labels out."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2x.cli.options import add_batches, add_model, add_streams, set_threads
from seq2x.cli.streams import Notice, Records, convert, in_parts

if TYPE_CHECKING:
    from seq2x.predictors import Classified

HELP = "classify texts"
ABOUT = "Classify texts, one a line; one record out for each line in, in the same order."
EXAMPLES = """\
output formats:
  tsv      label TAB probability
  jsonl    a JSON object a line: text, label, probability, probabilities of all labels (best first)

examples:
  echo "A warm, funny film." | seq2x classify runs/reviews
  seq2x classify runs/reviews -i reviews.txt -o labels.tsv
  seq2x classify runs/reviews --format jsonl < reviews.txt"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="RUN", help="run directory")
    parser.add_argument("--format", choices=("tsv", "jsonl"), default="tsv", help="see below (default: tsv)")
    add_model(parser)
    add_batches(parser)
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Classify every line."""

    def load(window: int) -> Records:
        from seq2x.predictors import Classifier

        set_threads(arguments.threads)
        classifier = Classifier.load(arguments.directory, arguments.task)
        write = {"tsv": tsv, "jsonl": jsonl}[arguments.format]

        def records(lines: Iterator[str], notice: Notice) -> Iterator[str]:
            waiting: deque[str] = deque()  # as many as are read ahead
            kept = _keeping(lines, waiting)
            results = classifier.classify(kept, batch_tokens=arguments.batch_tokens, window=window)
            for number, found in enumerate(results, start=1):
                if found.windows > 1:
                    notice(in_parts(arguments, number, classifier.limit, "classified", found.windows))
                yield write(waiting.popleft(), found)

        return records

    return convert(arguments, load)


def _keeping(lines: Iterator[str], waiting: deque[str]) -> Iterator[str]:
    for line in lines:
        waiting.append(line)
        yield line


def tsv(text: str, found: Classified) -> str:  # noqa: ARG001 - as jsonl
    """Return label TAB probability."""
    return f"{found.label}\t{found.probability:.4f}"


def jsonl(text: str, found: Classified) -> str:
    """Return one JSON object."""
    probabilities = {label: round(value, 6) for label, value in found.probabilities.items()}
    return json.dumps({"text": text, "label": found.label, "probability": round(found.probability, 6),
                       "probabilities": probabilities}, ensure_ascii=False)
