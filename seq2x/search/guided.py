"""Outputs that must fulfil something: which continuations may live, and how slots are shared among them.

Dynamic beam allocation (Post & Vilar 2018): beside the best continuations of all hypotheses, the best one of each and
those that bring it nearer to what it needs are considered, and the slots are shared among those that need equally much.
A continuation is let live only if what it needs still fits below the length limit, and to end only if it needs nothing:
so every output fulfils its demands, and there is one wherever the tokens that lead to it are allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

FIRST = 64
"""Continuations that are looked at first; the others only if these are not enough."""


class Guide(Protocol):
    """What the outputs of some sentences must fulfil; it may know strings, which the search does not."""

    def guides(self, sentence: int) -> bool:
        """Whether it wants anything of the outputs of this sentence."""

    def need(self, sentence: int, tokens: tuple[int, ...], ended: bool) -> int | None:
        """How many tokens must follow at least before the output may end; None = it must not be at all.

        ``ended``: the end symbol follows; then it is 0 or None.
        """

    def towards(self, sentence: int, tokens: tuple[int, ...]) -> Collection[int]:
        """The tokens that lessen the need."""


def choose(
    guide: Guide, sentence: int, total: Tensor, before: Sequence[tuple[int, ...]], eos: int, free: int, left: int
) -> list[tuple[float, int]]:
    """Return at most ``free`` continuations (score, parent * V + token), best first.

    ``total`` [K, V] are the scores of all continuations, ``before`` the tokens of the K hypotheses; ``left`` tokens
    may follow the one that is chosen, the end symbol among them.
    """
    vocabulary, flat = total.shape[1], total.view(-1)
    needs: dict[int, int] = {}

    def allowed(place: int) -> bool:
        parent, token = divmod(place, vocabulary)
        ended = token == eos
        tokens = before[parent] if ended else (*before[parent], token)
        need = guide.need(sentence, tokens, ended)
        if need is None or (not ended and need + 1 > left):
            return False
        if left == 1 and not ended and guide.need(sentence, tokens, True) is None:
            return False  # nothing but the end could follow, and it could not
        needs[place] = need
        return True

    found: dict[int, float] = {}
    for place, score in _ranked(flat):
        if len(found) == free:
            break
        if allowed(place):
            found[place] = score
    for parent, tokens in enumerate(before):
        if total[parent].max() == -torch.inf or not guide.need(sentence, tokens, False):
            continue  # a slot without a live hypothesis, or one that needs nothing
        nearer = [(parent * vocabulary + token, float(total[parent, token]))
                  for token in guide.towards(sentence, tokens)]
        best = next(((parent * vocabulary + place, score) for place, score in _ranked(total[parent])
                     if allowed(parent * vocabulary + place)), None)
        found.update({place: score for place, score in [*nearer, *([best] if best else [])]
                      if score > -torch.inf and allowed(place)})
    return _shared(found, needs, free)


def _shared(found: dict[int, float], needs: dict[int, int], free: int) -> list[tuple[float, int]]:
    """Share the slots among the continuations that need equally much, then give what is left to the best."""
    ranked = sorted(found, key=lambda place: (-found[place], place))
    banks = sorted({needs[place] for place in ranked})
    chosen: list[int] = []
    for number, need in enumerate(banks):
        size = free // len(banks) + (number < free % len(banks))
        chosen += [place for place in ranked if needs[place] == need][:size]
    rest = [place for place in ranked if place not in chosen]
    chosen += rest[: free - len(chosen)]
    return sorted(((found[place], place) for place in chosen), key=lambda pair: (-pair[0], pair[1]))


def _ranked(scores: Tensor) -> Iterator[tuple[int, float]]:
    """Yield (place, score) best first, all that are possible; the first few are found without sorting the rest."""
    seen: set[int] = set()
    for count in (min(FIRST, len(scores)), len(scores)):
        best, places = scores.topk(count)
        for place, score in zip(places.tolist(), best.tolist(), strict=True):
            if score == -torch.inf:
                return
            if place not in seen:
                seen.add(place)
                yield place, score
