"""Words and their tags out of sentences: spans with their label, text, place in the characters and in the words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import ClassVar, Literal, NamedTuple, TypeVar, cast, overload

import torch
from torch import Tensor

from seq2x.batch import EXACT, Encoded
from seq2x.checkpoint import Loaded
from seq2x.ensemble import tag_together
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.heads.tag import Prediction, TagHead
from seq2x.predictors.base import (
    BATCH_TOKENS,
    WINDOW,
    Predictor,
    answer,
    batch_of,
    check_labels,
    inference,
    run,
)
from seq2x.predictors.constraints import Allowed, Constraints, Given, Permits
from seq2x.predictors.tagged import Reading, Sentence, Splitter, Tagged
from seq2x.predictors.windows import cut_words
from seq2x.settings import TagTask
from seq2x.text import Encoding, split, tags
from seq2x.text.partial import rewrite

S = TypeVar("S", bound=Sequence[str])


class _Piece(NamedTuple):
    """A window of a sentence as each reader gives it, and the tags that its words may have; None = all."""

    encodings: tuple[Encoding, ...]
    allowed: Allowed | None

    @property
    def ids(self) -> list[int]:
        return max((encoding.ids for encoding in self.encodings), key=len)


class Tagger(Predictor):
    """A tagging task of a run, ready to tag; or of several runs, whose probabilities are averaged.

    Each of several models reads words in its own way; all must have the same tags and scheme (RunError). The mean of
    their marginals is what the best legal tags, and all probabilities, are then made from.

    >>> tagger = Tagger.load("runs/ner")
    >>> [(span.text, span.label) for span in tagger.tag("John lives in Berlin.").spans]
    """

    kind: ClassVar[Literal["tag"]] = "tag"

    def __init__(self, loaded: Loaded | Sequence[Loaded], task: str | None = None) -> None:
        super().__init__(loaded, task)
        settings = self.loaded.config.tasks[self.name]
        assert isinstance(settings, TagTask)
        self.task, self.scheme, self._model_scheme = settings, settings.data.scheme, settings.model_scheme
        check_labels(self.runs, self.names)
        _check_schemes(self.runs, self.names)
        self._readers = [self.loaded]
        self._reader_of: list[int] = []
        for each in self.runs:
            known = [number for number, reader in enumerate(self._readers) if reader.reads_as(each)]
            self._reader_of.append(known[0] if known else len(self._readers))
            self._readers += [] if known else [each]
        self._tags = self.loaded.labels[self.name].entries
        self.labels = tuple(sorted(tags.labels_of(self._tags, self._model_scheme)))
        """The labels of spans; where the scheme has no spans, the tags."""

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, sentences: str, *, k_best: int = ..., marginals: bool = ..., constraints: Given | None = ...,
        split: Splitter = ..., batch_tokens: int = ..., window: int = ...
    ) -> Tagged: ...
    @overload
    def tag(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, sentences: list[S], *, k_best: int = ..., marginals: bool = ..., constraints: Given | None = ...,
        split: Splitter = ..., batch_tokens: int = ..., window: int = ...
    ) -> list[Tagged]: ...
    @overload
    def tag(
        self, sentences: Iterable[str | Sequence[str]], *, k_best: int = ..., marginals: bool = ...,
        constraints: Given | None = ..., split: Splitter = ..., batch_tokens: int = ..., window: int = ...
    ) -> Iterator[Tagged]: ...
    def tag(
        self, sentences: str | Iterable[str | Sequence[str]], *, k_best: int = 1, marginals: bool = False,
        constraints: Given | None = None, split: Splitter = split, batch_tokens: int = BATCH_TOKENS,
        window: int = WINDOW,
    ) -> Tagged | list[Tagged] | Iterator[Tagged]:
        """Tag one text, a list, or any other iterable of sentences (then lazily, in constant memory).

        A sentence is raw text, which ``split`` splits into words (:func:`seq2x.text.split`, or a function of your
        own), or a list or tuple of words, which are tagged as they are: ``tag(["A b", "c"])`` are two texts,
        ``tag([["A", "b", "c"]])`` is one sentence of three words. Every sentence gives one result, an empty one a
        result without words. A sentence longer than ``self.limit`` tokens is tagged in windows of whole words, which
        end at the end of a sentence if they can.

        ``k_best`` asks for so many alternatives, ``marginals`` for the distribution over the tags of every word: of
        the tags of the files, unless those of the model say too little of a word by itself (files in IOB1).
        ``constraints`` are those of the one text, or an iterable with those (or None) of each sentence, or a function
        that is given the words of each, such as a :class:`Gazetteer`; all probabilities are then given that.
        DataError names the sentence and the token where they are impossible.

        ``batch_tokens`` and ``window`` (sentences read ahead; 1 for streams) change speed and memory, not the results.
        """
        if k_best < 1:
            raise ConfigError(f"k_best: found {k_best}; expected 1 or more")
        given = _each(constraints, isinstance(sentences, str), len(sentences) if isinstance(sentences, list) else None)

        def results(items: Iterable[object]) -> Iterator[Tagged]:
            read = (self._read(item, number, split, given) for number, item in enumerate(items, start=1))
            predict, multiple = partial(self._tag, k_best, marginals), self._multiple
            for sentence, found in run(read, predict, batch_tokens, window, multiple):
                yield self._tagged(sentence, found, k_best)

        return answer(sentences, results, batch_tokens, window)

    def _read(
        self, item: object, number: int, split: Splitter, given: Callable[[Sentence, int], Constraints | None]
    ) -> tuple[Sentence, list[_Piece]]:
        """The sentence and the windows of it that the model reads."""
        sentence = Sentence.of(item, number, split)
        words = [token.text for token in sentence.tokens]
        known = given(sentence, number)
        if known is None:
            return sentence, [_Piece(encodings, None) for _, _, encodings in self._windows(words)]
        allowed = self._permits.allowed(sentence, known, number)
        try:
            windows = self._windows(words, self._permits.joined(allowed))
        except DataError as error:
            raise DataError(f"sentence {number}: {error}") from None
        pieces = [_Piece(encodings, allowed[first:stop]) for first, stop, encodings in windows]
        for (first, _, _), piece in zip(windows, pieces, strict=True):
            self._permits.check(sentence, piece.allowed or [], first, number)
        return sentence, pieces

    def _windows(
        self, words: Sequence[str], joined: Collection[int] = ()
    ) -> list[tuple[int, int, tuple[Encoding, ...]]]:
        """Cut words into windows that every reader can give in one; where each begins and stops, and what they give."""
        found: list[tuple[int, int, tuple[Encoding, ...]]] = []
        waiting = [(0, len(words))] if words else []
        while waiting:
            first, stop = waiting.pop(0)
            inside = [place - first for place in joined if first < place < stop]
            encodings = []
            for reader in self._readers:
                cut = cut_words(words[first:stop], reader.source, self.limit, inside)
                if len(cut) > 1:
                    waiting = [*((first + window.first, first + window.stop) for window in cut), *waiting]
                    break
                encodings.append(cut[0].encoding)
            else:
                found.append((first, stop, tuple(encodings)))
        return found

    @cached_property
    def _permits(self) -> Permits:
        return Permits(self._tags, self._model_scheme, self.scheme)

    def _tag(self, k_best: int, marginals: bool, pieces: list[_Piece]) -> list[Prediction]:
        if len(self.runs) > 1:
            return self._tag_together(k_best, marginals, pieces)
        head = cast("TagHead", self.loaded.model.head(self.name))

        def predict(encoded: Encoded) -> list[Prediction]:
            allowed = self._mask(pieces, encoded.mask)
            return head.predict(encoded, allowed=allowed, k_best=k_best, marginals=marginals)

        return self._predict([piece.encodings[0] for piece in pieces], predict)

    @property
    def _multiple(self) -> int:
        """What the tokens of a batch are padded to a multiple of."""
        return EXACT.tokens if len(self.runs) > 1 else self.loaded.model.multiples(self.name).tokens

    def _tag_together(self, k_best: int, marginals: bool, pieces: list[_Piece]) -> list[Prediction]:
        members = [(each.model, name) for each, name in zip(self.runs, self.names, strict=True)]
        with inference(*(model for model, _ in members)) as device:
            read = [batch_of([piece.encodings[number] for piece in pieces]).to(device)
                    for number in range(len(self._readers))]
            spans = read[0].spans
            assert spans is not None
            allowed = self._mask(pieces, spans[..., 1] > spans[..., 0])
            batches = [read[number] for number in self._reader_of]
            return tag_together(members, batches, allowed, k_best, marginals)[: len(pieces)]

    def _mask(self, pieces: Sequence[_Piece], words: Tensor) -> Tensor | None:
        """The tags that each word may have, [B, W, K]; None where all may have all."""
        if all(piece.allowed is None for piece in pieces):
            return None
        mask = torch.ones(*words.shape, len(self._tags), dtype=torch.bool)
        for row, piece in enumerate(pieces):
            for word, some in enumerate(piece.allowed or ()):
                if some is not None:
                    mask[row, word] = False
                    mask[row, word, list(some)] = True
        mask[len(pieces) :] = mask[:1]  # these rows repeat the first
        return mask.to(words.device)

    def _tagged(self, sentence: Sentence, found: Sequence[Prediction], k_best: int) -> Tagged:
        spans, confidence, first = [], [], 0
        for part in found:
            spans += [sentence.placed(label, start + first, end + first, probability)
                      for label, start, end, probability in part.spans]
            confidence += part.confidence
            first += len(part.tags)
        written = self._written([part.tags for part in found],
                                [tags.Span(span.label, span.first, span.stop) for span in spans])
        alternatives = self._alternatives(found, k_best) if k_best > 1 else ()
        marginals = tuple(self._distribution(values) for part in found for values in part.marginals)
        return Tagged(sentence.text, sentence.tokens, tuple(written), tuple(spans), tuple(confidence), len(found),
                      alternatives, marginals)

    def _written(self, parts: Sequence[Sequence[int]], spans: Iterable[tags.Span]) -> list[str]:
        """Tags in the scheme of the files."""
        if self.scheme == "none":
            return [self._tags[number] for part in parts for number in part]
        return tags.encode(spans, sum(map(len, parts)), self.scheme)

    def _spans(self, parts: Sequence[Sequence[int]]) -> list[tags.Span]:
        """The spans of windows; each is a sequence of its own, which may begin like the one before would go on."""
        spans, first = [], 0
        for part in parts:
            spans += [tags.Span(label, start + first, end + first)
                      for label, start, end in tags.spans([self._tags[number] for number in part], self._model_scheme)]
            first += len(part)
        return spans

    def _alternatives(self, found: Sequence[Prediction], k_best: int) -> tuple[Reading, ...]:
        """The best ways to tag all windows, which know nothing of each other: their probabilities multiply."""
        best: list[tuple[float, list[list[int]]]] = [(1.0, [])]
        for part in found:
            every = [(value * other.probability, [*before, other.tags])
                     for value, before in best for other in part.alternatives]
            best = sorted(every, key=lambda reading: -reading[0])[:k_best]
        readings = []
        for value, parts in best:
            spans = self._spans(parts)
            readings.append(Reading(tuple(self._written(parts, spans)), tuple(spans), value))
        return tuple(readings)

    def _distribution(self, values: Sequence[float]) -> dict[str, float]:
        """The probabilities of the tags of a word, the greatest first."""
        sums: dict[str, float] = {}
        for tag, value in zip(self._named, values, strict=True):
            sums[tag] = sums.get(tag, 0.0) + value
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def _named(self) -> list[str]:
        """What the model's tags are called in a distribution: as the files do, if each is one tag there."""
        ways = [rewrite(tag, self._model_scheme, self.scheme) for tag in self._tags]
        return [way[0] for way in ways] if all(len(way) == 1 for way in ways) else list(self._tags)


