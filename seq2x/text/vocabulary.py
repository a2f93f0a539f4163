"""Strings and their numbers, kept in a text file whose line number is the id.

Knows no task: words, characters, labels and tags are all entries. A vocabulary of text opens with the four
specials; one of labels or tags has none, and there an unknown entry is an error instead of ``<unk>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from seq2x.errors import ConfigError, DataError, RunError, nearest

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")


class Vocabulary:
    """An immutable list of distinct entries; the id of an entry is its position.

    Raises DataError for an entry that stands twice, is empty, holds a line feed or cannot be written as UTF-8:
    none of them would come back from the file as it went.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(entries)
        self.has_specials = self.entries[: len(SPECIALS)] == SPECIALS
        ids: dict[str, int] = {}
        for number, entry in enumerate(self.entries):
            if not storable(entry):
                raise DataError(f"line {number + 1} of a vocabulary would be {entry!r}; an entry is one or more "
                                "characters of valid Unicode, without a line feed")
            if entry in ids:
                raise DataError(f"{entry!r} stands twice in a vocabulary, on lines {ids[entry] + 1} and {number + 1}")
            ids[entry] = number
        if self.has_specials:  # a text that spells "<pad>" means no padding: it holds an unknown word
            for special in SPECIALS:
                del ids[special]
        self._ids = ids

    @classmethod
    def build(
        cls, counts: Mapping[str, int], *, size: int | None = None, min_count: int = 1,
        specials: Iterable[str] = SPECIALS,
    ) -> Vocabulary:
        """Take the specials, then the entries by falling count, equals in the order of their strings.

        ``size`` counts the specials; entries rarer than ``min_count`` are left out. Given the entries of an older
        vocabulary as ``specials``, the new one begins with them: it is the older one, grown. ConfigError where
        ``size`` has no room for them.
        """
        specials = tuple(specials)
        if size is not None and size < len(specials):
            raise ConfigError(f"size = {size} has no room for the {len(specials)} entries that the vocabulary keeps")
        known = set(specials)
        kept = (entry for entry, count in counts.items() if count >= min_count and entry not in known)
        ordered = sorted(kept, key=lambda entry: (-counts[entry], entry))
        return cls([*specials, *ordered][:size])

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what :meth:`save` wrote. A missing file is a RunError, a damaged one a DataError naming the line."""
        path = Path(path)
        try:
            lines = path.read_bytes().removesuffix(b"\n").split(b"\n")  # "\n" only: an entry may be "\r" or U+2028
        except FileNotFoundError:
            raise RunError(f"{path}: no such file; a vocabulary was expected, one entry a line") from None
        first: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            try:
                entry = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"not valid UTF-8 at byte {error.start + 1} of the line", path, number) from None
            if not entry:
                raise DataError("an empty line; one entry a line was expected", path, number)
            if entry in first:
                raise DataError(f"{entry!r} stands here and on line {first[entry]}; expected once", path, number)
            first[entry] = number
        return cls(first)

    def save(self, path: str | Path) -> None:
        """Write one entry a line, in UTF-8, lines ended by a line feed on every system."""
        Path(path).write_bytes("".join(f"{entry}\n" for entry in self.entries).encode("utf-8"))

    def id(self, entry: str) -> int:
        """Return the id; an unknown entry, or one spelt like a special, is UNK in a vocabulary that has specials.

        In one that has none, an unknown entry raises as :meth:`require` does.
        """
        return self._ids.get(entry, UNK) if self.has_specials else self.require(entry)

    def require(self, entry: str) -> int:
        """Return the id, or raise DataError with the nearest entry."""
        number = self._ids.get(entry)
        if number is None:
            raise DataError(f"{entry!r} is not in the vocabulary{nearest(entry, self._ids)}")
        return number

    def entry(self, number: int) -> str:
        """Return the entry of an id, specials included; IndexError for an id that is none."""
        if number < 0:
            raise IndexError(f"{number} is no id")
        return self.entries[number]

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, entry: object) -> bool:
        return entry in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} entries)"


def storable(entry: str) -> bool:
    """Whether ``entry`` can be a line of a vocabulary: not empty, no line feed, no lone surrogate."""
    return bool(entry) and "\n" not in entry and not any("\ud800" <= character <= "\udfff" for character in entry)
