"""Sentences in, their translations out: one line for each line, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import ClassVar, Literal, NamedTuple, Self, get_args, overload

from seq2x import checkpoint
from seq2x.batch import LENGTH_MULTIPLE, Tokens
from seq2x.checkpoint import Loaded
from seq2x.data.batching import in_windows
from seq2x.ensemble import Ensemble, Member
from seq2x.errors import ConfigError, DataError, RunError, nearest
from seq2x.heads import SamplingConfig, SearchConfig
from seq2x.heads.outputs import Demands, find
from seq2x.metrics import agreement
from seq2x.model import Model
from seq2x.predictors.base import (
    BATCH_TOKENS,
    WINDOW,
    Precision,
    Predictor,
    answer,
    batch_of,
    errors_in_turn,
    inference,
    line,
    listed,
    run,
)
from seq2x.predictors.translated import NOTHING, Alternative, Assembly, Translation
from seq2x.predictors.windows import Part, cut_text, tag_of
from seq2x.predictors.wording import Request, Terms, Wordings, beginning
from seq2x.search import Hypothesis, Ranking
from seq2x.settings import TranslateTask
from seq2x.text import BOS, Encoding, Processor, same_entries

OnLong = Literal["split", "error"]


class _Job(NamedTuple):
    """What the model translates at once."""

    number: int
    part: Part
    beginning: tuple[int, ...]
    terms: Terms | None

    @property
    def ids(self) -> list[int]:
        return self.part.encoding.ids


class _How(NamedTuple):
    """The choices of one call."""

    search: SearchConfig
    n_best: int
    candidates: int
    """At least ``n_best``; more where the best are chosen by their agreement."""
    sampling: SamplingConfig | None
    mbr: bool
    details: bool


class Translator(Predictor):
    """A translation task of a run, ready to translate; or those of several runs, whose probabilities are averaged.

    >>> Translator.load("runs/en-de").translate("A man sleeps.").text
    """

    kind: ClassVar[Literal["translate"]] = "translate"

    def __init__(
        self, loaded: Loaded | Sequence[Loaded], task: str | None = None, *, precision: Precision = "float32"
    ) -> None:
        """Several runs must have the same vocabularies (RunError); the search is that of the first."""
        super().__init__(loaded, task)
        runs = self.runs
        for number, each in enumerate(runs[1:], start=2):
            _same_text(runs[0], each, number)
        settings = runs[0].config.tasks[self.name]
        assert isinstance(settings, TranslateTask)
        assert runs[0].target is not None
        self.task, self.search, self.precision = settings, settings.search, precision
        self._models = Ensemble([Member(each.model, name) for each, name in zip(runs, self.names, strict=True)])
        self._target = runs[0].target
        self._assembly = Assembly(runs[0].source, runs[0].target)

    @classmethod
    def load(
        cls, directory: str | Path | Sequence[str | Path], task: str | None = None, device: str = "cpu",
        *, precision: Precision = "float32",
    ) -> Self:
        """Read a run directory, or several whose models translate together; RunError says what is wrong with one.

        ``precision`` "bfloat16" makes the products in that type: faster where the processor has it, and outside the
        promise that results do not depend on the batch; "auto" does so where the processor or the GPU has it.
        """
        if precision not in get_args(Precision):
            raise ConfigError(f"precision: found {precision!r}{nearest(str(precision), get_args(Precision))}")
        runs = checkpoint.load_runs(directory, device)
        try:
            return cls(runs, task, precision=precision)
        except RunError as error:
            raise RunError(f"{listed(directory)}: {error}") from None

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is an iterable of str too, and means one text
        self, texts: str | Request, *, search: SearchConfig | None = ..., n_best: int = ...,
        sampling: SamplingConfig | None = ..., mbr: int = ..., details: bool = ..., on_long: OnLong = ...,
        batch_tokens: int = ..., window: int = ...,
    ) -> Translation: ...
    @overload
    def translate(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, texts: list[str] | list[Request] | list[str | Request], *, search: SearchConfig | None = ...,
        n_best: int = ..., sampling: SamplingConfig | None = ..., mbr: int = ..., details: bool = ...,
        on_long: OnLong = ..., batch_tokens: int = ..., window: int = ...,
    ) -> list[Translation]: ...
    @overload
    def translate(
        self, texts: Iterable[str | Request], *, search: SearchConfig | None = ..., n_best: int = ...,
        sampling: SamplingConfig | None = ..., mbr: int = ..., details: bool = ..., on_long: OnLong = ...,
        batch_tokens: int = ..., window: int = ...,
    ) -> Iterator[Translation]: ...
    def translate(
        self, texts: str | Request | Iterable[str | Request], *, search: SearchConfig | None = None, n_best: int = 1,
        sampling: SamplingConfig | None = None, mbr: int = 0, details: bool = False, on_long: OnLong = "split",
        batch_tokens: int = BATCH_TOKENS, window: int = WINDOW,
    ) -> Translation | list[Translation] | Iterator[Translation]:
        """Translate one text, a list, or any other iterable of texts (then lazily, in constant memory).

        A :class:`Request` says how its translation begins, and what it must or must not hold; where none does so
        within the length limit, that is a DataError. ``search`` is the run's own unless given. Every text gives one
        result; one of nothing but blanks, or a language's tag, is empty. A text longer than ``self.limit`` tokens is
        translated in parts that end at the end of a sentence, or else of a word, joined by blanks: its alternatives
        join the second best of each part, the third, and so on. With ``on_long="error"`` it is a DataError instead.

        ``n_best`` alternatives come out, best first; with ``sampling``, so many are drawn, and come in that order.
        ``mbr``: of so many candidates, found or drawn, the best are those with the highest mean chrF with all of them
        (minimum Bayes risk), each text once. What is found is at most the beam size (ConfigError). ``details`` adds
        tokens, word alignment and attention.

        ``batch_tokens`` and ``window`` (texts read ahead; 1 for streams) change speed and memory, not the results.
        """
        how = _how(search or self.search, n_best, sampling, mbr, details)
        if on_long not in get_args(OnLong):
            raise ConfigError(f"on_long: found {on_long!r}{nearest(str(on_long), get_args(OnLong))}")

        def results(items: Iterable[object]) -> Iterator[Translation]:
            def translated(read: Iterable[tuple[tuple[str, list[_Job]], list[_Job]]]) -> Iterator[Translation]:
                for (text, jobs), found in run(read, lambda jobs: self._search(jobs, how), batch_tokens, window):
                    yield self._translation(text, list(zip(jobs, found, strict=True)), how)

            return errors_in_turn((self._read(item, number, on_long) for number, item in enumerate(items, start=1)),
                                  translated)

        return answer(texts, results, batch_tokens, window, (str, Request))

    def _read(self, item: object, number: int, on_long: str) -> tuple[tuple[str, list[_Job]], list[_Job]]:
        """The text, and the parts of it that the model reads; none of them is empty."""
        request = item if isinstance(item, Request) else Request(line(item, number))
        number = request.number or number
        text, terms = line(request.text, number), None
        if request.must or request.must_not:
            terms = Terms(request, self._target, number)
        begin = beginning(request.prefix, self._target, number)
        source = self.loaded.source
        cut = [] if _blank(text, source) else cut_text(text, source, self.limit)
        parts = [part for part in cut if len(part.ids) > 1]
        if not parts and (begin or request.must):
            raise DataError(f"text {number}: is empty; nothing can be made of what its translation must be like")
        if len(parts) > 1 and (on_long == "error" or terms is not None):
            tokens = len(source.encode(text).ids)
            why = "terms are for texts of one part"
            if terms is None:
                why = "on_long = 'split' (--long-lines windows) translates it in parts"
            raise DataError(f"text {number}: found {tokens:,} tokens, expected at most {self.limit:,}; {why}")
        jobs = [_Job(number, part, () if place else begin, terms) for place, part in enumerate(parts)]
        return (text, jobs), jobs

    def _search(self, jobs: list[_Job], how: _How) -> list[list[Hypothesis]]:
        """The outputs of one batch."""
        guide, generators = None, []
        if any(job.terms is not None for job in jobs):
            if how.sampling is not None:
                raise ConfigError("terms that a translation must or must not hold are for the beam search, not for "
                                  "sampling")
            guide = Wordings([job.terms for job in jobs])
        if how.sampling is not None:  # of the text itself, so that no other text matters
            generators = [[Random(f"{how.sampling.seed} {job.ids} {job.beginning} {draw}")
                           for draw in range(how.candidates)] for job in jobs]
        demands = Demands([job.beginning for job in jobs], guide, generators)
        with inference(*self._networks, precision=self.precision) as device:
            memory, state, mask = self._models.begin(batch_of([job.part.encoding for job in jobs]).to(device))
            return find(self._models.step, memory, state, mask, how.search, never=self._models.never,
                        most=self._models.most, count=len(jobs), n_best=how.candidates, attention=how.details,
                        demands=demands, sampling=how.sampling)

    @property
    def _networks(self) -> list[Model]:
        return [member.model for member in self._models.members]

    def _translation(self, text: str, found: list[tuple[_Job, list[Hypothesis]]], how: _How) -> Translation:
        """Join the hypotheses of the parts of one text."""
        if not found:
            return NOTHING
        for job, hypotheses in found:
            if not hypotheses:
                raise DataError(f"text {job.number}: no translation within the length limit begins as asked and "
                                f"{job.terms or 'fulfils its conditions'}; more are found with a larger beam, a larger "
                                "max_length_ratio or without no_repeat_ngram")
        ranked = [self._ranked(hypotheses, how) for _, hypotheses in found]
        ranks = []
        for chosen in zip(*ranked, strict=False):  # as many as every part has
            parts = [(job.part, hypothesis) for (job, _), (hypothesis, _) in zip(found, chosen, strict=True)]
            utilities = [utility for _, utility in chosen if utility is not None]
            ranks.append(self._assembly.join(
                text, parts, how.search.ranking.normalise, details=how.details,
                utility=sum(utilities) / len(utilities) if utilities else None))
        return Translation(*ranks[0][:3], tuple(ranks), len(found))

    def _ranked(self, hypotheses: list[Hypothesis], how: _How) -> Sequence[tuple[Hypothesis, float | None]]:
        """The best ones, in their order or by their agreement."""
        if not how.mbr:
            return [(hypothesis, None) for hypothesis in hypotheses[: how.n_best]]
        texts = [self._assembly.write(hypothesis) for hypothesis in hypotheses]
        once: dict[str, tuple[Hypothesis, float]] = {}  # samples are often alike, and the best ones most often
        for text, hypothesis, utility in zip(texts, hypotheses, agreement(texts), strict=True):
            once.setdefault(text, (hypothesis, utility))
        return sorted(once.values(), key=lambda pair: -pair[1])[: how.n_best]

    @overload
    def score(  # type: ignore[overload-overlap]  # a list is an iterable too, and gives a list
        self, pairs: list[tuple[str | Request, str]] | list[tuple[str, str]], *, search: SearchConfig | None = ...,
        details: bool = ..., batch_tokens: int = ..., window: int = ...,
    ) -> list[Alternative]: ...
    @overload
    def score(
        self, pairs: Iterable[tuple[str | Request, str]], *, search: SearchConfig | None = ..., details: bool = ...,
        batch_tokens: int = ..., window: int = ...,
    ) -> Iterator[Alternative]: ...
    def score(
        self, pairs: Iterable[tuple[str | Request, str]], *, search: SearchConfig | None = None, details: bool = False,
        batch_tokens: int = 1024, window: int = WINDOW,
    ) -> list[Alternative] | Iterator[Alternative]:
        """Score given translations, (text, translation): as a search would that finds the same tokens.

        The text of what comes out is the translation as its tokens say it. A list for a list, else lazily. DataError
        for a text longer than ``self.limit`` tokens, which is never scored in parts, for a translation longer than the
        decoder's positions, where it has learnt some, and for a translation of a text of nothing, which has none.
        """
        ranking = (search or self.search).ranking

        def results(items: Iterable[object]) -> Iterator[Alternative]:
            return errors_in_turn((self._pair(pair, number) for number, pair in enumerate(items, start=1)),
                                  lambda read: in_windows(read, _longer, force, batch_tokens, window))

        def force(pairs: list[tuple[Part, Encoding] | None]) -> list[Alternative]:
            real = [pair for pair in pairs if pair is not None]
            found = iter(self._force(real, ranking, details) if real else ())
            return [NOTHING.alternatives[0] if pair is None else self._assembly.join(
                pair[0].text, [(pair[0], next(found))], ranking.normalise, details=details) for pair in pairs]

        answered = answer(pairs, results, batch_tokens, window)
        assert not isinstance(answered, Alternative)
        return answered

    def _pair(self, pair: object, number: int) -> tuple[Part, Encoding] | None:
        """What the model reads; None: both sides are empty."""
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pair {number}: found {type(pair).__name__}; expected (text, translation)")
        request = pair[0] if isinstance(pair[0], Request) else Request(pair[0])
        number = request.number or number
        source, target = (line(side, number) for side in (request.text, pair[1]))
        sides = self.loaded.source.encode(source), self._target.encode(target)
        if _blank(source, self.loaded.source) or len(sides[0].ids) == 1:
            if target.strip():
                raise DataError(f"pair {number}: the text is empty, and so is its only translation; found {target!r}")
            return None
        most = (self.limit, "; a pair is scored as a whole"), (self._models.most, "")
        for encoding, side, (limit, why) in zip(sides, ("text", "translation"), most, strict=True):
            if limit is not None and len(encoding.ids) > limit:
                raise DataError(f"pair {number}: the {side} has {len(encoding.ids):,} tokens, "
                                f"expected at most {limit:,}{why}")
        return Part(0, source, sides[0]), Encoding([BOS, *sides[1].ids])

    def _force(self, pairs: list[tuple[Part, Encoding]], ranking: Ranking, details: bool) -> list[Hypothesis]:
        with inference(*self._networks, precision=self.precision) as device:
            batch = batch_of([part.encoding for part, _ in pairs]).to(device)
            target = Tokens.of([target.ids for _, target in pairs], multiple=LENGTH_MULTIPLE).pad_rows().to(device)
            scores, attention = self._models.forced(batch, target)
            found = []
            for row, (part, forced) in enumerate(pairs):
                length = len(forced.ids) - 1
                weights = attention[row, :length, : len(part.ids)] if details or ranking.coverage else None
                found.append(ranking.rank(tuple(forced.ids[1:-1]), sum(scores[row, :length].tolist()), weights))
            return found


def _blank(text: str, source: Processor) -> bool:
    """Whether there is nothing but the tag of a language."""
    return not text[len(tag_of(text, source)):].strip()


def _longer(pair: tuple[Part, Encoding] | None) -> int:
    return 1 if pair is None else max(len(side.ids) for side in pair)


def _how(search: SearchConfig, n_best: int, sampling: SamplingConfig | None, mbr: int, details: bool) -> _How:
    """Check the choices of a call."""
    if mbr and not 1 <= n_best <= mbr:
        raise ConfigError(f"n_best: found {n_best}; expected 1 to mbr, which is {mbr}")
    candidates = mbr or n_best
    if candidates < 1 or (sampling is None and candidates > search.beam_size):
        name = "mbr" if mbr else "n_best"
        raise ConfigError(f"{name}: found {candidates}; expected 1 to beam_size, which is {search.beam_size}")
    return _How(search, n_best, candidates, sampling, mbr > 0, details)


def _same_text(first: Loaded, other: Loaded, number: int) -> None:
    """RunError where two runs do not read and write the same tokens."""
    for side, one, two in (("source", first.source, other.source), ("target", first.target, other.target)):
        if not same_entries(one, two):
            sizes = " and ".join("none" if each is None else f"{each.size:,}" for each in (one, two))
            raise RunError(f"models that translate together need the same vocabularies; the {side} vocabulary of the "
                           f"first has not the entries of that of number {number}: their sizes are {sizes}")
    if first.config.text != other.config.text or first.config.target_text != other.config.target_text:
        raise RunError(f"models that translate together need the same settings of text; those of number {number} are "
                       "not those of the first")
