"""`tools/bench NAME`: our script and the peer's in turns, each in its own environment, medians of the runs, a table.

Knows no library: what is measured stands in `_bench_cases.py`, and the scripts that measure it print one line of JSON,
``{"figures": {...}, "facts": {...}}``. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from _bench_cases import BENCHES, Bench, Duel, Figure
from _datasets import folder_of_data
from _environment import ROOT, ToolError, prepare
from _peers import FOLDER, Peer, environment

SCRIPTS = ROOT / "tools" / "bench_scripts"
LEAST = 3  # runs of each side
LINES = 1000


class Measured(NamedTuple):
    """What a script printed: numbers to compare, and numbers that say what it did."""

    figures: dict[str, float]
    facts: dict[str, float]


class Result(NamedTuple):
    """One case. ``ratio`` is above 1 where ours is better."""

    case: str
    ours: float
    peer: float
    ratio: float
    unit: str
    spread: float
    """The greater of both sides' (most - least) / median."""


class Place(NamedTuple):
    """Where scripts run and what they are told."""

    pythons: Mapping[str, Path]
    """Of "ours", and of each other side by its name for people."""
    folders: Mapping[str, Path]
    """What DATA, the names of sets and WORK stand for."""
    threads: int
    log: Path
    lock: Path | None


def tool(arguments: Sequence[str]) -> int:
    """Measure one bench; see ``--help``."""
    options = _options(arguments)
    name, bench = options.name, BENCHES.get(options.name)
    if bench is None:
        raise ToolError(f"unknown bench {name!r}; the choices are {', '.join(BENCHES)}")
    if options.repeat < LEAST:
        raise ToolError(f"--repeat {options.repeat}: medians of fewer than {LEAST} runs say too little")
    if options.lines is not None and not (bench.lines and options.lines >= LINES):
        raise ToolError(f"--lines {options.lines}: expected {LINES} or more" if bench.lines else
                        f"--lines: the bench {name!r} knows no number of lines; "
                        f"it is for {', '.join(key for key, value in BENCHES.items() if value.lines)}")
    if options.threads is not None and options.threads < 1:
        raise ToolError(f"--threads {options.threads}: expected 1 or more")
    place = _place(name, bench, options.threads or bench.threads, options.lock)
    if options.lines is not None:
        return _memory(name, bench, place, options.lines, options.json)
    if bench.prepare:
        _note(f"preparing the data of both sides ({bench.prepare[0]})")
        once(bench.prepare, place, "ours", 0)
    results: list[Result] = []
    facts: list[str] = []
    for duel in bench.duels:
        runs = fight(duel, place, options.repeat)
        results += compare(duel, runs)
        facts.append(described(runs, duel.other))
    if options.json:
        for line in as_json(name, results):
            print(line)
        _note("\n".join(facts))
    else:
        head = (f"{bench.title}: ours beside {bench.other}, medians of {options.repeat} runs, "
                f"threads: {place.threads}")
        print("\n\n".join([head, table(results, bench.other if len(bench.others) == 1 else "peer"), *facts]))
    return 0


def _memory(name: str, bench: Bench, place: Place, lines: int, as_lines: bool) -> int:
    """Run the script of --lines; print its figures, which are MiB, and its facts."""
    measured = once([str(lines) if word == "LINES" else word for word in bench.lines], place, "ours", 1)
    for case, value in measured.figures.items():
        if as_lines:
            print(json.dumps({"bench": name, "case": case, "ours": _rounded(value), "unit": "MiB"}))
        else:
            print(f"{case}: {_rounded(value):,} MiB")
    for fact, value in measured.facts.items():
        print(f"{fact} {_rounded(value):,}", file=sys.stderr)
    return 0


def fight(duel: Duel, place: Place, repeat: int) -> dict[str, list[Measured]]:
    """Run both sides in turns, ours first; the facts of each turn must agree (ToolError)."""
    runs: dict[str, list[Measured]] = {"ours": [], "peer": []}
    for turn in range(1, repeat + 1):
        for side, script in (("ours", duel.ours), ("peer", duel.peer)):
            _note(f"run {turn} of {repeat}, {side}: {script[0]}")
            measured = once(script, place, side if side == "ours" else duel.other, turn)
            missing = [figure.key for figure in duel.figures if figure.key not in measured.figures]
            missing += [fact for fact in duel.alike if fact not in measured.facts]
            if missing:
                raise ToolError(f"{script[0]} did not print {missing[0]!r}")
            runs[side].append(measured)
            _note(", ".join(f"{key} {_rounded(value):,}" for key, value in measured.figures.items()))
        _agree(duel, runs["ours"][-1], runs["peer"][-1])
    return runs


def once(script: Sequence[str], place: Place, side: str, turn: int) -> Measured:
    """Run a script, with ``turn`` as its seed, and read the last line it prints; the rest goes to the log."""
    words = [str(place.folders.get(word, word)) for word in script]
    command = [str(place.pythons[side]), str(SCRIPTS / words[0]), *words[1:]]
    threads = {"OMP_NUM_THREADS": str(place.threads), "MKL_NUM_THREADS": str(place.threads)}
    settings = {**os.environ, **threads, "PYTHONUTF8": "1", "SEED": str(turn)}
    with place.log.open("a", encoding="utf-8") as log, _alone(place.lock):
        answer = subprocess.run(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=log, encoding="utf-8")
    if answer.returncode != 0:
        last = place.log.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")[-5:]
        raise ToolError(f"exit code {answer.returncode} of: {' '.join(command)}\nThe end of {place.log}:\n  "
                        + "\n  ".join(last))
    try:
        printed = json.loads(answer.stdout.rstrip("\n").rpartition("\n")[2])
        return Measured(printed["figures"], printed["facts"])
    except (ValueError, KeyError, TypeError):
        raise ToolError(f"{words[0]} ended without its line of figures; see {place.log}") from None


