"""The tagging head: a CRF, or a softmax whose decoding obeys the scheme. Knows no encoder; sees words only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import EXACT, Encoded, Loss, Multiples, Pool
from seq2x.config import Config
from seq2x.errors import DataError
from seq2x.heads.base import Head, Lesson, Outputs, Soft
from seq2x.heads.tag_spans import Spans, SpanTable
from seq2x.nn.crf import CRF, Best, Counts, Legal, Posterior, Rules, rows_alone, wide
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.linear import FewOutputs
from seq2x.nn.losses import cross_entropy
from seq2x.text import tags as scheme

LOWEST = -1e30
"""Stands for the log of nothing where autograd looks."""


class SpanFound(NamedTuple):
    """A span of the best tags."""

    label: str
    start: int
    """Its first word."""
    end: int
    """The word behind its last."""
    probability: float
    """That just this span stands here, whatever the other words are."""


class Alternative(NamedTuple):
    """One of the most probable sequences of tags."""

    tags: list[int]
    probability: float
    """Of the whole sequence, among all that are legal and allowed (not among the k best)."""


class Prediction(NamedTuple):
    """The tags of a sentence, legal in their scheme. Probabilities are given the rules, and what is allowed."""

    tags: list[int]
    confidence: list[float]
    """The probability of each tag, whatever the others are: its marginal."""
    spans: list[SpanFound]
    """In order; none where the scheme has no spans."""
    alternatives: list[Alternative]
    """The k best, the best first, which is ``tags``; only where k is above 1. Fewer where there are no more."""
    marginals: list[list[float]]
    """The probability of each tag at each word, where asked for, else empty."""


class TagHeadConfig(Config):
    """The decoder, and an optional hidden layer."""

    kind: Literal["tag"] = "tag"
    decoder: Literal["crf", "softmax"] = Field(
        "crf", description="crf: Lample et al. 2016; softmax: each tag by itself, then the best legal sequence "
               "(He et al. 2017)"
    )
    hidden: int = Field(0, ge=0, description="units of a tanh layer before the scores of the tags; 0 = none")
    dropout: float = Field(0.0, ge=0, lt=1, description="one mask a sentence, on the states (and the hidden layer)")
    layer: int = Field(-1, description="the encoder layer that is read; a low one for a low-level task beside others "
                                       "(Søgaard & Goldberg 2016)")
    pool: Pool = Field("first", description="the piece that stands for a word of several: first, last or their mean")

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> TagHead:  # noqa: ARG002 - the contract
        """``dims``: widths of the encoder's layers; ``outputs``: the tags and their scheme."""
        return TagHead(self, dims, outputs)


