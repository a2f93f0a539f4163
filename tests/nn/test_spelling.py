"""Words spelt by their characters: what a word becomes depends on nothing around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seq2x.batch import Tokens, pad
from seq2x.nn.embeddings import CharacterConvolutionConfig, Embedding, EmbeddingConfig
from seq2x.nn.spelling import SHORT, Spellings, distinct

SIZE = 40
LENGTHS = (3, SHORT, SHORT + 1, 1, 3 * SHORT, 5, 2)


def embedding() -> Embedding:
    torch.manual_seed(0)
    characters = CharacterConvolutionConfig(width=6, maps=5, windows=(2, 3))
    return Embedding(EmbeddingConfig(width=4, characters=characters), 9, SIZE).eval()


def sentence(lengths: tuple[int, ...]) -> Tokens:
    """One sentence of words of these lengths; the same length is the same word."""
    words = [torch.arange(length) % (SIZE - 4) + 4 for length in lengths]
    characters = pad(words)[None]
    ids = torch.ones(characters.shape[:2], dtype=torch.long)
    return Tokens(ids, ids > 0, characters)


def spelt(lengths: tuple[int, ...]) -> Tensor:
    with torch.no_grad():
        return embedding()(sentence(lengths))[0]


def test_long_words_do_not_change_short_ones_nor_short_ones_them() -> None:
    together = spelt(LENGTHS)
    for place, length in enumerate(LENGTHS):
        assert torch.equal(together[place], spelt((length,))[0])


def test_words_stay_in_their_places() -> None:
    order = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1)).tolist()
    assert torch.equal(spelt(tuple(LENGTHS[place] for place in order)), spelt(LENGTHS)[order])


def test_a_word_is_the_best_of_each_map_over_its_characters() -> None:
    made, tokens = embedding(), sentence((7,))
    assert made.spelling is not None
    characters = tokens.characters
    assert characters is not None
    letters = made.spelling.table(characters[0])
    maps = torch.cat([window(letters, characters[0] > 0) for window in made.spelling.windows], dim=-1)
    assert torch.allclose(made(tokens)[0, 0, 4:], maps[0].amax(0).clamp(min=0), atol=1e-6)


def test_gradients_reach_the_characters_of_long_and_short_words() -> None:
    made = embedding().train()
    made(sentence(LENGTHS)).sum().backward()
    assert made.spelling is not None
    gradient = made.spelling.table.weight.grad
    assert gradient is not None
    assert gradient[4 : 4 + SHORT].any()
    assert gradient[4 + SHORT :].any()
    assert not gradient[0].any()


def test_distinct_words_are_those_that_torch_finds() -> None:
    torch.manual_seed(0)
    words = torch.randint(0, 3, (200, 4))
    found, index = distinct(words)
    assert torch.equal(found[index], words)
    assert len(found) == len(torch.unique(words, dim=0)) < 200
    assert torch.equal(distinct(torch.zeros(3, 5, dtype=torch.long))[0], torch.zeros(1, 5, dtype=torch.long))


def test_words_of_the_same_number_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2x.nn.spelling.FACTOR", 0)
    words = torch.tensor([[1, 2], [2, 1], [1, 2]])
    found, index = distinct(words)
    assert torch.equal(found[index], words)
    assert len(found) == 2


def test_what_was_spelt_is_kept_until_the_parameters_change() -> None:
    made, tokens, asked = embedding(), sentence((3, 5, 3)), []
    assert made.spelling is not None
    made.spelling.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    with torch.no_grad():
        first = made(tokens)
        with torch.inference_mode():
            assert torch.equal(made(tokens), first)
        assert asked == [8]
        made.spelling.table.weight.mul_(2)
        changed = made(tokens)
        assert len(asked) == 2
        assert not torch.equal(changed, first)
        made.train().eval()
        assert torch.equal(made(tokens), changed)
        assert len(asked) == 3
    made(tokens).sum().backward()
    assert len(asked) == 4


def test_words_that_are_kept_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2x.nn.spelling.KEPT", 7)
    known, asked = Spellings(), []

    def spell(words: Tensor) -> Tensor:
        asked.append(len(words))
        return words[:, :1].float()

    words = torch.arange(1, 11)[:, None]
    for first in (0, 2, 1, 3, 0):
        part = words[first : first + 3]
        assert torch.equal(known.look_up(part, spell, []), part.float())
    assert asked == [3, 2, 3, 2, 3]  # of the second and the fourth time, one word is known; else all are forgotten
