"""Words as tokens, spelt by their characters if wished; and the default splitter of raw text into words.

Knows no task and no language, except for the short forms of English.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from seq2x.config import Config
from seq2x.errors import DataError
from seq2x.text.processor import Encoding, Processor
from seq2x.text.shapes import END, shape
from seq2x.text.vocabulary import EOS, SPECIALS, UNK, Vocabulary, storable

FILL = "<fill>"
"""The pad word; no text is split so that it holds it."""
SPELT = 100
"""Characters that are spelt of each end of a word longer than twice as many."""
KEPT = 1 << 16
"""Words whose numbers are kept at most, to be found again at once."""


class WordsConfig(Config):
    """Whole words; what is rarer than ``min_count`` or beyond ``size`` is unknown."""

    kind: Literal["words"] = "words"
    size: int | None = Field(None, ge=5, description="words in all, the four specials included")
    min_count: int = Field(1, ge=1)
    lowercase: bool = False
    digits: bool = Field(False, description="read every digit as 0")
    characters: bool = Field(False, description="give each word's characters too, as written")
    shapes: bool = Field(False, description="give each word's shape too (capitalised, number ...), as written")
    punctuation: bool = Field(True, description="false: of a raw text, read only words with a letter or a digit")
    keep_last: int | None = Field(
        None, ge=1, description="of a raw text with more words, read the last so many only; left out: all")
    pad_to: int = Field(
        0, ge=0, description="a raw text with fewer words gets so many by a visible pad word at its front, which the "
                             "model reads as any other; 0 = none. For models that were made with it: batches are "
                             "padded, and the padding masked, by themselves")

    @model_validator(mode="after")
    def _pads_what_it_cuts(self) -> WordsConfig:
        if self.pad_to > (self.keep_last or 0):
            raise ValueError(f"pad_to = {self.pad_to} needs keep_last = {self.pad_to} or more, so that no text is "
                             f"longer than all can be; found keep_last = {self.keep_last or 'none'}")
        return self

    def learn(self, texts: Iterable[str | Sequence[str]], known: Processor | None = None) -> Words:
        """Count words and characters. Each item is raw text, split by :func:`split`, or a list of words.

        The entries of ``known`` keep their ids; those that are new follow.
        """
        counts = Counter(word for item in texts for word in _words(item, self.punctuation) if storable(word))
        if not counts:
            raise DataError("there is no text to learn words from")
        keys: Counter[str] = Counter()
        spelt: Counter[str] = Counter()
        for word, count in counts.items():
            keys[self._key(word)] += count
            for character in word:
                spelt[character] += count
        older, letters = (SPECIALS, SPECIALS) if known is None else (known.entries, known.character_entries or SPECIALS)
        if self.pad_to and known is None:
            older = (*SPECIALS, FILL)
        vocabulary = Vocabulary.build(keys, size=self.size, min_count=self.min_count, specials=older)
        return self._processor(vocabulary, Vocabulary.build(spelt, specials=letters) if self.characters else None)

    def load(self, directory: Path, name: str) -> Words:
        """Read ``name``.vocabulary.txt and, with characters, ``name``.characters.txt; RunError where one is missing."""
        directory = Path(directory)
        vocabulary = Vocabulary.load(directory / f"{name}.vocabulary.txt")
        characters = Vocabulary.load(directory / f"{name}.characters.txt") if self.characters else None
        return self._processor(vocabulary, characters)

    def _processor(self, vocabulary: Vocabulary, characters: Vocabulary | None) -> Words:
        return Words(vocabulary, characters, self)

    def _key(self, word: str) -> str:
        return _key(word, self.lowercase, self.digits)


class Words:
    """Word vocabularies as a processor: one token a word."""

    def __init__(
        self, vocabulary: Vocabulary, characters: Vocabulary | None = None, config: WordsConfig | None = None
    ) -> None:
        self.vocabulary = vocabulary
        self.characters = characters
        self.config = config or WordsConfig()
        self._known: dict[str, tuple[int, list[int]]] = {}

    @property
    def size(self) -> int:
        """The number of words, specials included."""
        return len(self.vocabulary)

    @property
    def character_size(self) -> int | None:
        """The number of characters, specials included, if words are spelt."""
        return None if self.characters is None else len(self.characters)

    @property
    def entries(self) -> tuple[str, ...]:
        """The words; the position is the id."""
        return self.vocabulary.entries

    @property
    def character_entries(self) -> tuple[str, ...] | None:
        """The characters, if words are spelt."""
        return None if self.characters is None else self.characters.entries

    def encode(self, text: str, sample: int | None = None) -> Encoding:
        """Split raw text with :func:`split` and encode the words, those that the settings let through."""
        words = [word.text for word in self._read(text)]
        return self.encode_words([FILL] * (self.config.pad_to - len(words)) + words, sample)._replace(spans=None)

    def _read(self, text: str) -> list[Word]:
        words = _wanted(text, self.config.punctuation)
        return words if self.config.keep_last is None else words[-self.config.keep_last :]

    def starts(self, text: str) -> list[int]:
        """Return where in ``text`` each token of ``encode(text)`` but the end symbol begins, in characters.

        Pad words begin before it, at -1.
        """
        words = self._read(text)
        return [*[-1] * (self.config.pad_to - len(words)), *(word.start for word in words)]

    def encode_words(self, words: Sequence[str], sample: int | None = None) -> Encoding:  # noqa: ARG002 - the contract
        """Encode words as they are; each is one token."""
        numbers = [self._known.get(word) or self._learn(word) for word in words]
        ids = [number for number, _ in numbers]
        characters = None
        if self.characters is not None:
            characters = [letters for _, letters in numbers]
            characters.append([UNK])  # EOS is spelt by no character, and no list may be empty
        shapes = [*map(shape, words), END] if self.config.shapes else None
        return Encoding([*ids, EOS], [(number, number + 1) for number in range(len(ids))], characters, shapes)

    def _learn(self, word: str) -> tuple[int, list[int]]:
        """Return the number of a word and those of its characters, and keep them."""
        letters = [] if self.characters is None else [self.characters.id(one) for one in _spelling(word)] or [UNK]
        found = self.vocabulary.id(_key(word, self.config.lowercase, self.config.digits)), letters
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[word] = found
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Join the words by blanks."""
        return " ".join(self.vocabulary.entry(number) for number in ids if number >= len(SPECIALS))

    def save(self, directory: Path, name: str) -> None:
        """Write ``name``.vocabulary.txt and, if words are spelt, ``name``.characters.txt."""
        directory = Path(directory)
        self.vocabulary.save(directory / f"{name}.vocabulary.txt")
        if self.characters is not None:
            self.characters.save(directory / f"{name}.characters.txt")


