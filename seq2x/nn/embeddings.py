"""Tokens to vectors: a table of embeddings, and words spelt by a convolution over their characters.

Knows no task. Each distinct word of a batch is spelt once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seq2x.batch import ROW_MULTIPLE, Tokens
from seq2x.config import Config
from seq2x.nn.convolution import Windows
from seq2x.nn.dropout import WordDropout

SHORT = 12
"""Characters of a word that counts as short; nine of ten do."""


class CharacterConfig(Config):
    """A convolution over the characters of a word, max-pooled (Ma & Hovy 2016; several widths: Kim et al. 2016)."""

    kind: Literal["convolution"] = "convolution"
    width: int = Field(30, ge=1, description="size of a character's embedding")
    maps: int = Field(50, ge=1, description="feature maps of each window width")
    windows: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (3,), min_length=1, description="window widths in characters")
    dropout: float = Field(0.0, ge=0, lt=1)


class EmbeddingConfig(Config):
    """How a token becomes a vector."""

    width: int = Field(256, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    word_dropout: float = Field(0.0, ge=0, lt=1, description="share of tokens read as unknown in training")
    characters: CharacterConfig | None = Field(None, description="needs text.characters = true")


class CharacterConvolution(nn.Module):
    """Spell each word: characters [N, C] -> [N, width]."""

    def __init__(self, config: CharacterConfig, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(size, config.width, padding_idx=0)
        self.windows = nn.ModuleList(Windows(config.width, config.maps, window) for window in config.windows)
        self.dropout = nn.Dropout(config.dropout)
        self.width = config.maps * len(config.windows)

    def forward(self, characters: Tensor) -> Tensor:
        """``characters`` [N, C] long, 0 = padding; every word has at least one character."""
        mask = characters > 0
        embedded = self.dropout(self.table(characters))  # [N, C, width]
        maps = torch.cat([window(embedded, mask) for window in self.windows], dim=-1)  # [N, C, D]
        return maps.masked_fill(~mask[..., None], torch.finfo(maps.dtype).min).amax(1).relu()


class Embedding(nn.Module):
    """Tokens -> [B, T, width]."""

    def __init__(self, config: EmbeddingConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.table = nn.Embedding(size, config.width, padding_idx=0)
        nn.init.normal_(self.table.weight, std=config.width**-0.5)
        with torch.no_grad():
            self.table.weight[0].zero_()
        self.word_dropout = WordDropout(config.word_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.spelling: CharacterConvolution | None = None
        if config.characters is not None:
            if characters is None:
                raise ValueError("embedding.characters needs a text processor with characters")
            self.spelling = CharacterConvolution(config.characters, characters)
        self.width = config.width + (0 if self.spelling is None else self.spelling.width)

    def forward(self, tokens: Tokens) -> Tensor:
        """Return [B, T, width]."""
        embedded: Tensor = self.table(self.word_dropout(tokens.ids))
        if self.spelling is not None:
            assert tokens.characters is not None
            embedded = torch.cat([embedded, self._spell(self.spelling, tokens.characters)], dim=-1)
        dropped: Tensor = self.dropout(embedded)
        return dropped * tokens.mask[..., None]

    def _spell(self, spelling: CharacterConvolution, characters: Tensor) -> Tensor:
        """Encode each distinct word once: [B, T, C] -> [B, T, D]."""
        batch, length, size = characters.shape
        distinct, index = torch.unique(characters.view(-1, size), dim=0, return_inverse=True)
        long = distinct[:, SHORT:].any(1)  # one long word must not pad all others to its length
        if long.all() or not long.any():
            return _in_rows(spelling, distinct)[index].view(batch, length, -1)
        parts = [_in_rows(spelling, distinct[~long][:, :SHORT]), _in_rows(spelling, distinct[long])]
        place = torch.argsort(torch.argsort(long, stable=True))  # of each distinct word among the parts
        return torch.cat(parts)[place[index]].view(batch, length, -1)


def _in_rows(spelling: nn.Module, words: Tensor) -> Tensor:
    """Spell words [N, C], their rows padded to a multiple of 8: see :data:`seq2x.batch.ROW_MULTIPLE`."""
    extra = -len(words) % ROW_MULTIPLE
    spelt: Tensor = spelling(torch.cat([words, words[:1].expand(extra, -1)]) if extra else words)
    return spelt[: len(words)]
