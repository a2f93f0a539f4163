"""SentencePiece: text to pieces of words and back.

Knows no task. Byte fallback spells what the pieces cannot, so that nothing is unknown.
"""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import sentencepiece
from pydantic import Field, field_validator, model_validator

from seq2x.config import Config
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.text.bpe_dropout import Merges
from seq2x.text.processor import Encoding, Processor
from seq2x.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK

T = TypeVar("T")

# The trainer leaves out every line that holds one of these (it marks boundaries and unknowns with them).
_RESERVED = str.maketrans({"\t": " ", "\u2585": " "})

_BLANK = "\u2581"
"""SentencePiece's own sign for a blank."""


class SubwordsConfig(Config):
    """Pieces of words, learnt from the text (BPE: Sennrich et al. 2016; unigram: Kudo 2018)."""

    kind: Literal["subwords"] = "subwords"
    size: int = Field(32000, ge=5, description="pieces in all, the four specials and the 256 bytes included")
    model: Literal["bpe", "unigram"] = "bpe"
    joint: bool = Field(True, description="translation: one model learnt from both sides; false: one a side")
    dropout: float = Field(0.0, ge=0, lt=1, description="BPE-dropout in training (Provilkov et al. 2020), often 0.1")
    byte_fallback: bool = Field(True, description="spell unknown characters in bytes; nothing is unknown")
    normalization: Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"] = Field(
        "nmt_nfkc", description="identity keeps every character and blank; _cf also folds the case"
    )
    lines: int = Field(1_000_000, ge=1, description="learnt from so many lines at most, drawn at random")
    character_coverage: float = Field(0.9995, ge=0.98, le=1, description="share of characters that become pieces")
    symbols: tuple[str, ...] = Field(
        (), description="kept as one piece wherever they stand, and never put out: tags such as '<2de>' that begin a "
                        "source and say its target's language (Johnson et al. 2017)")

    @field_validator("symbols")
    @classmethod
    def _symbols_are_pieces(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if not symbol or re.search("[\\s\u2581]", symbol):
                raise ValueError(f"found {symbol!r}; expected a text without blanks")
            if symbol in SPECIALS or symbols.count(symbol) > 1:
                raise ValueError(f"{symbol!r} stands for something already; expected another text")
        return symbols

    @model_validator(mode="after")
    def _dropout_is_of_bpe(self) -> SubwordsConfig:
        if self.dropout and self.model != "bpe":
            raise ValueError(f"dropout = {self.dropout} drops merges of BPE; model = {self.model!r} has none")
        return self

    def learn(self, texts: Iterable[str | Sequence[str]], known: Processor | None = None) -> Subwords:
        """Learn the pieces. Each item is raw text or a list of words; the same items give the same model.

        More than ``lines`` items are not held: that many are drawn at random, always the same ones. Raises
        ConfigError, with the nearest number that works, for a ``size`` that the text cannot give; and for pieces
        ``known`` already, since a SentencePiece model cannot grow.
        """
        if known is not None:
            raise ConfigError("pieces of words cannot grow, as words and characters can; keep the vocabulary, or learn "
                              "a new one: pieces that both have keep their vectors")
        lines, model = _Lines(sample(texts, self.lines)), io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines), model_writer=model, model_type=self.model, vocab_size=self.size,
                character_coverage=self.character_coverage, byte_fallback=self.byte_fallback,
                normalization_rule_name=self.normalization,
                remove_extra_whitespaces=self.normalization != "identity",
                max_sentence_length=2**30,  # bytes; the default would leave out long lines without a word
                pad_id=PAD, unk_id=UNK, bos_id=BOS, eos_id=EOS,
                pad_piece=SPECIALS[PAD], unk_piece=SPECIALS[UNK], bos_piece=SPECIALS[BOS], eos_piece=SPECIALS[EOS],
                user_defined_symbols=list(self.symbols), minloglevel=2,
            )
        except RuntimeError as error:
            raise lines.stopped_by or self._explain(str(error)) from None
        return Subwords(model.getvalue(), self.dropout, self.symbols)

    def load(self, directory: Path, name: str) -> Subwords:
        """Read ``name``.model; a missing or damaged file is a RunError."""
        path = Path(directory) / f"{name}.model"
        try:
            return Subwords(path.read_bytes(), self.dropout, self.symbols)
        except FileNotFoundError:
            raise RunError(f"{path}: no such file; a SentencePiece model was expected") from None
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{path}: not a SentencePiece model of seq2x: {error}") from None

    def _explain(self, message: str) -> Exception:
        """The trainer's message in our words."""
        if most := re.search(r"Vocabulary size too high .* <= (\d+)", message):
            return ConfigError(f"text: size = {self.size} is more pieces than this text gives; "
                               f"the largest possible size is {most[1]}")
        if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
            return ConfigError(f"text: size = {self.size} is too small for the characters of this text; "
                               f"the smallest possible size is {least[1]}")
        if "sentences_.empty()" in message:
            return DataError("there is no text to learn subwords from")
        return ConfigError(f"text: SentencePiece could not learn from this text: {message}")


