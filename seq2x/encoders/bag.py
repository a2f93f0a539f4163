"""An encoder that encodes nothing: embeddings, to which hashed vectors of n-grams are added (fastText)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import pad

from seq2x.batch import Encoded, Tokens
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.nn.dropout import Dropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig

FACTORS = 0x5851F42D4C957F2D, 0x14057B7EF767814F
"""Odd numbers of 63 bits that spread n-grams over the rows; what a run has learnt needs just these."""


class BagEncoderConfig(Config):
    """A bag of words and n-grams; with ``pooling = "mean"`` fastText's classifier (Joulin et al. 2017).

    Hard to beat where a text is long and its order says little.
    """

    kind: Literal["bag"] = "bag"
    embedding: EmbeddingConfig = EmbeddingConfig()
    ngrams: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (2,), description="lengths of the n-grams, beside single words; [] = none")
    buckets: int = Field(500_000, ge=2, description="vectors that all n-grams share, by a hash of their tokens")
    begin: bool = Field(False, description="n-grams may say that they begin the text; of use where its first words "
                                           "tell most, as in questions")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of n-grams left out in training (Iyyer et al. 2015)")
    naive_bayes: float = Field(
        0.0, ge=0, description="begin as naive Bayes: unit k of a vector is the log-count ratio of its word or n-gram "
                               "for label k (Wang & Manning 2012), with so many texts more for each (1, as they do); "
                               "for a single task, which classifies by the mean; as many units as labels are best; 0 "
                               "= begin at random")

    @model_validator(mode="after")
    def _is_of_ngrams(self) -> Self:
        for name in ("begin", "dropout"):
            if getattr(self, name) and not self.ngrams:
                raise ValueError(f"{name} is of n-grams; found ngrams = []")
        return self

    def build(self, size: int, characters: int | None) -> BagEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return BagEncoder(self, size, characters)


class BagEncoder(Encoder):
    """``layers`` = embeddings, then states x_t = e_t + sum_n h(t-n+1 .. t); ``summary`` = their mean.

    With ``begin``, padding tokens stand before the first token; else an n-gram is of n tokens of the text. The vectors
    h start at zero, so that an n-gram never seen says nothing.
    """

    causal = True

    def __init__(self, config: BagEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        self.lengths, self.begin = config.ngrams, config.begin
        self.ngrams = nn.Embedding(config.buckets, self.embedding.width) if config.ngrams else None
        if self.ngrams is not None:
            nn.init.zeros_(self.ngrams.weight)
        self.dropout = Dropout(config.dropout)
        self.dims = (self.embedding.width, self.embedding.width)
        self.summary_width = self.embedding.width

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        embedded = states = self.embedding(tokens)
        if self.ngrams is not None:
            for rows, there in self.rows(tokens):
                states = states + self.ngrams(rows) * self.dropout(there[..., None].to(embedded.dtype))
        return Encoded((embedded, states), tokens.mask, states.sum(1) / tokens.mask.sum(1, keepdim=True).clamp(min=1))

    def rows(self, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each length, the row of the n-gram that ends at each place, [B, T], and whether one does, bool."""
        buckets = 0 if self.ngrams is None else self.ngrams.num_embeddings
        for length in self.lengths:
            there = tokens.mask.clone()
            if not self.begin:
                there[:, : length - 1] = False
            yield hashed(tokens.ids, length, buckets), there


def hashed(ids: Tensor, length: int, buckets: int) -> Tensor:
    """Return the row of the n-gram of this length that ends at each place: [B, T] -> [B, T], below ``buckets``.

    What stands before the first place is padding.
    """
    found, padded = torch.full_like(ids, length), pad(ids, (length - 1, 0))
    for start in reversed(range(length)):
        found = (found + padded[:, start : start + ids.shape[1]]) * FACTORS[0] + FACTORS[1]
    return (found >> 24 & 0xFFFFFFFF) % buckets
