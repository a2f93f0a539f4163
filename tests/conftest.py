"""For every test: one torch thread (small products are faster so, floats steadier), the same examples each time."""

from __future__ import annotations

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("seq2x", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("seq2x")
