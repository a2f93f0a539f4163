"""Rows, padding, and words out of pieces."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from seq2x.batch import Batch, Encoded, Rows, Tokens, mask_of, pad


def test_pad_and_mask() -> None:
    assert pad([[1, 2], [3]], 4).tolist() == [[1, 2, 0, 0], [3, 0, 0, 0]]
    assert mask_of(torch.tensor([2, 0]), 3).tolist() == [[True, True, False], [False] * 3]
    tokens = Tokens.of([[1, 2, 3], [4]], [[[1], [2, 3], [4]], [[5, 6, 7]]], multiple=2)
    assert tokens.lengths.tolist() == [3, 1]
    assert tokens.characters is not None
    assert tokens.characters[0, 1].tolist() == [2, 3, 0]
    assert tokens.characters[1].tolist() == [[5, 6, 7], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert tokens.shapes is None
    looks = Tokens.of([[1, 2, 3], [4]], shapes=[[5, 6, 7], [8]], multiple=2).shapes
    assert looks is not None
    assert looks.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0]]
    with pytest.raises(ValueError, match="at least one token"):
        Tokens.of([[1], []])


def test_rows_select_repeat_and_drop_however_nested() -> None:
    states, directions = torch.arange(6.0).view(3, 2, 1), (torch.zeros(3, 2, 1), torch.ones(3, 2, 1))
    encoded = Encoded((states, states), torch.ones(3, 2, dtype=torch.bool), torch.arange(3.0)[:, None], directions)
    chosen = encoded.select(torch.tensor([2, 0, 2, 1]))
    assert chosen.summary[:, 0].tolist() == [2.0, 0.0, 2.0, 1.0]
    assert chosen.layers[1][0, :, 0].tolist() == [4.0, 5.0]
    assert chosen.directions is not None
    assert chosen.rows == 4
    assert Batch(Tokens.of([[1], [2], [3]])).pad_rows(4).source.ids[:, 0].tolist() == [1, 2, 3, 1]
    assert encoded.pad_rows(3) is encoded
    assert encoded.to("cpu").rows == 3


def test_other_fields_are_refused() -> None:
    @dataclass(frozen=True)
    class Wrong(Rows):
        tensor: torch.Tensor
        number: int

    with pytest.raises(TypeError, match="found int"):
        Wrong(torch.zeros(2), 3).select(torch.tensor([0]))


@pytest.mark.parametrize(("pool", "expected"), [("first", [0.0, 2.0]), ("last", [1.0, 4.0]), ("mean", [0.5, 3.0])])
def test_words_are_read_at_their_pieces(pool: str, expected: list[float]) -> None:
    states = torch.arange(12.0).view(2, 6, 1)
    encoded = Encoded((states,), torch.ones(2, 6, dtype=torch.bool), states[:, 0])
    spans = torch.tensor([[[0, 2], [2, 5]], [[0, 2], [0, 0]]])
    words = encoded.at(spans, pool)  # type: ignore[arg-type]
    assert words.mask.tolist() == [[True, True], [True, False]]
    assert words.states[0, :, 0].tolist() == expected
    assert words.states[1, 1, 0] == 0
