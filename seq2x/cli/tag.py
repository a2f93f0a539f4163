"""``seq2x tag``: sentences in, their tags out."""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from seq2x.cli.options import add_batches, add_model, add_runs, add_streams, count, set_threads
from seq2x.cli.streams import Notice, Records, convert, in_parts
from seq2x.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from seq2x.predictors import Gazetteer, Tagged, Tagger

HELP = "tag sentences"
ABOUT = "Tag sentences, one a line; one record out for each line in, in the same order."
EXAMPLES = """\
output formats:
  conll    a word a line: word TAB tag; an empty line ends each sentence
  jsonl    a JSON object a line: text, tokens, tags, and spans with label, text, start, end (characters), first, stop
           (words, counted from 0) and confidence, the probability that just this span stands there
  inline   the text itself: [John|PER] lives in [Berlin|LOC].   (tags without spans: John/NNP lives/VBZ, words parted);
           in colour on a terminal, unless NO_COLOR is set

examples:
  echo "John lives in Berlin." | seq2x tag runs/ner --format inline
  seq2x tag runs/ner -i raw.txt -o tagged.conll
  seq2x tag runs/pos --tokenised < words.txt                 (words parted by blanks are kept as they are)
  seq2x tag runs/ner --k-best 3 --marginals < raw.txt        (as JSON lines: the 3 most probable ways to tag a line)
  seq2x tag runs/a runs/b < raw.txt                          (an ensemble: their probabilities are averaged)
  seq2x tag runs/ner --gazetteer places.tsv < raw.txt        (a label TAB a phrase a line: these phrases are such)"""
COLOURS = (36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91)


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    add_runs(parser)
    parser.add_argument("--format", choices=("conll", "jsonl", "inline"),
                        help="see below (default: conll; with --k-best or --marginals, jsonl)")
    parser.add_argument("--tokenised", action="store_true", help="the words are parted by blanks or TABs already")
    parser.add_argument("--k-best", type=count, metavar="N", default=1,
                        help="the N most probable ways to tag each line, with their probabilities")
    parser.add_argument("--marginals", action="store_true", help="the probability of every tag at every word")
    parser.add_argument("--gazetteer", metavar="FILE", help="lines of label TAB phrase; these phrases are such spans")
    parser.add_argument("--ignore-case", action="store_true", help="find the phrases of --gazetteer in any case")
    add_model(parser)
    add_batches(parser)
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Tag every line."""
    more = arguments.k_best > 1 or arguments.marginals
    if more and arguments.format not in (None, "jsonl"):
        raise ConfigError(f"--k-best and --marginals need --format jsonl; found {arguments.format}")
    if arguments.ignore_case and arguments.gazetteer is None:
        raise ConfigError("--ignore-case is for the phrases of --gazetteer, which is not given")

    def load(window: int) -> Records:
        from seq2x.predictors import Tagger

        set_threads(arguments.threads)
        tagger = Tagger.load(arguments.runs, arguments.task)
        known = _gazetteer(arguments, tagger)
        write = _writer(arguments.format or ("jsonl" if more else "conll"), tagger, _in_colour(arguments))

        def records(lines: Iterator[str], notice: Notice) -> Iterator[str]:
            sentences = map(words, lines) if arguments.tokenised else lines
            found = tagger.tag(sentences, k_best=arguments.k_best, marginals=arguments.marginals, constraints=known,
                               batch_tokens=arguments.batch_tokens, window=window)
            for number, tagged in enumerate(found, start=1):
                if tagged.windows > 1:
                    notice(in_parts(arguments, number, tagger.limit, "tagged", tagged.windows))
                yield write(tagged)

        return records

    from seq2x.nn.crf import use_kernels

    before = use_kernels(is_long(arguments.input))
    try:
        return convert(arguments, load)
    finally:
        use_kernels(before)


def is_long(path: str | None) -> bool:
    """Whether compiled code pays: loading it takes as long as decoding half a million characters without it."""
    try:
        return (os.fstat(0) if path is None else Path(path).stat()).st_size > 1_000_000  # of a pipe: 0
    except OSError:
        return False


def _gazetteer(arguments: Namespace, tagger: Tagger) -> Gazetteer | None:
    """The phrases that are known, all of labels that the model has."""
    if arguments.gazetteer is None:
        return None
    if tagger.scheme == "none":
        raise ConfigError("--gazetteer names spans, and this model's tags have none: each word has a tag of its own")
    from seq2x.data.gazetteer import read_gazetteer
    from seq2x.predictors import Gazetteer

    found = Gazetteer(read_gazetteer(arguments.gazetteer), ignore_case=arguments.ignore_case)
    for label in sorted(found.labels - set(tagger.labels)):
        raise DataError(f"the label {label!r} is not one of the model's{nearest(label, tagger.labels)}",
                        arguments.gazetteer)
    return found


def _in_colour(arguments: Namespace) -> bool:
    """Whether a person sees the output, and wants it in colour (no-color.org)."""
    return (arguments.output is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb")


def _writer(name: str, tagger: Tagger, coloured: bool) -> Callable[[Tagged], str]:
    if name == "inline":
        colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(tagger.labels)}
        mark = slashes if tagger.scheme == "none" else brackets
        return partial(mark, colours=colours if coloured else {})
    return conll if name == "conll" else jsonl


def words(line: str) -> list[str]:
    """Split a line at blanks and TABs only: U+2028 and no-break spaces are parts of words."""
    return [word for word in re.split(r"[ \t]+", line) if word]


def conll(tagged: Tagged) -> str:
    """Return a line a word, each ended; the end of the record makes the empty line."""
    return "".join(f"{word.text}\t{tag}\n" for word, tag in zip(tagged.tokens, tagged.tags, strict=True))


def jsonl(tagged: Tagged) -> str:
    """Return one JSON object; seq2x reads it as training data, too."""
    spans = [{"label": span.label, "text": span.text, "start": span.start, "end": span.end, "first": span.first,
              "stop": span.stop, "confidence": round(span.confidence, 6)} for span in tagged.spans]
    record = {"text": tagged.text, "tokens": [word.text for word in tagged.tokens], "tags": list(tagged.tags),
              "spans": spans}
    if tagged.alternatives:
        record["alternatives"] = [
            {"probability": round(one.probability, 6), "tags": list(one.tags),
             "spans": [{"label": span.label, "first": span.start, "stop": span.end} for span in one.spans]}
            for one in tagged.alternatives]
    if tagged.marginals:
        record["marginals"] = [{tag: round(value, 6) for tag, value in given.items()} for given in tagged.marginals]
    return json.dumps(record, ensure_ascii=False)


def brackets(tagged: Tagged, colours: Mapping[str, int]) -> str:
    """Return the text with its spans marked: [John|PER] sings; in ``colours``, those of labels, where there are any."""
    parts, end = [], 0
    for span in tagged.spans:
        parts += [tagged.text[end : span.start], _coloured(f"[{span.text}|{span.label}]", colours.get(span.label))]
        end = span.end
    return "".join([*parts, tagged.text[end:]])


def slashes(tagged: Tagged, colours: Mapping[str, int]) -> str:
    """Return the words, each with its tag: John/NNP sings/VBZ."""
    return " ".join(word.text + _coloured(f"/{tag}", colours.get(tag))
                    for word, tag in zip(tagged.tokens, tagged.tags, strict=True))


def _coloured(text: str, colour: int | None) -> str:
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"
