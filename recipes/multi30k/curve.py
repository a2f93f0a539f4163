"""Dev BLEU against wall minutes, of runs of ours and of others: a Markdown table, and a picture where wished.

    python recipes/multi30k/curve.py ours=runs/multi30k-recurrent --out curve.png
    python recipes/multi30k/curve.py ours=runs/multi30k-recurrent OpenNMT-py=.bench/curve/recurrent.tsv

A run directory gives its metrics.jsonl; any other file holds a line "minutes TAB BLEU" an evaluation, as
tools/bench_scripts/curve_opennmt.py writes it.
"""

from __future__ import annotations

import argparse
from bisect import bisect_right
from pathlib import Path

from seq2x import checkpoint
from seq2x.data.files import read_lines
from seq2x.reports.attention import require

Curve = list[tuple[float, float]]
"""Minutes and BLEU, in the order of time."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("curves", nargs="+", metavar="NAME=PATH", help="a run directory, or a file of minutes and BLEU")
parser.add_argument("--every", type=float, default=5.0, metavar="MINUTES", help="rows of the table (default: 5)")
parser.add_argument("--out", metavar="FILE", help="a picture, such as curve.png (needs matplotlib)")
arguments = parser.parse_args()


def curve(path: Path) -> Curve:
    """What a run or a file says; the mean of checkpoints, tried after the end, is no point of it."""
    if path.is_dir():
        return [(record["seconds"] / 60, next(iter(record["scores"].values()))["bleu"])
                for record in checkpoint.read_metrics(path) if "mean_of" not in record]
    minutes_and_bleu = (line.split("\t") for line in read_lines(path))
    return [(float(minutes), float(bleu)) for minutes, bleu in minutes_and_bleu]


def best_at(found: Curve, minutes: float) -> str:
    """The best BLEU of the evaluations that have ended by then, to a tenth of a minute."""
    ended = found[: bisect_right(found, (minutes + 0.05, float("inf")))]
    return f"{max(bleu for _, bleu in ended):.1f}" if ended else ""


curves = {name: curve(Path(path)) for name, _, path in (each.partition("=") for each in arguments.curves)}
print(f"| minutes | {' | '.join(curves)} |")
print("|---" * (len(curves) + 1) + "|")
last = max(found[-1][0] for found in curves.values())
for row in range(1, int(-(-last // arguments.every)) + 1):
    minutes = row * arguments.every
    print(f"| {minutes:g} | {' | '.join(best_at(found, minutes) for found in curves.values())} |")

if arguments.out:
    require()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, found in curves.items():
        axes.plot(*zip(*found, strict=True), marker=".", label=name)
    axes.set(xlabel="wall minutes", ylabel="dev BLEU (greedy)", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(arguments.out)
