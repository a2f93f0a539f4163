"""The best path through a chain, and the k best. Knows nothing of probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seq2x.nn.crf import fast
from seq2x.nn.crf.chains import Scores, refuse, with_steps, with_stop
from seq2x.nn.crf.fast import kernels


class Best(NamedTuple):
    """The k best paths of each row, best first; of equal ones, that whose last tag that differs comes first."""

    tags: Tensor
    """[B, k, T] long, 0 at padding."""
    log_probs: Tensor
    """[B, k]: log p of each given the words; -inf where a row has no more paths (its tags are then without meaning)."""


@torch.no_grad()
def best_path(emissions: Tensor, mask: Tensor, scores: Scores) -> Tensor:
    """Return the best tags, [B, T] long, 0 at padding (Viterbi 1967); ImpossibleError names a row without any path."""
    module = kernels(emissions)
    if module is not None:
        tags_found, found = fast.best_path(module, emissions, mask, scores)
        refuse(found, emissions, mask)
        return tags_found
    steps = with_steps(emissions, mask).transpose(1, 2).contiguous()  # [L, Q, B]: an outer maximum is quick
    start, moves = with_stop(scores)
    best, reached = torch.empty_like(steps), steps.new_empty(len(start), *steps.shape[1:])
    best[0] = steps[0] + start[:, None]
    from_to = moves[..., None].expand_as(reached).contiguous()
    for before, step, now in zip(best[:-1, :, None].unbind(), steps[1:].unbind(), best[1:].unbind(), strict=True):
        torch.add(before, from_to, out=reached)
        torch.amax(reached, 0, out=now)
        now.add_(step)
    refuse(best[-1, -1], emissions, mask)
    trace = _trace_on_processor if best.device.type == "cpu" else _trace
    return trace(best.transpose(1, 2).contiguous(), moves.t().contiguous()).masked_fill(~mask, 0)


def _trace(best: Tensor, into: Tensor) -> Tensor:
    """Return the tags [B, T] of the paths that made the best scores, ``best`` [L, B, Q]; ``into`` [Q, Q], row: to.

    The arg-max is looked for along the best path only. Every row ends with "stop".
    """
    tag = torch.full(best.shape[1:2], len(into) - 1, device=best.device)
    path = []
    for scored in best[:-1].flip(0).unbind():
        tag = (scored + into[tag]).argmax(1)
        path.append(tag)
    return torch.stack(path[::-1], 1)


def _trace_on_processor(best: Tensor, into: Tensor) -> Tensor:
    """Do the same in numpy, whose calls cost a fifth."""
    scored, moves = best.numpy(), into.numpy()
    path = np.empty((len(best), best.shape[1]), np.int64)
    path[-1] = len(moves) - 1
    for word in range(len(best) - 2, -1, -1):
        reached = moves.take(path[word + 1], 0)
        reached += scored[word]
        reached.argmax(1, out=path[word])
    return torch.from_numpy(path[:-1]).t()


@torch.no_grad()
def best_paths(emissions: Tensor, mask: Tensor, scores: Scores, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` best tags [B, k, T], and their scores [B, k], -inf where there are no more."""
    module = kernels(emissions)
    if module is not None:
        paths, found = fast.best_paths(module, emissions, mask, scores, count)
        refuse(found[:, 0], emissions, mask)
        return paths, found
    steps = with_steps(emissions, mask)
    start, moves = with_stop(scores)
    into = moves.t().contiguous()
    _, rows, tags = steps.shape
    best = steps.new_full((rows, tags, count), -torch.inf)  # of each tag, the best first
    best[..., 0] = start + steps[0]
    origins = []  # [B, Q, k]: which of the Q * k before
    for step in steps[1:].unbind():
        reached = (best[:, None] + into[..., None]).flatten(2)  # [B, Q, Q * k]
        ordered, origin = reached.sort(dim=2, descending=True, stable=True)
        best = ordered[..., :count] + step[..., None]
        origins.append(origin[..., :count])
    found = best[:, -1]  # [B, k]: every row ends with "stop"
    refuse(found[:, 0], emissions, mask)
    place = torch.arange((tags - 1) * count, tags * count, device=mask.device).expand(rows, -1)
    path = []
    for origin in origins[::-1]:
        place = origin.flatten(1).gather(1, place)
        path.append(place // count)
    found_paths = torch.stack(path[::-1], 2)
    return found_paths.masked_fill(~mask[:, None] | torch.isneginf(found)[..., None], 0), found
