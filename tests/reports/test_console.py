"""What a training looks like: on a terminal, in a log, and not at all."""

from __future__ import annotations

import io
import re
import sys

import pytest

from seq2x.reports.console import ConsoleDisplay, about, clock
from seq2x.training.progress import FitConfig, Progress, Score, Update

EXAMPLES = ("    right  eine [rote] Katze",)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class AsciiTerminal(Terminal):
    encoding = "ascii"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 120 cells with colours, wherever the tests run."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")


class Training:
    """Four epochs of 50 updates, each of one second; an evaluation of ten seconds after each epoch."""

    def __init__(self, stream: io.StringIO, limits: FitConfig | None, quiet: bool = False) -> None:
        self.now = 0.0
        self.display = ConsoleDisplay(limits, unit="words", quiet=quiet, stream=stream, clock=lambda: self.now)
        self.progress = Progress()

    def run(self, epochs: int) -> None:
        for _ in range(epochs * 50):
            self.now += 1
            self.progress.step += 1
            self.progress.epoch, self.progress.batch = divmod(self.progress.step, 50)
            self.progress.seconds = self.now
            self.display.updated(Update(self.progress, 0.001, {"tag loss": 1.5, "tag nll": 1.25}, 100))
            if self.progress.batch == 0:
                self.display.evaluating(self.progress)
                self.now += 10
                self.progress.seconds = self.now
                improved = self.progress.epoch != 3
                value = 50.0 + self.progress.epoch if improved else 40.0
                if improved:
                    self.progress.best, self.progress.best_step = value, self.progress.step
                self.display.evaluated(self.progress, Score(value, {}, "f1", EXAMPLES), improved)


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().split("\n")


