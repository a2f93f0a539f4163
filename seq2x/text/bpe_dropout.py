"""BPE-dropout: the merges of a SentencePiece BPE model with some of them left out at random. Knows no file.

SentencePiece can sample too, but salts its generator in every process: the same seed gives other pieces after a
restart, and a run could not be resumed exactly. Here the seed decides alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# A piece may begin with blanks but never holds one behind a letter, so no merge reaches over the end of a word.
_WORD = re.compile("\u2581*[^\u2581]+|\u2581+")


class Merges:
    """The pieces of a BPE model: ``ids`` of all of them, ``scores`` of those that merge two others (best first).

    ``symbols`` are pieces that stay whole wherever they stand, and have no part in any other.
    """

    def __init__(self, ids: Mapping[str, int], scores: Mapping[str, float], unknown: int,
                 symbols: Sequence[str] = ()) -> None:
        self._ids, self._scores, self._unknown = ids, scores, unknown
        longest_first = sorted(symbols, key=len, reverse=True)  # as SentencePiece matches them
        self._symbols = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if symbols else None

    def encode(self, texts: Iterable[str], dropout: float, seed: int) -> list[list[int]]:
        """Encode normalised ``texts``; each possible merge of each step is left out with probability ``dropout``.

        Provilkov et al. 2020, algorithm 1. With dropout 0 it is SentencePiece's own segmentation.
        """
        draw = random.Random(seed).random
        return [[number for word in self._words(text) for number in self._merge(word, dropout, draw)]
                for text in texts]

    def _words(self, text: str) -> Iterator[str]:
        for place, part in enumerate(self._symbols.split(text) if self._symbols else [text]):
            if place % 2:
                yield part
            else:
                yield from _WORD.findall(part)

    def _merge(self, word: str, dropout: float, draw: Callable[[], float]) -> list[int]:
        symbols = [word] if self._symbols and self._symbols.fullmatch(word) else list(word)
        while True:
            best, at = 0.0, -1
            for index in range(len(symbols) - 1):
                score = self._scores.get(symbols[index] + symbols[index + 1])
                # only a merge that would be the best so far needs its draw: the others cannot be chosen anyway
                if score is not None and (at < 0 or score > best) and draw() >= dropout:
                    best, at = score, index
            if at < 0:
                return [number for symbol in symbols for number in self._numbers(symbol)]
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]

    def _numbers(self, symbol: str) -> list[int]:
        """The id of a piece; of an unknown character the ids of its bytes, where there are any."""
        number = self._ids.get(symbol)
        if number is not None:
            return [number]
        spelt = [f"<0x{byte:02X}>" for byte in symbol.encode("utf-8")]
        return [self._ids[byte] for byte in spelt] if spelt[0] in self._ids else [self._unknown]
