"""What a log and a model card say of the machine."""

from __future__ import annotations

import platform

import pytest

from seq2x import machine
from seq2x.machine import device_line, surroundings


def test_the_processor_has_a_name() -> None:
    assert machine.processor()
    assert device_line("cpu", "fp32") == f"cpu ({machine.processor()}), 1 thread, fp32"


def test_a_system_without_proc_is_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", refuse)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert machine.processor() == "arm64"


def test_the_surroundings_are_those_of_this_process() -> None:
    found = surroundings("cpu", "bf16", processes=2)
    assert found["computed on"].startswith(f"cpu ({machine.processor()}), 1 thread, 2 processes, bf16 (matrix products")
    assert found["system"].endswith(f"Python {platform.python_version()}")
