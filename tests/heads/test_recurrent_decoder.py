"""The recurrent decoder: what its settings refuse, what attends, what starts it; bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.pieces import DECODER, HEADS, TARGETS, batch, build, examples
from pydantic import ValidationError

from seq2x.heads import Outputs, TranslateHeadConfig
from seq2x.heads.recurrent_decoder import RecurrentDecoder, RecurrentDecoderConfig
from seq2x.heads.translate import TranslateHead


@pytest.mark.parametrize(("settings", "message"), [
    ({"connections": "residual"}, "connections = 'residual' stand between layers; layers = 1 has none"),
    ({"attend_from": "first"}, "needs layers above the first; found layers = 1, expected 2 or more"),
    ({"attention": {"kind": "key_value"}, "hidden": 7}, "two halves; found hidden = 7, expected an even number"),
])
def test_settings_must_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RecurrentDecoderConfig.model_validate(settings)


def test_a_narrow_output_is_not_tied() -> None:
    with pytest.raises(ValidationError, match=r"output_width = 9 and decoder\.width = 256; expected tie = 'none'"):
        TranslateHeadConfig.model_validate({"decoder": {"kind": "recurrent", "output_width": 9}})
    head = TranslateHeadConfig.model_validate({"tie": "none", "decoder": {"kind": "recurrent", "output_width": 9}})
    made = head.build((16, 16), 16, Outputs(TARGETS))
    assert isinstance(made, TranslateHead)
    assert made.output.weight.shape == (TARGETS, 9)


@pytest.mark.parametrize(("layers", "message"), [
    ({"also_layers": [3]}, r"found also_layers = 3; the encoder has the layers 0 \(embeddings\) to 1"),
    ({"also_layers": [0, 0]}, r"layer = -1 and also_layers = \[0, 0\] name a layer twice"),
    ({"also_layers": [1]}, "name a layer twice"),
])
def test_layers_attended_to_must_be_there(layers: dict[str, Any], message: str) -> None:
    config = TranslateHeadConfig.model_validate(layers)
    with pytest.raises(ValueError, match=message):
        config.build((10, 16), 16, Outputs(TARGETS))


def decoder(**settings: Any) -> RecurrentDecoder:
    torch.manual_seed(0)
    return RecurrentDecoderConfig.model_validate({**DECODER, **settings}).build(16, 16, 16)


def test_what_starts_it() -> None:
    encoded = build("recurrent", "translate dot").encode("translate", batch("translate", examples("translate", 3)))
    given = decoder(layers=2).begin(encoded, encoded.states)[1]
    assert len({tuple(row.tolist()) for row in given.hidden[1]}) == 3
    learned = decoder(layers=2, initial="learned")
    with torch.no_grad():
        for number, parameter in enumerate(learned.initial.values(), start=1):
            parameter.fill_(number)
    state = learned.begin(encoded, encoded.states)[1]
    assert all((part == 1).all() for part in state.hidden)
    assert state.cell is not None
    assert all((part == 2).all() for part in state.cell)
    zero = decoder(initial="zero").begin(encoded, encoded.states)[1]
    assert not zero.hidden[0].any()


def test_scaled_embeddings_are_those_of_sixteen_times_the_variance() -> None:
    encoded = build("recurrent", "translate dot").encode("translate", batch("translate", examples("translate", 3)))
    plain, scaled = decoder().eval(), decoder(scale_embeddings=True).eval()
    embedded = torch.randn(3, 4, 16)
    with torch.no_grad():
        expected, _, _ = plain.advance(*plain.begin(encoded, encoded.states), embedded * 4)  # the root of 16
        found, _, _ = scaled.advance(*scaled.begin(encoded, encoded.states), embedded)
    assert torch.equal(found, expected)


def test_the_first_layer_attends_for_those_above() -> None:
    """Without input feeding, the first layer knows nothing of the source, and the second does."""
    made = decoder(layers=2, attend_from="first", input_feeding=False, initial="zero").eval()
    model = build("recurrent", "translate dot").eval()
    encoded = model.encode("translate", batch("translate", examples("translate", 3)))
    with torch.no_grad():
        memory, state = made.begin(encoded, encoded.states)
        same = torch.randn(1, 4, 16).expand(3, 4, 16)
        _, _, after = made.advance(memory, state, same)
    assert torch.allclose(after.hidden[0][0], after.hidden[0][1])
    assert not torch.allclose(after.hidden[1][0], after.hidden[1][1])
    assert torch.equal(state.context, torch.zeros(3, 16))


@pytest.mark.parametrize("name", [name for name in HEADS if name.startswith("translate") and "," in name])
def test_it_learns_in_bfloat16(name: str) -> None:
    model = build("recurrent", name).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model("translate", batch("translate", examples("translate", 6)))
    (loss.total + sum(other.total for other in loss.beside)).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
