"""The translation head: search, forced scoring and training see the same model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from contracts.pieces import HEADS, TARGETS, batch, build, examples
from torch.nn import functional as F

from seq2x.batch import Batch, Tokens
from seq2x.heads.translate import BOS, EOS, PAD, SearchConfig, TranslateHead
from seq2x.model import Model

TRANSLATORS = [name for name in HEADS if name.startswith("translate")]
every_translator = pytest.mark.parametrize("name", TRANSLATORS)
COUNT = 7


def made(name: str) -> tuple[Model, TranslateHead, Batch]:
    model = build("recurrent", name).eval()
    head = model.head("translate")
    assert isinstance(head, TranslateHead)
    return model, head, batch("translate", examples("translate", COUNT))


@every_translator
@torch.no_grad()
def test_one_step_at_a_time_is_teacher_forcing(name: str) -> None:
    model, head, whole = made(name)
    encoded, target = model.encode("translate", whole), whole.target
    assert isinstance(target, Tokens)
    forced = head.scores(encoded, target)
    memory, state = head.begin(encoded)
    for position in range(target.ids.shape[1] - 1):
        log_probs, attention, state = head.step(memory, state, target.ids[:, position])
        stepwise = log_probs.gather(1, target.ids[:, position + 1, None])[:, 0] * target.mask[:, position + 1]
        assert torch.allclose(stepwise, forced[:, position], atol=1e-5)
        assert attention is not None
        assert torch.allclose(attention.sum(-1), torch.ones(COUNT))
        assert (attention[~encoded.mask] == 0).all()


@every_translator
@torch.no_grad()
def test_the_score_of_a_hypothesis_is_its_forced_score(name: str) -> None:
    model, head, whole = made(name)
    encoded = model.encode("translate", whole)
    for norm, penalty in (("gnmt", 1.0), ("average", 0.7), ("none", 0.0)):
        config = SearchConfig(beam_size=4, length_norm=norm, length_penalty=penalty)
        for row, hypotheses in enumerate(head.predict(encoded, config, n_best=4)):
            for found in hypotheses:
                forced = Tokens.of([[BOS, *found.tokens, EOS]])
                log_prob = float(head.scores(encoded.select(torch.tensor([row])), forced).sum())
                assert found.log_prob == pytest.approx(log_prob, rel=1e-4)
                length = len(found.tokens) + 1
                divisor = {"gnmt": (5 + length) / 6, "average": length, "none": 1}[norm] ** penalty
                assert found.score == pytest.approx(found.log_prob / divisor)


@every_translator
@torch.no_grad()
def test_beam_1_is_greedy_over_the_decoder_itself(name: str) -> None:
    model, head, whole = made(name)
    found = head.predict(model.encode("translate", whole), SearchConfig(beam_size=1, max_length_ratio=1.0))
    for row, (hypothesis,) in enumerate(found):
        encoded = model.encode("translate", whole.select(torch.tensor([row])))
        memory, state = head.decoder.begin(encoded, encoded.states)
        tokens, limit = [BOS], int(encoded.mask.sum()) + 10
        while len(tokens) < limit:
            vectors, _, state = head.decoder.advance(memory, state, head.table(torch.tensor([tokens[-1:]])))
            logits = F.linear(vectors[0, 0], head.output.weight, head.output.bias)
            logits[[PAD, BOS]] = -torch.inf
            if int(logits.argmax()) == EOS:
                break
            tokens.append(int(logits.argmax()))
        assert list(hypothesis.tokens) == tokens[1:]


@torch.no_grad()
def test_coverage_changes_the_attention() -> None:
    model, head, whole = made("translate additive")
    encoded = model.encode("translate", whole)
    memory, state = head.begin(encoded)
    assert state.coverage is not None
    tokens = torch.full((COUNT,), 5)
    fresh = head.step(memory, state, tokens)[1]
    positions = torch.arange(encoded.mask.shape[1], dtype=torch.float32)[None, :, None]
    tilted = replace(state, coverage=state.coverage + positions)
    assert fresh is not None
    assert not torch.allclose(fresh, head.step(memory, tilted, tokens)[1])


@torch.no_grad()
def test_a_sentences_limit_is_its_own() -> None:
    model, head, whole = made("translate dot")
    head.output.bias[EOS] = -1e4  # it never ends by itself
    found = head.predict(model.encode("translate", whole), SearchConfig(beam_size=2, max_length_ratio=1.5))
    for (hypothesis,), length in zip(found, whole.source.lengths.tolist(), strict=True):
        assert len(hypothesis.tokens) + 1 == int(length * 1.5) + 10


def test_tied_weights_need_one_vocabulary() -> None:
    from seq2x.heads import Outputs, TranslateHeadConfig

    with pytest.raises(ValueError, match="the source table is 9x256, the target's 30x256"):
        TranslateHeadConfig(tie="all").build((256, 512), 512, Outputs(TARGETS, source=torch.nn.Embedding(9, 256)))
    table = torch.nn.Embedding(TARGETS, 256)
    head = TranslateHeadConfig(tie="all").build((256, 512), 512, Outputs(TARGETS, source=table))
    assert head.output.weight is table.weight
    assert head.table.weight is table.weight
