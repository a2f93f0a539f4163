"""seq2x tag loads compiled code only where there is enough to tag: it costs more than a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2x.cli.tag import is_long


@pytest.mark.parametrize(("size", "long"), [(0, False), (1_000_000, False), (1_000_001, True)])
def test_long_is_what_has_many_characters(tmp_path: Path, size: int, long: bool) -> None:
    path = tmp_path / "raw.txt"
    path.write_bytes(b"a" * size)
    assert is_long(str(path)) == long


def test_what_is_not_there_is_not_long(tmp_path: Path) -> None:
    assert not is_long(str(tmp_path / "missing.txt"))
