"""The engine where something goes wrong or changes: memory, numbers, optimisers, cycles, restarts, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from contracts.pieces import batch, build, examples
from torch import nn

from seq2x.batch import Batch, Loss
from seq2x.errors import ConfigError, Seq2xError
from seq2x.model import Model
from seq2x.nn.dropout import VariationalDropout
from seq2x.training.fit import fit
from seq2x.training.optimisers import AdamConfig, AdamThenSGDConfig, OptimiserConfig, SGDConfig
from seq2x.training.progress import FitConfig, Item, Progress, Score, State, Update
from seq2x.training.schedules import ConstantConfig, CyclicConfig, RestartsConfig, ScheduleConfig, StepsConfig

BATCHES = [examples("translate", 4, seed) for seed in range(4)]


class Watch:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.rates: list[float] = []
        self.latest: list[dict[str, float]] = []

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        self.rates.append(update.rate)
        self.latest.append(dict(update.latest))

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        self.said.append(line)


def stream(epoch: int, number: int) -> Iterator[Item]:
    while True:
        for index in range(number, len(BATCHES)):
            following = (epoch, index + 1) if index + 1 < len(BATCHES) else (epoch + 1, 0)
            yield Item(following, "translate", batch("translate", BATCHES[index]),
                       names=lambda index=index: [f"train.txt:{4 * index + row}" for row in range(4)])
        epoch, number = epoch + 1, 0


def still(model: Model) -> Model:
    for module in model.modules():
        if isinstance(module, nn.Dropout | VariationalDropout):
            module.p = module.rate = 0.0
    return model


class Kept:
    def __init__(self) -> None:
        self.states: list[State] = []
        self.weights: dict[str, dict[str, torch.Tensor]] = {}

    def __call__(self, state: State, kept: Any) -> None:
        self.states.append(State(state.progress, {name: tensor.clone() for name, tensor in state.tensors.items()}))
        self.weights |= {name: {key: tensor.clone() for key, tensor in part.items()} for name, part in kept.items()}


def run(
    config: FitConfig, optimiser: OptimiserConfig | None = None, schedule: ScheduleConfig | None = None,
    scores: list[float] | None = None, model: Model | None = None, state: State | None = None, steps: int = 8,
) -> tuple[Model, Progress, Kept, Watch]:
    torch.manual_seed(0)
    model = model or still(build("recurrent", "translate additive"))
    kept, watch, given = Kept(), Watch(), iter(scores or [])
    progress = fit(model, stream, lambda _: Score(next(given, 0.0), {"none": 0}), kept, config,
                   optimiser or SGDConfig(rate=0.1), schedule or ConstantConfig(), steps=steps, display=watch,
                   state=state)
    return model, progress, kept, watch


def weights(model: Model) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


class Small(Model):
    """A model in a memory that holds so many tokens."""

    room = 30

    def forward(self, task: str, batch: Batch) -> Loss:
        loss = super().forward(task, batch)
        if batch.source.ids.numel() > self.room:
            loss.total.backward()  # memory that runs out half-way leaves gradients behind
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss


def test_a_batch_that_does_not_fit_into_memory_is_split_and_nothing_is_lost() -> None:
    whole, _, _, _ = run(FitConfig(max_epochs=2))
    torch.manual_seed(0)
    model = still(build("recurrent", "translate additive"))
    model.__class__ = Small
    parts, progress, _, watch = run(FitConfig(max_epochs=2), model=model)
    assert 0 < progress.budget <= 30
    assert any("memory ran out" in line for line in watch.said)
    for mine, other in zip(weights(whole), weights(parts), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_an_example_that_does_not_fit_alone_is_named() -> None:
    torch.manual_seed(0)
    model = still(build("recurrent", "translate additive"))
    model.__class__ = type("Tiny", (Small,), {"room": 1})
    with pytest.raises(Seq2xError, match=r"single example of \d+ tokens .*train.txt:0.*max_tokens"):
        run(FitConfig(max_epochs=2), model=model)


class Poisoned(Model):
    """A model whose loss on the third batch is not a number, with a gradient that is finite, or the other way round."""

    def forward(self, task: str, batch: Batch) -> Loss:
        loss = super().forward(task, batch)
        if torch.equal(batch.source.ids, POISON):
            return loss._replace(total=loss.total + float("inf"))
        return loss


POISON = batch("translate", BATCHES[2]).source.ids


def test_an_update_that_is_not_finite_is_skipped_and_its_examples_are_named() -> None:
    torch.manual_seed(0)
    model = still(build("recurrent", "translate additive"))
    model.__class__ = Poisoned
    _, progress, _, watch = run(FitConfig(max_epochs=2, max_skipped=2), model=model)
    assert (progress.step, progress.skipped, progress.epoch) == (6, 2, 2)
    assert [bool(latest) for latest in watch.latest] == [True, True, False, True] * 2
    assert "inf" in watch.said[0]
    assert "train.txt:8, train.txt:9, train.txt:10, train.txt:11" in watch.said[0]
    model.__class__ = Poisoned
    with pytest.raises(Seq2xError, match=r"train.txt:8.*max_skipped = 1"):
        run(FitConfig(max_epochs=2, max_skipped=1), model=model)


def test_adam_hands_over_to_sgd() -> None:
    config = AdamThenSGDConfig(rate=0.01, switch=3, sgd_rate=0.1)
    _, _, kept, watch = run(FitConfig(max_epochs=2, evaluate_every=1), config)
    assert watch.rates == [0.01] * 3 + [0.1] * 5
    assert watch.said == ["update 4: from adam to sgd"]
    before, after = kept.states[2:4]
    assert any(name.endswith("exp_avg") for name in before.tensors)
    assert not any(name.startswith("optimiser.") for name in after.tensors)
    expected = {name.removeprefix("model."): tensor for name, tensor in before.tensors.items() if "model." in name}
    model = still(build("recurrent", "translate additive"))
    model.load_state_dict(expected, strict=False)
    loss = model("translate", batch("translate", BATCHES[3]))
    (coverage,) = loss.beside
    ((loss.total + coverage.weight * coverage.total) / loss.count).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter - 0.1 * parameter.grad, after.tensors[f"model.{name}"], atol=1e-6)


class Late(Model):
    """A model whose coverage loss is minimised from an update on; never, where that is far away."""

    first = 0

    def forward(self, task: str, batch: Batch) -> Loss:
        loss = super().forward(task, batch)
        (coverage,) = loss.beside
        return loss._replace(beside=(coverage._replace(weight=5.0, from_step=self.first),))


def test_an_objective_may_begin_late_and_is_logged_before() -> None:
    found: dict[int, list[dict[str, torch.Tensor]]] = {}
    logged = {}
    for first in (0, 3, 100):
        torch.manual_seed(0)
        model = still(build("recurrent", "translate additive"))
        model.__class__ = type("Late", (Late,), {"first": first})
        _, _, kept, watch = run(FitConfig(max_epochs=1, evaluate_every=1), model=model)
        found[first] = [state.tensors for state in kept.states]
        logged[first] = [update["translate coverage"] for update in watch.latest]
    same = [[all(torch.equal(left[name], right[name]) for name in left if name.startswith("model."))
             for left, right in zip(found[3], found[other], strict=True)] for other in (0, 100)]
    assert same == [[False] * 4, [True, True, False, False]]
    assert logged[3][:3] == logged[100][:3]
    assert logged[3][3] < logged[100][3]


@pytest.mark.parametrize("steps", [7, 9])
def test_the_last_cycle_ends_with_the_run_though_epochs_differ_in_length(steps: int) -> None:
    _, progress, kept, watch = run(FitConfig(max_epochs=2), schedule=CyclicConfig(cycles=3), steps=steps)
    assert progress.step == 8
    assert sorted(kept.weights) == ["best", "snapshot-1", "snapshot-2", "snapshot-3"]
    assert watch.rates[-1] < 0.1  # which would begin a cycle


def test_a_cycle_ends_with_a_snapshot() -> None:
    _, _, kept, watch = run(FitConfig(max_epochs=2), schedule=CyclicConfig(cycles=3), steps=8)
    assert sorted(kept.weights) == ["best", "snapshot-1", "snapshot-2", "snapshot-3"]
    assert watch.rates == pytest.approx([0.1, 0.075, 0.025, 0.1, 0.075, 0.025, 0.1, 0.05])
    at = {state.progress.step: state for state in kept.states}
    for number, step in ((1, 3), (2, 6), (3, 8)):
        for name, tensor in kept.weights[f"snapshot-{number}"].items():
            assert torch.equal(tensor, at[step].tensors[f"model.{name}"])


@pytest.mark.parametrize(("cycles", "steps"), [(6, 10), (7, 7), (1, 5)])
def test_there_are_as_many_cycles_as_asked_for(cycles: int, steps: int) -> None:
    schedule = CyclicConfig(cycles=cycles).build(steps)
    ends = [step for step in range(1, steps + 1) if schedule.snapshot(step)]
    assert [schedule.snapshot(step) for step in ends] == list(range(1, cycles + 1))
    assert ends[-1] == steps
    assert [step - 1 for step in range(1, steps + 1) if schedule.factor(step) == 1] == [0, *ends[:-1]]


def test_more_cycles_than_updates_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"schedule\.cycles = 9: the run has 8 updates"):
        CyclicConfig(cycles=9).build(8)


def test_a_restart_goes_back_to_the_best_weights_with_half_the_rate() -> None:
    _, progress, kept, watch = run(FitConfig(max_epochs=9, evaluate_every=1), AdamConfig(rate=0.01),
                                   RestartsConfig(patience=2, restarts=1), scores=[1, 3, 2, 1, 2, 3, 1])
    assert watch.rates == [0.01] * 4 + [0.005] * 2
    assert progress.done == "its schedule: no restart is left"
    best, back = kept.states[1], kept.states[3]
    for name, tensor in kept.weights["best"].items():
        assert torch.equal(tensor, best.tensors[f"model.{name}"])
        assert torch.equal(tensor, back.tensors[f"model.{name}"])
    assert not any(name.startswith("optimiser.") for name in back.tensors)
    _, again, _, _ = run(FitConfig(max_epochs=20), AdamConfig(rate=0.01), RestartsConfig(patience=2, restarts=1),
                         state=kept.states[-1])
    assert (again.step, again.done) == (progress.step, progress.done)


def test_steps_fall_as_the_formula_says() -> None:
    schedule = StepsConfig(start=4, every=2, factor=0.5, warmup=2).build(100)
    assert [schedule.factor(step) for step in range(1, 10)] == [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("limit", [3, 5, 6])
def test_a_run_that_a_limit_stopped_goes_on_as_if_it_had_not(limit: int) -> None:
    """Though the limit adds an evaluation in the middle of a stretch, whose score is the best of all."""
    schedule = RestartsConfig(patience=1, restarts=3)
    scores = [5.0, 4.0, 3.0]
    whole, _, expected, _ = run(FitConfig(max_epochs=3), schedule=schedule, scores=scores)
    _, stopped, kept, _ = run(FitConfig(max_epochs=3, max_steps=limit), schedule=schedule,
                              scores=[*scores[: limit // 4], 9.0])
    assert (stopped.done, stopped.best) == (f"{limit} updates", 9.0)
    again, _, found, _ = run(FitConfig(max_epochs=3), schedule=schedule, scores=scores[limit // 4 :],
                             state=kept.states[-1])
    progress, after = expected.states[-1].progress, found.states[-1].progress
    assert after.schedule["left"] == 1
    assert (after.step, after.evaluations, after.bar, after.schedule) == (
        progress.step, progress.evaluations, progress.bar, progress.schedule)
    for mine, other in zip(weights(whole), weights(again), strict=True):
        assert torch.equal(mine, other)


def test_the_last_checkpoints_are_kept_for_their_mean() -> None:
    _, _, kept, _ = run(FitConfig(max_epochs=3, average=2))
    assert {"checkpoint-4", "checkpoint-8", "checkpoint-12"} < set(kept.weights)


@pytest.mark.parametrize("head", ["tag crf", "classify max", "translate additive", "translate transformer"])
def test_bfloat16_is_close_and_the_weights_stay_float32(head: str) -> None:
    kind = head.partition(" ")[0]
    losses = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model, watch = still(build("recurrent", head)), Watch()

        def items(epoch: int, number: int, kind: str = kind) -> Iterator[Item]:
            for index in range(9):
                yield Item((epoch, number + index + 1), kind, batch(kind, examples(kind, 4, 0)))

        fit(model, items, lambda _: Score(0.0, {"none": 0}), Kept(), FitConfig(max_steps=8, precision=precision),
            SGDConfig(rate=0.05), ConstantConfig(), steps=8, display=watch)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        losses[precision] = [latest[f"{kind} loss"] for latest in watch.latest]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["bf16"][-1] < losses["bf16"][0]


def test_compile_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiled(model: Model, *, dynamic: bool) -> Model:
        asked.append(dynamic)
        return model

    monkeypatch.setattr(torch, "compile", compiled)
    run(FitConfig(max_steps=1, compile=True))
    assert asked == [True]


def test_values_of_the_gradient_are_cut() -> None:
    """With a rate of 1 and no momentum, a step is the gradient: no number of it moves further than clip_value."""
    fresh = still(build("recurrent", "translate additive"))
    before = {name: parameter.detach().clone() for name, parameter in fresh.named_parameters()}
    norm, value = (run(config, SGDConfig(rate=1.0), steps=1)[0] for config in (
        FitConfig(max_steps=1, clip=0), FitConfig(max_steps=1, clip=0, clip_value=1e-3)))
    moved = [{name: (parameter - before[name]).abs().max().item() for name, parameter in model.named_parameters()}
             for model in (norm, value)]
    assert max(moved[1].values()) == pytest.approx(1e-3, rel=1e-3)
    assert max(moved[0].values()) > 2e-3
