"""``seq2x init``: looks at data and writes settings to train on them with."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from seq2x.cli.options import Parser, column, count
from seq2x.errors import ConfigError, RunError

if TYPE_CHECKING:
    from seq2x.cli.survey import Survey

HELP = "look at data and write a starter configuration"
ABOUT = "Look at training data (format, labels, lengths, words) and write a commented configuration that fits them."
EXAMPLES = """\
examples:
  seq2x init tag train.conll --dev dev.conll -o ner.toml
  seq2x init tag train.conllu                                (parts of speech; --tag-column xpos for others)
  seq2x init classify reviews.csv --text-column review --label-column stars
  seq2x init translate train.de train.en --dev dev.de dev.en -o de-en.toml
  seq2x init translate pairs.tsv                             (source TAB target)

formats, recognised by suffix and contents, each also as .gz:
  tag        CoNLL columns, CoNLL-U, JSON lines (tokens and tags, or text and spans)
  classify   label TAB text, CSV with a header, JSON lines
  translate  two aligned files, source TAB target, CSV with a header, JSON lines"""

SCHEMES = ("BIO", "IOB1", "IOBES", "BILOU", "none")


def add(parser: ArgumentParser) -> None:
    """Describe the kinds and their options."""
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", required=True, dest="kind", parser_class=Parser)
    tag = kinds.add_parser("tag", help="one tag a word: names, parts of speech", description=ABOUT, epilog=EXAMPLES)
    _files(tag, 1, "sentences with tags")
    tag.add_argument("--scheme", choices=SCHEMES, help="how tags write spans (default: told from the tags)")
    tag.add_argument("--word-column", type=int, metavar="N", help="position of the words, from 0")
    tag.add_argument("--tag-column", type=column, metavar="N|NAME",
                     help="position of the tags, from 0 (-1 = the last), or upos, xpos ... of CoNLL-U")
    classify = kinds.add_parser("classify", help="one label a text", description=ABOUT, epilog=EXAMPLES)
    _files(classify, 1, "texts with labels")
    classify.add_argument("--label-column", type=column, metavar="N|NAME", help="position from 0, or name")
    classify.add_argument("--text-column", type=column, metavar="N|NAME", help="position from 0, or name")
    classify.add_argument("--separator", default="", metavar="TEXT",
                          help="what stands between the labels of a text, where it may have several (default: it has "
                               "one)")
    translate = kinds.add_parser("translate", help="a sentence for a sentence", description=ABOUT, epilog=EXAMPLES)
    _files(translate, 2, "two aligned files, source then target, or one file with both")
    translate.add_argument("--source-column", type=column, metavar="N|NAME", help="position from 0, or name")
    translate.add_argument("--target-column", type=column, metavar="N|NAME", help="position from 0, or name")
    translate.add_argument("--size", type=count, metavar="N", help="subwords (default: what the data can fill)")


def _files(parser: ArgumentParser, most: int, what: str) -> None:
    parser.set_defaults(run=run, most=most)
    parser.add_argument("files", nargs="+", metavar="FILE", help=what)
    parser.add_argument("--dev", nargs="+", metavar="FILE",
                        help="the same, to choose the best model by (default: a part of the training data is held out)")
    parser.add_argument("-o", "--out", metavar="TOML", help="file to write (default: KIND.toml)")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def run(arguments: Namespace) -> int:
    """Survey, choose, check, write, and say what to do next."""
    out = Path(arguments.out or f"{arguments.kind}.toml")
    if out.exists() and not arguments.force:
        raise RunError(f"{out}: exists already; --force replaces it, -o names another")
    _check_count(arguments)
    from seq2x.cli.starter import starter

    survey = _survey(arguments)
    command = shlex.join(["seq2x", *sys.argv[1:]]) if sys.argv[1:2] == ["init"] else f"seq2x init {arguments.kind}"
    text = starter(survey, command, str(out))
    check(text, str(out))
    try:
        out.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise RunError(f"{out}: cannot be written: {error.strerror}") from None
    print("\n".join(survey.lines))
    print(f"\n{out}: written; read it, then\n  seq2x train {shlex.quote(str(out))}")
    return 0


def check(text: str, source: str) -> None:
    """Read the TOML as ``seq2x train`` will; what is not valid is never written."""
    import tomllib

    from seq2x.config import parse
    from seq2x.settings import RunConfig

    parse(RunConfig, tomllib.loads(text), source)


def _check_count(arguments: Namespace) -> None:
    for files, name in ((arguments.files, "FILE"), (arguments.dev or arguments.files, "--dev")):
        if len(files) > arguments.most:
            expected = "one file" if arguments.most == 1 else "one or two files"
            hint = " (dev data: --dev FILE)" if name == "FILE" else ""
            raise ConfigError(f"{name}: found {len(files)} files, expected {expected}{hint}")
    if arguments.dev and len(arguments.dev) != len(arguments.files):
        raise ConfigError(f"--dev: found {len(arguments.dev)}, expected {len(arguments.files)} as for training")


def _survey(arguments: Namespace) -> Survey:
    from seq2x.cli import formats, survey

    train, dev = arguments.files, arguments.dev or []
    first = dev[0] if dev else None
    if arguments.kind == "tag":
        tagged = formats.guess_tagged(train[0], arguments.scheme, arguments.word_column, arguments.tag_column)
        return survey.survey_tagged(train[0], first, tagged)
    if arguments.kind == "classify":
        texts = formats.guess_texts(train[0], arguments.label_column, arguments.text_column)
        return survey.survey_texts(train[0], first, texts.model_copy(update={"separator": arguments.separator}))
    pairs = formats.guess_pairs(train, arguments.source_column, arguments.target_column)
    return survey.survey_pairs(tuple(train), tuple(dev), pairs, arguments.size)
