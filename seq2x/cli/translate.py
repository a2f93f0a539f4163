"""``seq2x translate`` and ``seq2x-translate``: sentences in, their translations out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2x.cli.options import add_batches, add_model, add_search, add_streams, count, search, set_threads
from seq2x.cli.streams import Notice, Records, convert, in_parts
from seq2x.errors import ConfigError

if TYPE_CHECKING:
    from seq2x.predictors import Translation

HELP = "translate sentences"
ABOUT = """\
Translate sentences, one a line: raw text in, raw text out, one line out for each line in, in the same order, whatever
comes in. A line too long for the model is translated in parts, and a warning names it. An empty line stays empty."""
EXAMPLES = """\
output:
  by default              text
  with --scores           score TAB text
  with --n-best N         N lines for each line in, best first: index TAB score TAB text; the index counts the lines
                          from 1; where there are fewer than N (of an empty line), the rest score -inf and have no text
  the score is the log-probability divided by the length normalisation

examples:
  seq2x-translate --model runs/de-en --beam-size 10 --length-penalty 1.0 < in.de > out.en
  seq2x-translate --model runs/de-en -i in.de -o out.en --threads 2
  seq2x translate runs/de-en --n-best 5 < in.de
  tail -f log.de | seq2x translate runs/de-en --stream"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("directory", nargs="?", metavar="RUN", help="run directory")
    parser.add_argument("--model", metavar="RUN", help="the same, as an option")
    parser.add_argument("--n-best", type=count, metavar="N", help="the N best translations; at most --beam-size")
    parser.add_argument("--scores", action="store_true", help="put the score before the text")
    add_model(parser)
    add_batches(parser)
    add_search(parser)
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Translate every line."""
    if (arguments.directory is None) == (arguments.model is None):
        found = "none" if arguments.model is None else f"{arguments.directory!r} and --model {arguments.model!r}"
        raise ConfigError(f"one run directory is needed, as RUN or as --model RUN; found {found}")

    def load(window: int) -> Records:
        from seq2x.predictors import Translator

        set_threads(arguments.threads)
        translator = Translator.load(arguments.directory or arguments.model, arguments.task)
        how = search(arguments, translator.search)
        n_best = arguments.n_best or 1
        if n_best > how.beam_size:
            raise ConfigError(f"--n-best {n_best} needs a beam of {n_best} or more; it is {how.beam_size}: "
                              f"set --beam-size {n_best}")

        def records(lines: Iterator[str], notice: Notice) -> Iterator[str]:
            translations = translator.translate(lines, search=how, n_best=n_best, batch_tokens=arguments.batch_tokens,
                                                window=window)
            for number, translation in enumerate(translations, start=1):
                if translation.windows > 1:
                    notice(in_parts(arguments, number, translator.limit, "translated", translation.windows))
                yield _record(translation, number, arguments)

        return records

    return convert(arguments, load)


def _record(translation: Translation, number: int, arguments: Namespace) -> str:
    """What is written for one line."""
    if arguments.n_best is not None:
        found = [f"{number}\t{other.score:.4f}\t{other.text}" for other in translation.alternatives]
        return "\n".join([*found, *[f"{number}\t-inf\t"] * (arguments.n_best - len(found))])
    return f"{translation.score:.4f}\t{translation.text}" if arguments.scores else translation.text
