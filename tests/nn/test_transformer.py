"""The Transformer's parts against torch's own layer, against padding and against the size of the batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2x.batch import mask_of
from seq2x.nn.attention import masked_softmax
from seq2x.nn.positions import Positions, sinusoids, turned
from seq2x.nn.refinement import Refinement
from seq2x.nn.transformer import (
    Activation,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    LayersConfig,
    MultiHeadAttention,
    Source,
    _attend,
    norm,
)


def _case(rows: int, length: int, width: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    lengths[0] = length
    return torch.randn(rows, length, width, generator=generator), mask_of(lengths, length)


def _torch_layer(ours: EncoderLayer, activation: str, norm_first: bool) -> nn.TransformerEncoderLayer:
    """torch's layer with our weights."""
    theirs = nn.TransformerEncoderLayer(16, 4, 32, 0.0, activation, batch_first=True, norm_first=norm_first)
    attention = ours.attention
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.memory.weight]))
        theirs.self_attn.in_proj_bias.zero_()[:16].copy_(attention.query.bias)
    theirs.self_attn.out_proj.load_state_dict(attention.output.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feedforward.outer.state_dict())
    theirs.norm1.load_state_dict(ours.norms[0].state_dict())
    theirs.norm2.load_state_dict(ours.norms[1].state_dict())
    return theirs.train()  # in evaluation it takes a shortcut of its own


def _config(**settings: Any) -> LayersConfig:
    return LayersConfig(**{"heads": 4, "feedforward": 32, "dropout": 0.0, **settings})


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_equals_that_of_torch(activation: Activation, training: bool, norm_first: bool) -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(16, _config(activation=activation, norm_first=norm_first))
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    states, mask = _case(8, 12)
    expected = _torch_layer(ours, activation, norm_first)(states, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours.train(training)(states, mask[:, None])[mask], expected[mask])


