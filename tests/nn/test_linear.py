"""Products that keep their bits, at the sizes where plain ones do not."""

from __future__ import annotations

import pytest
import torch

from seq2x.nn.linear import FewOutputs, product


@pytest.mark.parametrize("outputs", [1, 2, 5, 11, 12])
@pytest.mark.parametrize("inputs", [6, 7, 10, 64])
def test_few_outputs_do_not_depend_on_the_row(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    layer, rows = FewOutputs(inputs, outputs), torch.randn(40, inputs)
    with torch.inference_mode():
        together = layer(rows)
        torch.testing.assert_close(together, rows @ layer.weight.T + layer.bias)
        for row in range(40):
            assert torch.equal(layer(rows[torch.full((8,), row)])[0], together[row])


@pytest.mark.parametrize("width", [4, 6, 12, 16, 30, 50])
def test_an_exact_product_does_not_depend_on_padding(width: int) -> None:
    """Of keys (more columns) and of weights (zeros behind), for 1 to 12 rows."""
    torch.manual_seed(0)
    states = torch.randn(8, 80, width)
    for count in range(1, 13):
        queries, weights = torch.randn(8, count, width), torch.rand(8, count, 80)
        for length in (48, 32, 16):
            weights[..., length:] = 0
            scores = product(queries, states.transpose(1, 2), exact=True)
            found = product(weights, states, exact=True)
            torch.testing.assert_close(scores, queries @ states.transpose(1, 2))
            torch.testing.assert_close(found, weights @ states)
            cut = states[:, :length].clone()
            assert torch.equal(product(queries, cut.transpose(1, 2), exact=True), scores[..., :length])
            assert torch.equal(product(weights[..., :length].clone(), cut, exact=True), found)
