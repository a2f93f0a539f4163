"""Searches over any step function: they know no model and no string, only rows, log-probabilities and lengths."""

from __future__ import annotations

from seq2x.search.base import STRONGEST, Filter, Hypothesis, LengthNorm, Normaliser, Ranking, Step, coverage_penalty
from seq2x.search.beam import beam_search
from seq2x.search.filters import forced, no_repeat
from seq2x.search.guided import Guide
from seq2x.search.sampling import Sampling, sample

__all__ = [
    "STRONGEST", "Filter", "Guide", "Hypothesis", "LengthNorm", "Normaliser", "Ranking", "Sampling", "Step",
    "beam_search", "coverage_penalty", "forced", "no_repeat", "sample",
]
