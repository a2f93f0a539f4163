"""``seq2x translate`` and ``seq2x-translate``: sentences in, their translations out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from seq2x.cli.options import (
    add_batches,
    add_model,
    add_search,
    add_streams,
    count,
    positive,
    share,
    whole,
)
from seq2x.cli.streams import Lines, Notice, Records, convert
from seq2x.errors import ConfigError

HELP = "translate sentences"
ABOUT = """\
Translate sentences, one a line: raw text in, raw text out, one line out for each line in, in the same order, whatever
comes in. A line too long for the model is translated in windows, and a warning names it. An empty line stays empty."""
EXAMPLES = """\
output:
  by default              text
  with --scores           score TAB text
  with --n-best N         N lines for each line in, best first: index TAB score TAB text; the index counts the lines
                          from 1; where there are fewer than N (of an empty line), the rest score -inf and have no text
  with --alignments       and at the end of each line TAB i-j pairs: word i of the input, word j of the output, from 0
  with --score FILE       score (TAB i-j pairs) of the given translations
  with --json             one object a line: line, source, text, score, log_prob, tokens, alignment, windows, and
                          with --n-best alternatives
  the score is the log-probability divided by the length normalisation, plus the coverage penalty

constraints, a line for each line of the input, parted by TABs:
  a term that the translation must hold; -term that it must not; +term is a term too, so +-x is the term -x.
  Terms are whole words in just this case. Beams as large as the number of their tokens + 1 find the best translations.

examples:
  seq2x-translate --model runs/de-en --beam-size 10 --length-penalty 1.0 < in.de > out.en
  seq2x-translate --model runs/de-en -i in.de -o out.en --workers 2 --verify
  seq2x-translate --model runs/a --model runs/b < in.de         (an ensemble: their probabilities are averaged)
  seq2x-translate --model runs/de-en --sample --n-best 5 < in.de
  seq2x-translate --model runs/de-en --sample --mbr 32 < in.de  (of 32 samples the one that is most like the others)
  seq2x-translate --model runs/de-en --score out.en < in.de
  echo "Ein Haus" | seq2x translate runs/de-en --attention heat.png
  seq2x translate runs/de-en --n-best 5 < in.de
  tail -f log.de | seq2x translate runs/de-en --stream

exit codes: 0 done, 1 --verify found a line that comes out differently alone, 2 something to mend"""
SAMPLING = ("temperature", "top_k", "top_p", "seed")


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("directory", nargs="?", metavar="RUN", help="run directory")
    parser.add_argument("--model", metavar="RUN", action="append", help="the same, as an option; several = an ensemble")
    parser.add_argument("--n-best", type=count, metavar="N", help="the N best translations; at most --beam-size")
    parser.add_argument("--scores", action="store_true", help="put the score before the text")
    parser.add_argument("--alignments", action="store_true", help="put word alignments behind the text (Pharaoh: i-j)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with everything")
    parser.add_argument("--attention", metavar="FILE",
                        help="write the attention too: FILE.png is a picture of the first lines (needs matplotlib), "
                             "any other name is a JSON object a line")
    parser.add_argument("--score", metavar="FILE",
                        help="score the translations in FILE instead of searching for some; each as a whole, so that a "
                             "line too long for the model is refused")
    parser.add_argument("--long-lines", choices=("windows", "error"), default="windows",
                        help="what becomes of a line that is too long for the model (default: %(default)s)")
    add_model(parser)
    parser.add_argument("--workers", type=count, metavar="N", help="translate in N processes of one thread each")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "auto"), default="float32",
                        help="of the products; in float32 the output is the same in every batch; auto: bfloat16 where "
                             "the device has such instructions (default: %(default)s)")
    parser.add_argument("--verify", nargs="?", type=count, const=20, metavar="N",
                        help="translate N of the lines again, one by one, and compare (default: 20)")
    add_batches(parser)
    add_search(parser)
    group = parser.add_argument_group("what translations must be like")
    group.add_argument("--prefix", metavar="FILE", help="how each begins, line by line")
    group.add_argument("--constraints", metavar="FILE", help="terms that each must or must not hold; see below")
    group = parser.add_argument_group("choosing in other ways")
    group.add_argument("--mbr", type=count, metavar="N",
                       help="of N candidates (the N best, or N samples) take the one with the best mean chrF with all")
    group.add_argument("--sample", action="store_true",
                       help="draw translations at random (with --n-best N of them), instead of a beam search")
    group.add_argument("--temperature", type=positive, metavar="T", help="of --sample; default 1, lower = likelier")
    group.add_argument("--top-k", type=whole, metavar="K", help="of --sample: from the K likeliest tokens; 0 = all")
    group.add_argument("--top-p", type=share, metavar="P", help="of --sample: from the likeliest that add up to P")
    group.add_argument("--seed", type=whole, metavar="N", help="of --sample; the same one draws the same (default: 0)")
    add_streams(parser)


def run(arguments: Namespace) -> int:
    """Translate every line."""
    if (arguments.directory is None) == (arguments.model is None):
        found = "none" if arguments.model is None else f"{arguments.directory!r} and --model {arguments.model[0]!r}"
        raise ConfigError(f"one run directory is needed, as RUN or as --model RUN; found {found}")
    _check(arguments)
    from seq2x.cli.translating import Attentions, Items, Verification, Work
    from seq2x.machine import has_bfloat16

    work, items = Work(arguments), Items(arguments)
    verification, attentions = Verification(arguments.verify), Attentions(arguments)

    def load(window: int) -> Records:
        if not arguments.workers:
            work.load()

        def records(lines: Lines, notice: Notice) -> Iterator[str]:
            if arguments.precision == "bfloat16" and not has_bfloat16(arguments.device):
                notice(f"--precision bfloat16 is slow here: {arguments.device} has no such instructions; 'auto' takes "
                       "float32 then")
            items.lines = lines
            for item, record in work.records(items, window):
                for message in record.notices:
                    notice(message)
                verification.keep(item, record)
                attentions.add(item, record)
                yield record.text
            if items.error is not None and lines.error is None:  # else there are fewer lines for that reason
                raise items.error

        return records

    with attentions:
        convert(arguments, load)
    return verification.run(work)


def _check(arguments: Namespace) -> None:
    """Refuse options that cannot be had together, before anything is loaded."""
    drawn = [name for name in SAMPLING if getattr(arguments, name) is not None]
    if drawn and not arguments.sample:
        raise ConfigError(f"--{drawn[0].replace('_', '-')} is for samples: add --sample")
    for name in ("constraints", "beam_size"):
        if arguments.sample and getattr(arguments, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is for the beam search, not for --sample")
    if arguments.score is not None:
        others = ("n_best", "sample", "mbr", "prefix", "constraints", "beam_size", "max_length_ratio",
                  "no_repeat_ngram")
        for name in others:
            if getattr(arguments, name):
                raise ConfigError(f"--score scores what is given; it cannot be had with --{name.replace('_', '-')}")
    if arguments.mbr and (arguments.n_best or 1) > arguments.mbr:
        raise ConfigError(f"--n-best {arguments.n_best} needs as many candidates; --mbr is {arguments.mbr}")
    if arguments.stream and arguments.workers:
        raise ConfigError("--stream answers each line before the next is read, so --workers have nothing to share")
    if arguments.workers and (arguments.threads or 1) > 1:
        raise ConfigError(f"--workers are processes of one thread each; found --threads {arguments.threads}")
    if arguments.attention and arguments.output and Path(arguments.attention).resolve() == Path(
            arguments.output).resolve():
        raise ConfigError(f"--attention and -o cannot both be written to {arguments.output}")
