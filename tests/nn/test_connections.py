"""Each connection against its equation, by layers that double what they read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seq2x.nn.connections import Connection, Connections


def run(kind: Connections, layers: int = 3) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """What each layer reads, computes (the double of its last 4 columns) and gives."""
    torch.manual_seed(0)
    connection = Connection(kind, 4, 4, layers)
    read: list[Tensor] = []
    computed: list[Tensor] = []
    given: list[Tensor] = []
    states = torch.randn(2, 3, 4)
    for width in connection.widths:
        assert states.shape[-1] == width
        read.append(states)
        computed.append(2 * states[..., -4:])
        given.append(connection.output(computed[-1], read))
        states = connection.following(given[-1], read)
    return read, computed, given


def test_none_hands_on_what_was_computed() -> None:
    read, computed, given = run("none")
    assert all(torch.equal(mine, other) for mine, other in zip(given, computed, strict=True))
    assert torch.equal(read[2], computed[1])


def test_residual_adds_what_was_read() -> None:
    read, computed, given = run("residual")
    assert torch.equal(given[0], computed[0])  # the first layer reads embeddings
    assert torch.equal(given[1], computed[1] + read[1])
    assert torch.equal(given[2], computed[2] + read[2])


def test_the_sum_of_all_earlier() -> None:
    read, computed, given = run("dense-residual", 4)
    assert torch.equal(given[1], computed[1] + read[1])
    torch.testing.assert_close(given[2], computed[2] + read[2] + read[1])
    torch.testing.assert_close(given[3], computed[3] + read[3] + read[2] + read[1])


def test_dense_puts_all_earlier_side_by_side() -> None:
    read, computed, given = run("dense")
    assert torch.equal(read[2], torch.cat([read[0], computed[0], computed[1]], dim=-1))
    assert torch.equal(given[2], computed[2])


def test_highway_weighs_what_was_computed_against_what_was_read() -> None:
    torch.manual_seed(1)
    connection = Connection("highway", 6, 4, 2)
    read, computed = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    (gate,) = connection.gates
    assert torch.equal(connection.output(computed, [read]), computed)
    share = (read @ gate.weight.T + gate.bias).sigmoid()
    expected = share * computed + (1 - share) * read
    torch.testing.assert_close(connection.output(computed, [torch.zeros(2, 3, 6), read]), expected)
    assert float(share.detach().mean()) < 0.5  # at first, most of the input passes


@pytest.mark.parametrize(("kind", "widths"), [("none", [6, 4, 4]), ("dense", [6, 10, 14]), ("residual", [6, 4, 4])])
def test_widths(kind: Connections, widths: list[int]) -> None:
    assert Connection(kind, 6, 4, 3).widths == widths
