"""Words as rows of characters: which are the same, and the vectors of those that were met before. Knows no network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SHORT = 12
"""Characters of a word that counts as short; nine of ten do."""
KEPT = 1 << 15
"""Words whose vectors are kept at most."""
FACTOR = 6364136223846793005  # of the generator of Knuth's MMIX: odd and large
Spell = Callable[[Tensor], Tensor]
"""Words [N, C] -> their vectors [N, D]; those of a word do not depend on its neighbours."""


def distinct(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows of ``words`` [N, C] and the number of each row among them, [N].

    Rows are told apart by a number made of them; ``torch.unique`` compares whole rows, which takes ten times as long.
    """
    factors = torch.full(words.shape[1:], FACTOR, device=words.device).cumprod(0)  # modulo 2 ** 64
    unique, index = torch.unique((words * factors).sum(1), return_inverse=True)
    place = torch.arange(len(words), device=words.device)
    first = torch.full(unique.shape, len(words), device=words.device).scatter_reduce_(0, index, place, "amin")
    chosen = words[first]
    if torch.equal(chosen[index], words):
        return chosen, index
    chosen, index = torch.unique(words, dim=0, return_inverse=True)  # two rows have the same number
    return chosen, index


class Spellings:
    """The vectors of short words that were met before, as long as the parameters they come from stay as they are."""

    def __init__(self) -> None:
        self._version: object = None
        self._numbers: dict[bytes, int] = {}
        self._vectors: NDArray[Any] = np.empty((0, 0), np.float32)

    def look_up(self, words: Tensor, spell: Spell, parameters: Iterable[Tensor]) -> Tensor:
        """Return the vectors of ``words`` [N, C], distinct, C at most SHORT; ``spell`` is asked for those not known."""
        version = [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        if version != self._version or len(self._numbers) + len(words) > KEPT:
            self._version, self._numbers = version, {}
        rows = F.pad(words, (0, SHORT - words.shape[1])).to(torch.int32).numpy()
        keys = np.ascontiguousarray(rows).view(np.dtype((np.void, 4 * SHORT)))[:, 0].tolist()
        new = [place for place, key in enumerate(keys) if key not in self._numbers]
        if new:
            self._add([keys[place] for place in new], spell(words[new]).numpy())
        return torch.from_numpy(self._vectors[[self._numbers[key] for key in keys]])

    def _add(self, keys: list[bytes], vectors: NDArray[Any]) -> None:
        first, room = len(self._numbers), len(self._vectors)
        if not first or first + len(keys) > room:
            grown = np.empty((max(2 * room, first + len(keys)), vectors.shape[1]), vectors.dtype)
            grown[:first] = self._vectors[:first] if first else 0
            self._vectors = grown
        self._vectors[first : first + len(keys)] = vectors
        self._numbers.update(zip(keys, range(first, first + len(keys)), strict=True))
