"""Texts in, their labels out, with the probability of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, NamedTuple, overload

from seq2x.checkpoint import Loaded
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, line, run
from seq2x.predictors.windows import cut_text
from seq2x.settings import ClassifyTask
from seq2x.text import Encoding


class Classified(NamedTuple):
    """What a text was found to be."""

    label: str
    probability: float
    """Of that label, 0 to 1."""
    probabilities: dict[str, float]
    """Of every label, the best first."""
    windows: int = 1
    """How many parts a text longer than the model's limit was read in."""


class Classifier(Predictor):
    """A classification task of a run, ready to classify.

    >>> Classifier.load("runs/questions").classify("Who wrote it?").label
    """

    kind: ClassVar[Literal["classify"]] = "classify"

    def __init__(self, loaded: Loaded, task: str | None = None) -> None:
        super().__init__(loaded, task)
        settings = loaded.config.tasks[self.name]
        assert isinstance(settings, ClassifyTask)
        self.task, self.labels = settings, loaded.labels[self.name].entries

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, texts: str, *, batch_tokens: int = ..., window: int = ...
    ) -> Classified: ...
    @overload
    def classify(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, texts: list[str], *, batch_tokens: int = ..., window: int = ...
    ) -> list[Classified]: ...
    @overload
    def classify(
        self, texts: Iterable[str], *, batch_tokens: int = ..., window: int = ...
    ) -> Iterator[Classified]: ...
    def classify(
        self, texts: str | Iterable[str], *, batch_tokens: int = BATCH_TOKENS, window: int = WINDOW
    ) -> Classified | list[Classified] | Iterator[Classified]:
        """Classify one text, a list, or any other iterable of texts (then lazily, in constant memory).

        Every text gives one result, an empty one too. A text longer than ``self.limit`` tokens is read in several
        parts, and its probabilities are the means of theirs, weighted by their tokens.

        ``batch_tokens`` and ``window`` (texts read ahead; 1 for streams) change speed and memory, not the results.
        """

        def results(items: Iterable[object]) -> Iterator[Classified]:
            texts = (self._read(item, number) for number, item in enumerate(items, start=1))
            for lengths, found in run(texts, self._classify, batch_tokens, window):
                yield self._classified(lengths, found)

        return answer(texts, results, batch_tokens, window)

    def _read(self, item: object, number: int) -> tuple[list[int], list[Encoding]]:
        """The lengths of the parts that the model reads, and the parts."""
        source = self.loaded.source
        parts = [part.encoding for part in cut_text(line(item, number), source, self.limit)] or [source.encode("")]
        return [len(part.ids) for part in parts], parts

    def _classify(self, parts: list[Encoding]) -> list[list[float]]:
        predictions = self._predict(parts, self.loaded.model.head(self.name).predict)
        return [probabilities for _, probabilities in predictions]

    def _classified(self, lengths: list[int], found: list[list[float]]) -> Classified:
        means = found[0]
        if len(found) > 1:
            weighted = [sum(map(float.__mul__, map(float, lengths), column)) for column in zip(*found, strict=True)]
            means = [value / sum(lengths) for value in weighted]
        best = sorted(zip(self.labels, means, strict=True), key=lambda pair: -pair[1])
        return Classified(*best[0], dict(best), len(found))
