"""Products that keep their bits, at the sizes where plain ones do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seq2x.nn import linear
from seq2x.nn.linear import LEAST, FewOutputs, Linear, fast_products, filled, product


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


def test_fast_products_are_as_exact_as_others() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(72, 300), torch.randn(300, 40)
    truth = left.double() @ right.double()
    before = torch.backends.mkldnn.matmul.fp32_precision
    with fast_products():
        found = left @ right
    assert float((found - truth).abs().max()) < 2 * float((left @ right - truth).abs().max()) + 1e-6
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.parametrize("exact", [True, False])
def test_fast_products_are_asked_for_where_they_are_exact(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_exact", lambda: exact)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with fast_products():
        assert torch.backends.mkldnn.matmul.fp32_precision == ("bf16" if exact else before)


def test_rounding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a product is made of rounded numbers, as on processors with AMX."""
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: left.bfloat16().mm(right.bfloat16()).float())
    assert not linear._keeps_bits(8, 64)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 7, 3), (0, 3), (90, 4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = Linear(3, 5, bias=bias), nn.Linear(3, 5, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, theirs):
        states = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        output = layer(states)
        found.append([output, *torch.autograd.grad(output.square().sum(), [states, *layer.parameters()])])
    torch.testing.assert_close(*found)
    states = torch.randn(shape)
    assert torch.equal(ours.eval()(states), theirs(states))


def test_a_linear_layer_without_some_gradient() -> None:
    layer, states = Linear(3, 5), torch.randn(4, 3, requires_grad=True)
    layer.weight.requires_grad_(False)
    layer(states).sum().backward()
    assert states.grad is not None
    assert layer.weight.grad is None
    layer(torch.randn(4, 3)).sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.full((5,), 8.0))


def test_a_linear_layer_under_autocast() -> None:
    layer, states = Linear(3, 5), torch.randn(70, 3, requires_grad=True)
    exact = layer(states)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(states)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)
    gradients = torch.autograd.grad(rounded.float().sum(), [states, layer.weight])
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    expected = torch.autograd.grad(exact.sum(), [states, layer.weight])
    torch.testing.assert_close(gradients, expected, rtol=0.02, atol=0.02)


def test_rows_have_few_sizes() -> None:
    sizes = {len(filled(torch.ones(count, 2), torch.float32)) for count in range(1, 2049)}
    assert len(sizes) == 16 + 28
    rows = filled(torch.ones(17, 2), torch.bfloat16)
    assert rows.dtype == torch.bfloat16
    assert rows.sum(1).tolist() == [2.0] * 17 + [0.0] * 15


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(LEAST, LEAST), (65, 71), (100, 250), (256, 1003), (511, 97), (60, 70)])
def test_a_linear_layer_keeps_the_bits_of_a_row_in_any_batch(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    layer, rows = Linear(inputs, outputs).eval(), torch.randn(1000, inputs)
    with torch.inference_mode():
        for count in (8, 16, 24, 88, 136, 320, 1000):
            together = layer(rows[:count])
            for row in (0, count // 2, count - 1):
                assert torch.equal(layer(rows[row].expand(8, inputs))[0], together[row])