class TagHead(Head):
    """Encoded words in, one tag a word out.

    Targets are tags [B, W] long; or, where not all is known, [B, W, K] bool, the tags that each word may have (all of
    them: nothing is known of it). Any value at padding.

    Both decoders know a distribution over the legal sequences: a CRF its own, a softmax the product of its words'
    probabilities, the illegal sequences left out and the rest normalised. All predictions and their probabilities
    are of that distribution, exact, and do not depend on the batch.
    """

    unit: ClassVar[Literal["word"]] = "word"

    def __init__(self, config: TagHeadConfig, dims: tuple[int, ...], outputs: Outputs) -> None:
        super().__init__()
        self.layer, self.pool = config.layer, config.pool
        width, dropout = dims[config.layer], VariationalDropout(config.dropout)
        hidden = [FewOutputs(width, config.hidden), nn.Tanh(), dropout] if config.hidden else []
        self.emissions = nn.Sequential(dropout, *hidden, FewOutputs(config.hidden or width, outputs.size))
        self.chain = CRF(_legal(outputs)) if config.decoder == "crf" else Rules(_legal(outputs))
        self._scheme = cast(scheme.Scheme, outputs.scheme)
        self._spans = None if self._scheme == "none" else SpanTable(outputs.tags, self._scheme)

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """A row of the last layer for each tag, and of a CRF the score of each transition."""
        chain = [(parameter, tuple(range(parameter.dim()))) for parameter in self.chain.parameters()]
        return [*((parameter, (0,)) for parameter in self.emissions[-1].parameters()), *chain]

    def multiples(self) -> Multiples:
        """Any where no product goes by rows: scores go by words, and compiled recursions take each row by itself."""
        alone = self.pool != "mean" and rows_alone(self.chain.rule_start.device)
        return Multiples(1, 1) if alone else EXACT

    def loss(self, encoded: Encoded, target: Tensor, lesson: Lesson | None = None) -> Loss:
        """Negative log-likelihood: a sum over sentences (CRF) or words (softmax), counted in words.

        A CRF learns from teachers how often they believe in each tag and in each transition, which is all that the
        cross-entropy of two chains is made of (Wang et al. 2021, structural knowledge distillation); a softmax learns
        the marginals of each word.
        """
        emissions, mask = self.emissions(encoded.layers[self.layer]), encoded.mask
        if isinstance(self.chain, CRF):
            total = -self.chain.log_likelihood(emissions, target, mask).sum()
        elif target.dtype == torch.bool:
            every = F.log_softmax(emissions[mask].float(), dim=-1)
            total = -every.masked_fill(~_some(target, mask)[mask], LOWEST).logsumexp(1).sum()
        else:
            total, _ = cross_entropy(emissions[mask], target[mask])
        loss = Loss(total, mask.sum())
        if lesson is None:
            return loss
        if isinstance(self.chain, CRF):
            counts, temperature = Counts(*lesson.soft), lesson.temperature
            return lesson.added_to(loss, self.chain.cross_entropy(counts, emissions, mask, temperature))
        log_probs = F.log_softmax(emissions[mask].float() / lesson.temperature, dim=-1)
        return lesson.added_to(loss, -(lesson.soft[0][mask].to(log_probs.dtype) * log_probs).sum())

    def soft(self, encoded: Encoded, target: Tensor, temperature: float) -> Soft:  # noqa: ARG002 - the contract
        """Return the marginals [B, W, K], and sums over the batch: expected transitions, first and last tags."""
        return tuple(self.chain.expected(self._emissions(encoded), encoded.mask, temperature))

    def scores(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Return the log-probability of each word's tag, [B, W], 0 at padding: of a CRF, its marginal."""
        emissions, mask = self.emissions(encoded.layers[self.layer]), encoded.mask
        if isinstance(self.chain, CRF):
            every = self.chain.marginals(emissions, mask)
        else:
            every = F.softmax(emissions.float(), dim=-1)
        return every.gather(2, target.masked_fill(~mask, 0)[..., None])[..., 0].masked_fill(~mask, 1.0).log()

    def predict(
        self, encoded: Encoded, *, allowed: Tensor | None = None, k_best: int = 1, marginals: bool = False
    ) -> list[Prediction]:
        """Return the best legal tags of each row.

        ``allowed`` [B, W, K] bool says which tags each word may have (any value at padding): True at one tag alone
        forces it, False forbids. All that is predicted is then given that. ImpossibleError (a DataError) names the row
        where no legal sequence is allowed. ``k_best`` above 1 asks for alternatives, ``marginals`` for all of them.
        """
        return self._decode(self.chain, self._emissions(encoded), encoded.mask, allowed, k_best, marginals)

    def decode(
        self, probabilities: Tensor, mask: Tensor, *, allowed: Tensor | None = None, k_best: int = 1,
        marginals: bool = False
    ) -> list[Prediction]:
        """Return what :meth:`predict` does, from the ``probabilities`` [B, W, K] of tags that are given.

        The distribution is that of a softmax with these: their product, without the illegal sequences, normalised.
        """
        legal = (part == 0 for part in (self.chain.rule_transitions, self.chain.rule_start, self.chain.rule_end))
        emissions = probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
        return self._decode(Rules(Legal(*legal)), emissions, mask, allowed, k_best, marginals)

    def _decode(
        self, chain: Rules, emissions: Tensor, mask: Tensor, allowed: Tensor | None, k_best: int, marginals: bool
    ) -> list[Prediction]:
        posterior = chain.posterior(emissions, mask, allowed)
        lengths = mask.sum(1).tolist()
        if k_best == 1:
            tags = chain.viterbi(emissions, mask, allowed)
            alternatives: list[list[Alternative]] = [[] for _ in lengths]
        else:
            best = chain.k_best(emissions, mask, k_best, allowed)
            tags, alternatives = best.tags[:, 0], _alternatives(best, lengths)
        chosen = posterior.unary.gather(2, tags[..., None])[..., 0].tolist()
        paths = [row[:length] for row, length in zip(tags.tolist(), lengths, strict=True)]
        return [
            Prediction(path, sure[: len(path)], spans, others, every[: len(path)])
            for path, sure, spans, others, every in zip(
                paths, chosen, self._spans_of(tags, mask, posterior), alternatives,
                posterior.unary.tolist() if marginals else [[] for _ in paths], strict=True)
        ]

    def marginals(self, encoded: Encoded, allowed: Tensor | None = None) -> Tensor:
        """Return the probability of each tag at each word, given the rules: [B, W, K], 0 at padding."""
        return self.chain.marginals(self._emissions(encoded), encoded.mask, allowed)

    def span_marginals(
        self, encoded: Encoded, spans: Sequence[Sequence[scheme.Span]], allowed: Tensor | None = None
    ) -> list[list[float]]:
        """Return the probability of each of ``spans`` (one list a row): that just it stands there.

        DataError for a span out of its row, and for the scheme ``none``. A label without tags has probability 0.
        """
        posterior = self.chain.posterior(self._emissions(encoded), encoded.mask, allowed)
        lengths, table = posterior.lengths.tolist(), self._spans
        found = [[0.0] * len(some) for some in spans]
        placed: list[tuple[int, int, int, int, int]] = []  # row, start, stop, label, place in the row
        for row, (some, length) in enumerate(zip(spans, lengths, strict=True)):
            for place, span in enumerate(some):
                if table is None:
                    raise DataError("the scheme 'none' has no spans")
                if not 0 <= span.start < span.end <= length:
                    raise DataError(f"row {row} of the batch: the span {span.label!r} from {span.start} to {span.end} "
                                    f"does not fit; expected 0 <= start < end <= {length} words")
                if span.label in table.labels:
                    placed.append((row, span.start, span.end, table.labels.index(span.label), place))
        if table is not None and placed:
            where = torch.tensor(placed, device=encoded.mask.device).unbind(1)
            for (row, *_, place), value in zip(
                placed, table.probabilities(posterior, Spans(*where[:4])).tolist(), strict=True
            ):
                found[row][place] = value
        return found

    def sample(
        self, encoded: Encoded, count: int, generator: torch.Generator | None = None, allowed: Tensor | None = None
    ) -> list[list[list[int]]]:
        """Draw ``count`` sequences of tags of each row, as probable as they are."""
        posterior = self.chain.posterior(self._emissions(encoded), encoded.mask, allowed)
        drawn = posterior.sample(count, generator).tolist()
        return [[path[:length] for path in paths]
                for paths, length in zip(drawn, encoded.mask.sum(1).tolist(), strict=True)]

    def _emissions(self, encoded: Encoded) -> Tensor:
        """What predictions are made from, in the widest type: it costs little beside the encoder."""
        emissions = self.emissions(encoded.layers[self.layer])
        emissions = emissions.to(wide(emissions.device))
        return emissions if isinstance(self.chain, CRF) else F.log_softmax(emissions, dim=-1)

    def _spans_of(self, tags: Tensor, mask: Tensor, posterior: Posterior) -> list[list[SpanFound]]:
        found: list[list[SpanFound]] = [[] for _ in range(len(tags))]
        if self._spans is not None:
            spans = self._spans.find(tags, mask)
            sure = self._spans.probabilities(posterior, spans)
            names = self._spans.labels
            for row, start, stop, label, value in zip(*(part.tolist() for part in (*spans, sure)), strict=True):
                found[row].append(SpanFound(names[label], start, stop, value))
        return found


def _alternatives(best: Best, lengths: list[int]) -> list[list[Alternative]]:
    rows = zip(best.tags.tolist(), best.log_probs.exp().tolist(), torch.isfinite(best.log_probs).tolist(), lengths,
               strict=True)
    return [[Alternative(path[:length], value) for path, value, there in zip(paths, values, are_there, strict=True)
             if there] for paths, values, are_there, length in rows]


def _some(target: Tensor, mask: Tensor) -> Tensor:
    """Check that every word is allowed a tag."""
    none = mask & ~target.any(2)
    if none.any():
        row, word = (int(place) for place in none.nonzero()[0])
        raise DataError(f"row {row} of the batch: word {word + 1} is allowed no tag at all")
    return target


def _legal(outputs: Outputs) -> Legal:
    """Ask the scheme which tag may follow which; DataError where its rules leave sentences without any tags."""
    rules = scheme.legal(outputs.tags, cast(scheme.Scheme, outputs.scheme))
    legal = Legal(*(torch.tensor(part, dtype=torch.bool) for part in rules))
    if not (legal.start & legal.end & legal.transitions.diagonal()).any():
        raise DataError(f"the {outputs.scheme} tags {', '.join(outputs.tags)} cannot tag sentences of every length; "
                        "a tag that may stand at every word, such as O, is missing")
    return legal
