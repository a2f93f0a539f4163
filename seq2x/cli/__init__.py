"""The command line: ``seq2x COMMAND ...`` and ``seq2x-translate``. Knows how to ask and to answer; others do the work.

Each command is a file with two functions: ``add`` describes its options, ``run`` does it and returns the exit code.
``add`` imports nothing heavy, so that help and mistyped options answer at once; ``run`` imports what it needs.

Exit codes: 0 done · 2 something for the user to mend, said in one paragraph · 130 stopped by Ctrl-C · 141 the reader of
the output went away.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from seq2x.cli import classify, evaluate, extract, init, tag, train, translate, tune
from seq2x.cli.options import Parser
from seq2x.cli.streams import quiet_pipe
from seq2x.errors import Seq2xError
from seq2x.version import __version__

EXAMPLES = """\
from text files to a model, and to its output:
  seq2x init tag train.conll --dev dev.conll -o ner.toml
  seq2x train ner.toml
  seq2x evaluate runs/ner test.conll
  seq2x tag runs/ner < raw.txt > tagged.conll

  seq2x init classify train.tsv
  seq2x init translate train.de train.en
  seq2x translate runs/translate --beam-size 10 < in.txt > out.txt

Each command has its own help: seq2x train --help"""

ABOUT = "Tag, classify and translate text: from text files to a model, and to its output."
COMMANDS = {
    "init": init, "train": train, "evaluate": evaluate, "tag": tag, "classify": classify, "translate": translate,
    "extract": extract, "tune": tune,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``seq2x`` with ``argv`` (by default the process's arguments) and return the exit code."""
    return _run(_parser, argv)


def translate_main(argv: Sequence[str] | None = None) -> int:
    """Run ``seq2x-translate``, which is ``seq2x translate`` under a name of its own."""
    return _run(_translate_parser, argv)


def _parser() -> Parser:
    parser = Parser("seq2x", ABOUT, EXAMPLES)
    parser.add_argument("--version", action="version", version=f"seq2x {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command",
                                     parser_class=Parser)
    for name, module in COMMANDS.items():
        module.add(commands.add_parser(name, description=module.ABOUT, epilog=module.EXAMPLES, help=module.HELP))
    return parser


def _translate_parser() -> Parser:
    parser = Parser("seq2x-translate", translate.ABOUT, translate.EXAMPLES)
    parser.add_argument("--version", action="version", version=f"seq2x {__version__}")
    translate.add(parser)
    return parser


def _run(build: Callable[[], Parser], argv: Sequence[str] | None) -> int:
    arguments = build().parse_args(argv)
    run: Callable[[Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()  # here, where a reader that went away can still be answered for
    except Seq2xError as error:
        return _say(f"seq2x: error: {error}", 2)
    except KeyboardInterrupt:
        return _say("\nseq2x: interrupted", 130)
    except BrokenPipeError:
        quiet_pipe()
        return 141
    except OSError as error:  # no permission, no space, a file where a folder should be
        return _say(f"seq2x: error: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", 2)
    return code


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