def plain(written: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", written)


def drawn(written: str) -> list[str]:
    """Every state of the moving line."""
    return re.findall(r"\r\x1b\[2K([^\r\n]+)\r", plain(written))


def test_a_log_has_a_line_now_and_then() -> None:
    stream = io.StringIO()
    training = Training(stream, FitConfig(max_epochs=4))
    training.display.say("80 examples")
    training.run(4)
    lines = lines_of(stream)
    assert lines[0] == "80 examples"
    assert lines[1] == "epoch 1/4  update 10  loss 1.500 nll 1.250  rate 0.001  100 words/s"
    evaluations = [line for line in lines if "after" in line]
    assert evaluations == [
        "epoch 1/4  update 50  loss 1.500 nll 1.250  dev f1 51.00  best so far  after 1:00",
        "epoch 2/4  update 100  loss 1.500 nll 1.250  dev f1 52.00  best so far  after 2:00",
        "epoch 3/4  update 150  loss 1.500 nll 1.250  dev f1 40.00  best 52.00 at update 100  after 3:00",
        "epoch 4/4  update 200  loss 1.500 nll 1.250  dev f1 54.00  best so far  after 4:00",
    ]
    assert all(lines[lines.index(line) + 1] == EXAMPLES[0] for line in evaluations)
    assert sum("words/s" in line for line in lines) == 20  # one in ten seconds
    assert not re.search(r"[\r\x1b]", stream.getvalue())


def test_time_left_counts_evaluations_in() -> None:
    stream = io.StringIO()
    training = Training(stream, FitConfig(max_epochs=4))
    training.run(2)
    assert "left" not in stream.getvalue().partition("update 50")[0]  # an epoch has to end before its size is known
    last = [line for line in lines_of(stream) if "rate" in line][-1]
    left = last.rpartition("  ")[2]
    minutes, seconds = left.removesuffix(" left").split(":")
    assert int(minutes) * 60 + int(seconds) == pytest.approx(100 * 110 / 100, abs=15)


@pytest.mark.parametrize(("limits", "estimate"), [
    (FitConfig(max_epochs=400), "time        about 6 h 6 min to epoch 400, evaluations not counted"),
    (FitConfig(max_epochs=400, max_steps=22000),
     "time        about 6 h 6 min to update 22,000, evaluations not counted"),
    (FitConfig(max_epochs=400, max_minutes=30), "time        about 30 min to the end of 30 minutes"),
])
def test_it_says_once_how_long_it_will_take(limits: FitConfig, estimate: str) -> None:
    stream = io.StringIO()
    training = Training(stream, None)
    training.display.started(22000, limits)
    training.run(2)
    assert [line for line in lines_of(stream) if line.startswith("time")] == [estimate]
    assert lines_of(stream).index(estimate) < lines_of(stream).index(EXAMPLES[0])


def test_losses_of_several_tasks_are_named_and_none_is_said_twice() -> None:
    stream = io.StringIO()
    training = Training(stream, None)
    training.now = 20.0
    losses = {"ner loss": 2.0, "ner nll": 2.0, "de-en loss": 4.0, "de-en nll": 3.5}
    training.display.updated(Update(Progress(step=1, batch=1), 0.001, losses, 3))
    assert "  ner loss 2.000 de-en loss 4.000 de-en nll 3.500  " in stream.getvalue()


def test_scores_of_several_tasks_stand_beside_their_mean() -> None:
    stream = io.StringIO()
    display = ConsoleDisplay(stream=stream)
    display.evaluated(Progress(step=7, epoch=1, best=60.0), Score(60.0, {}, "ner f1 80.00, trec accuracy 40.00"), True)
    assert "dev 60.00 (ner f1 80.00, trec accuracy 40.00)  best so far" in stream.getvalue()


def test_the_line_on_a_terminal_moves_and_goes() -> None:
    stream = Terminal()
    training = Training(stream, FitConfig(max_epochs=4))
    with training.display:
        training.run(3)
        training.display.say("a note")
    moving = drawn(stream.getvalue())
    assert max(map(len, moving)) <= 119  # a full row would scroll
    assert any(line.startswith("epoch 3/4  \u2501") and "\u2501" * 12 + "\u2500" * 8 in line for line in moving)
    assert any(line.startswith("evaluating") for line in moving)
    assert plain(stream.getvalue()).endswith(f"{EXAMPLES[0]}\na note\n")
    assert "\x1b[32mbest so far\x1b[0m" in stream.getvalue()


@pytest.mark.parametrize(("columns", "kept", "gone"), [
    (80, ["epoch 3/4", "update 125", "loss 1.500", "words/s", "left"], ["rate", "\u2501"]),
    (50, ["epoch 3/4", "loss 1.500", "left"], ["rate", "dev", "\u2501", "words/s", "update"]),
    (24, ["epoch 3/4", "left"], ["loss"]),
    (5, ["epoc"], ["left"]),
])
def test_a_narrow_terminal_shows_what_matters_most(
    monkeypatch: pytest.MonkeyPatch, columns: int, kept: list[str], gone: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    training = Training(stream, FitConfig(max_epochs=4))
    training.run(3)
    line = drawn(stream.getvalue())[125 - 1 + 2]  # that of update 125, after two evaluations
    assert len(line) < columns
    assert all(part in line for part in kept)
    assert not any(part in line for part in gone)


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    training = Training(stream, FitConfig(max_epochs=4))
    training.display.say("warning     this is old")
    training.run(2)
    assert drawn(stream.getvalue())
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", stream.getvalue())


def test_a_warning_is_seen() -> None:
    stream = Terminal()
    ConsoleDisplay(stream=stream).say("warning     5 [of] 6")
    assert stream.getvalue() == "\x1b[33mwarning     5 [of] 6\x1b[0m\n"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    stream = AsciiTerminal()
    Training(stream, FitConfig(max_epochs=4)).run(3)
    assert stream.getvalue().isascii()
    assert "#" * 12 + "-" * 8 in stream.getvalue()


def test_a_dumb_terminal_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    Training(stream, FitConfig(max_epochs=4)).run(1)
    assert not re.search(r"[\r\x1b]", stream.getvalue())


def test_leaving_wipes_the_line() -> None:
    stream = Terminal()
    training = Training(stream, None)
    with training.display:
        training.now = 5.0
        training.display.updated(Update(Progress(step=1, batch=1), 0.001, {"a loss": 1.0, "b loss": 2.0}, 3))
        assert "epoch 1  update 1  a loss 1.000 b loss 2.000" in plain(stream.getvalue())
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_a_log_needs_no_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "seq2x.reports.terminal", raising=False)
    stream = io.StringIO()
    Training(stream, FitConfig(max_epochs=4)).run(1)
    assert "update 50" in stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quiet_is_silent(stream: io.StringIO) -> None:
    training = Training(stream, FitConfig(max_epochs=4), quiet=True)
    with training.display:
        training.display.say("80 examples")
        training.run(2)
    assert stream.getvalue() == ""


def test_times() -> None:
    assert [clock(seconds) for seconds in (0, 7.4, 59.6, 754, 3723)] == ["0:00", "0:07", "1:00", "12:34", "1:02:03"]
    assert [about(seconds) for seconds in (44.6, 89, 90, 2280, 7920, 180000, 302400)] == [
        "45 s", "89 s", "2 min", "38 min", "2 h 12 min", "2 days 2 h", "3 days 12 h"]
