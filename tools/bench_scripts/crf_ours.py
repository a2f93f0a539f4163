"""Our CRF, every transition legal, as the peer's is. Argument: fast (compiled recursions) or torch (without)."""

from __future__ import annotations

import sys

import torch
from _crf import Sides, Work, measure
from torch import Tensor

from seq2x.nn.crf import CRF, Legal, fast, use_kernels


def make(work: Work) -> Sides:
    tags = work.emissions.shape[2]
    crf = CRF(Legal(torch.ones(tags, tags, dtype=torch.bool), *torch.ones(2, tags, dtype=torch.bool)))
    with torch.no_grad():
        for parameter, values in zip((crf.transitions, crf.start, crf.end), work.chain, strict=True):
            parameter.copy_(values)

    def viterbi() -> Tensor:
        with torch.no_grad():
            return crf.viterbi(work.emissions, work.mask)

    return Sides(lambda: -crf.log_likelihood(work.emissions, work.tags, work.mask).sum(), viterbi,
                 list(crf.parameters()))


if __name__ == "__main__":
    use_kernels(sys.argv[1] == "fast")
    if (fast.kernels(torch.zeros(1)) is not None) != (sys.argv[1] == "fast"):
        sys.exit("numba, of the extra `fast`, cannot be loaded")
    measure(make)
