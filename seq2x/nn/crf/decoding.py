"""The best path through a chain, and the k best. Knows nothing of probabilities."""

from __future__ import annotations

from typing import NamedTuple

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
    steps = with_steps(emissions, mask)
    start, moves = with_stop(scores)
    into = moves.t().contiguous()  # [Q, Q], row: the tag that is entered
    best = [start + steps[0]]  # best[t][:, k]: the best score of steps 0 to t where t has tag k
    for step in steps[1:].unbind():
        best.append((best[-1][:, None] + into).amax(2) + step)
    refuse(best[-1][:, -1], emissions, mask)
    tag = torch.full(best[0].shape[:1], len(start) - 1, device=mask.device)  # every row ends with "stop"
    path = []
    for scored in best[-2::-1]:  # the arg-max is looked for along the best path only
        tag = (scored + into[tag]).argmax(1)
        path.append(tag)
    return torch.stack(path[::-1], 1).masked_fill(~mask, 0)


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
