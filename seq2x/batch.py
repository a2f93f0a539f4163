"""The types that every room hands to the next. One rule: dimension 0 is the batch row.

Knows nothing of the rest of the project. Letters of every shape comment of the project:
B sentences, N hypotheses (beam rows), T tokens (pieces, words or characters), W words, C characters,
S target positions, D encoder width, H hidden, K tags or beam, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

ROW_MULTIPLE = 8
"""Row counts that go through a matrix product are padded to a multiple of this at prediction.

A product of [M, K] by [K, N] gives every row the same bits for every M that is a multiple of 8; other M take other
code paths whose last bit may differ. With this, n sentences together equal n sentences alone, to the bit.
"""
LENGTH_MULTIPLE = 16
"""At prediction, token dimensions are padded to a multiple of this, so that a sum over them (a softmax, a pooling)
is always split in the same way over vector lanes."""


class Multiples(NamedTuple):
    """What the rows and the tokens of a batch are padded to multiples of, where results shall not depend on it."""

    rows: int = ROW_MULTIPLE
    tokens: int = LENGTH_MULTIPLE

    def joined(self, other: Multiples) -> Multiples:
        """Return the least that are multiples of both."""
        return Multiples(math.lcm(self.rows, other.rows), math.lcm(self.tokens, other.tokens))


EXACT = Multiples()
"""Multiples that every model keeps its bits with; some do with less (see ``Model.multiples``)."""

PAD = 0
"""The id of padding, in every vocabulary of the project."""


@dataclass(frozen=True)
class Rows:
    """Mixin of frozen dataclasses whose fields are Tensor, Rows, tuples of those, or None."""

    def _map(self, function: Callable[[Tensor], Tensor], nested: Callable[[Rows], Rows]) -> Self:
        return replace(self, **{field.name: _apply(getattr(self, field.name), function, nested)
                                for field in fields(self)})

    def select(self, rows: Tensor) -> Self:
        """Re-order, repeat or drop rows: ``rows`` [N] long, any row any number of times."""
        return self._map(lambda tensor: tensor.index_select(0, rows), lambda part: part.select(rows))

    def to(self, device: torch.device | str) -> Self:
        """Move every tensor."""
        return self._map(lambda tensor: tensor.to(device), lambda part: part.to(device))

    def pad_rows(self, multiple: int = ROW_MULTIPLE) -> Self:
        """Repeat row 0 until the row count is a multiple of ``multiple`` (see :data:`ROW_MULTIPLE`)."""
        count = self.rows
        missing = -count % multiple
        if not missing:
            return self
        rows = torch.cat([torch.arange(count), torch.zeros(missing, dtype=torch.long)])
        return self.select(rows.to(_first(self).device))

    @property
    def rows(self) -> int:
        """The number of rows."""
        return _first(self).shape[0]


def _apply(value: Any, function: Callable[[Tensor], Tensor], nested: Callable[[Rows], Rows]) -> Any:
    if value is None:
        return None
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Rows):
        return nested(value)
    if isinstance(value, tuple):
        return tuple(_apply(item, function, nested) for item in value)
    raise TypeError(f"a field of Rows may be a Tensor, Rows, a tuple of those, or None; found {type(value).__name__}")


def _first(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    items = value if isinstance(value, tuple) else [getattr(value, field.name) for field in fields(value)]
    for item in items:
        if item is not None and item != ():
            return _first(item)
    raise ValueError(f"{type(value).__name__} holds no tensor")


def mask_of(lengths: Tensor, size: int) -> Tensor:
    """Return the padding mask [B, size] bool, True = real, of ``lengths`` [B]."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def pad(sequences: Sequence[Sequence[int]], multiple: int = 1) -> Tensor:
    """Return ``sequences`` as one tensor [B, T] long, right-padded with :data:`PAD`, T a multiple of ``multiple``."""
    lengths = list(map(len, sequences))
    size = max(lengths, default=0)
    size += -size % multiple
    padded = torch.full((len(lengths), size), PAD)
    items = torch.tensor(list(chain.from_iterable(sequences)), dtype=torch.long)
    return padded.masked_scatter_(mask_of(torch.tensor(lengths, dtype=torch.long), size), items)


Carried = tuple[Tensor, ...]
"""What an encoder that reads in one direction knows of all that it has read: of each layer [B, H]."""


