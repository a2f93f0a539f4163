"""Recurrent layers against torch's packed ones, cells against torch's cells."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2x.batch import mask_of
from seq2x.nn.dropout import VariationalDropout, WordDropout
from seq2x.nn.recurrent import NETWORKS, Cell, CellKind, RecurrentLayers, last_states

LENGTHS = torch.tensor([5, 2, 7, 1])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_two_directions_are_those_of_a_packed_network(cell: CellKind) -> None:
    torch.manual_seed(0)
    stack = RecurrentLayers(cell, 3, 4, layers=1, bidirectional=True, dropout=0.0)
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
