"""Worker processes: answers in order, errors in their place, and no process left, however the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seq2x.data.workers import AHEAD, Workers
from seq2x.errors import DataError, RunError

ROOT = Path(__file__).resolve().parents[2]


def job(item: int | str) -> tuple[int | str, int]:
    """What it was given, and who answers; words are wishes."""
    if item == "error":
        raise DataError("found a word", "made.txt", 7)
    if item == "a fault":
        raise KeyError(item)
    if item == "end":
        os._exit(3)
    if item == "sleep":
        time.sleep(60)
    return item, os.getpid()


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers[int | str, tuple[int | str, int]]]:
    with Workers(job, 2) as workers:
        yield workers


def test_answers_come_in_order_from_all(pool: Workers[int | str, tuple[int | str, int]]) -> None:
    answers = list(pool.map(range(200)))
    assert [item for item, _ in answers] == list(range(200))
    assert len({process for _, process in answers} - {os.getpid()}) == 2
    assert list(pool.map([])) == []


def test_little_is_read_ahead(pool: Workers[int | str, tuple[int | str, int]]) -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    answers = pool.map(items())
    assert next(answers)[0] == 0
    assert len(read) <= 2 * AHEAD
    assert [item for item, _ in answers] == list(range(1, 100))


def test_large_items_do_not_block(pool: Workers[int | str, tuple[int | str, int]]) -> None:
    items = [f"{number} " * 300_000 for number in range(12)]
    assert [item for item, _ in pool.map(items)] == items


def test_no_workers_do_it_here() -> None:
    with Workers(job, 0) as workers:
        assert list(workers.map([1, 2])) == [(1, os.getpid()), (2, os.getpid())]


def test_an_error_comes_in_its_place() -> None:
    with Workers(job, 2) as workers:
        answers = workers.map([0, 1, "error", 3])
        assert [next(answers)[0] for _ in range(2)] == [0, 1]
        with pytest.raises(DataError, match=r"^made\.txt, line 7: found a word$") as raised:
            next(answers)
    assert (raised.value.path, raised.value.line) == ("made.txt", 7)
    with Workers(job, 1) as workers, pytest.raises(KeyError) as unforeseen:
        list(workers.map(["a fault"]))
    assert "in a worker process" in unforeseen.value.__notes__[0]


def test_an_error_of_the_items_comes_after_the_answers() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise DataError("holds no more")

    with Workers(job, 1) as workers:
        answers = workers.map(items())
        assert [next(answers)[0] for _ in range(2)] == [0, 1]
        with pytest.raises(DataError, match="holds no more"):
            next(answers)


def test_a_process_that_dies_is_told() -> None:
    with Workers(job, 1) as workers, pytest.raises(RunError, match=r"ended without an answer \(exit code 3\)"):
        list(workers.map([1, "end", 2]))


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"  # nobody has asked for its end yet


def wait_for(processes: set[int]) -> None:
    end = time.monotonic() + 20
    while not all(map(gone, processes)):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_closing_ends_what_is_at_work() -> None:
    with Workers(job, 1) as workers:
        answers = workers.map([1, "sleep"])
        _, process = next(answers)
    wait_for({process})


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_orphans(tmp_path: Path, end: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from seq2x.data.workers import Workers\nfrom test_workers import job\n"
        "if __name__ == '__main__':\n"
        "    with Workers(job, 2) as workers:\n"
        "        for item, process in workers.map([1, 2, *['sleep'] * 9]):\n"
        "            print(process, flush=True)\n")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              start_new_session=True)
    assert parent.stdout is not None
    processes = {int(parent.stdout.readline()) for _ in range(2)}
    if end == signal.SIGINT:
        os.killpg(parent.pid, end)  # as a terminal does it
    else:
        parent.kill()
    assert parent.wait(timeout=20) != 0
    parent.stdout.close()
    if end == signal.SIGKILL:  # they end once their work is done, which is here to sleep
        assert len(processes) == 2
        for process in processes:
            if not gone(process):
                os.kill(process, signal.SIGTERM)
    wait_for(processes)
