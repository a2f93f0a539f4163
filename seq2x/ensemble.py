"""Several models that act as one: their probabilities are averaged. Knows no search.

Translators stand behind one step and one scoring; of taggers the marginals are averaged, and then decoded legally.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from seq2x.batch import Batch, Encoded, Rows, Tokens
from seq2x.heads.tag import Prediction, TagHead
from seq2x.heads.translate import TranslateHead
from seq2x.model import Model


class Member(NamedTuple):
    """A model, and the name of its task."""

    model: Model
    task: str

    @property
    def head(self) -> TranslateHead:
        """The head of the task."""
        return cast(TranslateHead, self.model.head(self.task))

    def encode(self, batch: Batch) -> Encoded:
        """Encode the source."""
        return self.model.encode(self.task, batch)


@dataclass(frozen=True)
class Each(Rows):
    """What each member has of the same rows."""

    parts: tuple[Rows, ...]


class Ensemble:
    """One member, or several with the same source and target vocabularies; of one, everything is its own."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)

    @property
    def never(self) -> tuple[int, ...]:
        """Tokens that are in no output."""
        return self.members[0].head.never  # one target vocabulary, hence one answer

    @property
    def most(self) -> int | None:
        """Tokens of the longest output, where there is an end to what a member can read."""
        return min((member.head.decoder.most for member in self.members if member.head.decoder.most is not None),
                   default=None)

    def begin(self, batch: Batch) -> tuple[Rows, Rows, Tensor]:
        """Return memory and first state, one row a sentence, and the mask [B, T] of the source."""
        started = []
        for member in self.members:
            encoded = member.encode(batch)
            started.append(member.head.begin(encoded))
        if len(started) == 1:
            return *started[0], encoded.mask
        memories, states = zip(*started, strict=True)
        return Each(memories), Each(states), encoded.mask

    def step(self, memory: Rows, state: Rows, tokens: Tensor) -> tuple[Tensor, Tensor | None, Rows]:
        """One search step, as :data:`seq2x.search.Step` describes it."""
        if len(self.members) == 1:
            return self.members[0].head.step(memory, state, tokens)
        assert isinstance(memory, Each)
        assert isinstance(state, Each)
        found = [member.head.step(own, before, tokens)
                 for member, own, before in zip(self.members, memory.parts, state.parts, strict=True)]
        weights = [attention for _, attention, _ in found if attention is not None]
        return (_mean_of_logs([log_probs for log_probs, _, _ in found]), torch.stack(weights).mean(0),
                Each(tuple(after for _, _, after in found)))

    def forced(self, batch: Batch, target: Tokens) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each target token after BOS, [B, S - 1], 0 at padding; and the attention."""
        found = [member.head.forced(member.encode(batch), target) for member in self.members]
        if len(found) == 1:
            return found[0]
        return _mean_of_logs([scores for scores, _ in found]), torch.stack([weights for _, weights in found]).mean(0)


def tag_together(
    members: Sequence[tuple[Model, str]], batches: Sequence[Batch], allowed: Tensor | None, k_best: int,
    marginals: bool,
) -> list[Prediction]:
    """Return the tags of the same words, read by each (model, task) in a batch of its own.

    The mean of the marginals, in the widest type, stands for the probabilities of a softmax; ``allowed``, ``k_best``
    and ``marginals`` are those of :meth:`seq2x.heads.tag.TagHead.predict`.
    """
    means, mask = [], None
    for (model, task), batch in zip(members, batches, strict=True):
        encoded = model.encode(task, batch)
        mask = encoded.mask
        means.append(cast(TagHead, model.head(task)).marginals(encoded, allowed))
    assert mask is not None
    head = cast(TagHead, members[0][0].head(members[0][1]))
    return head.decode(torch.stack(means).mean(0), mask, allowed=allowed, k_best=k_best, marginals=marginals)


def _mean_of_logs(log_probs: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean probability."""
    return torch.stack(list(log_probs)).logsumexp(0) - math.log(len(log_probs))
