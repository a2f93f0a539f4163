"""Sentences in, their translations out: one line for each line, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, NamedTuple, overload

from seq2x.batch import LENGTH_MULTIPLE, Tokens
from seq2x.checkpoint import Loaded
from seq2x.data.batching import in_windows
from seq2x.errors import ConfigError, DataError
from seq2x.heads import SearchConfig
from seq2x.heads.translate import TranslateHead
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, batch_of, inference, line, run
from seq2x.predictors.windows import cut_text
from seq2x.search import Hypothesis, Normaliser
from seq2x.settings import TranslateTask
from seq2x.text import BOS, Encoding

_ONE_LINE = str.maketrans("\n\r", "  ")


class Alternative(NamedTuple):
    """One of the best translations of a text."""

    text: str
    """Without a line end."""
    score: float
    """log_prob / normaliser(tokens), as the search ranks; see :class:`seq2x.search.Normaliser`."""
    log_prob: float
    """Natural logarithm of the probability of all tokens, end symbols among them."""


class Translation(NamedTuple):
    """The best translation of a text; of an empty text it is empty, with the score 0."""

    text: str
    score: float
    log_prob: float
    alternatives: tuple[Alternative, ...]
    """The ``n_best``, this one first."""
    windows: int = 1
    """How many parts a text longer than the model's limit was translated in; 0 for an empty text."""


_NOTHING = Translation("", 0.0, 0.0, (Alternative("", 0.0, 0.0),), 0)


