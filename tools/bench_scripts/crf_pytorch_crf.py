"""The CRF of pytorch-crf."""

from __future__ import annotations

import torch
from _crf import Sides, Work, measure
from torch import Tensor
from torchcrf import CRF


def make(work: Work) -> Sides:
    crf = CRF(work.emissions.shape[2], batch_first=True)
    with torch.no_grad():
        for parameter, values in zip((crf.transitions, crf.start_transitions, crf.end_transitions), work.chain,
                                     strict=True):
            parameter.copy_(values)

    def viterbi() -> Tensor:
        with torch.no_grad():
            best = crf.decode(work.emissions, work.mask)
        return torch.tensor([sum(tags) for tags in best])  # next to nothing beside the rest

    return Sides(lambda: -crf(work.emissions, work.tags, work.mask, reduction="sum"), viterbi,
                 list(crf.parameters()))


if __name__ == "__main__":
    measure(make)