def _check_schemes(runs: Sequence[Loaded], names: Sequence[str]) -> None:
    """RunError where the model of a later run works in another scheme than that of the first."""
    schemes = [task.model_scheme for run, name in zip(runs, names, strict=True)
               if isinstance(task := run.config.tasks[name], TagTask)]
    for number, scheme in enumerate(schemes, start=1):
        if scheme != schemes[0]:
            raise RunError(f"models that act as one need the same scheme; that of the first is {schemes[0]!r}, of "
                           f"number {number} {scheme!r}")


def _each(
    constraints: Given | None, single: bool, count: int | None
) -> Callable[[Sentence, int], Constraints | None]:
    """Return what says the constraints of a sentence and its number; the sentences are asked for in order."""
    if constraints is None:
        return lambda _, __: None
    if callable(constraints):
        return lambda sentence, _: constraints(sentence.tokens)
    if isinstance(constraints, Constraints):
        if not single:
            raise ConfigError("constraints: found those of one sentence for several; expected a list, one or None for "
                              "each sentence, or a function of the words")
        return lambda _, __: constraints
    if single:
        raise ConfigError(f"constraints: found {type(constraints).__name__} for one text; expected Constraints")
    if isinstance(constraints, Sequence) and count is not None and len(constraints) != count:
        raise ConfigError(f"constraints: found {len(constraints):,} for {count:,} sentences; expected one, or None, "
                          "for each")
    source = iter(constraints)

    def following(_: Sentence, number: int) -> Constraints | None:
        try:
            return next(source)
        except StopIteration:
            raise ConfigError(f"constraints: there are none for sentence {number}; expected one, or None, for "
                              "each") from None

    return following
