"""Characters as tokens.

Knows no task and no words; a sentence given as words is joined by one blank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from seq2x.config import Config
from seq2x.errors import DataError
from seq2x.text.processor import Encoding, Processor
from seq2x.text.vocabulary import EOS, SPECIALS, UNK, Vocabulary, storable


class CharactersConfig(Config):
    """One token a character (a Unicode code point)."""

    kind: Literal["characters"] = "characters"
    size: int | None = Field(None, ge=5, description="characters in all, the four specials included")
    min_count: int = Field(1, ge=1)
    lowercase: bool = False

    def learn(self, texts: Iterable[str | Sequence[str]], known: Processor | None = None) -> Characters:
        """Count characters. Each item is raw text or a list of words. The entries of ``known`` keep their ids."""
        counts: Counter[str] = Counter()
        for item in texts:
            counts.update(_read(item if isinstance(item, str) else " ".join(item), self.lowercase))
        kept = {character: count for character, count in counts.items() if storable(character)}
        if not kept:
            raise DataError("there is no text to learn characters from")
        older = SPECIALS if known is None else known.entries
        vocabulary = Vocabulary.build(kept, size=self.size, min_count=self.min_count, specials=older)
        return Characters(vocabulary, self.lowercase)

    def load(self, directory: Path, name: str) -> Characters:
        """Read ``name``.vocabulary.txt; a missing file is a RunError."""
        return Characters(Vocabulary.load(Path(directory) / f"{name}.vocabulary.txt"), self.lowercase)


class Characters:
    """A character vocabulary as a processor."""

    character_size = None
    character_entries = None

    def __init__(self, vocabulary: Vocabulary, lowercase: bool = False) -> None:
        self.vocabulary = vocabulary
        self.lowercase = lowercase

    @property
    def size(self) -> int:
        """The number of characters, specials included."""
        return len(self.vocabulary)

    @property
    def entries(self) -> tuple[str, ...]:
        """The characters; the position is the id."""
        return self.vocabulary.entries

    def encode(self, text: str, sample: int | None = None) -> Encoding:  # noqa: ARG002 - the contract
        """Encode raw text, blanks included; a line feed is read as a blank."""
        return Encoding([*self._ids(text), EOS])

    def starts(self, text: str) -> list[int]:
        """Return where in ``text`` each token of ``encode(text)`` but the end symbol begins, in characters."""
        return [place for place, character in enumerate(text) for _ in _read(character, self.lowercase)]

    def encode_words(self, words: Sequence[str], sample: int | None = None) -> Encoding:  # noqa: ARG002 - the contract
        """Encode words joined by one blank, which belongs to no span."""
        ids: list[int] = []
        spans = []
        for number, word in enumerate(words):
            if number:
                ids.extend(self._ids(" "))
            start = len(ids)
            ids.extend(self._ids(word) or [UNK])
            spans.append((start, len(ids)))
        return Encoding([*ids, EOS], spans)

    def decode(self, ids: Sequence[int]) -> str:
        """Put the characters together."""
        return "".join(self.vocabulary.entry(number) for number in ids if number >= len(SPECIALS))

    def save(self, directory: Path, name: str) -> None:
        """Write ``name``.vocabulary.txt."""
        self.vocabulary.save(Path(directory) / f"{name}.vocabulary.txt")

    def _ids(self, text: str) -> list[int]:
        return [self.vocabulary.id(character) for character in _read(text, self.lowercase)]


def _read(text: str, lowercase: bool) -> str:
    """The text as the vocabulary knows it: its file has no room for a line feed."""
    text = text.replace("\n", " ")
    return text.lower() if lowercase else text
