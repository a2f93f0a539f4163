"""fit on a small model: averages by true counts, schedules, stopping, exact resume."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from contracts.pieces import batch, build, examples, kinds
from torch import nn

from seq2x.errors import Seq2xError
from seq2x.model import Model
from seq2x.nn.dropout import VariationalDropout
from seq2x.training.averaging import MovingAverage
from seq2x.training.fit import fit
from seq2x.training.optimisers import (
    AdamConfig,
    AdamThenSGDConfig,
    AdamWConfig,
    OptimiserConfig,
    SGDConfig,
)
from seq2x.training.progress import FitConfig, Item, Progress, Score, State, Update
from seq2x.training.schedules import (
    ConstantConfig,
    CosineConfig,
    CyclicConfig,
    InverseSqrtConfig,
    PlateauConfig,
    RestartsConfig,
    ScheduleConfig,
    StepsConfig,
)

BATCHES = [examples("translate", 3, seed) for seed in range(5)]


def stream(epoch: int, number: int) -> Iterator[Item]:
    while True:
        for index in range(number, len(BATCHES)):
            following = (epoch, index + 1) if index + 1 < len(BATCHES) else (epoch + 1, 0)
            yield Item(following, "translate", batch("translate", BATCHES[index]))
        epoch, number = epoch + 1, 0


class Quiet:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.updates: list[tuple[int, float]] = []
        self.losses: list[tuple[float, float, int]] = []
        self.improved: list[bool] = []

    def started(self, steps: int, limits: FitConfig) -> None:
        assert steps
        assert limits.max_epochs

    def updated(self, update: Update) -> None:
        self.updates.append((update.progress.step, update.rate))
        name = next(iter(update.latest), None)
        if name is None:
            return
        self.losses.append((update.losses[name], update.latest[name], update.units))

    def say(self, line: str) -> None:
        self.said.append(line)

    def evaluating(self, progress: Progress) -> None:
        assert progress.step

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        assert progress.evaluations or progress.done
        assert score.scores
        self.improved.append(improved)


class Kept:
    def __init__(self) -> None:
        self.states: list[State] = []
        self.kept: list[dict[str, dict[str, torch.Tensor]]] = []

    def __call__(self, state: State, kept: Mapping[str, dict[str, torch.Tensor]]) -> None:
        copied = {name: tensor.clone() for name, tensor in state.tensors.items()}
        self.states.append(State(state.progress, copied))
        self.kept.append({name: {key: tensor.clone() for key, tensor in weights.items()}
                          for name, weights in kept.items()})


def run(
    config: FitConfig, optimiser: OptimiserConfig | None = None, schedule: ScheduleConfig | None = None,
    state: State | None = None, scores: list[float] | None = None,
) -> tuple[Model, Progress, Kept, Quiet]:
    torch.manual_seed(0)
    model, kept, display = build("recurrent", "translate additive"), Kept(), Quiet()
    given = iter(scores or [])

    def evaluate(model: Model) -> Score:
        assert not model.training
        with torch.no_grad():
            value = next(given, None) if scores else -float(model("translate", batch("translate", BATCHES[0])).total)
        assert value is not None
        return Score(value, {"loss": value})

    progress = fit(model, stream, evaluate, kept, config, optimiser or AdamConfig(rate=0.01),
                   schedule or ConstantConfig(), steps=20, display=display, state=state)
    return model, progress, kept, display


OPTIMISERS: list[OptimiserConfig] = [AdamConfig(rate=0.01), AdamWConfig(rate=0.01), SGDConfig(rate=0.1, momentum=0.9),
                                     AdamThenSGDConfig(rate=0.01, switch=4, sgd_rate=0.1)]
SCHEDULES: list[ScheduleConfig] = [
    ConstantConfig(), PlateauConfig(patience=1, warmup=3), CosineConfig(warmup=2), InverseSqrtConfig(warmup=4),
    RestartsConfig(patience=1, restarts=1), CyclicConfig(cycles=3), StepsConfig(start=4, every=2)]


def test_every_kind_is_tested() -> None:
    for union, chosen in ((OptimiserConfig, OPTIMISERS), (ScheduleConfig, SCHEDULES)):
        assert kinds(union) == {config.kind for config in chosen}


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=lambda config: config.kind)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda config: config.kind)
def test_a_resumed_run_is_the_run_never_stopped(optimiser: OptimiserConfig, schedule: ScheduleConfig) -> None:
    config = FitConfig(max_epochs=4, evaluate_every=3, ema=0.9, accumulate=2)
    whole, done, kept, _ = run(config, optimiser, schedule)
    for state in kept.states[:-1]:
        model, progress, again, _ = run(config, optimiser, schedule, state)
        for (name, parameter), other in zip(whole.named_parameters(), model.parameters(), strict=True):
            assert torch.equal(parameter, other), name
        assert again.states[-1].progress.best == kept.states[-1].progress.best
        assert again.states[-1].tensors.keys() == kept.states[-1].tensors.keys()
        for name, tensor in kept.states[-1].tensors.items():
            assert torch.equal(tensor, again.states[-1].tensors[name]), name
        assert progress.done == done.done


def test_accumulated_batches_are_one_large_batch() -> None:
    """Sums over true counts: five batches an update equal one batch of all their rows."""

    def weights(accumulate: int, parts: list[list[Any]]) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = build("recurrent", "translate additive")
        for module in model.modules():
            if isinstance(module, nn.Dropout | VariationalDropout):
                module.p = module.rate = 0.0  # rows differ in their order

        def chunks(epoch: int, number: int) -> Iterator[Item]:
            assert (epoch, number) == (0, 0)
            for index, part in enumerate(parts):
                yield Item((0, index + 1) if index + 1 < len(parts) else (1, 0), "translate", batch("translate", part))

        config = FitConfig(max_epochs=1, accumulate=accumulate)
        fit(model, chunks, lambda _: Score(0.0, {"none": 0}), lambda *_: None, config, SGDConfig(rate=0.5),
            ConstantConfig(), steps=1, display=Quiet())
        return [parameter.detach() for parameter in model.parameters()]

    several = weights(5, BATCHES)
    one = weights(1, [[example for part in BATCHES for example in part]])
    for mine, other in zip(several, one, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize(("accumulate", "updates"), [(2, 3), (4, 2), (5, 1), (7, 1)])
def test_no_update_crosses_the_end_of_an_epoch(accumulate: int, updates: int) -> None:
    _, progress, kept, _ = run(FitConfig(max_epochs=3, accumulate=accumulate))
    assert progress.step == 3 * updates
    assert [(state.progress.epoch, state.progress.batch) for state in kept.states] == [(1, 0), (2, 0), (3, 0)]


def test_losses_are_averages_since_the_last_evaluation_and_of_the_update_alone() -> None:
    _, _, _, display = run(FitConfig(max_epochs=2))
    for since in (0, 5):
        total = units = 0.0
        for average, latest, count in display.losses[since : since + 5]:
            total, units = total + latest * count, units + count
            assert average == pytest.approx(total / units, rel=1e-5)
    assert len({latest for _, latest, _ in display.losses}) == 10


def test_limits_and_patience() -> None:
    assert run(FitConfig(max_epochs=2))[1].done == "2 epochs"
    _, progress, _, display = run(FitConfig(max_steps=7))
    assert (progress.step, progress.done, display.updates[-1][0]) == (7, "7 updates", 7)
    _, progress, kept, display = run(FitConfig(patience=2, max_epochs=9), scores=[1.0, 3.0, 2.0, 3.0, 9.0])
    assert (progress.done, progress.best, progress.best_step) == ("no better score in 2 evaluations", 3.0, 10)
    assert display.improved == [True, True, False, False]
    assert ["best" in weights for weights in kept.kept] == display.improved
    assert run(FitConfig(max_minutes=1e-9))[1].step == 1


def test_a_finished_run_that_is_resumed_stays_as_it_is() -> None:
    model, _, kept, _ = run(FitConfig(max_epochs=2))
    again, progress, _, display = run(FitConfig(max_epochs=2), state=kept.states[-1])
    assert (progress.done, display.updates) == ("2 epochs", [])
    for mine, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_schedules_are_their_formulas() -> None:
    rates = [rate for _, rate in run(FitConfig(max_epochs=4), schedule=CosineConfig(warmup=5, final=0.1))[3].updates]
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01])
    expected = [0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * done / 15)) / 2) for done in range(1, 16)]
    assert rates[5:] == pytest.approx(expected)
    inverse = InverseSqrtConfig(warmup=4).build(100)
    assert [inverse.factor(step) for step in (1, 4, 16)] == [0.25, 1.0, 0.5]
    rates = [rate for _, rate in run(FitConfig(max_epochs=4), schedule=PlateauConfig(patience=1),
                                     scores=[2.0, 1.0, 1.0, 3.0])[3].updates]
    assert rates[::5] == [0.01, 0.01, 0.005, 0.0025]


def test_the_average_is_the_formula() -> None:
    model = build("recurrent", "classify last")
    average = MovingAverage(model, 0.5)
    first = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.update(1)  # decay = min(0.5, 2 / 11)
    with average.applied():
        for name, parameter in model.named_parameters():
            assert torch.allclose(parameter, first[name] + 9 / 11, atol=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, first[name] + 1)


def test_updates_that_are_not_finite_are_skipped_counted_and_in_the_end_refused() -> None:
    with pytest.raises(Seq2xError, match=r"not finite.*3 so far.*max_skipped = 2; a lower optimiser.rate"):
        run(FitConfig(max_epochs=2, clip=0, max_skipped=2), SGDConfig(rate=1e38))


def test_settings_that_torch_would_refuse_are_refused_first() -> None:
    with pytest.raises(ValueError, match=r"nesterov = true needs a momentum"):
        SGDConfig(nesterov=True)
    with pytest.raises(ValueError, match=r"less than 1"):
        AdamConfig(betas=(0.9, 1.0))


def test_an_update_over_several_tasks_is_the_sum_of_their_means() -> None:
    """However many words and sentences there are of each."""
    torch.manual_seed(0)
    tagger, classifier = build("recurrent", "tag crf"), build("recurrent", "classify max")
    model = Model(tagger.encoder, {"tag": tagger.head("tag"), "classify": classifier.head("classify")})
    for module in model.modules():
        if isinstance(module, nn.Dropout | VariationalDropout):
            module.p = module.rate = 0.0
    parts = [("tag", 3), ("classify", 2), ("tag", 4)]
    batches = [(task, batch(task, examples(task, rows, seed))) for seed, (task, rows) in enumerate(parts)]
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    totals: dict[str, list[Any]] = {"tag": [0.0, 0], "classify": [0.0, 0]}
    for task, one in batches:
        loss = model(task, one)
        totals[task][0] += loss.total
        totals[task][1] += int(loss.count)
    sum(total / count for total, count in totals.values()).backward()
    for kept, parameter in zip(expected, model.parameters(), strict=True):
        kept -= 0.5 * parameter.grad
        parameter.grad = None

    def chunks(epoch: int, number: int) -> Iterator[Item]:
        assert (epoch, number) == (0, 0)
        for index, (task, one) in enumerate(batches):
            yield Item((0, index + 1) if index < 2 else (1, 0), task, one)

    fit(model, chunks, lambda _: Score(0.0, {"none": 0}), lambda *_: None,
        FitConfig(max_epochs=1, accumulate=3, clip=0), SGDConfig(rate=0.5), ConstantConfig(), steps=1, display=Quiet())
    for kept, parameter in zip(expected, model.parameters(), strict=True):
        assert torch.allclose(kept, parameter, atol=1e-5)
