"""Batches that go on from each other: what the engine carries, whatever happens to an update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from contracts.pieces import SIZE, build
from torch import nn

from seq2x.batch import Batch, Loss, Tokens
from seq2x.model import Model
from seq2x.nn.dropout import VariationalDropout
from seq2x.training.fit import fit
from seq2x.training.optimisers import SGDConfig
from seq2x.training.progress import FitConfig, Item, Progress, Score, State, Update
from seq2x.training.schedules import ConstantConfig

ROWS, LENGTH, CHUNK = 4, 24, 5
KIND = "language_model"


def streams() -> torch.Tensor:
    return torch.randint(4, SIZE, (ROWS, LENGTH + 1), generator=torch.Generator().manual_seed(3))


def tokens(ids: torch.Tensor) -> Tokens:
    return Tokens(ids, torch.ones_like(ids, dtype=torch.bool), before=())


def chunks(epoch: int, number: int, ids: torch.Tensor) -> Iterator[Item]:
    count = -(-LENGTH // CHUNK)
    while True:
        for index in range(number, count):
            start, stop = index * CHUNK, min((index + 1) * CHUNK, LENGTH)
            following = (epoch, index + 1) if index + 1 < count else (epoch + 1, 0)
            yield Item(following, KIND, Batch(tokens(ids[:, start:stop]), None, tokens(ids[:, start : stop + 1])))
        epoch, number = epoch + 1, 0


def model_of(kind: type[Model] = Model, encoder: str = "recurrent one direction") -> Model:
    made = build(encoder, KIND)
    for module in made.modules():
        if isinstance(module, nn.Dropout | VariationalDropout):
            module.p = module.rate = 0.0
    made.__class__ = kind
    return made


class Watch:
    """Keeps the sum of the losses of each update, and each state that was saved."""

    def __init__(self) -> None:
        self.sums: list[float] = []
        self.states: list[State] = []
        self.said: list[str] = []

    def started(self, steps: int, limits: FitConfig) -> None:
        pass

    def updated(self, update: Update) -> None:
        if update.latest:
            self.sums.append(update.latest[f"{KIND} loss"] * update.units)

    def evaluating(self, progress: Progress) -> None:
        pass

    def evaluated(self, progress: Progress, score: Score, improved: bool) -> None:
        pass

    def say(self, line: str) -> None:
        self.said.append(line)

    def save(self, state: State, _: object) -> None:
        self.states.append(State(state.progress, {name: tensor.clone() for name, tensor in state.tensors.items()}))


def run(model: Model, config: FitConfig, rate: float = 1e-30, state: State | None = None) -> Watch:
    torch.manual_seed(0)
    watch = Watch()
    fit(model, partial(chunks, ids=streams()), lambda _: Score(0.0, {}), watch.save, config, SGDConfig(rate=rate),
        ConstantConfig(), steps=99, display=watch, state=state)
    return watch


def whole_loss(model: Model) -> float:
    ids = streams()
    with torch.no_grad():
        return float(model(KIND, Batch(tokens(ids[:, :-1]), None, tokens(ids))).total)


@pytest.mark.parametrize("accumulate", [1, 2, 9])
def test_losses_of_the_parts_are_those_of_the_whole_in_every_epoch(accumulate: int) -> None:
    model = model_of()
    watch = run(model, FitConfig(max_epochs=2, accumulate=accumulate))
    an_epoch = len(watch.sums) // 2
    assert an_epoch == -(-5 // accumulate)
    for sums in (watch.sums[:an_epoch], watch.sums[an_epoch:]):
        assert sum(sums) == pytest.approx(whole_loss(model), rel=1e-5)


class Small(Model):
    """A model in a memory that holds so many tokens."""

    def forward(self, task: str, batch: Batch) -> Loss:
        if batch.source.ids.numel() > 2 * CHUNK:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(task, batch)


def test_a_batch_that_is_split_by_rows_hands_all_of_them_on() -> None:
    whole, parts = (run(model_of(kind), FitConfig(max_epochs=1, accumulate=2), 0.1) for kind in (Model, Small))
    assert any("memory ran out" in line for line in parts.said)
    assert parts.sums == pytest.approx(whole.sums, rel=1e-5)


class Poisoned(Model):
    """A model whose third forward pass has no finite loss."""

    calls = 0

    def forward(self, task: str, batch: Batch) -> Loss:
        loss = super().forward(task, batch)
        Poisoned.calls += 1
        return loss._replace(total=loss.total * float("nan")) if Poisoned.calls == 3 else loss


def test_a_skipped_update_leaves_what_was_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poisoned, "calls", 0)
    config = FitConfig(max_epochs=1, save_minutes=1e-9)
    fine, poisoned = (run(model_of(kind), config) for kind in (Model, Poisoned))
    carried = [[state.tensors["carried.0"] for state in watch.states] for watch in (fine, poisoned)]
    assert [torch.equal(mine, other) for mine, other in zip(*carried, strict=True)] == [True, True, False, False, False]
    assert torch.equal(carried[1][2], carried[1][1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop", [1, 3, 5, 7])
def test_a_training_that_goes_on_knows_what_was_carried(stop: int, precision: str) -> None:
    config = {"max_epochs": 2, "save_minutes": 1e-9, "precision": precision}
    whole = run(model_of(), FitConfig.model_validate(config), 0.1)
    again = run(model_of(), FitConfig.model_validate(config), 0.1, whole.states[stop - 1])
    assert again.sums == whole.sums[stop:]
    mine, other = whole.states[-1].tensors, again.states[-1].tensors
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)
