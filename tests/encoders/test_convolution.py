"""The convolution encoder: what each layer sees, the summary, and what a sentence may not depend on."""

from __future__ import annotations

import pytest
import torch

from seq2x.batch import Tokens
from seq2x.encoders.convolution import ConvolutionEncoder, ConvolutionEncoderConfig
from seq2x.nn.embeddings import EmbeddingConfig

SMALL = ConvolutionEncoderConfig(embedding=EmbeddingConfig(width=16), windows=(2, 3), maps=10, layers=2)


def _encoder(config: ConvolutionEncoderConfig = SMALL) -> ConvolutionEncoder:
    torch.manual_seed(0)
    return config.build(20, None).eval()


def test_every_layer_is_there_and_padding_is_zero() -> None:
    encoder = _encoder()
    encoded = encoder(Tokens.of([[4, 5, 6], [7]]))
    assert encoder.dims == (16, 20, 20)
    assert [layer.shape for layer in encoded.layers] == [(2, 3, width) for width in encoder.dims]
    assert not any(layer[1, 1:].any() for layer in encoded.layers)


def test_the_summary_is_the_highest_of_each_map() -> None:
    encoder = _encoder()
    encoded = encoder(Tokens.of([[4, 5, 6], [7]]))
    torch.testing.assert_close(encoded.summary, torch.stack([encoded.states[0].amax(0), encoded.states[1, 0]]))
    assert encoded.summary.shape == (2, encoder.summary_width)


def test_the_second_layer_adds_to_the_first() -> None:
    encoder, tokens = _encoder(), Tokens.of([[4, 5, 6]])
    _, first, second = encoder(tokens).layers
    windows = [window(first, tokens.mask) for window in encoder.stack[1].windows]
    torch.testing.assert_close(second, first + torch.cat(windows, dim=-1).relu())


def test_a_layer_sees_its_window_and_no_further() -> None:
    encoder = _encoder()
    one, other = (encoder(Tokens.of([[4, 5, 6, 7, 8, token]])).layers for token in (9, 10))
    assert torch.equal(one[1][0, :4], other[1][0, :4])  # widths 2 and 3 reach one token to the right
    assert not torch.equal(one[1][0, 4], other[1][0, 4])
    assert torch.equal(one[2][0, :3], other[2][0, :3])
    assert not torch.equal(one[2][0, 3], other[2][0, 3])


def test_a_sentence_keeps_its_bits_in_any_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 71, (24,), generator=generator).tolist()
    sentences = [torch.randint(1, 20, (length,), generator=generator).tolist() for length in lengths]
    encoder = _encoder()
    with torch.inference_mode():
        together = encoder(Tokens.of(sentences, multiple=16))
        for row, sentence in enumerate(sentences):
            alone = encoder(Tokens.of([sentence], multiple=16).pad_rows())
            assert torch.equal(alone.summary[0], together.summary[row])
            assert torch.equal(alone.states[0, : len(sentence)], together.states[row, : len(sentence)])


@pytest.mark.parametrize("layers", [1, 3])
def test_every_parameter_gets_a_gradient(layers: int) -> None:
    encoder = _encoder(SMALL.model_copy(update={"layers": layers})).train()
    encoder(Tokens.of([[4, 5, 6, 7], [8, 9, 10]])).states.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


def test_dropout_takes_whole_maps() -> None:
    encoder = _encoder(SMALL.model_copy(update={"layers": 1}))
    tokens = Tokens.of([[4, 5, 6, 7]])
    kept = encoder(tokens).states
    dropped = encoder.train()(tokens).states
    gone = (dropped == 0).all(1)
    assert 0 < int((gone & kept.any(1)).sum()) < 20
    torch.testing.assert_close(dropped, torch.where(gone[:, None], 0.0, 2 * kept))
