"""The Transformer decoder: what is its own, beyond the contracts in test_translate.py."""

from __future__ import annotations

import pytest
import torch

from seq2x.batch import Encoded, Tokens, mask_of
from seq2x.config import parse
from seq2x.errors import ConfigError, DataError
from seq2x.heads import Outputs, TranslateHeadConfig
from seq2x.heads.recurrent_decoder import RecurrentDecoderConfig
from seq2x.heads.transformer_decoder import (
    TransformerDecoder,
    TransformerDecoderConfig,
    TransformerMemory,
    TransformerState,
)
from seq2x.nn.refinement import RefinementConfig

SMALL = TransformerDecoderConfig(width=16, layers=2, heads=4, feedforward=24)
COVERED = SMALL.model_copy(update={"coverage": RefinementConfig(width=5)})


def problem(**decoder: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(TranslateHeadConfig, {"decoder": decoder}, "x.toml")
    return str(caught.value)


def test_the_kind_says_which_decoder() -> None:
    assert TranslateHeadConfig().decoder == RecurrentDecoderConfig()
    assert TranslateHeadConfig.model_validate({"decoder": {"kind": "transformer"}}).decoder == (
        TransformerDecoderConfig())
    assert "decoder: the key 'kind' is missing; the choices are 'recurrent', 'transformer'" in problem(width=32)
    assert "decoder: unknown key 'hidden'; the choices are" in problem(kind="transformer", hidden=3)
    assert "3 heads do not divide a width of 256" in problem(kind="transformer", heads=3)
    odd = problem(kind="transformer", width=12, heads=4, positions="rotary")
    assert "rotary positions need heads of an even width, and there are 4 in a width of 12" in odd


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


def started(decoder: TransformerDecoder, sentences: int) -> tuple[TransformerMemory, TransformerState]:
    states = torch.randn(sentences, 5, 10)
    mask = mask_of(torch.arange(sentences) % 3 + 3, 5)
    return decoder.begin(Encoded((states,), mask, states.mean(1)), states)


@torch.no_grad()
def test_hypotheses_are_reordered_and_sentences_move_and_leave() -> None:
    """Keys stay where they were written; what a hypothesis sees is what its ancestors were."""
    torch.manual_seed(0)
    decoder = COVERED.build(10, 10).eval()
    memory, start = started(decoder, 4)
    state = start = start.select(torch.arange(4).repeat_interleave(3))
    prefixes = torch.zeros(12, 0, 16)
    for order in ([0, 0, 2, 3, 5, 4, 6, 6, 6, 9, 10, 11], [2, 0, 1, 4, 4, 4, 8, 7, 6, 11, 9, 9],
                  [9, 9, 10, 3, 4, 5, 2, 0, 1, 6, 7, 8], [3, 4, 4, 11, 10, 9], [1, 0, 0, 3, 5, 5]):
        embedded = torch.randn(len(prefixes), 1, 16)
        vectors, _, state = decoder.advance(memory, state, embedded)
        prefixes = torch.cat([prefixes, embedded], 1)
        torch.testing.assert_close(vectors[:, 0], decoder.advance(memory, start, prefixes)[0][:, -1])
        rows = torch.tensor(order)
        state, start, prefixes, memory = (*(part.select(rows) for part in (state, start)), prefixes[rows],
                                          memory.select(rows[::3] // 3))
    fewer = torch.tensor([2, 0, 3, 5])
    state, start, prefixes = state.select(fewer), start.select(fewer), prefixes[fewer]
    embedded = torch.randn(4, 1, 16)
    expected = decoder.advance(memory, start, torch.cat([prefixes, embedded], 1))[0]
    torch.testing.assert_close(decoder.advance(memory, state, embedded)[0][:, 0], expected[:, -1])


@torch.no_grad()
def test_a_state_goes_on_where_it_was_left_twice() -> None:
    """Several tokens after others, and again from the same state: nothing that was read is changed."""
    torch.manual_seed(0)
    decoder = COVERED.build(10, 10).eval()
    memory, start = started(decoder, 2)
    embedded = torch.randn(2, 6, 16)
    whole, looked, _ = decoder.advance(memory, start, embedded)
    _, _, state = decoder.advance(memory, start, embedded[:, :2])
    for _ in range(2):
        vectors, attention, _ = decoder.advance(memory, state, embedded[:, 2:])
        torch.testing.assert_close(vectors, whole[:, 2:])
        torch.testing.assert_close(attention, looked[:, 2:])


def test_training_with_coverage_begins_as_without() -> None:
    torch.manual_seed(0)
    covered = COVERED.build(10, 10).eval()
    plain = SMALL.build(10, 10).eval()
    found = plain.load_state_dict(covered.state_dict(), strict=False)
    assert {key.split(".")[2] for key in found.unexpected_keys} == {"refinement"}
    memory, state = started(plain, 3)
    _, again = covered.begin(Encoded((torch.zeros(3, 5, 10),), memory.mask, torch.zeros(3, 10)), torch.zeros(3, 5, 10))
    embedded = torch.randn(3, 4, 16)
    torch.testing.assert_close(covered.advance(memory, again, embedded)[0], plain.advance(memory, state, embedded)[0])


def test_learned_positions_end() -> None:
    torch.manual_seed(0)
    config = TranslateHeadConfig(decoder=SMALL.model_copy(update={"positions": "learned", "max_length": 4}))
    head = config.build((10,), 10, Outputs(9)).eval()
    states = torch.randn(8, 16, 10)
    encoded = Encoded((states,), mask_of(torch.full((8,), 16), 16), states.mean(1))
    with torch.no_grad():
        assert max(len(hypothesis.tokens) + 1 for (hypothesis,) in head.predict(encoded)) <= 4
    assert (head.scores(encoded, Tokens.of([[2, 5, 6, 7, 3]] * 8, multiple=16)) <= 0).all()
    with pytest.raises(DataError, match=r"a target of 5 tokens.* learned positions end at 4 \(decoder.max_length\)"):
        head.loss(encoded, Tokens.of([[2, 5, 6, 7, 8, 3]] * 8))
