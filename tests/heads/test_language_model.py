"""The language-model head: what it predicts from what, against a loop over positions; who cannot have one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from contracts.pieces import CHARACTERS, ENCODERS, SIZE, batch, build, examples, parse

from seq2x.batch import LENGTH_MULTIPLE, Encoded
from seq2x.encoders import EncoderConfig
from seq2x.heads import LanguageModelHeadConfig, Outputs
from seq2x.heads.language_model import LanguageModelHead
from seq2x.model import Model

ABLE = [name for name, settings in ENCODERS.items() if settings.get("causal") or settings["kind"] == "bag" or (
    settings["kind"] == "recurrent" and not settings.get("reversed") and not settings.get("front"))]
KIND = "language_model"
LOOKING = ["language_model", "language_model key and value"]


def head_of(model: Model) -> LanguageModelHead:
    head = model.head(KIND)
    assert isinstance(head, LanguageModelHead)
    return head


def by_hand(head: LanguageModelHead, encoded: Encoded, ids: list[int], row: int) -> list[list[float]]:
    """The log-probability of each prediction of a row, one state at a time; [direction][token]."""
    sides: list[list[float]] = []
    for side, network in enumerate(head.networks):
        states = encoded.layers[head.layer] if encoded.directions is None else encoded.directions[side]
        places, wanted = (range(len(ids) - 1), ids[1:]) if side == 0 else (range(1, len(ids)), ids[:-1])
        sides.append([float(network(states[row, place]).log_softmax(-1)[gold if gold < head.size else 1])
                      for place, gold in zip(places, wanted, strict=True)])
    return sides


@pytest.mark.parametrize("encoder", ["recurrent", "recurrent one direction", "recurrent two layers, gru",
                                     "transformer, causal"])
@pytest.mark.parametrize("head", ["language_model", "language_model of the most frequent"])
def test_scores_loss_and_predictions_are_those_of_single_states(encoder: str, head: str) -> None:
    model = build(encoder, head).eval()
    chosen = examples(KIND, 6)
    whole = batch(KIND, chosen)
    with torch.no_grad():
        encoded = model.encode(KIND, whole)
        scores, loss = head_of(model).scores(encoded, whole.source), model(KIND, whole)
        guesses = head_of(model).predict(encoded)
        total = 0.0
        for row, (ids, *_) in enumerate(chosen):
            for side, values in enumerate(by_hand(head_of(model), encoded, ids, row)):
                assert scores[row, : len(ids) - 1, side].tolist() == pytest.approx(values, rel=1e-4)
                assert not scores[row, len(ids) - 1 :, side].any()
                total += sum(values)
            states = encoded.layers[-1] if encoded.directions is None else encoded.directions[0]
            best = [int(head_of(model).networks[0](states[row, place]).argmax()) for place in range(len(ids) - 1)]
            assert guesses[row].following == best
            assert len(guesses[row].previous) == (0 if encoded.directions is None else len(ids) - 1)
    assert float(loss.total) == pytest.approx(-total, rel=1e-4)


@pytest.mark.parametrize("head", LOOKING)
@pytest.mark.parametrize("encoder", ABLE)
def test_no_prediction_has_seen_what_it_predicts(encoder: str, head: str) -> None:
    """Nor anything beyond it: another token there changes no probability but its own, and those of the other side."""
    model = build(encoder, head).eval()
    first = batch(KIND, examples(KIND, 8), LENGTH_MULTIPLE).source
    changed = replace(first, ids=first.ids.clone())
    place = 2
    changed.ids[:, place] = (changed.ids[:, place] + 1) % SIZE
    with torch.no_grad():
        encoded = [model.encoder(tokens) for tokens in (first, changed)]
        # the same gold tokens for both, so that only what the states have seen may differ
        before, after = (head_of(model).scores(each, first) for each in encoded)
    real = first.mask[:, 1:]
    assert torch.equal(before[:, :place, 0], after[:, :place, 0])  # of the tokens up to the place itself
    assert not torch.equal(before[:, place:, 0][real[:, place:]], after[:, place:, 0][real[:, place:]])
    if head_of(model).directions == 2:
        assert torch.equal(before[:, place:, 1], after[:, place:, 1])
        assert not torch.equal(before[:, :place, 1], after[:, :place, 1])


@pytest.mark.parametrize("head", LOOKING)
@pytest.mark.parametrize("encoder", ABLE)
def test_together_is_alone_to_the_bit(encoder: str, head: str) -> None:
    model = build(encoder, head).eval()
    chosen = examples(KIND, 11)
    with torch.no_grad():
        whole = batch(KIND, chosen, LENGTH_MULTIPLE).pad_rows()
        together = head_of(model).scores(model.encode(KIND, whole), whole.source)
        for row, one in enumerate(chosen):
            single = batch(KIND, [one], LENGTH_MULTIPLE).pad_rows()
            alone = head_of(model).scores(model.encode(KIND, single), single.source)[0]
            assert torch.equal(alone[: len(one[0]) - 1], together[row, : len(one[0]) - 1])


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name not in ABLE])
def test_an_encoder_that_sees_both_sides_is_refused(encoder: str) -> None:
    body = parse(EncoderConfig, ENCODERS[encoder]).build(SIZE, CHARACTERS)
    outputs = Outputs(SIZE, direction=body.direction_width, causal=body.causal)
    with pytest.raises(ValueError, match="needs an encoder with two recurrent directions, or one that sees nothing"):
        LanguageModelHeadConfig().build(body.dims, body.summary_width, outputs)


def test_hidden_tokens_want_an_encoder_that_sees_both_sides() -> None:
    with pytest.raises(ValueError, match=r"this encoder sees nothing to the right; expected objective = 'neighbours'"):
        LanguageModelHeadConfig(objective="masked").build((8, 8), 8, Outputs(SIZE, causal=True))


def test_of_a_causal_encoder_any_layer_can_be_read() -> None:
    torch.manual_seed(0)
    for layer in (-2, -1, 0, 1):
        head = LanguageModelHeadConfig(layer=layer).build((6, 8), 8, Outputs(SIZE, causal=True))
        states = torch.randn(2, 5, 6), torch.randn(2, 5, 8)
        encoded = Encoded(states, torch.ones(2, 5, dtype=torch.bool), torch.zeros(2, 8))
        assert [len(one.following) for one in head.predict(encoded)] == [4, 4]


def test_it_learns_a_text_by_heart() -> None:
    """Every token is told by the one before it and the one after it, so that perplexity falls to 1."""
    model = build("recurrent", "language_model").train()
    whole = batch(KIND, [([4, 5, 6, 7, 8, 9, 3], [[1]] * 7, [(0, 6)], [4, 5, 6, 7, 8, 9, 3])])
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    torch.manual_seed(0)
    for _ in range(150):
        loss = model(KIND, whole)
        (loss.total / loss.count).backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    with torch.no_grad():
        loss = model(KIND, whole)
        assert math.exp(float(loss.total / loss.count)) < 1.1
        (found,) = head_of(model).predict(model.encode(KIND, whole))
    assert found.following == [5, 6, 7, 8, 9, 3]
    assert found.previous == [4, 5, 6, 7, 8, 9]


def test_hidden_tokens_are_guessed_by_any_encoder() -> None:
    """Tokens come in pairs, so that each hidden one is told by its neighbour."""
    torch.manual_seed(0)
    body = parse(EncoderConfig, ENCODERS["transformer"]).build(SIZE, CHARACTERS)
    head = LanguageModelHeadConfig(objective="masked", masked=0.3).build(body.dims, body.summary_width, Outputs(SIZE))
    model = Model(body, {KIND: head})
    whole = batch(KIND, [(pair * 4, [[1]] * 8, [(0, 8)], pair * 4) for pair in ([4, 5], [6, 7], [8, 9], [10, 11])])
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        hidden = model.prepare(KIND, whole)
        loss = model(KIND, hidden)
        assert int(loss.count) == model.counts(KIND, hidden)[""] == int(hidden.target.mask.sum()) >= 4
        (loss.total / loss.count).backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    turns = list(head.turns(whole.source))
    guessed = torch.stack([target.mask for _, target in turns]).sum(0)
    assert guessed.tolist() == [[1] * 7 + [0]] * 4  # each but the last, which is the end symbol's place
    with torch.no_grad():
        for source, target in turns:
            assert (source.ids == whole.source.ids).equal(~target.mask)
            scores = head.scores(model.encode(KIND, replace(whole, source=source)), target)[..., 0]
            assert scores[target.mask].exp().min() > 4 / SIZE  # of chance
            assert not scores[~target.mask].any()


def test_the_attention_cannot_part_the_states() -> None:
    settings = LanguageModelHeadConfig.model_validate({"attention": {"kind": "key_value_predict"}})
    with pytest.raises(ValueError, match=r"needs states in 3 equal parts; their width is 8, expected a multiple of 3"):
        settings.build((8, 8), 8, Outputs(SIZE, causal=True))
    with pytest.raises(ValueError, match="objective = 'masked' sees both sides already"):
        LanguageModelHeadConfig.model_validate({"attention": {}, "objective": "masked"})
    with pytest.raises(ValueError, match=r"masked = 0.3 is of objective = 'masked'; found 'neighbours'"):
        LanguageModelHeadConfig.model_validate({"masked": 0.3})


def test_of_two_directions_the_first_layer_is_read() -> None:
    settings = LanguageModelHeadConfig(layer=2)
    with pytest.raises(ValueError, match=r"layer = 2: with two directions the first recurrent layer is read"):
        settings.build((8, 8, 8), 8, Outputs(SIZE, direction=4))
    assert settings.build((8, 8, 8), 8, Outputs(SIZE, causal=True)).layer == 2