def test_attention_by_hand() -> None:
    """Two heads of width 1, identity projections: each head is a softmax over its own column."""
    attention = MultiHeadAttention(2, 2, 0.0).eval()
    with torch.no_grad():
        attention.query.weight.copy_(torch.eye(2))
        attention.memory.weight.copy_(torch.eye(2).repeat(2, 1))
        attention.output.weight.copy_(torch.eye(2))
    keys, values = attention.project(torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]]))
    found, _ = attention.weigh(torch.tensor([[[1.0, -1.0]]]), keys, values, torch.tensor([[[True, True, False]]]))
    left = (math.exp(1) * 1 + math.exp(3) * 3) / (math.exp(1) + math.exp(3))
    right = (math.exp(0) * 0 + math.exp(-2) * 2) / (math.exp(0) + math.exp(-2))
    torch.testing.assert_close(found, torch.tensor([[[left, right]]]))


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_of_each_query_hides_the_future(training: bool) -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 4, 0.0).train(training)
    states, _ = _case(2, 6)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()[None]
    changed = states.clone()
    changed[:, 4:] += 1
    first, second = (attention(*attention.read(both), causal) for both in (states, changed))
    torch.testing.assert_close(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


def test_rows_keep_their_bits_in_any_batch() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(64, _config(feedforward=128)).eval()
    states, mask = _case(24, 80, width=64)
    with torch.inference_mode():
        together = layer(states, mask[:, None])
        for row in range(24):
            length = int(mask[row].sum())
            padded, eight = length + -length % 16, torch.full((8,), row)
            alone = layer(states[eight, :padded], mask[eight, None, :padded])
            assert torch.equal(alone[0, :length], together[row, :length])


@pytest.mark.parametrize("training", [True, False])
def test_a_decoder_layer_equals_that_of_torch(training: bool) -> None:
    torch.manual_seed(0)
    ours = DecoderLayer(16, _config(), memory=16).train(training)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    theirs = nn.TransformerDecoderLayer(16, 4, 32, 0.0, "relu", batch_first=True, norm_first=True)
    with torch.no_grad():
        for mine, other in ((ours.attention, theirs.self_attn), (ours.cross, theirs.multihead_attn)):
            other.in_proj_weight.copy_(torch.cat([mine.query.weight, mine.memory.weight]))
            other.in_proj_bias.zero_()[:16].copy_(mine.query.bias)
            other.out_proj.load_state_dict(mine.output.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feedforward.outer.state_dict())
    for mine, other in zip(ours.norms, (theirs.norm1, theirs.norm2, theirs.norm3), strict=True):
        other.load_state_dict(mine.state_dict())
    states, (source, mask) = torch.randn(8, 5, 16), _case(8, 12)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected = theirs(states, source, tgt_mask=later, memory_key_padding_mask=~mask)
    found, (keys, values), weights, _ = ours(
        states, None, ~later[None], Source(ours.cross.project(source), mask[:, None]))
    torch.testing.assert_close(found, expected)
    assert weights.shape == (8, 4, 5, 12)
    assert keys.shape == values.shape == (8, 4, 5, 4)


def test_weighing_is_attending_and_shows_how() -> None:
    attention = MultiHeadAttention(16, 2, 0.0, memory=10).eval()
    source, mask = _case(3, 7, width=10)
    keys, values = attention.project(source)
    found, weights = attention.weigh(torch.randn(3, 5, 16), keys, values, mask[:, None])
    torch.testing.assert_close(found, attention.output((weights @ values).transpose(1, 2).flatten(2)))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))
    assert (weights.transpose(1, 3)[~mask] == 0).all()
    attention = MultiHeadAttention(16, 2, 0.0)
    states, mask = _case(3, 7)
    for training in (True, False):
        attention.train(training)
        torch.testing.assert_close(attention.weigh(states, *attention.project(states), mask[:, None])[0],
                                   attention(*attention.read(states), mask[:, None]))


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (12, 1), (12, 2), (64, 2)])
def test_beams_keep_their_bits_under_any_padding(width: int, heads: int) -> None:
    """1 to 12 queries a sentence, of 6 to 32 numbers a head: at most of these sizes a plain product does not."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(width, heads, 0.1).eval()
    source, mask = _case(16, 48, width)
    with torch.inference_mode():
        for beams in range(1, 13):
            states, (keys, values) = torch.randn(16, beams, width), attention.project(source)
            together = attention.weigh(states, keys, values, mask[:, None])
            for row in range(16):
                length, eight = int(mask[row].sum()), torch.full((8,), row)
                padded = length + -length % 16
                found, weights = attention.weigh(states[eight], *attention.project(source[eight, :padded]),
                                                 mask[eight, None, :padded])
                assert torch.equal(found[0], together[0][row])
                assert torch.equal(weights[0], together[1][row, ..., :padded])


def test_sinusoids_by_hand() -> None:
    found = sinusoids(torch.tensor([0, 3]), 5)
    angles = [3.0, 3.0 / 10000 ** (2 / 5), 3.0 / 10000 ** (4 / 5)]
    expected = [math.sin(angles[0]), math.cos(angles[0]), math.sin(angles[1]), math.cos(angles[1]), math.sin(angles[2])]
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0], expected]))


def _attending() -> tuple[list[Tensor], Tensor]:
    """Queries of 3 and keys and values of 4 positions in two rows of two heads; the last key is padding in one row."""
    torch.manual_seed(0)
    sizes = [(2, 2, 3, 5), (2, 2, 4, 5), (2, 2, 4, 5)]
    states = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    return states, mask_of(torch.tensor([4, 3]), 4)[:, None]


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_gradient_of_attention(rate: float) -> None:
    """By differences, through what is found and through the weights, with the same values dropped each time."""
    states, mask = _attending()

    def attend(*states: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        return _attend(*states, mask, rate)

    assert torch.autograd.gradcheck(attend, states)


def test_attention_in_training_is_that_of_torch() -> None:
    states, mask = _attending()
    found, weights = _attend(*states, mask, 0.0)
    torch.testing.assert_close(found, nn.functional.scaled_dot_product_attention(*states, mask[:, None]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3, dtype=torch.float64))
    assert not weights[1, ..., 3].any()


def test_attention_drops_weights() -> None:
    """Half of them, and those that stay count twice: what is found stays the same on average."""
    states, mask = _attending()
    torch.manual_seed(0)
    found = torch.stack([_attend(*states, mask, 0.5)[0].detach() for _ in range(2000)])
    torch.testing.assert_close(found.mean(0), _attend(*states, mask, 0.0)[0].detach(), rtol=0, atol=0.15)
    assert float(found.std(0).min()) > 0


def test_attention_under_autocast_keeps_its_type() -> None:
    attention = MultiHeadAttention(8, 2, 0.0)
    states = torch.randn(2, 5, 8)
    mask = torch.ones(2, 1, 5, dtype=torch.bool)
    exact = attention(*attention.read(states), mask)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = attention(*attention.read(states), mask)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


def test_rotary_positions_turn_by_hand() -> None:
    """Heads 4 wide: the first and third number turn by the position, the second and fourth by a hundredth of it."""
    order = torch.tensor([0, 3])
    turns = Positions("rotary", 8, 1).turns(order, 4)
    assert turns is not None
    found = turned(torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(2, 4), turns)
    fast, slow = (3.0, 0.03)
    expected = [math.cos(fast) - 3 * math.sin(fast), 2 * math.cos(slow) - 4 * math.sin(slow),
                3 * math.cos(fast) + math.sin(fast), 4 * math.cos(slow) + 2 * math.sin(slow)]
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, 3.0, 4.0], expected]))


def test_turned_products_know_distances_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 8)
    positions = Positions("rotary", 8, 1)

    def product(first: int, second: int) -> Tensor:
        turns = [positions.turns(torch.tensor([place]), 8) for place in (first, second)]
        assert turns[0] is not None
        assert turns[1] is not None
        return (turned(query, turns[0]) * turned(key, turns[1])).sum()

    torch.testing.assert_close(product(2, 7), product(40, 45))
    assert not torch.allclose(product(2, 7), product(2, 8))


def test_the_other_norm_and_the_gated_unit_by_hand() -> None:
    states = torch.tensor([[[3.0, -4.0]]])
    torch.testing.assert_close(norm(2, _config(norm="rms"))(states), states / math.sqrt(12.5))
    gated = FeedForward(2, 2, "swiglu", 0.0)
    with torch.no_grad():
        gated.inner.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]]))
        gated.outer.weight.copy_(torch.eye(2))
    expected = torch.tensor([[[6 * 3 / (1 + math.exp(-3)), -12 * -4 / (1 + math.exp(4))]]])
    torch.testing.assert_close(gated(states), expected)


def test_a_refinement_by_hand() -> None:
    """One head, one unit that passes the sums: what was looked at is taken off the scores of the next position."""
    refinement = Refinement(1, 1, below=False)
    with torch.no_grad():
        refinement.inner.weight.fill_(1)
        refinement.inner.bias.fill_(0)
        refinement.outer.weight.fill_(2)
    scores, mask = torch.tensor([[[[1.0, 0.0], [0.5, 2.0], [0.0, 0.0]]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    looked = masked_softmax(scores[0, 0], mask[0])
    sums = torch.stack([torch.zeros(2), looked[0], looked[0] + looked[1]])
    found, after = refinement(scores, mask, torch.zeros(1, 1, 1, 2), None)
    torch.testing.assert_close(found[0, 0], torch.softmax(scores[0, 0] - 2 * sums, -1))
    torch.testing.assert_close(after[0, 0, 0], looked.sum(0))
