"""Tokens to vectors: a table of embeddings, fresh or pretrained, and words spelt by their characters.

Knows no task and opens no file: pretrained vectors come in as rows. Each distinct word of a batch is spelt once.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import ROW_MULTIPLE, Tokens
from seq2x.config import Config, kind_by_default
from seq2x.nn.convolution import Windows
from seq2x.nn.dropout import Dropout, TypeDropout, WordDropout
from seq2x.nn.recurrent import CellKind, RecurrenceConfig, RecurrentLayers, last_states
from seq2x.nn.spelling import SHORT, Spellings, distinct

SHAPES = 11
"""Numbers of shapes that a text processor may give (see seq2x.text.shapes), that of padding included."""


class CharacterConvolutionConfig(Config):
    """A convolution over the characters of a word, max-pooled (Ma & Hovy 2016; several widths: Kim et al. 2016)."""

    kind: Literal["convolution"] = "convolution"
    width: int = Field(30, ge=1, description="size of a character's embedding")
    maps: int = Field(50, ge=1, description="feature maps of each window width")
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (3,), min_length=1, description="window widths in characters")
    dropout: float = Field(0.0, ge=0, lt=1)

    def build(self, size: int) -> CharacterConvolution:
        """``size`` characters in the vocabulary."""
        return CharacterConvolution(self, size)


class CharacterRecurrenceConfig(Config):
    """A recurrent network over the characters of a word in both directions, its last states (Lample et al. 2016)."""

    kind: Literal["recurrent"] = "recurrent"
    width: int = Field(25, ge=1, description="size of a character's embedding")
    hidden: int = Field(25, ge=1, description="units of each direction")
    cell: CellKind = "lstm"
    dropout: float = Field(0.0, ge=0, lt=1)

    def build(self, size: int) -> CharacterRecurrence:
        """``size`` characters in the vocabulary."""
        return CharacterRecurrence(self, size)


CharacterConfig = Annotated[
    CharacterConvolutionConfig | CharacterRecurrenceConfig,
    Field(discriminator="kind"),
    kind_by_default("convolution"),
]


class VectorsConfig(Config):
    """Pretrained word vectors; read once, before training: the run holds them afterwards.

    A run that starts from another (``start.from``) reads them for the words that the other has not.
    """

    path: str = Field(min_length=1, description="GloVe .txt, word2vec .bin or .txt, fastText .vec; plain or .gz")
    mode: Literal["tuned", "frozen", "two-channel"] = Field(
        "tuned", description="trained on, kept as they are, or both side by side, which doubles the width (the "
                             "channels of Kim 2014, section 3.3, each with weights of its own)")


class EmbeddingConfig(Config):
    """How a token becomes a vector."""

    width: int = Field(256, ge=1)
    scale: bool = Field(
        False, description="tokens' vectors times sqrt(width), as a Transformer's always are (Vaswani et al. 2017, "
                           "section 3.4): a recurrent translator learns to attend sooner")
    dropout: float = Field(0.0, ge=0, lt=1, description="of single values of the whole vector")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="share of tokens read as unknown in training")
    type_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of the vocabulary whose vectors are zero throughout a batch (Gal & "
                                     "Ghahramani 2016; embedding dropout in Merity et al. 2018)")
    vectors: VectorsConfig | None = Field(None, description="start from pretrained vectors, as wide as width")
    characters: CharacterConfig | None = Field(None, description="needs text.characters = true")
    shape_width: int = Field(
        0, ge=0, description="size of an embedding of the word's shape, capitalised, number ... (Collobert et al. "
                             "2011); needs text.shapes = true")


class CharacterConvolution(nn.Module):
    """Spell each word: characters [N, C] -> [N, width]."""

    def __init__(self, config: CharacterConvolutionConfig, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, config.width, padding_idx=0)
        self.windows = nn.ModuleList(Windows(config.width, config.maps, window) for window in config.windows)
        self.dropout = Dropout(config.dropout)
        self.width = config.maps * len(config.windows)

    def forward(self, characters: Tensor) -> Tensor:
        """``characters`` [N, C] long, 0 = padding; every word has at least one character."""
        mask = characters > 0
        embedded = self.dropout(self.table(characters))  # [N, C, width]
        maps = torch.cat([window(embedded, mask) for window in self.windows], dim=-1)  # [N, C, D]
        return maps.masked_fill(~mask[..., None], torch.finfo(maps.dtype).min).amax(1).relu()


class CharacterRecurrence(nn.Module):
    """Spell each word: characters [N, C] -> [N, width]; the state at its last character beside that at its first."""

    def __init__(self, config: CharacterRecurrenceConfig, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, config.width, padding_idx=0)
        self.stack = RecurrentLayers(RecurrenceConfig(cell=config.cell, hidden=config.hidden), config.width)
        self.dropout = Dropout(config.dropout)
        self.width = self.stack.width

    def forward(self, characters: Tensor) -> Tensor:
        """``characters`` [N, C] long, 0 = padding; every word has at least one character."""
        mask = characters > 0
        mask[:, 0] = True  # the word that stands for padding
        (directions,) = self.stack(self.dropout(self.table(characters)), mask)
        return last_states(directions, mask)


class Embedding(nn.Module):
    """Tokens -> [B, T, width]: the token's vector, or two of them, its spelling and its shape, as far as wanted."""

    def __init__(self, config: EmbeddingConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.table = nn.Embedding(size, config.width, padding_idx=0)
        nn.init.normal_(self.table.weight, std=config.width**-0.5)
        with torch.no_grad():
            self.table.weight[0].zero_()
        self.config = config
        self.static: nn.Embedding | None = None
        """The channel that training leaves alone, where there are two."""
        if config.vectors is not None and config.vectors.mode == "frozen":
            self.table.weight.requires_grad_(False)
        if config.vectors is not None and config.vectors.mode == "two-channel":
            self.static = nn.Embedding(size, config.width, padding_idx=0).requires_grad_(False)
            self.static.weight.copy_(self.table.weight.detach())
        self.word_dropout = WordDropout(config.word_dropout)
        self.type_dropout = TypeDropout(config.type_dropout)
        self.dropout = Dropout(config.dropout)
        self.spelling: CharacterConvolution | CharacterRecurrence | None = None
        if config.characters is not None:
            if characters is None:
                raise ValueError("embedding.characters needs a text processor with characters: text.kind = 'words' "
                                 "and text.characters = true")
            self.spelling = config.characters.build(characters)
        words = config.width * (1 if self.static is None else 2)
        self._known = Spellings()
        self.shapes = nn.Embedding(SHAPES, config.shape_width, padding_idx=0) if config.shape_width else None
        self.width = words + (0 if self.spelling is None else self.spelling.width) + config.shape_width

    @torch.no_grad()
    def fill(self, ids: Tensor, rows: Tensor) -> None:
        """Give tokens ``ids`` [N] the vectors ``rows`` [N, config.width], in both channels where there are two.

        The random vectors of all others get the variance of ``rows`` (Kim 2014, section 4.3).
        """
        self.table.weight.mul_(rows.std(correction=0) * self.config.width**0.5)
        self.table.weight[ids] = rows
        if self.static is not None:
            self.static.weight.copy_(self.table.weight)

    def forward(self, tokens: Tokens) -> Tensor:
        """Return [B, T, width]."""
        ids = self.word_dropout(tokens.ids)
        embedded: Tensor = self.table(ids)
        if self.static is not None:
            embedded = torch.cat([embedded, self.static(ids)], dim=-1)
        if self.config.scale:
            embedded = embedded * math.sqrt(self.config.width)
        embedded = self.type_dropout(embedded, ids, self.table.num_embeddings)
        if self.spelling is not None:
            assert tokens.characters is not None
            embedded = torch.cat([embedded, self._spell(self.spelling, tokens.characters)], dim=-1)
        if self.shapes is not None:
            assert tokens.shapes is not None
            embedded = torch.cat([embedded, self.shapes(tokens.shapes)], dim=-1)
        dropped: Tensor = self.dropout(embedded)
        return dropped * tokens.mask[..., None]

    def _spell(self, spelling: nn.Module, characters: Tensor) -> Tensor:
        """Encode each distinct word once: [B, T, C] -> [B, T, D]."""
        batch, length, size = characters.shape
        words, index = distinct(characters.view(-1, size))
        long = words[:, SHORT:].any(1)  # one long word must not pad all others to its length
        parts = []
        if not long.all():
            parts.append(self._spell_short(spelling, words[~long][:, :SHORT]))
        if long.any():
            parts.append(_in_rows(spelling, words[long]))
        if len(parts) == 1:
            return parts[0].index_select(0, index).view(batch, length, -1)
        place = torch.argsort(torch.argsort(long, stable=True))  # of each distinct word among the parts
        return torch.cat(parts).index_select(0, place[index]).view(batch, length, -1)

    def _spell_short(self, spelling: nn.Module, words: Tensor) -> Tensor:
        """At prediction, what was spelt before is known."""
        if self.training or torch.is_grad_enabled() or words.device.type != "cpu":
            return _in_rows(spelling, words)
        return self._known.look_up(words, partial(_in_rows, spelling), spelling.parameters())

    def train(self, mode: bool = True) -> Self:
        """Forget what was spelt where training goes on; see :class:`torch.nn.Module`."""
        if mode:
            self._known = Spellings()
        return super().train(mode)


def _in_rows(spelling: nn.Module, words: Tensor) -> Tensor:
    """Spell words [N, C], their rows padded to a multiple of 8: see :data:`seq2x.batch.ROW_MULTIPLE`."""
    extra = -len(words) % ROW_MULTIPLE
    spelt: Tensor = spelling(torch.cat([words, words[:1].expand(extra, -1)]) if extra else words)
    return spelt[: len(words)]
