"""Texts in, their labels out, with the probability of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar, Literal, NamedTuple, cast, overload

from seq2x.checkpoint import Loaded
from seq2x.errors import ConfigError, DataError, RunError, nearest
from seq2x.heads.classify import ClassifyHead
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, check_labels, line, run
from seq2x.predictors.calibration import fit_temperature, fit_threshold
from seq2x.predictors.explaining import Evidence, Explainer, Method, mean_evidence
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


class _Part(NamedTuple):
    """What one of the models reads at once."""

    member: int
    encoding: Encoding

    @property
    def ids(self) -> list[int]:
        return self.encoding.ids


class _Text(NamedTuple):
    """A text on its way through the models."""

    text: str
    lengths: list[list[int]]
    """Of each model, the tokens of the parts that it reads."""


class Classifier(Predictor):
    """A classification task of a run, ready to classify; or of several runs, whose probabilities are averaged.

    Each of several models reads a text in its own way, and all must have the same labels (RunError).

    >>> Classifier.load("runs/questions").classify("Who wrote it?").label
    """

    kind: ClassVar[Literal["classify"]] = "classify"

    def __init__(self, loaded: Loaded | Sequence[Loaded], task: str | None = None) -> None:
        super().__init__(loaded, task)
        settings = self.loaded.config.tasks[self.name]
        assert isinstance(settings, ClassifyTask)
        self.task, self.labels = settings, self.loaded.labels[self.name].entries
        check_labels(self.runs, self.names)
        self.heads = [cast(ClassifyHead, run.model.head(name))
                      for run, name in zip(self.runs, self.names, strict=True)]
        self.head = self.heads[0]
        for number, head in enumerate(self.heads, start=1):
            if head.several != self.head.several:
                raise RunError(f"models that act as one: one of the first and number {number} gives several labels a "
                               "text; expected all of them or none")

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
        explainers = [Explainer(run, name, head, self.limit, method) for run, name, head in
                      zip(self.runs, self.names, self.heads, strict=True)] if explain else []

        def results(items: Iterable[object]) -> Iterator[Classified]:
            texts = (self._read(item, number) for number, item in enumerate(items, start=1))
            for text, found in run(texts, self._classify, batch_tokens, window):
                made = self._classified(text, found)
                if explainers:
                    label = self.labels.index(made.label)
                    made = made._replace(words=mean_evidence([each(text.text, label) for each in explainers]))
                yield made

        return answer(texts, results, batch_tokens, window)

    def calibrate(self, texts: list[str], gold: Sequence[Sequence[str]]) -> str:
        """Fit the head's temperature and threshold, those that it has room for, to texts with their labels.

        ``gold``: of each text its labels; also of one label a text, ``[["spam"], ["ham"]]``. Only the model in memory
        is changed. Returns what was fitted, in words. ConfigError for several models, which are calibrated each by
        itself; DataError for other than as many labels as texts, for none, and for a label that the model has not.
        """
        if len(self.runs) > 1:
            raise ConfigError(f"calibrate: found {len(self.runs)} models that act as one; expected a single one")
        self._check_gold(texts, gold)
        head = self.head
        if head.temperature is None and head.threshold is None:
            return ""
        head.tune(temperature=1.0)
        encoded = (self._read(text, number) for number, text in enumerate(texts, start=1))
        parts = [(text.lengths[0], found) for text, found in run(encoded, self._logits)]
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

    def _check_gold(self, texts: list[str], gold: Sequence[Sequence[str]]) -> None:
        if not texts or len(texts) != len(gold):
            raise DataError(f"calibrate: found {len(texts):,} texts, and the labels of {len(gold):,}; expected as "
                            "many, and some")
        for number, labels in enumerate(gold, start=1):
            if isinstance(labels, str) or not (self.head.several or len(labels) == 1):
                raise DataError(f"calibrate: text {number}: found {labels!r}; expected a list of "
                                f"{'its labels' if self.head.several else 'one label'}")
            for label in labels:
                if label not in self.labels:
                    raise DataError(f"calibrate: text {number}: there is no label {label!r}"
                                    f"{nearest(label, self.labels)}")

    def _read(self, item: object, number: int) -> tuple[_Text, list[_Part]]:
        """A text and the parts of it that the models read."""
        text = line(item, number)
        read = [[part.encoding for part in cut_text(text, run.source, self.limit)] or [run.source.encode("")]
                for run in self.runs]
        parts = [_Part(member, encoding) for member, encodings in enumerate(read) for encoding in encodings]
        return _Text(text, [[len(encoding.ids) for encoding in encodings] for encodings in read]), parts

    def _classify(self, parts: list[_Part]) -> list[list[float]]:
        found: dict[int, list[float]] = {}
        for member, head in enumerate(self.heads):
            own = [index for index, part in enumerate(parts) if part.member == member]
            if own:
                predictions = self._predict([parts[index].encoding for index in own], head.predict, member)
                found |= {index: values for index, (_, values) in zip(own, predictions, strict=True)}
        return [found[index] for index in range(len(parts))]

    def _logits(self, parts: list[_Part]) -> list[list[float]]:
        return self._predict([part.encoding for part in parts], lambda encoded: self.head.logits(encoded).tolist())

    def _classified(self, text: _Text, found: list[list[float]]) -> Classified:
        rest = iter(found)
        each = [_mean(lengths, list(islice(rest, len(lengths)))) for lengths in text.lengths]
        means = _mean([1] * len(each), each)
        best = sorted(zip(self.labels, means, strict=True), key=lambda pair: -pair[1])
        bar = sum(head.bar for head in self.heads) / len(self.heads) if self.head.several else 0.0
        given = tuple(label for label, value in best if value > bar) if self.head.several else best[0][:1]
        return Classified(*best[0], dict(best), max(map(len, text.lengths)), given)


def _mean(weights: list[int], rows: list[list[float]]) -> list[float]:
    """The mean of each column, weighted by row."""
    if len(rows) == 1:
        return rows[0]
    sums = [sum(map(float.__mul__, map(float, weights), column)) for column in zip(*rows, strict=True)]
    return [value / sum(weights) for value in sums]
