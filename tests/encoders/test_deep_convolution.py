"""The deep convolution encoder, and the convolution before a recurrent one: sizes, depth, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_data import settings

from seq2x.batch import Tokens
from seq2x.build import build_model
from seq2x.config import parse
from seq2x.encoders.deep_convolution import DeepConvolutionEncoder, DeepConvolutionEncoderConfig
from seq2x.encoders.recurrent import RecurrentEncoderConfig
from seq2x.errors import ConfigError
from seq2x.nn.convolution import Windows
from seq2x.settings import RunConfig
from seq2x.text import Vocabulary, WordsConfig


def deep(**changes: Any) -> DeepConvolutionEncoder:
    torch.manual_seed(0)
    config = {"embedding": {"width": 4}, "maps": [6, 8, 10], "blocks": [1, 1, 1], **changes}
    return parse(DeepConvolutionEncoderConfig, config, "encoder").build(30, None).eval()


def test_every_stage_halves_the_positions() -> None:
    encoder = deep()
    encoded = encoder.train()(Tokens.of([[4] * 21, [5] * 3]))
    assert (encoder.stride, encoder.dims, encoder.summary_width) == (4, (10,), 10)
    assert encoded.states.shape == (2, 6, 10)
    assert encoded.mask.sum(1).tolist() == [6, 1]
    assert torch.equal(encoded.summary, encoded.states.amax(1))


@pytest.mark.parametrize(("blocks", "depth"), [([1, 1, 1, 1], 9), ([2, 2, 2, 2], 17), ([5, 5, 2, 2], 29)])
def test_the_depths_of_the_paper(blocks: list[int], depth: int) -> None:
    """Conneau et al. 2017, table 2, count the convolutions."""
    encoder = deep(maps=[4, 4, 4, 4], blocks=blocks)
    assert sum(isinstance(module, Windows) for module in encoder.modules()) == depth


def test_a_shortcut_adds_what_the_block_reads() -> None:
    plain, short = deep(maps=[6], blocks=[1]), deep(maps=[6], blocks=[1], shortcuts=True)
    tokens = Tokens.of([[4, 5, 6, 7]])
    short.load_state_dict(plain.state_dict())
    read = plain.first(plain.embedding(tokens), tokens.mask)
    above = short(tokens).states - plain(tokens).states
    both = (plain(tokens).states > 0) & (short(tokens).states > 0)
    assert both.any()
    torch.testing.assert_close(above[both], read[both])


def test_stages_need_maps_and_blocks() -> None:
    with pytest.raises(ConfigError, match="maps has 3 stages and blocks 2; expected as many"):
        deep(blocks=[1, 1])


def test_a_recurrence_over_pooled_maps() -> None:
    config = {"embedding": {"width": 4}, "hidden": 5, "bidirectional": False,
              "front": {"maps": 6, "window": 3, "pool": 2}}
    encoder = parse(RecurrentEncoderConfig, config, "encoder").build(30, None)
    encoded = encoder(Tokens.of([[4, 5, 6, 7, 8], [9]]))
    assert [layer.shape for layer in encoded.layers] == [(2, 3, 6), (2, 3, 5)]
    assert encoded.mask.tolist() == [[True] * 3, [True, False, False]]
    assert torch.equal(encoded.summary[1], encoded.states[1, 0])
    assert not encoder.causal  # a window sees the token to its right
    whole = parse(RecurrentEncoderConfig, {**config, "front": {"maps": 6, "pool": 1}}, "encoder").build(30, None)
    assert whole(Tokens.of([[4, 5, 6, 7, 8]])).states.shape == (1, 5, 5)
    assert whole.stride == 1


@pytest.mark.parametrize(("kind", "changes", "message"), [
    ("tag", {"encoder": {"kind": "deep_convolution"}}, "tasks.tag.head: labels or reads single tokens, and the encoder "
     "gives one state for every 8 of them; expected a task of the kind 'classify', or no pooling"),
    ("translate", {"encoder": {"kind": "recurrent", "front": {"pool": 3}}}, "one state for every 3 of them"),
    ("classify", {"encoder": {"kind": "deep_convolution"}, "private": {"kind": "recurrent"}},
     "tasks.classify.private: private and shared states stand side by side at each token"),
    ("classify", {"encoder": {"kind": "deep_convolution"}, "auxiliary": {"kind": "language_model"}},
     "tasks.classify.auxiliary: "),
])
def test_only_whole_texts_have_fewer_positions(kind: str, changes: dict[str, Any], message: str, tmp_path: Any) -> None:
    data = settings(tmp_path, kind).model_dump(mode="json", exclude_none=True, exclude={"encoder"})
    data["encoder"] = changes["encoder"]
    data["tasks"][kind] |= {key: value for key, value in changes.items() if key != "encoder"}
    words = WordsConfig().learn(["ann went to rome"])
    with pytest.raises(ConfigError) as error:
        build_model(parse(RunConfig, data, "run"), words, words, {kind: Vocabulary(["O", "B-X", "I-X", "E-X", "S-X"])})
    assert message in str(error.value)
