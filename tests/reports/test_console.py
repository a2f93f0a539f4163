"""What a training looks like: on a terminal, in a log, and not at all."""

from __future__ import annotations

import io

import pytest

from seq2x.reports.console import ConsoleDisplay, clock
from seq2x.training.fit import FitConfig, Progress, Score, Update


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
                self.display.evaluated(self.progress, Score(value, {}), improved)


def test_a_log_has_a_line_now_and_then() -> None:
    stream = io.StringIO()
    training = Training(stream, FitConfig(max_epochs=4))
    training.display.say("80 examples")
    training.run(4)
    lines = stream.getvalue().split("\n")
    assert lines[0] == "80 examples"
    assert lines[1] == "epoch 1/4  update 5  loss 1.500 nll 1.250  rate 0.001  100 words/s"
    evaluations = [line for line in lines if "after" in line]
    assert evaluations == [
        "epoch 1/4  update 50  loss 1.500 nll 1.250  dev 51.00  best so far  after 1:00",
        "epoch 2/4  update 100  loss 1.500 nll 1.250  dev 52.00  best so far  after 2:00",
        "epoch 3/4  update 150  loss 1.500 nll 1.250  dev 40.00  best 52.00 at update 100  after 3:00",
        "epoch 4/4  update 200  loss 1.500 nll 1.250  dev 54.00  best so far  after 4:00",
    ]
    assert 35 <= len(lines) - len(evaluations) <= 45  # one in five seconds
    assert "\r" not in stream.getvalue()


def test_time_left_counts_evaluations_in() -> None:
    stream = io.StringIO()
    training = Training(stream, FitConfig(max_epochs=4))
    training.run(2)
    assert "left" not in stream.getvalue().partition("update 50")[0]  # an epoch has to end before its size is known
    last = [line for line in stream.getvalue().split("\n") if "rate" in line][-1]
    left = last.rpartition("  ")[2]
    minutes, seconds = left.removesuffix(" left").split(":")
    assert int(minutes) * 60 + int(seconds) == pytest.approx(105 * 115 / 95, abs=15)


def test_it_may_be_told_the_size_of_an_epoch() -> None:
    stream = io.StringIO()
    training = Training(stream, None)
    training.display.started(200, FitConfig(max_epochs=4, max_minutes=2))
    training.run(1)
    assert "epoch 1/4  update 30" in stream.getvalue()
    assert stream.getvalue().split("\n")[5].endswith("1:30 left")  # what two minutes leave is less


def test_the_line_on_a_terminal_moves_and_goes() -> None:
    stream = Terminal()
    training = Training(stream, FitConfig(max_epochs=4))
    with training.display:
        training.run(3)
        training.display.say("a note")
        training.run(0)
    written = stream.getvalue()
    moving = [part for part in written.split("\r") if part.endswith("\x1b[K")]
    assert max(map(len, moving)) <= 79 + len("\x1b[K")  # wider than the terminal, it would not move
    drawn = [part for part in written.split("\r") if "update 125" in part]
    assert "epoch 3/4" in drawn[0]
    assert "\u2501" * 12 + "\u2500" * 8 in drawn[0]
    assert any(part.startswith("evaluating") for part in written.split("\r"))
    assert written.count("\n") == 4
    screen = written.rpartition("a note\n")[2]
    assert screen == ""


def test_leaving_wipes_the_line() -> None:
    stream = Terminal()
    training = Training(stream, None)
    with training.display:
        training.now = 5.0
        training.display.updated(Update(Progress(step=1, batch=1), 0.001, {"a loss": 1.0, "b loss": 2.0}, 3))
        assert "epoch 1  update 1  a loss 1.000 b loss 2.000" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quiet_is_silent(stream: io.StringIO) -> None:
    training = Training(stream, FitConfig(max_epochs=4), quiet=True)
    with training.display:
        training.display.say("80 examples")
        training.run(2)
    assert stream.getvalue() == ""


def test_times() -> None:
    assert [clock(seconds) for seconds in (0, 7.4, 59.6, 754, 3723)] == ["0:00", "0:07", "1:00", "12:34", "1:02:03"]
