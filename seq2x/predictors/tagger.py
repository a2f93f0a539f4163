"""Words and their tags out of sentences: spans with their label, text, place in the characters and in the words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, TypeVar, overload

from seq2x.checkpoint import Loaded
from seq2x.predictors.base import BATCH_TOKENS, WINDOW, Predictor, answer, line, run
from seq2x.predictors.windows import cut_words
from seq2x.settings import TagTask
from seq2x.text import Encoding, Word, split, tags

S = TypeVar("S", bound=Sequence[str])


class TextSpan(NamedTuple):
    """A labelled part of a text: ``text == sentence.text[start:end]``."""

    label: str
    text: str
    start: int
    """Its first character in the text."""
    end: int
    """The character behind its last."""
    first: int
    """Its first word."""
    stop: int
    """The word behind its last."""
    confidence: float
    """That of its least certain word."""


class Tagged(NamedTuple):
    """A sentence and its tags."""

    text: str
    """The text as given; words given are joined by blanks."""
    tokens: tuple[Word, ...]
    """The words with their character offsets; an empty text has none."""
    tags: tuple[str, ...]
    """One a word, in the scheme of the training files."""
    spans: tuple[TextSpan, ...]
    """In order; none where the scheme has no spans."""
    confidence: tuple[float, ...]
    """The model's probability of each tag, 0 to 1."""
    windows: int = 1
    """How many parts a sentence longer than the model's limit was tagged in; 0 for one without words."""


class _Sentence(NamedTuple):
    text: str
    tokens: tuple[Word, ...]


class Tagger(Predictor):
    """A tagging task of a run, ready to tag.

    >>> tagger = Tagger.load("runs/ner")
    >>> [(span.text, span.label) for span in tagger.tag("John lives in Berlin.").spans]
    """

    kind: ClassVar[Literal["tag"]] = "tag"

    def __init__(self, loaded: Loaded, task: str | None = None) -> None:
        super().__init__(loaded, task)
        settings = loaded.config.tasks[self.name]
        assert isinstance(settings, TagTask)
        self.task, self.scheme, self._model_scheme = settings, settings.data.scheme, settings.model_scheme
        self._tags = loaded.labels[self.name].entries
        self.labels = tuple(sorted(tags.labels_of(self._tags, self._model_scheme)))
        """The labels of spans; where the scheme has no spans, the tags."""

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, sentences: str, *, batch_tokens: int = ..., window: int = ...
    ) -> Tagged: ...
    @overload
    def tag(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, sentences: list[S], *, batch_tokens: int = ..., window: int = ...
    ) -> list[Tagged]: ...
    @overload
    def tag(
        self, sentences: Iterable[str | Sequence[str]], *, batch_tokens: int = ..., window: int = ...
    ) -> Iterator[Tagged]: ...
    def tag(
        self, sentences: str | Iterable[str | Sequence[str]], *, batch_tokens: int = BATCH_TOKENS, window: int = WINDOW
    ) -> Tagged | list[Tagged] | Iterator[Tagged]:
        """Tag one text, a list, or any other iterable of sentences (then lazily, in constant memory).

        A sentence is raw text, which :func:`seq2x.text.split` splits into words, or a list or tuple of words, which
        are tagged as they are: ``tag(["A b", "c"])`` are two texts, ``tag([["A", "b", "c"]])`` is one sentence of
        three words. Every sentence gives one result, an empty one a result without words. A sentence longer than
        ``self.limit`` tokens is tagged in windows of whole words, which end at the end of a sentence if they can.

        ``batch_tokens`` and ``window`` (sentences read ahead; 1 for streams) change speed and memory, not the results.
        """

        def results(items: Iterable[object]) -> Iterator[Tagged]:
            sentences = (self._read(item, number) for number, item in enumerate(items, start=1))
            for sentence, found in run(sentences, self._tag, batch_tokens, window):
                yield self._tagged(sentence, found)

        return answer(sentences, results, batch_tokens, window)

    def _read(self, item: object, number: int) -> tuple[_Sentence, list[Encoding]]:
        """The sentence and the windows of it that the model reads."""
        if isinstance(item, (list, tuple)):
            text, tokens = _join(item, number)
        else:
            text = line(item, number)
            tokens = split(text)
        words = [token.text for token in tokens]
        windows = cut_words(words, self.loaded.source, self.limit) if words else []
        return _Sentence(text, tuple(tokens)), [window.encoding for window in windows]

    def _tag(self, pieces: list[Encoding]) -> list[tuple[list[int], list[float]]]:
        found = self._predict(pieces, self.loaded.model.head(self.name).predict)
        return [(prediction.tags, prediction.confidence) for prediction in found]

    def _tagged(self, sentence: _Sentence, found: list[tuple[list[int], list[float]]]) -> Tagged:
        predicted = [self._tags[number] for ids, _ in found for number in ids]
        confidence = tuple(value for _, values in found for value in values)
        written = tags.convert(predicted, self._model_scheme, self.scheme)
        spans = tuple(_placed(span, sentence, confidence) for span in tags.spans(predicted, self._model_scheme))
        return Tagged(sentence.text, sentence.tokens, tuple(written), spans, confidence, len(found))


def _join(words: Sequence[object], number: int) -> tuple[str, list[Word]]:
    """Words as one text, and their places in it."""
    tokens, end = [], -1
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"sentence {number}: found {type(word).__name__} among its words; expected str")
        start = end + 1
        end = start + len(word)
        tokens.append(Word(word, start, end))
    return " ".join(token.text for token in tokens), tokens


def _placed(span: tags.Span, sentence: _Sentence, confidence: Sequence[float]) -> TextSpan:
    start, end = sentence.tokens[span.start].start, sentence.tokens[span.end - 1].end
    return TextSpan(span.label, sentence.text[start:end], start, end, span.start, span.end,
                    min(confidence[span.start : span.end]))
