"""Training and prediction on a CUDA device: only where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_runs
import torch
from contracts.pieces import HEADS, batch, build, examples
from safetensors.torch import load_file

from seq2x import Translator
from seq2x.run import train
from seq2x.settings import RunConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("head", HEADS)
def test_losses_and_gradients_are_those_of_the_processor(head: str) -> None:
    kind = head.partition(" ")[0]
    found = {}
    for device in ("cpu", "cuda"):
        model = build("recurrent", head).to(device).eval()
        loss = model(kind, batch(kind, examples(kind, 5)).to(device))
        loss.total.backward()
        found[device] = [loss.total.detach().cpu(), *(parameter.grad.cpu() for parameter in model.parameters()
                                                      if parameter.grad is not None)]
    for mine, other in zip(found["cpu"], found["cuda"], strict=True):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_trains_stops_goes_on_and_translates(tmp_path: Path, precision: str) -> None:
    for name, lines in (("src", tiny_runs.LINES), ("tgt", tiny_runs.TARGETS)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [str(tmp_path / "src"), str(tmp_path / "tgt")]
    settings = {
        "device": "cuda", "text": tiny_runs.TEXTS["subwords"], "encoder": tiny_runs.ENCODERS["transformer"],
        "tasks": {"translate": {**tiny_runs.task("translate"), "train": files, "dev": files}},
        "training": {"precision": precision, "max_epochs": 3, "batch_tokens": 100, "ema": 0.9},
        "schedule": {"kind": "constant"},
    }
    config = RunConfig.model_validate(settings)
    train(config, tmp_path / "whole", say=lambda _: None)
    limited = RunConfig.model_validate({**settings, "training": {**settings["training"], "max_epochs": 1}})
    train(limited, tmp_path / "parts", say=lambda _: None)
    train(config, tmp_path / "parts", resume=True, say=lambda _: None)
    states = [load_file(tmp_path / run / "resume" / "state.safetensors") for run in ("whole", "parts")]
    assert "random.cuda.0" in states[0]
    for name, tensor in states[0].items():
        assert torch.allclose(tensor.float(), states[1][name].float(), atol=1e-3), name
    assert len(Translator.load(tmp_path / "whole", device="cuda").translate(tiny_runs.LINES)) == len(tiny_runs.LINES)
