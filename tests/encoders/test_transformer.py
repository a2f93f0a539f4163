"""The Transformer encoder: positions, norms, limits, and what a sentence may not depend on."""

from __future__ import annotations

import math

import pytest
import torch

from seq2x.batch import Tokens
from seq2x.encoders.transformer import TransformerEncoder, TransformerEncoderConfig
from seq2x.errors import ConfigError, DataError
from seq2x.nn.embeddings import EmbeddingConfig
from seq2x.nn.positions import sinusoids

SMALL = TransformerEncoderConfig(embedding=EmbeddingConfig(width=32), layers=2, heads=4, feedforward=64)


def _encoder(config: TransformerEncoderConfig = SMALL) -> TransformerEncoder:
    torch.manual_seed(0)
    return config.build(20, None).eval()


def _sentences(count: int, longest: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randint(1, 20, (length,), generator=generator).tolist() for length in lengths]


def test_every_layer_is_there_and_padding_is_zero() -> None:
    encoder = _encoder()
    encoded = encoder(Tokens.of([[4, 5, 6], [7]]))
    assert [layer.shape for layer in encoded.layers] == [(2, 3, width) for width in encoder.dims]
    assert not any(layer[1, 1:].any() for layer in encoded.layers)
    torch.testing.assert_close(encoded.states[0].std(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)  # normed
    torch.testing.assert_close(encoded.summary, torch.stack([encoded.states[0].mean(0), encoded.states[1, 0]]))
    assert encoded.summary.shape == (2, encoder.summary_width)


def test_the_first_layer_reads_scaled_embeddings_and_positions() -> None:
    encoder, tokens = _encoder(), Tokens.of([[4, 4, 6]])
    encoded = encoder(tokens)
    first = encoded.layers[0] * math.sqrt(32) + sinusoids(torch.arange(3), 32)
    torch.testing.assert_close(encoder.stack[0](first, tokens.mask[:, None]), encoded.layers[1])
    assert not torch.allclose(encoded.states[0, 0], encoded.states[0, 1])  # one token, two positions


@pytest.mark.parametrize("causal", [True, False])
def test_a_sentence_keeps_its_bits_in_any_batch(causal: bool) -> None:
    encoder, sentences = _encoder(SMALL.model_copy(update={"causal": causal})), _sentences(24, 70)
    with torch.inference_mode():
        together = encoder(Tokens.of(sentences, multiple=16))
        for row, sentence in enumerate(sentences):
            alone = encoder(Tokens.of([sentence], multiple=16).pad_rows())
            assert torch.equal(alone.summary[0], together.summary[row])
            for one, all_ in zip(alone.layers, together.layers, strict=True):
                assert torch.equal(one[0, : len(sentence)], all_[row, : len(sentence)])


def test_training_computes_what_prediction_does() -> None:
    config = SMALL.model_copy(update={"dropout": 0.0})
    encoder, tokens = _encoder(config), Tokens.of(_sentences(5, 9))
    torch.testing.assert_close(encoder.train()(tokens).states, encoder.eval()(tokens).states)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_every_parameter_gets_a_gradient(positions: str) -> None:
    encoder = _encoder(SMALL.model_copy(update={"positions": positions, "dropout": 0.0})).train()
    encoder(Tokens.of([[4, 5, 6, 7], [8, 9, 10]])).states.square().mul(torch.rand(32)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_causal_states_are_those_of_the_text_that_ends_there(positions: str, training: bool) -> None:
    config = SMALL.model_copy(update={"causal": True, "positions": positions, "dropout": 0.0})
    encoder, sentence = _encoder(config).train(training), _sentences(1, 9)[0] + [4, 5, 6]
    whole = encoder(Tokens.of([sentence, [7]]))
    for length in range(1, len(sentence) + 1):
        ended = encoder(Tokens.of([sentence[:length]]))
        torch.testing.assert_close(whole.states[0, :length], ended.states[0])
    assert encoder.causal
    assert not _encoder().causal


def test_learned_positions_end() -> None:
    encoder = _encoder(SMALL.model_copy(update={"positions": "learned", "max_length": 10}))
    short, padded = Tokens.of([[4] * 10]), Tokens.of([[4] * 10], multiple=16)
    torch.testing.assert_close(encoder(padded).states[:, :10], encoder(short).states)
    with pytest.raises(DataError, match=r"a sentence of 11 tokens; the learned positions end at 10"):
        encoder(Tokens.of([[4] * 11, [5]]))


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"encoder.heads: 5 heads do not divide embeddings 32 wide"):
        SMALL.model_copy(update={"heads": 5}).build(20, None)
    with pytest.raises(ConfigError, match=r"encoder.heads: rotary positions need heads of an even width, and there "):
        SMALL.model_copy(update={"heads": 32, "positions": "rotary"}).build(20, None)
