"""The tokenizer of a pretrained Hugging Face model as a processor (extra ``pretrained``).

Knows no model and no task. Only :meth:`PretrainedTextConfig.learn` needs ``transformers``, which reads every form of
tokenizer and fetches from the hub; a run keeps it as one file, for which the library ``tokenizers`` is enough.

The model's ids are numbered anew, its special tokens first, so that padding is 0 and the end symbol 3 as everywhere.
The opening token ([CLS], <s>) stands in no encoding: the encoder puts it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from seq2x.config import Config
from seq2x.errors import ConfigError, RunError
from seq2x.text.processor import Encoding, Processor
from seq2x.text.vocabulary import EOS, SPECIALS, UNK

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "pretrained"
"""Of a run directory: the tokenizer's files and those of its encoder."""
TOKENIZER, TOKENS = "tokenizer.json", "tokenizer_config.json"
SPECIAL = ("pad", "unk", "eos", "sep")


class PretrainedTextConfig(Config):
    """The pieces that a pretrained encoder has learnt; nothing is learnt from the data."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(min_length=1, description="as encoder.model, which it is filled in from")

    def learn(
        self, texts: Iterable[str | Sequence[str]], known: Processor | None = None  # noqa: ARG002 - the contract
    ) -> Pretrained:
        """Read the tokenizer of ``model``; ConfigError where there is none of use, or it should grow from ``known``."""
        if known is not None:
            raise ConfigError("the pieces of a pretrained model cannot grow, as words and characters can; keep the "
                              "vocabulary")
        try:
            from transformers import AutoTokenizer
        except ImportError:
            raise _missing() from None
        try:
            found = AutoTokenizer.from_pretrained(self.model)
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ConfigError(f"text.model: found {self.model!r}; expected the folder of a model with its tokenizer, "
                              f"or a name on the hub: {reason}") from None
        if not found.is_fast:
            raise ConfigError(f"text.model: {self.model!r} has no fast tokenizer, hence no {TOKENIZER}, "
                              "which a run directory keeps")
        names = {name: getattr(found, f"{name}_token") for name in SPECIAL}
        try:
            return Pretrained(found.backend_tokenizer.to_str(), {name: str(token) for name, token in names.items()
                                                                 if token is not None})
        except ValueError as error:
            raise ConfigError(f"text.model: the tokenizer of {self.model!r} {error}") from None

    def load(self, directory: Path, name: str) -> Pretrained:  # noqa: ARG002 - there is one, of the source
        """Read the files in the folder ``pretrained``; RunError where one is missing or damaged."""
        folder = Path(directory) / FOLDER
        try:
            tokens = json.loads((folder / TOKENS).read_text(encoding="utf-8"))
            names = {name: tokens[f"{name}_token"] for name in SPECIAL if f"{name}_token" in tokens}
            return Pretrained((folder / TOKENIZER).read_text(encoding="utf-8"), names)
        except FileNotFoundError as error:
            raise RunError(f"{error.filename}: no such file; a pretrained model's tokenizer was expected") from None
        except ImportError:
            raise _missing() from None
        except Exception as error:  # tokenizers has no class of its own for what it cannot read
            raise RunError(f"{folder}: not a tokenizer of seq2x: {error}") from None


class Pretrained:
    """A model's own fast tokenizer. Ids: padding 0, unknown 1, opening 2, end 3, then the other pieces in their order.

    Text that spells a special token, such as ``[SEP]``, is text.
    """

    character_size = None
    character_entries = None

    def __init__(self, tokenizer: str, tokens: Mapping[str, str]) -> None:
        """``tokenizer``: the content of tokenizer.json; ``tokens``: pad, unk, eos, sep, those that there are.

        ValueError, as the end of a sentence, where it does not open and close a sentence with one token at most.
        """
        self._tokenizer = _read(tokenizer)
        opening, closing = _frame(self._tokenizer)
        if len(opening) > 1 or len(closing) > 1:
            raise ValueError(f"puts {len(opening)} special tokens before a sentence and {len(closing)} behind it; "
                             "expected one at most")
        known = {name: self._tokenizer.token_to_id(token) for name, token in tokens.items()}
        ids = {name: number for name, number in known.items() if number is not None}
        end = closing[0] if closing else ids.get("eos", ids.get("sep"))
        if end is None:
            raise ValueError("has no token for the end of a sentence")
        self.opens = bool(opening)
        """Whether the model reads an opening token before a sentence."""
        specials = (ids.get("pad", end), ids.get("unk", end), *(opening or [end]), end)
        rest = sorted(set(self._tokenizer.get_vocab(with_added_tokens=True).values()) - set(specials))
        self.order = (*specials, *rest)
        """The model's id of each id."""
        self._ids = {number: place for place, number in enumerate(self.order) if place >= len(SPECIALS)}
        self._tokens = dict(tokens)

    @property
    def size(self) -> int:
        """The number of pieces, specials included."""
        return len(self.order)

    @property
    def entries(self) -> tuple[str, ...]:
        """The pieces; the position is the id."""
        return (*SPECIALS, *(str(self._tokenizer.id_to_token(number)) for number in self.order[len(SPECIALS) :]))

    def encode(self, text: str, sample: int | None = None) -> Encoding:  # noqa: ARG002 - the contract
        """Encode raw text."""
        found = self._tokenizer.encode(_valid(text), add_special_tokens=False)
        return Encoding([*(self._ids.get(number, UNK) for number in found.ids), EOS])

    def starts(self, text: str) -> list[int]:
        """Return where in ``text`` each token of ``encode(text)`` but the end symbol begins, in characters."""
        return [start for start, _ in self._tokenizer.encode(_valid(text), add_special_tokens=False).offsets]

    def encode_words(self, words: Sequence[str], sample: int | None = None) -> Encoding:  # noqa: ARG002 - the contract
        """Encode a sentence given as words; each as it would stand behind a blank."""
        found = self._tokenizer.encode([_valid(word) for word in words], is_pretokenized=True, add_special_tokens=False)
        pieces: list[list[int]] = [[] for _ in words]
        for number, word in zip(found.ids, found.word_ids, strict=True):
            assert word is not None  # only special tokens belong to no word
            pieces[word].append(self._ids.get(number, UNK))
        ids: list[int] = []
        spans = []
        for own in pieces:
            start = len(ids)
            ids.extend(own or [UNK])  # a word of nothing but, say, a zero-width blank
            spans.append((start, len(ids)))
        return Encoding([*ids, EOS], spans)

    def decode(self, ids: Sequence[int]) -> str:
        """Join pieces to text, as the tokenizer does; what it has normalised away is lost."""
        return str(self._tokenizer.decode([self.order[number] for number in ids if number >= len(SPECIALS)]))

    def save(self, directory: Path, name: str) -> None:  # noqa: ARG002 - there is one, of the source
        """Write the folder ``pretrained``, in the form that ``transformers`` reads too."""
        folder = Path(directory) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        named = {f"{name}_token": token for name, token in self._tokens.items()}
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
        (folder / TOKENS).write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        (folder / TOKENIZER).write_text(self._tokenizer.to_str(), encoding="utf-8")


def _read(content: str) -> Tokenizer:
    """Make the tokenizer: no truncation, no padding, and words given one by one begin like words behind a blank."""
    from tokenizers import Tokenizer

    data = json.loads(content)
    data["truncation"] = data["padding"] = None
    _begin_words(data.get("pre_tokenizer"))
    made = Tokenizer.from_str(json.dumps(data))
    made.encode_special_tokens = True
    return made


def _begin_words(part: Any) -> None:
    """Set what byte-level and SentencePiece pre-tokenizers put before a word, however nested."""
    if isinstance(part, list):
        for item in part:
            _begin_words(item)
    elif isinstance(part, dict):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
        if part.get("type") == "Metaspace":
            part["prepend_scheme"] = "always"
        _begin_words(part.get("pretokenizers"))


def _frame(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that the model reads before a sentence, and those behind it."""
    bare, whole = (tokenizer.encode("a", add_special_tokens=framed).ids for framed in (False, True))
    start = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _valid(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot write, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _missing() -> ConfigError:
    return ConfigError("a pretrained encoder needs the library transformers: pip install 'seq2x[pretrained]'")