class Translator(Predictor):
    """A translation task of a run, ready to translate.

    >>> Translator.load("runs/en-de").translate("A man sleeps.").text
    """

    kind: ClassVar[Literal["translate"]] = "translate"

    def __init__(self, loaded: Loaded, task: str | None = None) -> None:
        super().__init__(loaded, task)
        settings, head = loaded.config.tasks[self.name], loaded.model.head(self.name)
        assert isinstance(settings, TranslateTask)
        assert isinstance(head, TranslateHead)
        assert loaded.target is not None
        self.task, self.search, self._head, self._target = settings, settings.search, head, loaded.target

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, texts: str, *, search: SearchConfig | None = ..., n_best: int = ...,
        on_long: Literal["split", "error"] = ..., batch_tokens: int = ..., window: int = ...,
    ) -> Translation: ...
    @overload
    def translate(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, texts: list[str], *, search: SearchConfig | None = ..., n_best: int = ...,
        on_long: Literal["split", "error"] = ..., batch_tokens: int = ..., window: int = ...,
    ) -> list[Translation]: ...
    @overload
    def translate(
        self, texts: Iterable[str], *, search: SearchConfig | None = ..., n_best: int = ...,
        on_long: Literal["split", "error"] = ..., batch_tokens: int = ..., window: int = ...,
    ) -> Iterator[Translation]: ...
    def translate(
        self, texts: str | Iterable[str], *, search: SearchConfig | None = None, n_best: int = 1,
        on_long: Literal["split", "error"] = "split", batch_tokens: int = BATCH_TOKENS, window: int = WINDOW,
    ) -> Translation | list[Translation] | Iterator[Translation]:
        """Translate one text, a list, or any other iterable of texts (then lazily, in constant memory).

        ``search`` is the run's own unless given; ``n_best`` is at most its beam size (ConfigError). Every text gives
        one result; one of nothing but blanks is empty. A text longer than ``self.limit`` tokens is translated in parts
        that end at the end of a sentence, or else of a word, joined by blanks: its alternatives join the second best
        of each part, the third, and so on. With ``on_long="error"`` it is a DataError instead.

        ``batch_tokens`` and ``window`` (texts read ahead; 1 for streams) change speed and memory, not the results.
        """
        search = search or self.search
        if not 1 <= n_best <= search.beam_size:
            raise ConfigError(f"n_best: found {n_best}; expected 1 to beam_size, which is {search.beam_size}")
        normalise = Normaliser(search.length_norm, search.length_penalty)

        def beam(parts: list[Encoding]) -> list[list[Hypothesis]]:
            return self._predict(parts, lambda encoded: self._head.predict(encoded, search, n_best=n_best))

        def results(items: Iterable[object]) -> Iterator[Translation]:
            texts = (((), self._read(item, number, on_long)) for number, item in enumerate(items, start=1))
            for _, found in run(texts, beam, batch_tokens, window):
                yield self._translation(found, normalise)

        return answer(texts, results, batch_tokens, window)

    def _read(self, item: object, number: int, on_long: str) -> list[Encoding]:
        """The parts that the model reads; none of them is empty."""
        text = line(item, number)
        if not text.strip():
            return []
        parts = cut_text(text, self.loaded.source, self.limit)
        if on_long == "error" and len(parts) > 1:
            tokens = len(self.loaded.source.encode(text).ids)
            raise DataError(f"text {number}: found {tokens:,} tokens, expected at most {self.limit:,}; "
                            "on_long = 'split' translates it in parts")
        return [part for part in parts if len(part.ids) > 1]

    def _translation(self, found: list[list[Hypothesis]], normalise: Normaliser) -> Translation:
        """Join the hypotheses of the parts of one text."""
        if not found:
            return _NOTHING
        ranks = [self._joined(parts, normalise) for parts in zip(*found, strict=False)]  # as many as every part has
        return Translation(*ranks[0], tuple(ranks), len(found))

    def _joined(self, parts: tuple[Hypothesis, ...], normalise: Normaliser) -> Alternative:
        texts = [self._target.decode(part.tokens).translate(_ONE_LINE) for part in parts]
        log_prob = sum(part.log_prob for part in parts)
        score = log_prob / normalise(sum(len(part.tokens) + 1 for part in parts))  # of one part: just its own score
        return Alternative(" ".join(filter(None, texts)), score, log_prob)

    @overload
    def score(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, pairs: list[tuple[str, str]], *, batch_tokens: int = ..., window: int = ...
    ) -> list[float]: ...
    @overload
    def score(
        self, pairs: Iterable[tuple[str, str]], *, batch_tokens: int = ..., window: int = ...
    ) -> Iterator[float]: ...
    def score(
        self, pairs: Iterable[tuple[str, str]], *, batch_tokens: int = 1024, window: int = WINDOW
    ) -> list[float] | Iterator[float]:
        """Return the log-probability of each (text, translation): natural logarithm, all tokens and the end symbol.

        Equal to the ``log_prob`` of a search that finds the same tokens. A list for a list, else lazily. DataError
        for a text or a translation longer than ``self.limit`` tokens.
        """

        def results(items: Iterable[object]) -> Iterator[float]:
            encoded = (self._pair(pair, number) for number, pair in enumerate(items, start=1))
            return in_windows(encoded, _longer, self._force, batch_tokens, window)

        found = answer(pairs, results, batch_tokens, window)
        assert not isinstance(found, float)
        return found

    def _pair(self, pair: object, number: int) -> tuple[Encoding, Encoding]:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pair {number}: found {type(pair).__name__}; expected (text, translation)")
        source, target = (line(side, number) for side in pair)
        sides = self.loaded.source.encode(source), self._target.encode(target)
        for encoding, side in zip(sides, ("text", "translation"), strict=True):
            if len(encoding.ids) > self.limit:
                raise DataError(f"pair {number}: the {side} has {len(encoding.ids):,} tokens, "
                                f"expected at most {self.limit:,}")
        return sides[0], Encoding([BOS, *sides[1].ids])

    def _force(self, pairs: list[tuple[Encoding, Encoding]]) -> list[float]:
        with inference(self.loaded.model) as device:
            batch = batch_of([source for source, _ in pairs]).to(device)
            target = Tokens.of([target.ids for _, target in pairs], multiple=LENGTH_MULTIPLE).pad_rows().to(device)
            scores = self._head.scores(self.loaded.model.encode(self.name, batch), target)
            return [sum(row) for row in scores[: len(pairs)].tolist()]


def _longer(pair: tuple[Encoding, Encoding]) -> int:
    return max(len(side.ids) for side in pair)
