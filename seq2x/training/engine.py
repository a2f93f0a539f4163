"""The moving parts of one training: the update, the optimiser, the average, the counters. Knows no data and no file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn

from seq2x.batch import Batch, Carried, Tokens
from seq2x.errors import Seq2xError
from seq2x.machine import chosen_precision
from seq2x.model import Model
from seq2x.training.averaging import MovingAverage
from seq2x.training.distributed import Ranks
from seq2x.training.optimisers import OptimiserConfig
from seq2x.training.progress import Display, FitConfig, Item, Progress, Score, State
from seq2x.training.schedules import Schedule, ScheduleConfig

NAMED = 5
"""Examples named where an update fails."""
ENDED = "its schedule: no restart is left"


class Engine:
    """One training; see :func:`seq2x.training.fit.fit`."""

    def __init__(
        self, model: Model, config: FitConfig, optimiser: OptimiserConfig, schedule: ScheduleConfig, steps: int,
        ranks: Ranks, display: Display,
    ) -> None:
        self.model, self.config, self.ranks, self.display = model, config, ranks, display
        self.progress = Progress()
        self.device = next(model.parameters()).device
        self.precision = chosen_precision(config.precision, self.device)
        self.forward = torch.compile(model, dynamic=True) if config.compile else model
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.settings, self.active = optimiser, optimiser.at(1)
        self.optimiser = self.active.build(self._groups())
        self.schedule: Schedule = schedule.build(steps)
        self.rate = self.active.rate
        self.average = MovingAverage(model, config.ema) if config.ema else None
        self.best: dict[str, Tensor] = {}
        """The best weights, where the schedule may want them back."""
        self.carried: Carried = ()
        """What the encoder hands on to the next batch, where batches go on from each other; () as an epoch begins."""
        ranks.share([parameter.detach() for parameter in model.parameters()])
        if not ranks.first:
            torch.manual_seed(torch.initial_seed() + ranks.rank)  # each process drops out other units

    def update(self, batches: Iterator[Item]) -> tuple[dict[str, float], int]:
        """Take ``accumulate`` batches and make one step; return its average losses and the units seen.

        No losses: the step was not made, for something was not finite.

        The gradient is the sum over tasks of the mean over all units that the update has of the task, in all processes.
        """
        if self.progress.batch == 0:
            self.carried = ()
        taken = self._take(batches)
        counts = self._counts(taken)
        losses, carried = self._gradients(taken, counts)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip or float("inf"))
        if self.config.clip_value:
            nn.utils.clip_grad_value_(self.parameters, self.config.clip_value)
        made = bool(norm.isfinite()) and all(math.isfinite(value) for value in losses.values())
        if made:
            self.carried = carried
            self._record(losses, counts)
            self._step()
        else:
            self._skip(taken, losses)
        self.optimiser.zero_grad(set_to_none=True)
        averages = {key: value / _units(counts, key) for key, value in losses.items()} if made else {}
        return averages, int(sum(value for key, value in counts.items() if " " not in key))

    def _counts(self, taken: list[Item]) -> dict[str, float]:
        """The units of each task, and of what is minimised beside it, known before the first backward pass."""
        own: dict[str, int] = {}
        for item in taken:
            for name, count in self.model.counts(item.task, item.batch).items():
                key = f"{item.task} {name}".rstrip()
                own[key] = own.get(key, 0) + count * int(item.weight)
        totals = self.ranks.total(list(own.values()))
        return {key: max(1.0, total) for key, total in zip(own, totals, strict=True)}  # of nothing, the mean is 0

    def _take(self, batches: Iterator[Item]) -> list[Item]:
        taken: list[Item] = []
        while len(taken) < self.config.accumulate:
            item = next(batches)
            self.progress.epoch, self.progress.batch = item.following
            taken.append(item._replace(batch=self.model.prepare(item.task, item.batch.to(self.device))))
            if self.progress.batch == 0:
                break  # an update never crosses the end of an epoch
        return taken

    def _gradients(self, taken: list[Item], counts: Mapping[str, float]) -> tuple[dict[str, float], Carried]:
        """Leave the gradient of all processes in the parameters; return the summed losses, and what is carried on."""
        found = None
        while found is None:
            try:
                found = self._backward(taken, counts)
            except (RuntimeError, MemoryError) as error:
                if not _memory_ran_out(error):
                    raise
            if found is None:  # not inside the except block: its traceback holds on to what filled the memory
                self._lower_budget(taken)
        self.ranks.add_up([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        losses, carried = found
        return dict(zip(losses, self.ranks.total(list(losses.values())), strict=True)), carried

    def _backward(self, taken: list[Item], counts: Mapping[str, float]) -> tuple[dict[str, float], Carried]:
        sums: dict[str, Tensor] = {}
        carried = self.carried
        for item in taken:
            after: list[Carried] = []
            for part in self._parts(_following(item.batch, carried)):
                with self._autocast():
                    loss = self.forward(item.task, part)
                after.append(loss.after or ())
                mean = loss.total / counts[item.task]
                for other in loss.beside:
                    if self.progress.step + 1 >= other.from_step:
                        mean = mean + other.weight * other.total / _units(counts, f"{item.task} {other.name}")
                (mean * item.weight * self.model.own(item.task).loss_weight).backward()
                beside = {other.name: other.total.detach() for other in loss.beside}
                for name, value in {"loss": loss.total.detach(), **loss.parts, **beside}.items():
                    key = f"{item.task} {name}"
                    sums[key] = sums.get(key, 0.0) + value.float() * item.weight
            carried = tuple(torch.cat(parts) for parts in zip(*after, strict=True))
        return {key: float(value) for key, value in sums.items()}, carried

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """The batch, or stretches of its rows that are within the budget."""
        rows, width = batch.rows, _width(batch)
        most = max(1, self.progress.budget // width) if self.progress.budget else rows
        if most >= rows:
            yield batch
            return
        for part in torch.split(torch.arange(rows, device=self.device), most):
            yield batch.select(part)

    def _lower_budget(self, taken: list[Item]) -> None:
        """Halve what goes through the model at a time; nothing is dropped, the update begins again."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        widest = max(_width(item.batch) for item in taken)
        largest = max(item.batch.rows * _width(item.batch) for item in taken)
        before = min(self.progress.budget or largest, largest)
        if before <= widest:
            raise Seq2xError(
                f"update {self.progress.step + 1}: the memory does not suffice for a single example of {widest} tokens "
                f"({_names(taken)}); a smaller model, or a lower max_tokens in the task's limit (or bptt), would")
        self.progress.budget = max(before // 2, widest)
        self.display.say(f"update {self.progress.step + 1}: memory ran out; from here on at most "
                         f"{self.progress.budget:,} tokens go through the model at a time (the batch stays whole)")

    def _step(self) -> None:
        self.progress.step += 1
        settings = self.settings.at(self.progress.step)
        if settings != self.active:
            self.display.say(f"update {self.progress.step}: from {self.active.kind} to {settings.kind}")
            self.active, gradients = settings, [parameter.grad for parameter in self.parameters]
            self.optimiser = settings.build(self._groups())
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = gradient
        self.rate = self.active.rate * self.schedule.factor(self.progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * group["factor"]
        self.optimiser.step()
        if self.average is not None:
            self.average.update(self.progress.step)

    def _skip(self, taken: list[Item], losses: Mapping[str, float]) -> None:
        self.progress.skipped += 1
        found = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        message = (f"after update {self.progress.step}: the loss or its gradient is not finite ({found}); the next is "
                   f"skipped ({self.progress.skipped} so far): {_names(taken)}")
        if self.progress.skipped > self.config.max_skipped:
            raise Seq2xError(f"{message}. More than training.max_skipped = {self.config.max_skipped}; a lower "
                             "optimiser.rate, a longer schedule.warmup or a lower training.clip usually helps")
        self.display.say(message)

    def _record(self, losses: Mapping[str, float], counts: Mapping[str, float]) -> None:
        progress = self.progress
        for key, value in losses.items():
            progress.sums[key] = progress.sums.get(key, 0.0) + value
            progress.counts[key] = progress.counts.get(key, 0.0) + _units(counts, key)

    def losses(self) -> dict[str, float]:
        """Averages since the last evaluation."""
        return {key: total / self.progress.counts[key] for key, total in self.progress.sums.items()}

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model holds the weights that are evaluated and kept."""
        return nullcontext() if self.average is None else self.average.applied()

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are evaluated and kept, by name."""
        if self.average is not None:
            return self.average.state()
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def copy(self) -> dict[str, Tensor]:
        """Return a copy of :meth:`weights`, which a restart leaves as it is."""
        return {name: tensor.clone() for name, tensor in self.weights().items()}

    def judge(self, score: Score, *, regular: bool) -> bool:
        """Count the evaluation; return whether its weights are the best. Only a regular one has consequences."""
        progress = self.progress
        best = progress.best is None or score.value > progress.best
        if best:
            progress.best, progress.best_step = score.value, progress.step
        if not regular:
            return best
        improved = progress.bar is None or score.value > progress.bar
        progress.bar = score.value if improved else progress.bar
        progress.evaluations += 1
        progress.stale = 0 if improved else progress.stale + 1
        progress.sums, progress.counts = {}, {}
        if improved and self.schedule.restarts:
            self.best = self.copy()
        verdict = self.schedule.evaluated(improved)
        if verdict == "end":
            progress.done = progress.done or ENDED
        elif verdict == "restart":
            self._restart()
        return best

    @torch.no_grad()
    def _restart(self) -> None:
        self.display.say(f"after update {self.progress.step}: going back to the best weights at a lower rate")
        for name, parameter in self.model.named_parameters():
            parameter.copy_(self.best[name])
        self.optimiser = self.active.build(self._groups())
        if self.average is not None:
            self.average.restore(self.best)

    def state(self) -> State:
        """Return everything a resume needs; all processes must call it together."""
        tensors = {f"model.{name}": parameter.detach() for name, parameter in self.model.named_parameters()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in values.items() if value is not None}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"carried.{layer}": value for layer, value in enumerate(self.carried)}
        tensors |= {f"random.{rank}": state for rank, state in enumerate(self.ranks.gather(torch.get_rng_state()))}
        if self.device.type == "cuda":
            states = self.ranks.gather(torch.cuda.get_rng_state(self.device))
            tensors |= {f"random.cuda.{rank}": state for rank, state in enumerate(states)}
        return State(replace(self.progress, schedule=self.schedule.state()), tensors)

    def restore(self, state: State) -> None:
        """Go back to a state that :meth:`state` gave; with as many processes as then, to the bit."""
        parts: dict[str, dict[str, Tensor]] = {
            part: {} for part in ("model", "optimiser", "average", "best", "carried", "random")}
        for key, tensor in state.tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = tensor
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(parts["model"][name])
        self.progress = Progress(**asdict(state.progress))
        self.active = self.settings.at(max(1, self.progress.step))
        self.optimiser = self.active.build(self._groups())
        self.optimiser.load_state_dict(
            {"state": _by_index(parts["optimiser"]), "param_groups": self.optimiser.state_dict()["param_groups"]}
        )
        if self.average is not None:
            self.average.restore(parts["average"])
        self.best = {name: tensor.to(self.device) for name, tensor in parts["best"].items()}
        self.carried = tuple(parts["carried"][f"{layer}"].to(self.device) for layer in range(len(parts["carried"])))
        self.schedule.restore(state.progress.schedule)
        own = f"{self.ranks.rank}"
        if own in parts["random"]:
            torch.set_rng_state(parts["random"][own])
        if f"cuda.{own}" in parts["random"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(parts["random"][f"cuda.{own}"], self.device)

    def _groups(self) -> list[dict[str, object]]:
        """The parameters for torch's optimisers, one group for each factor on the rate."""
        groups: dict[float, list[Tensor]] = {}
        factors = self.model.rate_factors()
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(factors.get(name, 1.0), []).append(parameter)
        return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


def _following(batch: Batch, carried: Carried) -> Batch:
    """The batch with what it goes on from, where it goes on from the one before."""
    return batch if batch.source.before is None else replace(batch, source=replace(batch.source, before=carried))


def _units(counts: Mapping[str, float], key: str) -> float:
    """What a sum runs over: units of its own, or those of its task."""
    return counts.get(key) or counts[key.partition(" ")[0]]


def _by_index(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    grouped: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        grouped.setdefault(int(index), {})[name] = tensor
    return grouped


def _width(batch: Batch) -> int:
    """Tokens of a row, padding included, on the longer side."""
    target = batch.target.ids.shape[1] if isinstance(batch.target, Tokens) else 0
    return max(batch.source.ids.shape[1], target)


def _memory_ran_out(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _names(taken: list[Item]) -> str:
    names = [name for item in taken if item.weight for name in item.names()]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"its examples are {', '.join(names[:NAMED])}{more}" if names else "its examples have no names"
