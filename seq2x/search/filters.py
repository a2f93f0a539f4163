"""Filters on the log-probabilities of a step, whatever search they are for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2x.search.base import Filter


def no_repeat(size: int, after: Sequence[int] = ()) -> Filter:
    """Forbid every token that would make ``size`` tokens in a row come a second time (Paulus et al. 2018).

    None of the first ``after[b]`` tokens of sentence b is forbidden, if given; the last entry is that of all sentences
    from there on. The end symbol never is.
    """
    if size < 1:
        raise ValueError(f"a repetition has 1 token or more; found {size}")

    def forbid(log_probs: Tensor, tokens: Tensor, sentences: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length < size:
            return log_probs
        runs = tokens.unfold(1, size, 1)  # [N, t - size + 1, size]
        again = (runs[..., :-1] == tokens[:, None, length - size + 1 :]).all(-1)
        if after:
            first = torch.tensor(after, device=tokens.device)
            again &= (length >= first[sentences.clamp(max=len(after) - 1)])[:, None]
        row, run = again.nonzero(as_tuple=True)
        if not len(row):
            return log_probs
        log_probs = log_probs.clone()
        log_probs[row, runs[row, run, -1]] = -torch.inf
        return log_probs

    return forbid


def forced(beginnings: Sequence[Sequence[int]]) -> Filter:
    """Let the output of sentence b begin with the tokens ``beginnings[b]``; of sentences beyond, anything may."""
    longest = max(map(len, beginnings), default=0)
    table = torch.tensor([[*tokens, *[-1] * (longest - len(tokens))] for tokens in [*beginnings, []]])

    def force(log_probs: Tensor, tokens: Tensor, sentences: Tensor) -> Tensor:
        place = tokens.shape[1]
        if place >= longest:
            return log_probs
        wanted = table.to(tokens.device)[sentences.clamp(max=len(beginnings)), place][:, None]
        only = torch.full_like(log_probs, -torch.inf)
        only.scatter_(1, wanted.clamp(min=0), log_probs.gather(1, wanted.clamp(min=0)))
        return torch.where(wanted >= 0, only, log_probs)

    return force