def _spelling(word: str) -> str:
    """What is spelt of a word; of one that is absurdly long, its two ends, or it would fill the memory of its batch."""
    return word if len(word) <= 2 * SPELT else word[:SPELT] + word[-SPELT:]


def _words(item: str | Sequence[str], punctuation: bool) -> Sequence[str]:
    return [word.text for word in _wanted(item, punctuation)] if isinstance(item, str) else item


def _wanted(text: str, punctuation: bool) -> list[Word]:
    return [word for word in split(text) if punctuation or any(map(str.isalnum, word.text))]


def _key(word: str, lowercase: bool, digits: bool) -> str:
    """The word as the vocabulary knows it."""
    if lowercase:
        word = word.lower()
    return re.sub(r"\d", "0", word) if digits else word


class Word(NamedTuple):
    """A word and where it stands: ``text == whole[start:end]``."""

    text: str
    start: int
    end: int


_MARK = "\u0301"  # stands for whatever clings to the character before it: accents, vowel signs, emoji modifiers
_JOINER = "\u200d"
_IN_WORD = rf"[\w{_MARK}{_JOINER}]"
_QUOTE = r"['\u2019]"
_IN_ADDRESS = r"""[^\s<>"]*[^\s<>".,;:!?'\u2019\u201d)\]}]"""  # no punctuation at the end: it belongs to the sentence
_UNIT = rf"""(?:
    [^\W\d_]{{1,2}}\.(?:[^\W\d_]\.){{1,8}}[^\W\d_]?(?!\.?{_IN_WORD})  # U.S.  e.g.  Ph.D.  U.S.A
  | {_IN_WORD}+(?:(?<=\d)[.,:/](?=\d){_IN_WORD}+)*                    # word  3.14  1,000  10:30  v1.2
)"""
# Every repetition that may fail after it has matched is bounded: a line takes no longer than its length.
_TOKEN = re.compile(
    rf"""
    (?i:https?://|ftp://|www\.){_IN_ADDRESS}
  | \w[\w.+-]{{0,63}}@\w[\w-]{{0,62}}(?:\.\w[\w-]{{0,62}}){{1,8}}                             # e-mail
  | (?:\w[\w-]{{0,62}}\.){{1,4}}(?i:com|org|net|edu|gov|io)(?!{_IN_WORD})(?:/{_IN_ADDRESS})?  # amazon.com
  | (?:Mr|Mrs|Ms|Messrs|Dr|Prof|St|vs)\.(?=\s+\w)
  | (?P<word>{_UNIT}(?:[-\u2010\u2011'\u2019&]{_UNIT})*)                                      # O'Brien  AT&T
  | ''|``|\.{{2,}}|-{{2,}}
  | (?i:{_QUOTE}(?:s|m|d|ll|re|ve))(?!{_IN_WORD})                                             # John 's
  | [\U0001F1E6-\U0001F1FF]{{2}}                                                              # a flag
  | [^\w\s]{_MARK}*(?:{_JOINER}[^\w\s]{_MARK}*)*
    """,
    re.VERBOSE,
)
_SHORT_FORM = re.compile(rf"(?i:(?<={_IN_WORD})n{_QUOTE}t|{_QUOTE}(?:s|m|d|ll|re|ve))$")


def split(text: str) -> list[Word]:
    """Split raw text into words with their character offsets; only blanks and control characters are left out.

    Punctuation stands apart; numbers (3.14, 1,000), abbreviations (U.S.), hyphenated words, addresses of the web and
    of mail stay whole; n't, 's and their like stand apart from their word. Accents, vowel signs and emoji
    modifiers stay with their character. Scripts that write no blanks between words are not segmented. Splitting the
    result joined by blanks gives the same words again, so text that is already split stays as it is.
    """
    # The pattern reads a shape of the same length, since Python's \w knows no combining marks.
    shape = text if text.isascii() and text.isprintable() else "".join(map(_shape, text))
    words = []
    for match in _TOKEN.finditer(shape):
        start = match.start()
        for end in _ends(shape, match):
            words.append(Word(text[start:end], start, end))
            start = end
    return words


def _ends(shape: str, match: re.Match[str]) -> list[int]:
    """Where the words in a token end: shouldn't've is should, n't, 've."""
    ends = [match.end()]
    while match["word"]:
        short = _SHORT_FORM.search(shape, max(match.start(), ends[-1] - len("n't")), ends[-1])
        if short is None or short.start() == match.start():
            break
        ends.append(short.start())
    return ends[::-1]


@cache
def _shape(character: str) -> str:
    """The character as the pattern reads it: marks, blanks, or itself."""
    category = unicodedata.category(character)
    if character in "\u200b\ufeff" or category == "Cc":
        return " "
    if character != _JOINER and (category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff"):
        return _MARK
    return character
