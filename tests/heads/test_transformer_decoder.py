"""The Transformer decoder: what is its own, beyond the contracts in test_translate.py."""

from __future__ import annotations

import pytest
import torch

from seq2x.batch import Encoded, mask_of
from seq2x.config import parse
from seq2x.errors import ConfigError
from seq2x.heads import TranslateHeadConfig
from seq2x.heads.recurrent_decoder import RecurrentDecoderConfig
from seq2x.heads.transformer_decoder import TransformerDecoderConfig

SMALL = TransformerDecoderConfig(width=16, layers=2, heads=4, feedforward=24)


def problem(**decoder: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(TranslateHeadConfig, {"decoder": decoder}, "x.toml")
    return str(caught.value)


def test_the_kind_says_which_decoder() -> None:
    assert TranslateHeadConfig().decoder == RecurrentDecoderConfig()
    assert TranslateHeadConfig.model_validate({"decoder": {"kind": "transformer"}}).decoder == (
        TransformerDecoderConfig())
    assert "decoder: the key 'kind' is missing; the choices are 'recurrent', 'transformer'" in problem(width=32)
    assert "decoder: unknown key 'coverage'; the choices are" in problem(kind="transformer", coverage={"kind": "sum"})
    assert "3 heads do not divide a width of 256" in problem(kind="transformer", heads=3)


@torch.no_grad()
def test_what_comes_later_changes_nothing_before() -> None:
    torch.manual_seed(0)
    decoder = SMALL.build(10, 10)
    states, mask = torch.randn(3, 7, 10), mask_of(torch.tensor([7, 4, 1]), 7)
    memory, state = decoder.begin(Encoded((states,), mask, states.mean(1)), states)
    embedded = torch.randn(3, 6, 16)
    changed = embedded.clone()
    changed[:, 4:] = torch.randn(3, 2, 16)  # not a constant more, which the norms take away
    for training in (True, False):
        decoder.train(training)
        torch.manual_seed(1)
        first = decoder.advance(memory, state, embedded)[0]
        torch.manual_seed(1)  # the same dropout
        second = decoder.advance(memory, state, changed)[0]
        torch.testing.assert_close(first[:, :4], second[:, :4])
        assert not torch.allclose(first[:, 4:], second[:, 4:])


@torch.no_grad()
def test_padding_of_the_source_changes_nothing() -> None:
    torch.manual_seed(0)
    decoder = SMALL.build(10, 10).eval()
    states, mask = torch.randn(2, 5, 10), mask_of(torch.tensor([3, 3]), 5)
    found = []
    for length in (3, 5):
        part = Encoded((states[:, :length],), mask[:, :length], states[:, 0])
        memory, state = decoder.begin(part, part.states)
        vectors, attention, _ = decoder.advance(memory, state, torch.ones(2, 4, 16))
        assert attention.shape == (2, 4, length)
        found.append((vectors, attention[..., :3]))
    torch.testing.assert_close(found[0], found[1])


@torch.no_grad()
def test_the_same_token_twice_is_told_apart_by_its_position() -> None:
    torch.manual_seed(0)
    decoder = SMALL.build(10, 10).eval()
    states = torch.randn(1, 5, 10)
    memory, state = decoder.begin(Encoded((states,), torch.ones(1, 5, dtype=torch.bool), states.mean(1)), states)
    embedded = torch.randn(1, 1, 16).expand(1, 3, 16)
    whole = decoder.advance(memory, state, embedded)[0]
    assert not torch.allclose(whole[:, 0], whole[:, 1])
    for position in range(3):
        assert state.length == position
        vectors, _, state = decoder.advance(memory, state, embedded[:, :1])
        torch.testing.assert_close(vectors[:, 0], whole[:, position])
