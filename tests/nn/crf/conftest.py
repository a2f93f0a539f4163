"""Every test of the CRF runs twice: in torch, and with the compiled recursions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seq2x.nn.crf import use_kernels


@pytest.fixture(params=["torch", "fast"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    before = use_kernels(request.param == "fast")
    yield request.param
    use_kernels(before)
