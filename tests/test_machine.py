"""What a log and a model card say of the machine."""

from __future__ import annotations

import platform

import pytest
import torch

from seq2x import machine
from seq2x.machine import chosen_precision, device_line, has_bfloat16, surroundings


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


@pytest.mark.parametrize(("bf16", "amx"), [(False, False), (True, False), (False, True)])
def test_bfloat16_wants_instructions_of_its_own(monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert has_bfloat16() == (bf16 or amx)
    assert chosen_precision("auto", "cpu") == ("bf16" if bf16 or amx else "fp32")
    assert [chosen_precision(name, "cpu") for name in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_a_torch_that_cannot_say_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not has_bfloat16()


@pytest.mark.parametrize("there", [False, True])
def test_other_processors_are_asked_by_onednn(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: there)
    assert has_bfloat16() == (there and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def test_a_precision_that_is_slow_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_bfloat16", lambda device: device != "cpu")
    assert device_line("cpu", "bf16").endswith("bf16 (slow here: it has no bfloat16 instructions; 'auto' takes fp32 on "
                                               "such a machine)")
    assert device_line("cpu", "auto").endswith("thread, fp32")
    assert "fp32 (float32 throughout)" in surroundings("cpu", "auto")["computed on"]
