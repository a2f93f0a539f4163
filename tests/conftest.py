"""For every test: one torch thread (small products are faster so, floats steadier), the same examples each time."""

from __future__ import annotations

import signal

import torch
from hypothesis import settings

torch.set_num_threads(1)
# What a shell starts in the background ignores Ctrl-C, and so does all that it starts: those tests would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("seq2x", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("seq2x")
