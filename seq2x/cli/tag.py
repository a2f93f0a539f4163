"""``seq2x tag``: sentences in, their tags out."""

from __future__ import annotations

import json
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seq2x.cli.options import add_batches, add_model, add_streams, set_threads
from seq2x.cli.streams import Notice, Records, convert, in_parts

if TYPE_CHECKING:
    from seq2x.predictors import Tagged

HELP = "tag sentences"
ABOUT = "Tag sentences, one a line; one record out for each line in, in the same order."
EXAMPLES = """\
output formats:
  conll    a word a line: word TAB tag; an empty line ends each sentence
  jsonl    a JSON object a line: text, tokens, tags, and spans with label, text, start, end (characters), confidence
  inline   the text itself: [John|PER] lives in [Berlin|LOC].   (tags without spans: John/NNP lives/VBZ, words parted)

examples:
  echo "John lives in Berlin." | seq2x tag runs/ner --format inline
  seq2x tag runs/ner -i raw.txt -o tagged.conll
  seq2x tag runs/pos --tokenised < words.txt                 (words parted by blanks are kept as they are)"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="RUN", help="run directory")
    parser.add_argument("--format", choices=("conll", "jsonl", "inline"), default="conll",
                        help="see below (default: conll)")
    parser.add_argument("--tokenised", action="store_true", help="the words are parted by blanks or TABs already")
    add_model(parser)
    add_batches(parser)
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Tag every line."""

    def load(window: int) -> Records:
        from seq2x.predictors import Tagger

        set_threads(arguments.threads)
        tagger = Tagger.load(arguments.directory, arguments.task)
        mark = slashes if tagger.scheme == "none" else brackets
        write = {"conll": conll, "jsonl": jsonl, "inline": mark}[arguments.format]

        def records(lines: Iterator[str], notice: Notice) -> Iterator[str]:
            sentences = map(words, lines) if arguments.tokenised else lines
            found = tagger.tag(sentences, batch_tokens=arguments.batch_tokens, window=window)
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


def words(line: str) -> list[str]:
    """Split a line at blanks and TABs only: U+2028 and no-break spaces are parts of words."""
    return [word for word in re.split(r"[ \t]+", line) if word]


def conll(tagged: Tagged) -> str:
    """Return a line a word, each ended; the end of the record makes the empty line."""
    return "".join(f"{word.text}\t{tag}\n" for word, tag in zip(tagged.tokens, tagged.tags, strict=True))


def jsonl(tagged: Tagged) -> str:
    """Return one JSON object; seq2x reads it as training data, too."""
    spans = [{"label": span.label, "text": span.text, "start": span.start, "end": span.end,
              "confidence": round(span.confidence, 6)} for span in tagged.spans]
    return json.dumps({"text": tagged.text, "tokens": [word.text for word in tagged.tokens], "tags": list(tagged.tags),
                       "spans": spans}, ensure_ascii=False)


def brackets(tagged: Tagged) -> str:
    """Return the text with its spans marked: [John|PER] sings."""
    parts, end = [], 0
    for span in tagged.spans:
        parts += [tagged.text[end : span.start], f"[{span.text}|{span.label}]"]
        end = span.end
    return "".join([*parts, tagged.text[end:]])


def slashes(tagged: Tagged) -> str:
    """Return the words, each with its tag: John/NNP sings/VBZ."""
    return " ".join(f"{word.text}/{tag}" for word, tag in zip(tagged.tokens, tagged.tags, strict=True))
