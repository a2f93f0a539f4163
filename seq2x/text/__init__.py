"""Strings in, strings out: vocabularies, subwords, words, characters; tags and their schemes (``text.tags``).

Knows no tensor and no file of data.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seq2x.text.characters import Characters, CharactersConfig
from seq2x.text.pretrained import Pretrained, PretrainedTextConfig
from seq2x.text.processor import Encoding, Processor, same_entries
from seq2x.text.subwords import Subwords, SubwordsConfig
from seq2x.text.tags import Legal, Scheme, Span
from seq2x.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from seq2x.text.words import Word, Words, WordsConfig, split

TextConfig = Annotated[
    SubwordsConfig | WordsConfig | CharactersConfig | PretrainedTextConfig, Field(discriminator="kind")
]

__all__ = [
    "BOS", "EOS", "PAD", "SPECIALS", "UNK",
    "Characters", "CharactersConfig", "Encoding", "Legal", "Pretrained", "PretrainedTextConfig", "Processor", "Scheme",
    "Span", "Subwords", "SubwordsConfig", "TextConfig", "Vocabulary", "Word", "Words", "WordsConfig", "same_entries",
    "split",
]
