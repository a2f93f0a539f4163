"""Texts in, out how probable each of their tokens is by those before it, and by those after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple, overload

import torch
from torch import Tensor

from seq2x.checkpoint import Loaded
from seq2x.errors import RunError
from seq2x.heads.language_model import LanguageModelHead
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, batch_of, inference, line, run
from seq2x.predictors.windows import cut_text
from seq2x.text import Encoding


class Scored(NamedTuple):
    """How probable a text is, its first token given; backward its last, which is the end symbol."""

    tokens: int
    """Predicted in each direction: all but one, of every part."""
    forward: float
    """Sum of their natural log-probabilities, each by what is before it."""
    backward: float | None
    """The same by what follows; None where the encoder reads in one direction alone."""
    windows: int = 1
    """How many parts a text longer than the model's limit was read in."""

    @property
    def perplexity(self) -> float:
        """Of all predictions, both directions together; 1 where there are none."""
        total, sides = self.forward + (self.backward or 0.0), 1 if self.backward is None else 2
        return math.exp(min(-total / (sides * self.tokens), 700.0)) if self.tokens else 1.0


class LanguageModel(Predictor):
    """A language-model task of a run, ready to score.

    >>> LanguageModel.load("runs/english").score("It rained all day.").perplexity

    With two directions it is no model of whole texts: each of the two predicts by itself. Of the objective "masked",
    each token but the end symbol is predicted by all that stays visible around it, while some are hidden: a
    pseudo-log-likelihood, as ``forward``.
    """

    kind: ClassVar[Literal["language_model"]] = "language_model"

    def __init__(self, loaded: Loaded | Sequence[Loaded], task: str | None = None) -> None:
        """RunError for several runs: a language model is a single one."""
        super().__init__(loaded, task)
        if len(self.runs) > 1:
            raise RunError(f"found {len(self.runs)} runs; a language model is scored by itself, expected one")

    @overload
    def score(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, texts: str, *, batch_tokens: int = ..., window: int = ...
    ) -> Scored: ...
    @overload
    def score(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, texts: list[str], *, batch_tokens: int = ..., window: int = ...
    ) -> list[Scored]: ...
    @overload
    def score(self, texts: Iterable[str], *, batch_tokens: int = ..., window: int = ...) -> Iterator[Scored]: ...
    def score(
        self, texts: str | Iterable[str], *, batch_tokens: int = BATCH_TOKENS, window: int = WINDOW
    ) -> Scored | list[Scored] | Iterator[Scored]:
        """Score one text, a list, or any other iterable of texts (then lazily, in constant memory).

        A text longer than ``self.limit`` tokens is read in several parts. Tokens that the model does not know, or does
        not predict (``head.vocabulary``), count as the unknown one.
        """

        def results(items: Iterable[object]) -> Iterator[Scored]:
            parts = ((None, self._read(item, number)) for number, item in enumerate(items, start=1))
            for _, found in run(parts, self._score, batch_tokens, window):
                back = [part.backward for part in found if part.backward is not None]
                yield Scored(sum(part.tokens for part in found), math.fsum(part.forward for part in found),
                             math.fsum(back) if back else None, len(found))

        return answer(texts, results, batch_tokens, window)

    def _read(self, item: object, number: int) -> list[Encoding]:
        source = self.loaded.source
        return [part.encoding for part in cut_text(line(item, number), source, self.limit)] or [source.encode("")]

    def _score(self, pieces: list[Encoding]) -> list[Scored]:
        model, head = self.loaded.model, self.loaded.model.head(self.name)
        assert isinstance(head, LanguageModelHead)
        with inference(model) as device:
            batch = batch_of(pieces).to(device)
            if head.masked:
                scores = sum(head.scores(model.encode(self.name, replace(batch, source=hidden)), target)
                             for hidden, target in head.turns(batch.source))
                assert isinstance(scores, Tensor)
            else:
                scores = head.scores(model.encode(self.name, batch), batch.source)
            sides = [side.double().tolist() for side in torch.unbind(scores, -1)]
        sums = [[math.fsum(row) for row in side[: len(pieces)]] for side in sides]  # exact: no matter what pads the row
        return [Scored(len(piece.ids) - 1, sums[0][row], sums[1][row] if len(sums) == 2 else None)
                for row, piece in enumerate(pieces)]
