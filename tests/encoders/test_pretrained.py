"""A pretrained encoder: what it reads is what the library's own model reads; windows, layers, freezing, rates."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import tiny_bert
from torch import Tensor

from seq2x.batch import LENGTH_MULTIPLE, Tokens
from seq2x.encoders.pretrained import PretrainedEncoder, PretrainedEncoderConfig, cut
from seq2x.errors import ConfigError, RunError

SIZE = 40


def build(folder: Path | None = None, **settings: Any) -> PretrainedEncoder:
    config = PretrainedEncoderConfig.model_validate({"model": tiny_bert(SIZE), **settings})
    return config.build(SIZE, None, folder=folder).eval()


def ids(length: int, seed: int = 0) -> list[int]:
    draw = torch.Generator().manual_seed(seed)
    return [*torch.randint(4, SIZE, (length - 1,), generator=draw).tolist(), 3]


def theirs(row: list[int]) -> tuple[Tensor, ...]:
    """Every layer of one sentence, [CLS] first, as the library computes it by default."""
    from transformers import BertModel

    with torch.no_grad():
        model = BertModel.from_pretrained(tiny_bert(SIZE)).eval()
        found = model(input_ids=torch.tensor([[2, *row]]), output_hidden_states=True)
    return tuple(layer[0] for layer in found.hidden_states)


def test_it_reads_what_the_librarys_own_model_reads() -> None:
    rows = [ids(5), ids(17, seed=1)]
    with torch.no_grad():
        encoded = build()(Tokens.of(rows, multiple=LENGTH_MULTIPLE))
    for number, row in enumerate(rows):
        expected = theirs(row)
        assert len(encoded.layers) == len(expected) == 3
        for mine, other in zip(encoded.layers, expected, strict=True):
            torch.testing.assert_close(mine[number, : len(row)], other[1:])
        torch.testing.assert_close(encoded.summary[number], expected[-1][0])


def test_ids_are_turned_into_those_of_the_model() -> None:
    order = [9, 8, 7, 6, *[number for number in range(SIZE) if number not in (9, 8, 7, 6)]]
    moved = PretrainedEncoderConfig(model=tiny_bert(SIZE)).build(SIZE, None, order=order).eval()
    row = ids(6)
    with torch.no_grad():
        states = moved(Tokens.of([row])).states[0]
        expected = moved.model(input_ids=torch.tensor([[7, *[order[number] for number in row]]])).last_hidden_state[0]
    torch.testing.assert_close(states, expected[1:])


def test_without_an_opening_token_the_summary_is_the_mean() -> None:
    encoder = PretrainedEncoderConfig(model=tiny_bert(SIZE)).build(SIZE, None, opens=False).eval()
    row = ids(6)
    with torch.no_grad():
        encoded = encoder(Tokens.of([row, ids(9)]))
        expected = encoder.model(input_ids=torch.tensor([row])).last_hidden_state[0]
    torch.testing.assert_close(encoded.states[0, :6], expected)
    torch.testing.assert_close(encoded.summary[0], expected.mean(0))


class TestLongTexts:
    @given(length=st.integers(0, 400), room=st.integers(1, 60))
    def test_windows_cover_all_and_overlap_by_half(self, length: int, room: int) -> None:
        windows = cut(length, room)
        assert windows[0][0] == 0
        assert windows[-1][1] == length
        assert all(stop - start == min(room, length) for start, stop in windows)
        assert all(right[0] - left[0] <= max(1, room // 2) for left, right in itertools.pairwise(windows))
        assert len(set(windows)) == len(windows)

    def test_each_state_is_that_of_the_window_with_most_context(self) -> None:
        row, encoder = ids(41), build(window=16)
        with torch.no_grad():
            encoded = encoder(Tokens.of([ids(4), row]))
        windows = cut(40, 14)  # beside [CLS] and [SEP]
        assert len(windows) > 4
        read = [theirs([*row[start:stop], 3])[-1] for start, stop in windows]
        for position in range(40):
            context = [min(position - start if start else 99, stop - 1 - position if stop < 40 else 99)
                       if start <= position < stop else -1 for start, stop in windows]
            best = [number for number, value in enumerate(context) if value == max(context)]
            assert any(torch.allclose(encoded.states[1, position], read[number][1 + position - windows[number][0]],
                                      atol=1e-5) for number in best)
        torch.testing.assert_close(encoded.states[1, 40], read[-1][-1])
        torch.testing.assert_close(encoded.summary[1], torch.stack([states[0] for states in read]).mean(0))

    def test_a_long_neighbour_changes_no_bit_of_a_short_text(self) -> None:
        encoder = build(window=16)
        short = Tokens.of([ids(9)], multiple=LENGTH_MULTIPLE).pad_rows()
        both = Tokens.of([ids(9), ids(200)], multiple=LENGTH_MULTIPLE).pad_rows()
        with torch.no_grad():
            assert torch.equal(encoder(short).states[0, :9], encoder(both).states[0, :9])

    def test_the_window_is_what_the_model_has_positions_for(self) -> None:
        assert build().window == 48
        assert build(window=20).window == 16  # so that it can be padded to a multiple of 16
        with pytest.raises(ConfigError, match=r"encoder\.window: found 49; the model has 48 positions"):
            build(window=49)
        from transformers import RobertaConfig, RobertaModel

        from seq2x.encoders import pretrained

        model = RobertaModel(RobertaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                           intermediate_size=8, max_position_embeddings=34, pad_token_id=1))
        assert pretrained._window(model, None) == 32  # its positions begin at 2

    def test_every_parameter_learns_from_long_texts_too(self) -> None:
        encoder = build(window=16, mix="scalar").train()
        encoder(Tokens.of([ids(60), ids(3)])).states.square().sum().backward()
        assert all(parameter.grad is not None for parameter in encoder.parameters())


class TestSettings:
    def test_layers_are_counted_from_below(self) -> None:
        encoder = build(layers=1)
        row = ids(7)
        assert len(encoder.dims) == 2
        torch.testing.assert_close(encoder(Tokens.of([row])).states[0], theirs(row)[1][1:])
        with pytest.raises(ConfigError, match=r"encoder\.layers: found 3; .* has 2 layers"):
            build(layers=3)

    def test_the_mixture_begins_as_the_mean_of_all_layers(self) -> None:
        encoded = build(mix="scalar")(Tokens.of([ids(7)]))
        torch.testing.assert_close(encoded.states, torch.stack(encoded.layers[:-1]).mean(0))

    @pytest.mark.parametrize(("freeze", "trained"), [
        (0, {"embeddings", "layer.0", "layer.1"}), (1, {"layer.0", "layer.1"}), (2, {"layer.1"}), (3, set()),
        (-1, set()),
    ])
    def test_freezing_goes_upward(self, freeze: int, trained: set[str]) -> None:
        found = {name for name, parameter in build(freeze=freeze).named_parameters() if parameter.requires_grad}
        assert {part for name in found for part in ("embeddings", "layer.0", "layer.1") if part in name} == trained

    def test_freezing_more_than_there_is_says_how_much_there_is(self) -> None:
        with pytest.raises(ConfigError, match=r"freeze: found 4; the model has 2 layers and its embeddings: 3 at most"):
            build(freeze=4)

    def test_rates_fall_downward(self) -> None:
        encoder = build(rate=0.1, rate_decay=0.5, mix="scalar")
        factors = encoder.rate_factors()
        assert factors["model.encoder.layer.1.output.dense.weight"] == pytest.approx(0.1)
        assert factors["model.encoder.layer.0.output.dense.bias"] == pytest.approx(0.05)
        assert factors["model.embeddings.word_embeddings.weight"] == pytest.approx(0.025)
        new = {name for name, _ in encoder.named_parameters()} - set(factors)
        assert new == {"mix.weights", "mix.gamma"}

    def test_dropout_is_that_of_the_model_unless_set(self) -> None:
        def rates(encoder: PretrainedEncoder) -> set[float]:
            return {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}

        assert rates(build()) == {0.1}
        assert rates(build(dropout=0.3)) == {0.3}


class TestFolders:
    def test_from_a_runs_folder_it_is_the_same_model_without_weights(self, tmp_path: Path) -> None:
        encoder = build(layers=1, dropout=0.2)
        encoder.save(tmp_path / "pretrained")
        assert [path.name for path in (tmp_path / "pretrained").iterdir()] == ["config.json"]
        assert tiny_bert(SIZE) not in (tmp_path / "pretrained" / "config.json").read_text()
        state = torch.get_rng_state()
        other = build(tmp_path / "pretrained", model="gone", layers=1, dropout=0.2)
        assert torch.equal(state, torch.get_rng_state())  # nothing was drawn
        sizes = [{name: value.shape for name, value in one.named_parameters()} for one in (encoder, other)]
        assert sizes[0] == sizes[1]
        other.load_state_dict(encoder.state_dict())
        tokens = Tokens.of([ids(7)])
        assert torch.equal(encoder(tokens).states, other(tokens).states)

    def test_a_folder_without_config_is_a_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"config\.json: no such file"):
            build(tmp_path)
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(RunError, match=r"config\.json: not the config of a Hugging Face model"):
            build(tmp_path)

    def test_a_model_that_is_not_there_is_a_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"encoder\.model: found '.*nowhere'; expected the folder"):
            build(model=str(tmp_path / "nowhere"))

    def test_weights_as_a_pickle_are_refused(self, tmp_path: Path) -> None:
        shutil.copy(Path(tiny_bert(SIZE), "config.json"), tmp_path)
        torch.save(build().model.state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(ConfigError, match="safetensors"):
            build(model=str(tmp_path))

    def test_weights_that_are_missing_are_not_drawn_at_random(self, tmp_path: Path) -> None:
        shutil.copytree(tiny_bert(SIZE), tmp_path, dirs_exist_ok=True)
        settings = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**settings, "num_hidden_layers": 3}))
        with pytest.raises(ConfigError, match=r"lack encoder\.layer\.2\..* \(16 are missing"):
            build(model=str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({**settings, "vocab_size": 50}))
        with pytest.raises(ConfigError, match="word_embeddings"):
            build(model=str(tmp_path))

    def test_a_tokenizer_that_knows_more_than_the_model_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"its tokenizer knows 41 tokens, it has 40 embeddings"):
            PretrainedEncoderConfig(model=tiny_bert(SIZE)).build(41, None)

    def test_the_library_is_imported_only_for_a_pretrained_encoder(self) -> None:
        code = "import sys, seq2x.settings, seq2x.predictors; print({'transformers', 'tokenizers'} & {*sys.modules})"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == "set()"