class Subwords:
    """A SentencePiece model as a processor. Ids: ``<pad>`` 0, ``<unk>`` 1, ``<s>`` 2, ``</s>`` 3, then pieces.

    With identity normalisation and byte fallback, ``decode(encode(text).ids) == text`` for every text without
    U+2581, which is SentencePiece's own sign for a blank.
    """

    character_size = None
    character_entries = None

    def __init__(self, model: bytes, dropout: float = 0.0, symbols: Sequence[str] = ()) -> None:
        """``model`` is the content of a .model file; RuntimeError or ValueError if it is not one of ours.

        ``symbols`` are those that it was learnt with.
        """
        if not model:
            raise ValueError("the file is empty")
        self.model = model
        self.dropout = dropout
        self._merges: Merges | None = None
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = tuple(getattr(self._processor, f"{name}_id")() for name in ("pad", "unk", "bos", "eos"))
        if ids != (PAD, UNK, BOS, EOS):
            raise ValueError(f"pad, unk, bos and eos have the ids {ids}; expected {(PAD, UNK, BOS, EOS)}")
        self.symbols = {symbol: int(self._processor.piece_to_id(symbol)) for symbol in symbols}
        """The ids of pieces that no output may hold."""
        if unknown := [symbol for symbol, number in self.symbols.items() if number == UNK]:
            raise ValueError(f"it has no piece {unknown[0]!r}, which is one of text.symbols")
        self._tags = re.compile("|".join(map(re.escape, symbols)) or "(?!)")

    @property
    def size(self) -> int:
        """The number of pieces, specials and bytes included."""
        return int(self._processor.get_piece_size())

    @property
    def entries(self) -> tuple[str, ...]:
        """The pieces; the position is the id."""
        return tuple(self._processor.id_to_piece(number) for number in range(self.size))

    def encode(self, text: str, sample: int | None = None) -> Encoding:
        """Encode raw text; with ``sample`` and a dropout, merges are dropped as that seed says."""
        return Encoding([*self._encode([text], sample)[0], EOS])

    def starts(self, text: str) -> list[int]:
        """Return where in ``text`` each token of ``encode(text)`` but the end symbol begins, in characters.

        A blank that a piece begins with is passed over, and bytes all begin where their character does.
        """
        normal, places = self._processor.normalize(_valid(text), with_offsets=True)
        ids, pieces = self._processor.encode(_valid(text)), self._processor.encode(_valid(text), out_type=str)
        found, at, spelt = [], 0, 0
        for number, piece in zip(ids, pieces, strict=True):
            begin = at
            while begin < len(normal) and normal[begin] == _BLANK:
                begin += 1
            found.append(places[min(begin, len(normal))])
            if not self._processor.is_byte(number):
                at += len(piece)
                continue
            spelt += 1
            if spelt == len(normal[at].encode("utf-8")):
                at, spelt = at + 1, 0
        return found

    def encode_words(self, words: Sequence[str], sample: int | None = None) -> Encoding:
        """Encode each word by itself, as it would stand between blanks."""
        ids: list[int] = []
        spans = []
        for pieces in self._encode(words, sample):
            start = len(ids)
            ids.extend(pieces or [UNK])  # a word of nothing but, say, a zero-width blank
            spans.append((start, len(ids)))
        return Encoding([*ids, EOS], spans)

    def decode(self, ids: Sequence[int]) -> str:
        """Join pieces to text; bytes that are no UTF-8 become U+FFFD."""
        return str(self._processor.decode([number for number in ids if number >= len(SPECIALS)]))

    def tag(self, text: str) -> str:
        """Return the symbol that ``text`` begins with, and the blanks around it; or nothing."""
        begin = len(text) - len(text.lstrip())
        found = self._tags.match(text, begin)
        return text[: len(text) - len(text[found.end():].lstrip())] if found else ""

    def save(self, directory: Path, name: str) -> None:
        """Write ``name``.model."""
        (Path(directory) / f"{name}.model").write_bytes(self.model)

    def _encode(self, texts: Sequence[str], sample: int | None) -> list[list[int]]:
        valid = [_valid(text) for text in texts]
        if sample is None or not self.dropout:
            return [self._processor.encode(text) for text in valid]
        if self._merges is None:
            self._merges = self._read_merges()
        return self._merges.encode(map(self._processor.normalize, valid), self.dropout, sample)

    def _read_merges(self) -> Merges:
        ids = {piece: number for number, piece in enumerate(self.entries) if number >= len(SPECIALS)}
        scores = {piece: self._processor.get_score(number) for piece, number in ids.items()
                  if not self._processor.is_byte(number)}
        return Merges(ids, scores, UNK, tuple(self.symbols))


def sample(items: Iterable[T], most: int, seed: int = 0) -> Iterator[T]:
    """Yield all items, or ``most`` of them drawn at random where there are more; no more than those are held.

    Li 1994, "Reservoir-sampling algorithms of time complexity O(n(1+log(N/n)))", algorithm L.
    """
    source, draw = iter(items), random.Random(seed)
    kept = list(islice(source, most))
    weight = 1.0
    while True:
        weight *= math.exp(math.log(1 - draw.random()) / most)
        passed = math.floor(math.log(1 - draw.random()) / math.log1p(-weight)) if weight < 1 else 0
        following = list(islice(source, passed, passed + 1))
        if not following:
            return iter(kept)
        kept[draw.randrange(most)] = following[0]


class _Lines:
    """The lines that the trainer reads. It turns an error of its source into text: here the error itself is kept."""

    def __init__(self, texts: Iterable[str | Sequence[str]]) -> None:
        self.texts = texts
        self.stopped_by: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for item in self.texts:
                line = _valid(item if isinstance(item, str) else " ".join(item)).translate(_RESERVED)
                if not line.isspace():
                    yield line
        except BaseException as error:
            self.stopped_by = error
            raise


def _valid(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot write, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
