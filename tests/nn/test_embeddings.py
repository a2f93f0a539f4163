"""Embeddings: pretrained rows, channels, dropout of whole words, spelling by recurrence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from seq2x.batch import Tokens
from seq2x.encoders.transformer import TransformerEncoderConfig
from seq2x.nn.dropout import TypeDropout
from seq2x.nn.embeddings import CharacterRecurrence, CharacterRecurrenceConfig, Embedding, EmbeddingConfig

TOKENS = Tokens.of([[4, 5, 6, 3], [7, 3]])


def build(**settings: Any) -> Embedding:
    torch.manual_seed(0)
    return Embedding(EmbeddingConfig.model_validate({"width": 4, **settings}), 20, 9)


def vectors(mode: str) -> dict[str, str]:
    return {"path": "never opened", "mode": mode}


def rows() -> Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1)) * 5


@pytest.mark.parametrize("mode", ["tuned", "frozen", "two-channel"])
def test_rows_become_vectors_and_the_others_get_their_variance(mode: str) -> None:
    embedding = build(vectors=vectors(mode), width=4)
    plain = build(width=4)
    embedding.fill(torch.tensor([4, 6, 7]), rows())
    embedded = embedding(TOKENS)
    assert embedded.shape == (2, 4, embedding.width)
    for part in embedded.split(4, dim=-1):
        assert torch.equal(part[0, 0], rows()[0])
        assert torch.equal(part[1, 0], rows()[2])
        torch.testing.assert_close(part[0, 1], plain(TOKENS)[0, 1] * rows().std(correction=0) * 2)  # the root of 4
    assert not embedding.table.weight[0].any()


def test_tokens_are_scaled_and_their_spelling_is_not() -> None:
    spelling = {"width": 6, "maps": 3}
    tokens = Tokens.of([[4, 5, 6, 3], [7, 3]], characters=[[[1], [2, 3], [4], []], [[5], []]])
    plain, scaled = (build(width=4, characters=spelling, scale=scale)(tokens) for scale in (False, True))
    assert torch.equal(scaled[..., :4], plain[..., :4] * 2)  # the root of 4
    assert torch.equal(scaled[..., 4:], plain[..., 4:])
    with pytest.raises(ValidationError, match=r"embedding\.scale = true is for other encoders"):
        TransformerEncoderConfig.model_validate({"embedding": {"scale": True}})


def test_which_channel_is_trained() -> None:
    for mode, width, trained in (
        ("tuned", 4, ["table.weight"]), ("frozen", 4, []), ("two-channel", 8, ["table.weight"])
    ):
        embedding = build(vectors=vectors(mode))
        assert embedding.width == width
        assert [name for name, value in embedding.named_parameters() if value.requires_grad] == trained
    assert [name for name, _ in embedding.named_parameters()] == ["table.weight", "static.weight"]


def test_type_dropout_drops_a_word_everywhere_in_a_batch() -> None:
    torch.manual_seed(0)
    ids = torch.arange(50).repeat(3, 2)
    dropped = TypeDropout(0.5)(torch.ones(3, 100, 4), ids, 50)
    assert (dropped == dropped[:1, :50, :1].repeat(3, 2, 4)).all()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (TypeDropout(0.5).eval()(torch.ones(3, 100, 4), ids, 50) == 1).all()


def test_spelling_by_recurrence_is_the_last_states_of_a_packed_network() -> None:
    torch.manual_seed(0)
    spelling = CharacterRecurrence(CharacterRecurrenceConfig(width=5, hidden=3), 9)
    layer, reference = spelling.stack.layers[0], nn.LSTM(5, 3, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.forwards.named_parameters():
            getattr(reference, name).copy_(parameter)
        for name, parameter in layer.backwards.named_parameters():
            getattr(reference, f"{name}_reverse").copy_(parameter)
    words = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 0], [6, 7, 0, 0]])
    packed = pack_padded_sequence(spelling.table(words), torch.tensor([4, 1, 2]), True, enforce_sorted=False)
    expected = torch.cat(tuple(reference(packed)[1][0]), dim=-1)
    torch.testing.assert_close(spelling(words), expected)
    padded = torch.nn.functional.pad(words, (0, 3))
    assert torch.equal(spelling(padded), spelling(words))


def test_a_spelling_is_a_convolution_unless_told_otherwise() -> None:
    def kind(settings: dict[str, Any]) -> str | None:
        characters = EmbeddingConfig.model_validate({"characters": settings}).characters
        return None if characters is None else characters.kind

    assert kind({"maps": 7}) == "convolution"
    assert kind({"kind": "recurrent", "hidden": 7}) == "recurrent"
    with pytest.raises(ValidationError, match="maps"):
        kind({"kind": "recurrent", "maps": 7})
