"""What the commands' options have in common: how they are parsed, what a number is. Imports nothing heavy."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from seq2x.errors import ConfigError, nearest

if TYPE_CHECKING:
    from seq2x.heads import SearchConfig


WINDOW = 2048
"""Lines read ahead where --window says nothing."""
MOST_THREADS = 1024
"""What --threads may be anywhere; more where a machine has more processors. Of tens of thousands torch dies."""
SEARCH = ("beam_size", "length_penalty", "length_norm", "coverage_penalty", "max_length_ratio", "no_repeat_ngram")
"""What :func:`add_search` adds."""


class Parser(ArgumentParser):
    """argparse with errors of one paragraph, which name the nearest option, and with examples in its help."""

    def __init__(self, prog: str, description: str, epilog: str, **settings: Any) -> None:
        """``settings`` are argparse's own: it is argparse that makes the parsers of sub-commands."""
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False,
                         formatter_class=_Formatter, **settings)

    def parse_known_args(  # type: ignore[override]  # argparse's overloads say no more than this
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse; an option or argument that is not known is an error of the sub-command it was given to."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and (last := self._last_list()) and not any(one.startswith("-") for one in unknown):
            getattr(found, last).extend(unknown)  # RUN --json FILE: argparse reads no argument behind an option
            return found, []
        if unknown:
            first = unknown[0].partition("=")[0]
            known = [name for name in self._option_string_actions if name.startswith("--")]
            if first.startswith("-"):
                begun = [name for name in known if name.startswith(first)]
                self.error(f"unknown option {first}{nearest(first, begun or known)}")
            self.error(f"unexpected argument {first!r}")
        return found, unknown

    def _last_list(self) -> str | None:
        """The name of the argument that takes all that follow."""
        lists = [action.dest for action in self._get_positional_actions() if action.nargs in ("+", "*")]
        return lists[-1] if lists else None

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one paragraph, and end with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (`{self.prog} --help` shows how it is used)\n")


class _Formatter(RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)
        self._action_max_length = 13  # argparse forgets the indentation of commands, and breaks the longest one's line


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"found {text!r}, expected a whole number of 1 or more")
    return int(text)


def whole(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"found {text!r}, expected a whole number of 0 or more")
    return int(text)


def share(text: str) -> float:
    """Read a number above 0 and up to 1."""
    value = positive(text)
    if value > 1:
        raise ArgumentTypeError(f"found {text!r}, expected a number of more than 0 and at most 1")
    return value


def amount(text: str) -> float:
    """Read a number of 0 or more."""
    return _number(text, "0 or more", 0.0)


def positive(text: str) -> float:
    """Read a number above 0."""
    return _number(text, "more than 0", math.ulp(0.0))


def column(text: str) -> int | str:
    """Read a column: a position counted from 0 (-1 = the last), or a name."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else text


def add_runs(parser: ArgumentParser) -> None:
    """Add the run, or the several that act as one model."""
    parser.add_argument("runs", nargs="+", metavar="RUN",
                        help="run directory; several act as one model, their probabilities averaged. A file of weights "
                             "in a run stands for the run with these, RUN/snapshots for all that are there")


def add_model(parser: ArgumentParser) -> None:
    """Add what every command that runs a model takes."""
    parser.add_argument("--task", metavar="NAME", help="which task of the run, where it has several")
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: torch's choice)")


def add_batches(parser: ArgumentParser) -> None:
    """Add how much is computed at once."""
    parser.add_argument("--batch-tokens", type=count, metavar="N", default=4096,
                        help="tokens computed together: more is faster and takes more memory; never changes the output "
                             "(default: %(default)s)")


def add_search(parser: ArgumentParser) -> None:
    """Add how translations are searched for; what is not given is as the run's configuration says."""
    group = parser.add_argument_group("search (default: as the run's configuration says)")
    group.add_argument("--beam-size", type=count, metavar="N", help="hypotheses followed at once; 1 = greedy")
    group.add_argument("--length-penalty", type=amount, metavar="A", help="the exponent a; more = longer translations")
    group.add_argument("--length-norm", choices=("gnmt", "average", "none"),
                       help="scores are divided by ((5+|Y|)/6)^a, |Y|^a or nothing; |Y| counts the end symbol")
    group.add_argument("--coverage-penalty", type=amount, metavar="B",
                       help="add B * sum log(min(attention a source token got, 1)) to the scores (GNMT)")
    group.add_argument("--max-length-ratio", type=positive, metavar="R",
                       help="an output has R * source tokens + 10 tokens at most")
    group.add_argument("--no-repeat-ngram", type=whole, metavar="N",
                       help="N tokens in a row never come twice in an output; 0 = they may")


def search(arguments: Namespace, own: SearchConfig) -> SearchConfig:
    """Return the run's own search with what the options change; ConfigError where a search cannot be so."""
    from seq2x.config import parse

    options = {name: getattr(arguments, name) for name in SEARCH}
    given = {name: value for name, value in options.items() if value is not None}
    return parse(type(own), {**own.model_dump(), **given}, "search")


def add_streams(parser: ArgumentParser) -> None:
    """Add where text comes from, where records go, and how many are held in between."""
    group = parser.add_argument_group("input and output")
    group.add_argument("-i", "--input", metavar="FILE",
                       help="UTF-8 text, one item a line, also .gz (default: standard input)")
    group.add_argument("-o", "--output", metavar="FILE",
                       help="written under FILE.part, and renamed when complete (default: standard output)")
    group.add_argument("--overwrite", action="store_true", help="let -o replace a file that exists")
    group.add_argument("--stream", action="store_true",
                       help="answer each line before the next is read (what happens anyway when you type them)")
    group.add_argument("--window", type=count, metavar="N",
                       help="lines read ahead and sorted by length, for speed; they come out in order "
                            f"(default: {WINDOW})")


def set_threads(number: int | None) -> None:
    """Tell torch how many processor threads to use; None leaves it as it is."""
    if number is not None:
        if number > (most := max(MOST_THREADS, os.cpu_count() or 1)):
            raise ConfigError(f"--threads {number}: expected at most {most:,}")
        import torch

        torch.set_num_threads(number)


def _number(text: str, expected: str, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value < math.inf:
        raise ArgumentTypeError(f"found {text!r}, expected a number of {expected}")
    return value
