"""The learnt mixture of layers against its formula."""

from __future__ import annotations

import torch

from seq2x.nn.scalar_mix import ScalarMix


def test_it_is_the_published_formula() -> None:
    mix, layers = ScalarMix(3), [torch.randn(2, 4, 5) for _ in range(3)]
    torch.testing.assert_close(mix(layers), torch.stack(layers).mean(0))
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([1.0, -2.0, 0.5]))
        mix.gamma.fill_(3.0)
    exponents = mix.weights.exp()
    expected = 3 * sum(share * layer for share, layer in zip(exponents / exponents.sum(), layers, strict=True))
    torch.testing.assert_close(mix(layers), expected)


def test_every_weight_learns() -> None:
    mix = ScalarMix(3)
    mix([torch.randn(2, 5) for _ in range(3)]).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in mix.parameters())
