"""Texts in, their labels out, with the probability of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, cast, overload

from seq2x.checkpoint import Loaded
from seq2x.heads.classify import ClassifyHead
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, line, run
from seq2x.predictors.calibration import fit_temperature, fit_threshold
from seq2x.predictors.explaining import Evidence, Explainer, Method
from seq2x.predictors.windows import cut_text
from seq2x.settings import ClassifyTask
from seq2x.text import Encoding

Explain = bool | Method


class Classified(NamedTuple):
    """What a text was found to be."""

    label: str
    """The likeliest."""
    probability: float
    """Of that label, 0 to 1."""
    probabilities: dict[str, float]
    """Of every label, the best first."""
    windows: int = 1
    """How many parts a text longer than the model's limit was read in."""
    labels: tuple[str, ...] = ()
    """Those given: the likeliest, or, where a text may have several, all whose probability is above the threshold."""
    words: tuple[Evidence, ...] = ()
    """How much each word spoke for ``label``, where an explanation was asked for."""


class _Text(NamedTuple):
    """A text on its way through the model."""

    text: str
    lengths: list[int]
    """Tokens of the parts that the model reads."""


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
        self.head = cast(ClassifyHead, loaded.model.head(self.name))

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, texts: str, *, explain: Explain = ..., batch_tokens: int = ..., window: int = ...
    ) -> Classified: ...
    @overload
    def classify(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, texts: list[str], *, explain: Explain = ..., batch_tokens: int = ..., window: int = ...
    ) -> list[Classified]: ...
    @overload
    def classify(
        self, texts: Iterable[str], *, explain: Explain = ..., batch_tokens: int = ..., window: int = ...
    ) -> Iterator[Classified]: ...
    def classify(
        self, texts: str | Iterable[str], *, explain: Explain = False, batch_tokens: int = BATCH_TOKENS,
        window: int = WINDOW,
    ) -> Classified | list[Classified] | Iterator[Classified]:
        """Classify one text, a list, or any other iterable of texts (then lazily, in constant memory).

        Every text gives one result, an empty one too. A text longer than ``self.limit`` tokens is read in several
        parts, and its probabilities are the means of theirs, weighted by their tokens.

        ``explain``: how much each word spoke for the label; "attention", "gradient" (see
        :mod:`seq2x.predictors.explaining`) or True, the attention where the head has one, else the gradient. It reads
        each text once more, by itself. ConfigError for an attention that is not there.

        ``batch_tokens`` and ``window`` (texts read ahead; 1 for streams) change speed and memory, not the results.
        """
        method = None if isinstance(explain, bool) else explain
        explainer = Explainer(self.loaded, self.name, self.head, self.limit, method) if explain else None

        def results(items: Iterable[object]) -> Iterator[Classified]:
            texts = (self._read(item, number) for number, item in enumerate(items, start=1))
            for text, found in run(texts, self._classify, batch_tokens, window):
                made = self._classified(text, found)
                if explainer is not None:
                    made = made._replace(words=explainer(text.text, self.labels.index(made.label)))
                yield made

        return answer(texts, results, batch_tokens, window)

    def calibrate(self, texts: list[str], gold: Sequence[Sequence[str]]) -> str:
        """Fit the head's temperature and threshold, those that it has room for, to texts with their labels.

        Only the model in memory is changed. Returns what was fitted, in words.
        """
        head = self.head
        if head.temperature is None and head.threshold is None:
            return ""
        head.tune(temperature=1.0)
        encoded = (self._read(text, number) for number, text in enumerate(texts, start=1))
        parts = [(text.lengths, found) for text, found in run(encoded, self._logits)]
        wanted = [[label in labels for label in self.labels] for labels in gold]
        fitted = []
        if head.temperature is not None:
            temperature = fit_temperature(parts, wanted, head.several)
            head.tune(temperature=temperature)
            fitted.append(f"temperature {temperature:.3f}")
        if head.threshold is not None:
            found = [[one.probabilities[label] for label in self.labels] for one in self.classify(texts)]
            threshold = fit_threshold(found, wanted)
            head.tune(threshold=threshold)
            fitted.append(f"threshold {threshold:.3f}")
        return ", ".join(fitted)

    def _read(self, item: object, number: int) -> tuple[_Text, list[Encoding]]:
        """A text and the parts of it that the model reads."""
        text = line(item, number)
        source = self.loaded.source
        parts = [part.encoding for part in cut_text(text, source, self.limit)] or [source.encode("")]
        return _Text(text, [len(part.ids) for part in parts]), parts

    def _classify(self, parts: list[Encoding]) -> list[list[float]]:
        return [probabilities for _, probabilities in self._predict(parts, self.head.predict)]

    def _logits(self, parts: list[Encoding]) -> list[list[float]]:
        return self._predict(parts, lambda encoded: self.head.logits(encoded).tolist())

    def _classified(self, text: _Text, found: list[list[float]]) -> Classified:
        means = found[0]
        if len(found) > 1:
            weighted = [sum(map(float.__mul__, map(float, text.lengths), column))
                        for column in zip(*found, strict=True)]
            means = [value / sum(text.lengths) for value in weighted]
        best = sorted(zip(self.labels, means, strict=True), key=lambda pair: -pair[1])
        given = tuple(label for label, value in best if value > self.head.bar) if self.head.several else best[0][:1]
        return Classified(*best[0], dict(best), len(found), given)
