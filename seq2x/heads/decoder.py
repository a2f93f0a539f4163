"""The contract of a decoder: embedded tokens in, the vectors that tokens are predicted from out. Knows no decoder.

Training and search call the same :meth:`Decoder.advance`; nothing is kept on the module between calls.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

from torch import Tensor, nn

from seq2x.batch import Encoded, Rows

M = TypeVar("M", bound=Rows)
S = TypeVar("S", bound=Rows)


class Decoder(nn.Module, Generic[M, S]):
    """Base of every decoder, with a memory M of B sentences and a state S of N hypotheses.

    N = B K: the rows of a state are those of B sentences, K each, in order. The memory is never copied for them.
    """

    width: int = 0
    """Of the vectors; 0 = that of the target embeddings."""
    most: int | None = None
    """Tokens that it can read, the begin symbol among them, where there is an end to them."""

    @abstractmethod
    def begin(self, encoded: Encoded, states: Tensor) -> tuple[M, S]:
        """Return memory and first state, one row a sentence; ``states`` [B, T, D] is the layer attended to."""

    @abstractmethod
    def advance(self, memory: M, state: S, embedded: Tensor) -> tuple[Tensor, Tensor, S]:
        """``embedded`` [N, S, E] -> (vectors [N, S, O], attention [N, S, T], the state after S steps).

        S >= 1: the tokens of a whole target (teacher forcing), or the last one of each hypothesis (a search step).
        """
