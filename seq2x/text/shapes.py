"""The shape of a word: what a reader sees of it at a glance, however rare it is. Knows no vocabulary and no task."""

from __future__ import annotations

from functools import lru_cache

SHAPES = ("<pad>", "end", "lower", "capitalised", "initial", "capitals", "mixed", "caseless", "number", "alphanumeric",
          "punctuation")
"""By their numbers; ``end`` is that of the end symbol."""
END = SHAPES.index("end")


@lru_cache(maxsize=1 << 16)
def shape(word: str) -> int:
    """Return the number of the shape of ``word`` (after the case features of Collobert et al. 2011, section 4.1.1).

    lower: kite, well-known; capitalised: Oslo, Jean-Paul; initial: one letter, A, J.; capitals: NATO; mixed: iPhone;
    caseless: of a script without cases; number: digits without letters, 1,000; alphanumeric: both, B-52; punctuation:
    neither, and what has no character at all.
    """
    return SHAPES.index(_name(word))


def _name(word: str) -> str:
    letters = "".join(filter(str.isalpha, word))
    if any(map(str.isdigit, word)):
        return "alphanumeric" if letters else "number"
    if not letters:
        return "punctuation"
    if letters.islower():
        return "lower"
    if letters.isupper():
        return "capitals" if len(letters) > 1 else "initial"
    if word.istitle() or (letters[0].isupper() and letters[1:].islower()):
        return "capitalised"
    return "mixed" if letters.lower() != letters.upper() else "caseless"
