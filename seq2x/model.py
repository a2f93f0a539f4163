"""One shared encoder, named heads, and what a task has of its own. Knows the contracts, no particular part or task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from seq2x.batch import EXACT, Batch, Beside, Encoded, Loss, Multiples
from seq2x.encoders.base import Encoder
from seq2x.heads.base import Head, Lesson
from seq2x.heads.language_model import LanguageModelHead

AUXILIARY, ORTHOGONALITY = "language_model", "orthogonality"
"""What the objectives beside a task's own are called in the log."""


class Own(NamedTuple):
    """What a task has beside its head, and how much its losses weigh."""

    loss_weight: float = 1.0
    auxiliary: LanguageModelHead | None = None
    """Predicts the neighbours of each token from the shared encoder, beside the head (Rei 2017)."""
    auxiliary_weight: float = 0.0
    """Of the mean loss of a prediction, for each of the directions."""
    private: Encoder | None = None
    """Its top states are put beside those of the shared encoder (Liu et al. 2017)."""
    orthogonality: float = 0.0
    """Of the mean of ||S' P||_F^2 over the sentences: S the shared states that the head reads, P the private ones."""


class Teacher(NamedTuple):
    """A model that others learn from."""

    model: Model
    task: str
    view: int | None = None
    """Which of a batch's views it reads; None: the batch itself."""


class Teaching(NamedTuple):
    """What a task learns from: the mean of what the teachers believe; see :class:`seq2x.heads.base.Lesson`."""

    teachers: tuple[Teacher, ...]
    temperature: float
    weight: float

    @torch.no_grad()
    def lesson(self, batch: Batch) -> Lesson:
        """Ask the teachers what they believe of a batch."""
        found = []
        for model, task, view in self.teachers:
            encoded = model.encode(task, batch if view is None else batch.views[view])
            found.append(model.head(task).soft(encoded, batch.target, self.temperature))
        means = tuple(torch.stack(parts).mean(0) for parts in zip(*found, strict=True))
        return Lesson(means, self.temperature, self.weight)


class Model(nn.Module):
    """``encoder`` is stored once and shared by every head."""

    def __init__(self, encoder: Encoder, heads: Mapping[str, Head], own: Mapping[str, Own] | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(dict(heads))
        self._own = dict(own or {})
        self._teachings: dict[str, Teaching] = {}
        self.auxiliaries = nn.ModuleDict({task: each.auxiliary for task, each in self._own.items() if each.auxiliary})
        self.privates = nn.ModuleDict({task: each.private for task, each in self._own.items() if each.private})

    def head(self, task: str) -> Head:
        """Return the head of ``task``."""
        return cast(Head, self.heads[task])

    def own(self, task: str) -> Own:
        """Return what ``task`` has beside its head."""
        return self._own.get(task, Own())

    def encode(self, task: str, batch: Batch) -> Encoded:
        """Encode the source of ``batch``, over words where the head's unit is the word."""
        return self._read(task, batch, self.encoder(batch.source), self._encode_privately(task, batch))

    def forward(self, task: str, batch: Batch) -> Loss:
        """Return the loss of one batch of one task, with the objectives beside it."""
        shared, private = self.encoder(batch.source), self._encode_privately(task, batch)
        teaching = self._teachings.get(task)
        lesson = None if teaching is None else teaching.lesson(batch)
        loss = self.head(task).loss(self._read(task, batch, shared, private), batch.target, lesson)
        after = None if shared.after is None else tuple(part.detach() for part in shared.after)
        return loss._replace(beside=(*loss.beside, *self._beside(task, batch, shared, private)), after=after)

    def learn_from(self, task: str, teaching: Teaching) -> None:
        """Let ``task`` learn from teachers, which are no part of this model: nothing of them is trained or stored."""
        self._teachings[task] = teaching

    def prepare(self, task: str, batch: Batch) -> Batch:
        """Return what training shows of a batch: some objectives hide a part of it."""
        return self.head(task).prepare(batch)

    def counts(self, task: str, batch: Batch) -> dict[str, int]:
        """Return the units of the objectives of a batch, known before anything is computed; "" is the head's own.

        What a head puts beside its loss runs over the same units.
        """
        own, counts = self.own(task), {"": self.head(task).count(batch)}
        if own.auxiliary is not None:
            counts[AUXILIARY] = own.auxiliary.units(batch.source)
        if own.orthogonality:
            counts[ORTHOGONALITY] = batch.rows
        return counts

    def multiples(self, task: str) -> Multiples:
        """Return what the rows and tokens of a batch must be multiples of at prediction."""
        found, encoders = self.head(task).multiples(), [self.encoder, self.own(task).private or self.encoder]
        if found == EXACT:
            return found  # whatever the encoders say, and they may measure it
        for encoder in encoders:
            found = found.joined(encoder.multiples())
        return found

    def rate_factors(self) -> dict[str, float]:
        """Return the factors on the learning rate, by the name of the parameter; 1 where there is none."""
        return {f"encoder.{name}": factor for name, factor in self.encoder.rate_factors().items()}

    def _encode_privately(self, task: str, batch: Batch) -> Encoded | None:
        private = self.own(task).private
        return None if private is None else private(batch.source)

    def _read(self, task: str, batch: Batch, shared: Encoded, private: Encoded | None) -> Encoded:
        """What the head reads: each shared layer with the private states beside it; over words for heads of words."""
        encoded, head = shared, self.head(task)
        if private is not None:
            layers = tuple(torch.cat([layer, private.states], dim=-1) for layer in shared.layers)
            encoded = replace(shared, layers=layers, summary=torch.cat([shared.summary, private.summary], dim=-1))
        if head.unit == "word":
            if batch.spans is None:
                raise ValueError(f"the head {task!r} labels words: its batches need spans")
            encoded = encoded.at(batch.spans, head.pool)
        return encoded

    def _beside(self, task: str, batch: Batch, shared: Encoded, private: Encoded | None) -> Iterator[Beside]:
        own = self.own(task)
        if own.auxiliary is not None:
            loss = own.auxiliary.loss(shared, batch.source)
            yield Beside(AUXILIARY, own.auxiliary_weight * own.auxiliary.directions, loss.total, loss.count)
        if private is not None and own.orthogonality:
            total = _overlap(shared.layers[self.head(task).layer], private.states, shared.mask)
            yield Beside(ORTHOGONALITY, own.orthogonality, total, torch.tensor(batch.rows, device=total.device))


def _overlap(shared: Tensor, private: Tensor, mask: Tensor) -> Tensor:
    """Return ||S' P||_F^2 (Liu et al. 2017), summed over sentences: [B, T, D], [B, T, E] and [B, T]."""
    product = (shared * mask[..., None]).transpose(1, 2) @ private
    return product.float().square().sum()
