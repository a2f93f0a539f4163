"""A linear-chain conditional random field, exact in everything: likelihood, Viterbi, k-best, marginals, samples.

Knows no task. The score of tags y for emissions P is
``s(y) = start[y_1] + sum_i P[i, y_i] + sum_i A[y_i, y_i+1] + end[y_n]`` and ``log p(y) = s(y) - log Z``
(Lafferty et al. 2001; over a BiLSTM: Huang et al. 2015; Lample et al. 2016, section 2.2). Which tag may follow which
is told as bool matrices; what is not legal scores -inf, in training as in decoding.

    modules      CRF and Rules: the interface
    likelihood   log p and its gradient, for autograd
    posterior    marginals of tags and of segments, samples
    decoding     the best path, and the k best
    chains       forward and backward recursion, in torch
    fast         the same and Viterbi as machine code, where the extra `fast` is installed: kernels
"""

from __future__ import annotations

from seq2x.nn.crf.chains import ImpossibleError, Scores, wide
from seq2x.nn.crf.decoding import Best
from seq2x.nn.crf.fast import rows_alone, use_kernels
from seq2x.nn.crf.likelihood import Counts
from seq2x.nn.crf.modules import CRF, Legal, Rules
from seq2x.nn.crf.posterior import Posterior, Segments

__all__ = [
    "CRF", "Best", "Counts", "ImpossibleError", "Legal", "Posterior", "Rules", "Scores", "Segments", "rows_alone",
    "use_kernels", "wide",
]