@dataclass(frozen=True)
class Tokens(Rows):
    """Token ids [B, T] long and their mask [B, T] bool (True = real).

    Where the text gives them: the characters of each token [B, T, C] long, and the number of its shape [B, T] long.
    Where the data give it, of a target: the source tokens that each token translates, ``alignment`` [B, S, T] bool.
    Where each row goes on from a row read earlier: ``before``, what was ``Encoded.after`` then; () at the beginning.
    """

    ids: Tensor
    mask: Tensor
    characters: Tensor | None = None
    shapes: Tensor | None = None
    alignment: Tensor | None = None
    before: Carried | None = None

    @staticmethod
    def of(
        ids: Sequence[Sequence[int]], characters: Sequence[Sequence[Sequence[int]]] | None = None, multiple: int = 1,
        shapes: Sequence[Sequence[int]] | None = None,
    ) -> Tokens:
        """Pad lists of ids (and of the characters and shapes of the tokens) into tensors; no sequence may be empty."""
        if not all(ids):
            raise ValueError("a row of Tokens needs at least one token")
        padded = pad(ids, multiple)
        mask = mask_of(torch.tensor([len(row) for row in ids]), padded.shape[1])
        looks = None if shapes is None else pad(shapes, multiple)
        if characters is None:
            return Tokens(padded, mask, shapes=looks)
        flat = [word for row in characters for word in [*row, *[()] * (padded.shape[1] - len(row))]]
        return Tokens(padded, mask, pad(flat).view(*padded.shape, -1), looks)

    @property
    def lengths(self) -> Tensor:
        """The number of real tokens of each row, [B] long."""
        return self.mask.sum(1)


def take(states: Tensor, places: Tensor) -> Tensor:
    """Return ``states[b, places[b, w]]``: [B, T, D] and [B, W] long -> [B, W, D]; quicker than gather, row by row."""
    rows = torch.arange(len(states), device=places.device)[:, None] * states.shape[1]
    return states.flatten(0, 1).index_select(0, (places + rows).flatten()).view(*places.shape, states.shape[2])


Pool = Literal["first", "last", "mean"]


@dataclass(frozen=True)
class Encoded(Rows):
    """What an encoder says of a batch."""

    layers: tuple[Tensor, ...]
    """Each [B, T, D_l]: ``layers[0]`` the embeddings, ``layers[-1]`` the top states."""
    mask: Tensor
    """[B, T] bool, True = real."""
    summary: Tensor
    """[B, D]: the whole sentence in one vector (last states of both directions, or a mean)."""
    directions: tuple[Tensor, Tensor] | None = None
    """(forward, backward) states [B, T, H] of the first recurrent layer, where there is one."""
    after: Carried | None = None
    """The ``before`` of tokens that follow these; None where these had none. It counts padding as read."""

    @property
    def states(self) -> Tensor:
        """The top states, [B, T, D]."""
        return self.layers[-1]

    def at(self, spans: Tensor, pool: Pool = "first") -> Encoded:
        """Return the same over words: ``spans`` [B, W, 2] is the piece range of each word, empty = padding.

        ``pool`` takes a word's first piece, its last, or the mean of its pieces, in every layer. The directions, which
        no head of words reads, are left out.
        """
        start, end = spans[..., 0], spans[..., 1]
        mask = end > start

        def words(states: Tensor) -> Tensor:  # [B, T, D] -> [B, W, D]
            if pool == "mean":
                position = torch.arange(states.shape[1], device=states.device)
                inside = (position >= start[..., None]) & (position < end[..., None])  # [B, W, T]
                weights = inside.to(states.dtype) / inside.sum(-1, keepdim=True).clamp(min=1)
                count = weights.shape[1]
                return (F.pad(weights, (0, 0, 0, -count % ROW_MULTIPLE)) @ states)[:, :count]  # see ROW_MULTIPLE
            position = torch.where(mask, start if pool == "first" else end - 1, 0)
            return take(states, position) * mask[..., None]

        return Encoded(tuple(words(layer) for layer in self.layers), mask, self.summary)


@dataclass(frozen=True)
class Batch(Rows):
    """One batch of one task."""

    source: Tokens
    spans: Tensor | None = None
    """[B, W, 2] long: the piece range of each word; an empty range is padding."""
    target: Tensor | Tokens | None = None
    """[B] labels, [B, K] bool where a text may have several, [B, W] tags (any value at padding), Tokens
    that start with BOS and end with EOS, or for a language model the source itself."""
    views: tuple[Batch, ...] = ()
    """The same rows as models read them that cut text into other tokens; those that this one learns from."""


class Loss(NamedTuple):
    """A sum and what it runs over, so that averages over accumulation, tasks and ranks are exact."""

    total: Tensor
    """The sum to minimise, a scalar."""
    count: Tensor  # type: ignore[assignment]  # shadows tuple.count, which nobody wants of a loss
    """The number of sequences, words or tokens in it, a scalar."""
    parts: dict[str, Tensor] = {}  # noqa: RUF012 - a NamedTuple default, never mutated
    """Named detached sums, for the log."""
    beside: tuple[Beside, ...] = ()
    """What is minimised with it."""
    after: Carried | None = None
    """What the encoder hands on to the next batch, without its gradient; see :class:`Encoded`."""


class Beside(NamedTuple):
    """An objective beside the loss of a head: its mean, over units of its own, is added with a weight."""

    name: str
    weight: float
    total: Tensor
    """The sum, a scalar."""
    count: Tensor  # type: ignore[assignment]  # as that of a Loss
    """The units in it, a scalar."""
    from_step: int = 0
    """The first update that minimises it; before, it is only logged."""
