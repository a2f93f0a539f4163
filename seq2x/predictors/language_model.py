"""Texts in, out how probable each of their tokens is by those before it, and by those after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple, overload

import torch
from torch import Tensor

from seq2x.batch import Batch, Carried, Multiples
from seq2x.checkpoint import Loaded
from seq2x.errors import RunError
from seq2x.heads.language_model import LanguageModelHead
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, batch_of, inference, line, run
from seq2x.predictors.windows import cut_text
from seq2x.settings import LanguageModelTask
from seq2x.text import Encoding


class Scored(NamedTuple):
    """How probable a text is, its first token given, unless it follows another; backward its last, the end symbol."""

    tokens: int
    """Predicted in each direction: all but one, of every part; or all, where the text follows on another."""
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
    pseudo-log-likelihood, as ``forward``. A model that was trained on one stream of texts (``bptt``) reads those of a
    call to :meth:`score` as one, too.
    """

    kind: ClassVar[Literal["language_model"]] = "language_model"

    def __init__(self, loaded: Loaded | Sequence[Loaded], task: str | None = None) -> None:
        """RunError for several runs: a language model is a single one."""
        super().__init__(loaded, task)
        if len(self.runs) > 1:
            raise RunError(f"found {len(self.runs)} runs; a language model is scored by itself, expected one")
        settings = self.loaded.config.tasks[self.name]
        assert isinstance(settings, LanguageModelTask)
        self.carries = settings.bptt > 0
        """Whether each text is read as what follows on the one before it."""

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

        Where states are carried on (``self.carries``), the texts of a call are one document in their order: each is
        read with the state that all before it have left, one at a time, and so is each part of a long one. From the
        second text on its first token is predicted, too: of the whole call, only the very first is given.
        """

        def results(items: Iterable[object]) -> Iterator[Scored]:
            if self.carries:
                yield from self._document(items)
                return
            parts = ((None, self._read(item, number)) for number, item in enumerate(items, start=1))
            for _, found in run(parts, self._score, batch_tokens, window):
                back = [part.backward for part in found if part.backward is not None]
                yield Scored(sum(part.tokens for part in found), math.fsum(part.forward for part in found),
                             math.fsum(back) if back else None, len(found))

        return answer(texts, results, batch_tokens, window)

    def _read(self, item: object, number: int) -> list[Encoding]:
        source = self.loaded.source
        return [part.encoding for part in cut_text(line(item, number), source, self.limit)] or [source.encode("")]

    def _document(self, items: Iterable[object]) -> Iterator[Scored]:
        """The scores of texts that follow on each other."""
        last = Encoding([], None, [], [])
        state: Carried = ()
        for number, item in enumerate(items, start=1):
            whole = _joined(last, self.loaded.source.encode(line(item, number)))  # the last token is still to be read
            last = _part(whole, len(whole.ids) - 1, len(whole.ids))
            sums = []
            for start in range(0, len(whole.ids) - 1, self.limit):
                found, state = self._follow(_part(whole, start, start + self.limit + 1), state)
                sums.append(found)
            yield Scored(len(whole.ids) - 1, math.fsum(sums), None, max(1, len(sums)))

    def _follow(self, tokens: Encoding, state: Carried) -> tuple[float, Carried]:
        """How probable all but the first of some tokens are after ``state``, and the state that they leave."""
        model = self.loaded.model
        with inference(model) as device:
            read, wanted = (batch_of([part], Multiples(1, 1)).source
                            for part in (_part(tokens, 0, len(tokens.ids) - 1), tokens))
            encoded = model.encode(self.name, Batch(replace(read, before=state)).to(device))
            scores = model.head(self.name).scores(encoded, wanted.to(device))
            assert encoded.after is not None
            return math.fsum(scores.double().flatten().tolist()), encoded.after

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


def _part(tokens: Encoding, start: int, stop: int) -> Encoding:
    """Tokens ``start`` to ``stop`` (exclusive)."""
    return Encoding(tokens.ids[start:stop], None, tokens.characters and tokens.characters[start:stop],
                    tokens.shapes and tokens.shapes[start:stop])


def _joined(one: Encoding, other: Encoding) -> Encoding:
    return Encoding(one.ids + other.ids, None, other.characters and [*(one.characters or ()), *other.characters],
                    other.shapes and [*(one.shapes or ()), *other.shapes])
