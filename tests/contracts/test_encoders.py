"""What every encoder promises. A new one is tested by standing in ENCODERS, and must stand there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from contracts.pieces import CHARACTERS, ENCODERS, SIZE, batch, examples, kinds, parse

from seq2x.batch import LENGTH_MULTIPLE, Encoded, Tokens
from seq2x.encoders import Encoder, EncoderConfig

every_encoder = pytest.mark.parametrize("name", ENCODERS)


def build(name: str) -> Encoder:
    torch.manual_seed(0)
    encoder: Encoder = parse(EncoderConfig, ENCODERS[name]).build(SIZE, CHARACTERS)
    return encoder


def tokens(count: int, multiple: int = 1) -> Tokens:
    return batch("classify", examples("classify", count), multiple).source


def real(encoded: Encoded) -> list[torch.Tensor]:
    """Everything that a head may read, padding left out."""
    states = [layer[encoded.mask] for layer in encoded.layers]
    directions = [] if encoded.directions is None else [part[encoded.mask] for part in encoded.directions]
    return [*states, *directions, encoded.summary]


def test_every_kind_is_tested() -> None:
    assert {settings["kind"] for settings in ENCODERS.values()} == kinds(EncoderConfig)


@every_encoder
def test_shapes(name: str) -> None:
    encoder, source = build(name), tokens(6)
    encoded = encoder(source)
    length = -(-source.ids.shape[1] // encoder.stride)
    assert [layer.shape for layer in encoded.layers] == [(6, length, width) for width in encoder.dims]
    assert encoded.summary.shape == (6, encoder.summary_width)
    assert torch.equal(encoded.mask, source.mask[:, :: encoder.stride])
    assert (encoded.states[~encoded.mask] == 0).all()
    assert encoder.table.num_embeddings == SIZE


@every_encoder
def test_no_state_changes_with_padding_order_or_neighbours(name: str) -> None:
    """To the bit, when rows and tokens are padded as at prediction."""
    encoder = build(name).eval()
    with torch.no_grad():
        source = tokens(11, LENGTH_MULTIPLE).pad_rows()
        together = encoder(source)
        order = torch.randperm(source.rows)
        shuffled = encoder(source.select(order))
        for mine, other in zip(real(together.select(order)), real(shuffled), strict=True):
            assert torch.equal(mine, other)
        for row, example in enumerate(examples("classify", 11)):
            alone = encoder(batch("classify", [example], LENGTH_MULTIPLE).source.pad_rows()).select(torch.tensor([0]))
            for mine, other in zip(real(together.select(torch.tensor([row]))), real(alone), strict=True):
                assert torch.equal(mine, other)


@every_encoder
def test_every_parameter_gets_a_gradient(name: str) -> None:
    encoder = build(name).train()
    encoded = encoder(tokens(8))
    sum((part * torch.randn_like(part)).sum() for part in real(encoded)).backward()
    trained = {key: value.grad for key, value in encoder.named_parameters() if value.requires_grad}
    silent = [key for key, grad in trained.items() if grad is None or not grad.abs().sum()]
    assert silent == []


@every_encoder
def test_a_causal_encoder_sees_nothing_to_the_right(name: str) -> None:
    encoder = build(name).eval()
    first = tokens(8, LENGTH_MULTIPLE)
    changed = replace(first, ids=first.ids.clone())
    changed.ids[:, 2:] = (changed.ids[:, 2:] + 1) % SIZE * first.mask[:, 2:]
    with torch.no_grad():
        same = torch.equal(encoder(first).states[:, :2], encoder(changed).states[:, :2])
    assert same == encoder.causal


@every_encoder
def test_what_is_carried_on_stands_for_all_that_was_read(name: str) -> None:
    """Where an encoder says what it knows after some tokens, the rest read after it is the rest of the whole."""
    encoder = build(name).eval()
    source = tokens(20)
    kept = source.lengths >= 6
    whole = Tokens(*(None if part is None else part[kept, :6] for part in (
        source.ids, source.mask, source.characters, source.shapes)), before=())
    with torch.no_grad():
        expected = encoder(whole)
        assert encoder(replace(whole, before=None)).after is None
        if expected.after is None:
            assert not (encoder.causal and name.startswith("recurrent"))
            return
        cut = [Tokens(*(None if part is None else part[:, places] for part in (
            whole.ids, whole.mask, whole.characters, whole.shapes)), before=()) for places in (slice(4), slice(4, 6))]
        first = encoder(cut[0])
        second = encoder(replace(cut[1], before=first.after))
    assert torch.allclose(torch.cat([first.states, second.states], 1), expected.states, atol=1e-6)
    for mine, other in zip(second.after, expected.after, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