def compare(duel: Duel, runs: Mapping[str, Sequence[Measured]]) -> list[Result]:
    """Take the medians of both sides and their ratio."""
    return [_compared(figure, *([run.figures[figure.key] for run in runs[side]] for side in ("ours", "peer")))
            for figure in duel.figures]


def _compared(figure: Figure, ours: Sequence[float], peer: Sequence[float]) -> Result:
    mine, other = median(ours), median(peer)
    ratio = mine / other if figure.more_is_better else other / mine
    spread = max((max(side) - min(side)) / median(side) for side in (ours, peer))
    return Result(figure.case, mine, other, ratio, figure.unit, spread)


def as_json(bench: str, results: Sequence[Result]) -> list[str]:
    """One object a case."""
    return [json.dumps({"bench": bench, "case": result.case, "ours": _rounded(result.ours),
                        "peer": _rounded(result.peer), "ratio": round(result.ratio, 3), "unit": result.unit})
            for result in results]


def table(results: Sequence[Result], peer: str) -> str:
    """The same for people, with the spread of the runs."""
    rows = [("case", "ours", peer, "ratio", "unit", "spread")]
    rows += [(result.case, f"{_rounded(result.ours):,}", f"{_rounded(result.peer):,}", f"{result.ratio:.2f}",
              result.unit, f"{result.spread:.0%}") for result in results]
    return _aligned(rows, words=(0, 4))


def described(runs: Mapping[str, Sequence[Measured]], peer: str) -> str:
    """What the last run of each side says of itself."""
    ours, other = (runs[side][-1].facts for side in ("ours", "peer"))
    rows = [("of the last run", "ours", peer)]
    for fact in ours | other:
        mine, others = (f"{_rounded(side[fact]):,}" if fact in side else "" for side in (ours, other))
        rows.append((fact, mine, others))
    return _aligned(rows, words=(0,))


def _aligned(rows: Sequence[Sequence[str]], words: Sequence[int]) -> str:
    """Columns of a table: those of ``words`` at the left, numbers at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) if place in words else cell.rjust(width)
                               for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                     for row in rows)


def _rounded(value: float) -> float:
    """Four digits that count, and no fraction where they are all before the point."""
    return round(value) if isinstance(value, int) or abs(value) >= 1000 else float(f"{value:.4g}")


def _agree(duel: Duel, ours: Measured, peer: Measured) -> None:
    for fact, share in duel.alike.items():
        mine, other = ours.facts[fact], peer.facts[fact]
        if abs(mine - other) > share * abs(other):
            raise ToolError(f"the sides did not do the same work: {fact!r} of {duel.ours[0]} is {mine:,}, of "
                            f"{duel.peer[0]} {other:,}; at most {share:.1%} apart would be fair")


def _place(name: str, bench: Bench, threads: int, lock: Path | None) -> Place:
    folders = {"WORK": ROOT / FOLDER / "work" / name}
    for place, name_of_set in enumerate(bench.data):
        folder = folder_of_data() / name_of_set
        if not folder.is_dir():
            raise ToolError(f"{folder}: no such folder; `tools/get_data {name_of_set}` fetches the data, or "
                            "SEQ2X_DATA names a folder that has it")
        folders[name_of_set if place else "DATA"] = folder
    folders["WORK"].mkdir(parents=True, exist_ok=True)
    log = folders["WORK"] / "log.txt"
    log.write_text("", encoding="utf-8")
    # pip and venv write to the screen: with --json that must not be mixed with the lines
    with _screen_is_stderr():
        ours = prepare(bench.extra)
        pythons = {"ours": ours}
        for duel in bench.duels:
            pythons[duel.other] = environment(duel.beside) if isinstance(duel.beside, Peer) else ours
    return Place(pythons, folders, threads, log, lock)


@contextmanager
def _screen_is_stderr() -> Iterator[None]:
    """Inside, what programs and we print goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _alone(lock: Path | None) -> Iterator[None]:
    """Hold ``lock``, if one is given, so that two measurements on one machine take turns."""
    if lock is None:
        yield
        return
    try:
        import fcntl
    except ImportError:
        raise ToolError("--lock works on Linux and macOS only") from None
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _note(message: str) -> None:
    print(f"==> {message}", file=sys.stderr, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures seq2x beside a peer: the same data, sizes and threads, both sides in turns, medians.\n"
        f"Each peer gets a virtual environment of its own under {FOLDER}, once.\n\n"
        + "\n".join(f"  {name:8} {bench.title}; beside {bench.other}" for name, bench in BENCHES.items()))
    parser.add_argument("name", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--json", action="store_true", help="one object a line: bench, case, ours, peer, ratio, unit; "
                        "a ratio above 1 means that ours is better")
    parser.add_argument("--repeat", type=int, default=LEAST, metavar="N", help=f"runs of each side; default {LEAST}")
    parser.add_argument("--threads", type=int, metavar="N", help="of each side; left out: "
                        + ", ".join(f"{name} {bench.threads}" for name, bench in BENCHES.items()))
    parser.add_argument("--lines", type=int, metavar="N", help="of `data`: instead, the most memory that all processes "
                        "take for a made-up corpus of N pairs of lines, and of N / 10 (10,000,000 need 3 GB of disk "
                        "and some 15 minutes)")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="held during each run, so that several measurements "
                        "on one machine take turns")
    return parser.parse_args(arguments)
