"""``seq2x extract``: a run with some of its tasks alone, to be used elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

HELP = "write a run with some of its tasks alone"
ABOUT = """\
Write a run into a new directory with some of its tasks alone, without what only training needs. What they predict is
the same to the bit."""
EXAMPLES = """\
examples:
  seq2x extract runs/multi --task ner --out runs/ner
  seq2x extract runs/multi --out shipped                     (all tasks, without what a resume needs)"""


def add(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.set_defaults(run=run)
    parser.add_argument("directory", metavar="RUN", help="run directory")
    parser.add_argument("--task", metavar="NAME", action="append", default=[], dest="tasks",
                        help="a task to keep; may be given several times (default: all)")
    parser.add_argument("--out", metavar="NEW", required=True, help="directory to write, which must not exist yet")


def run(arguments: Namespace) -> int:
    """Extract, and say how large the outcome is."""
    from seq2x.start import extract

    out = extract(arguments.directory, arguments.out, arguments.tasks)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:,.1f} MB")
    return 0
