"""Recurrent layers against torch's packed ones, cells against torch's cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2x.batch import EXACT, Multiples, mask_of
from seq2x.encoders.recurrent import RecurrentEncoderConfig
from seq2x.nn.dropout import VariationalDropout, WordDropout
from seq2x.nn.recurrent import NETWORKS, Cell, CellKind, RecurrenceConfig, RecurrentLayers, last_states

LENGTHS = torch.tensor([5, 2, 7, 1])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_two_directions_are_those_of_a_packed_network(cell: CellKind) -> None:
    torch.manual_seed(0)
    stack = RecurrentLayers(RecurrenceConfig(cell=cell, hidden=4), 3)
    layer, reference = stack.layers[0], NETWORKS[cell](3, 4, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.forwards.named_parameters():
            getattr(reference, name).copy_(parameter)
        for name, parameter in layer.backwards.named_parameters():
            getattr(reference, f"{name}_reverse").copy_(parameter)
    states, mask = torch.randn(4, 7, 3), mask_of(LENGTHS, 7)
    packed, last = reference(pack_padded_sequence(states, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    (directions,) = stack(states, mask)
    assert torch.allclose(torch.cat(directions, -1) * mask[..., None], expected, atol=1e-6)
    hidden = last[0] if cell == "lstm" else last
    assert torch.allclose(last_states(directions, mask), torch.cat([hidden[0], hidden[1]], -1), atol=1e-6)


@pytest.mark.parametrize(("cell", "reference"), [("lstm", nn.LSTMCell), ("gru", nn.GRUCell), ("rnn", nn.RNNCell)])
def test_cells_are_torchs(cell: CellKind, reference: type[nn.RNNCellBase]) -> None:
    torch.manual_seed(0)
    own, other = Cell(cell, 3, 4), reference(3, 4)
    with torch.no_grad():
        other.weight_ih.copy_(own.input.weight)
        other.bias_ih.copy_(own.input.bias)
        other.weight_hh.copy_(own.recurrent.weight)
        other.bias_hh.zero_()
        if own.recurrent.bias is not None:
            own.recurrent.bias.normal_()
            other.bias_hh.copy_(own.recurrent.bias)
    inputs, hidden, memory = torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 4)
    got = own(own.input(inputs), hidden, memory if cell == "lstm" else None)
    if cell == "lstm":
        expected = other(inputs, (hidden, memory))
        assert torch.allclose(got[1], expected[1], atol=1e-6)
        assert torch.allclose(got[0], expected[0], atol=1e-6)
    else:
        assert torch.allclose(got[0], other(inputs, hidden), atol=1e-6)


VARIANTS = [{"cell": "lstm"}, {"cell": "gru"}, {"cell": "rnn"}, {"cell": "lstm", "projection": 3},
            {"cell": "lstm", "initial": "learned"}, {"cell": "gru", "initial": "learned"}]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("dropout", ["weight_dropout", "recurrent_dropout"])
def test_another_path_for_dropout_computes_the_same(
    settings: dict[str, Any], dropout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing happens to be dropped, the states and the gradients are those of torch's network."""
    monkeypatch.setattr("seq2x.nn.recurrent.mask_like", lambda tensor, _: torch.ones_like(tensor))
    torch.manual_seed(0)
    layers = RecurrentLayers(RecurrenceConfig(hidden=5, **settings, **{dropout: 0.5}), 3)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    states, mask, found = torch.randn(4, 7, 3), mask_of(LENGTHS, 7), []
    for training in (True, False):
        layers.train(training).zero_grad()
        directions = layers(states, mask)[0]
        sum((part[mask].square()).sum() for part in directions).backward()
        found.append([*directions, *[parameter.grad for parameter in layers.parameters()]])
    for mine, other in zip(*found, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_from_right_to_left_is_a_network_on_the_sentence_backwards() -> None:
    torch.manual_seed(0)
    settings = {"hidden": 4, "layers": 2, "connections": "dense", "bidirectional": False}
    backwards = RecurrentLayers(RecurrenceConfig(**settings, reversed=True), 3)
    plain = RecurrentLayers(RecurrenceConfig(**settings), 3)
    plain.load_state_dict(backwards.state_dict())
    states = torch.randn(4, 7, 3)
    found = backwards(states, mask_of(LENGTHS, 7))
    for row, length in enumerate(LENGTHS.tolist()):
        alone = plain(states[row, None, :length].flip(1), torch.ones(1, length, dtype=torch.bool))
        for mine, other in zip(found, alone, strict=True):
            assert torch.allclose(mine[0][row, :length], other[0][0].flip(0), atol=1e-6)


def test_weights_are_dropped_once_a_batch_and_the_state_once_a_sequence() -> None:
    torch.manual_seed(0)
    states, mask = torch.randn(1, 6, 3).repeat(2, 1, 1), torch.ones(2, 6, dtype=torch.bool)
    dropped = RecurrentLayers(RecurrenceConfig(hidden=5, weight_dropout=0.5), 3)
    one, other = (dropped(states, mask)[0][0] for _ in range(2))
    assert torch.equal(one[0], one[1])
    assert not torch.allclose(one, other)
    assert torch.equal(one[:, 0], other[:, 0])  # no weight has been used yet
    masked = RecurrentLayers(RecurrenceConfig(hidden=5, recurrent_dropout=0.5), 3)(states, mask)[0][0]
    assert torch.equal(masked[0, 0], masked[1, 0])
    assert not torch.allclose(masked[0], masked[1])


def test_one_recurrent_mask_serves_every_step() -> None:
    torch.manual_seed(0)
    layers = RecurrentLayers(RecurrenceConfig(cell="rnn", hidden=4, bidirectional=False, recurrent_dropout=0.5), 3)
    with torch.no_grad():
        layers.layers[0].forwards.weight_hh_l0.copy_(torch.eye(4))
    states = layers(torch.zeros(1, 9, 3), torch.ones(1, 9, dtype=torch.bool))
    assert not states[0][0].any()  # zero stays zero
    layers.layers[0].forwards.bias_ih_l0.data.fill_(0.1)
    (state,) = layers(torch.zeros(50, 9, 3), torch.ones(50, 9, dtype=torch.bool))[0]
    growing = state[:, 1:] > state[:, :-1] + 1e-6
    assert (growing.all(1) | ~growing.any(1)).all()  # a unit remembers at every step or at none
    assert 0.3 < float(growing.all(1).float().mean()) < 0.7


def test_settings_of_a_stack_must_fit() -> None:
    for settings, message in (
        ({"cell": "gru", "projection": 2}, "projection = 2 needs cell = 'lstm', found 'gru'"),
        ({"hidden": 4, "projection": 4}, "projection = 4 must be smaller than hidden = 4"),
        ({"reversed": True}, "reversed = true is for one direction, and both are read; expected bidirectional = false"),
        ({"connections": "dense"}, "connections = 'dense' stand between layers; layers = 1 has none"),
    ):
        with pytest.raises(ValidationError, match=message):
            RecurrenceConfig.model_validate(settings)


def test_dropout_stands_for_input_and_output_unless_they_are_set() -> None:
    def rates(**settings: float) -> tuple[float, float]:
        encoder = RecurrentEncoderConfig.model_validate({"hidden": 4, **settings}).build(9, None)
        return encoder.stack.dropout.rate, encoder.dropout.rate

    assert rates(dropout=0.3) == (0.3, 0.3)
    assert rates(dropout=0.3, input_dropout=0.1) == (0.1, 0.3)
    assert rates(dropout=0.3, output_dropout=0.0) == (0.3, 0.0)


def test_variational_dropout_has_one_mask_a_sequence() -> None:
    torch.manual_seed(0)
    dropped = VariationalDropout(0.5)(torch.ones(4, 9, 50))
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (VariationalDropout(0.5).eval()(torch.ones(1, 2, 3)) == 1).all()


def test_word_dropout_spares_specials() -> None:
    torch.manual_seed(0)
    ids = torch.arange(40).repeat(50, 1)
    dropped = WordDropout(0.5)(ids)
    assert (dropped[:, :4] == ids[:, :4]).all()
    assert 0.4 < float((dropped[:, 4:] == 1).float().mean()) < 0.6
    assert (WordDropout(0.5).eval()(ids) == ids).all()


@pytest.mark.parametrize("width", [3, 30])
def test_rows_are_padded_to_what_this_machine_asks_for(width: int) -> None:
    layers = RecurrentLayers(RecurrenceConfig(hidden=20), width).eval()
    multiples = layers.multiples()
    assert multiples in (Multiples(1, 4), Multiples(2, 4), EXACT)
    states, mask = torch.randn(16, 48, width), mask_of(torch.arange(1, 17), 48)
    with torch.inference_mode():
        whole = torch.cat(layers(states, mask)[0], -1)
        for rows in range(multiples.rows, 17, multiples.rows):
            for length in range(rows + -rows % multiples.tokens, 49, multiples.tokens):
                found = torch.cat(layers(states[:rows, :length], mask[:rows, :length])[0], -1)
                assert torch.equal(found, whole[:rows, :length])
    assert RecurrentLayers(RecurrenceConfig(hidden=20), width).double().multiples() == EXACT


@pytest.mark.parametrize("settings", [
    *VARIANTS, {"layers": 2, "connections": "dense", "weight_dropout": 0.1},
    {"cell": "gru", "layers": 3, "connections": "residual", "recurrent_dropout": 0.1}], ids=str)
def test_parts_that_go_on_from_each_other_are_the_whole(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2x.nn.recurrent.mask_like", lambda tensor, _: torch.ones_like(tensor))
    torch.manual_seed(0)
    layers = RecurrentLayers(RecurrenceConfig.model_validate({"hidden": 5, "bidirectional": False, **settings}), 3)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    states, mask = torch.randn(4, 9, 3), torch.ones(4, 9, dtype=torch.bool)
    for training in (True, False):
        layers.train(training)
        whole, last = layers.going_on(states, mask, ())
        before: tuple[torch.Tensor, ...] = ()
        parts = []
        for start, stop in ((0, 2), (2, 3), (3, 9)):
            part, before = layers.going_on(states[:, start:stop], mask[:, start:stop], before)
            parts.append(part)
        for number, (expected,) in enumerate(whole):
            assert torch.allclose(torch.cat([part[number][0] for part in parts], 1), expected, atol=1e-6)
            assert torch.allclose(before[number], last[number], atol=1e-6)


def test_an_lstm_that_has_no_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2x.nn.recurrent._bfloat16_is_missing", lambda _: torch.is_autocast_enabled("cpu"))
    stack = RecurrentLayers(RecurrenceConfig(hidden=4, layers=2), 6)
    states, mask = torch.randn(3, 5, 6), torch.ones(3, 5, dtype=torch.bool)
    expected = stack(states, mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = stack(states, mask)
    for mine, other in zip(found, expected, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(mine, other, strict=True))
