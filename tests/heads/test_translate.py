"""The translation head: search, forced scoring and training see the same model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from contracts.pieces import HEADS, TARGETS, batch, build, examples
from torch import Tensor
from torch.nn import functional as F

from seq2x.batch import LENGTH_MULTIPLE, PAD, Batch, Encoded, Rows, Tokens
from seq2x.heads import Outputs, TranslateHeadConfig
from seq2x.heads.outputs import BOS, EOS, UNK, SearchConfig
from seq2x.heads.translate import TranslateHead
from seq2x.model import Model
from seq2x.search import beam_search

TRANSLATORS = [name for name in HEADS if name.startswith("translate")]
every_translator = pytest.mark.parametrize("name", TRANSLATORS)
COUNT = 7


def made(name: str, count: int = COUNT) -> tuple[Model, TranslateHead, Batch]:
    model = build("recurrent", name).eval()
    head = model.head("translate")
    assert isinstance(head, TranslateHead)
    return model, head, batch("translate", examples("translate", count))


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
        memory, state = head.begin(encoded)
        tokens, limit = [BOS], int(encoded.mask.sum()) + 10
        while len(tokens) < limit:
            vectors, _, state = head.decoder.advance(memory, state, head.table(torch.tensor([tokens[-1:]])))
            logits = F.linear(vectors[0, 0], head.output.weight, head.output.bias)
            logits[[PAD, UNK, BOS]] = -torch.inf
            if int(logits.argmax()) == EOS:
                break
            tokens.append(int(logits.argmax()))
        assert list(hypothesis.tokens) == tokens[1:]


@torch.no_grad()
def test_a_silent_token_never_comes_out() -> None:
    torch.manual_seed(0)
    head = TranslateHeadConfig().build((8,), 8, Outputs(20, silent=(7, 9))).eval()
    head.output.bias[[7, 9]] += 100
    states = torch.randn(8, 16, 8)
    encoded = Encoded((states,), torch.ones(8, 16, dtype=torch.bool), states.mean(1))
    found = head.predict(encoded, SearchConfig(beam_size=3, max_length_ratio=0.5), n_best=3)
    assert {7, 9}.isdisjoint(token for row in found for hypothesis in row for token in hypothesis.tokens)


@torch.no_grad()
def test_no_special_comes_out_however_likely() -> None:
    model, head, whole = made("translate additive")
    head.output.bias[[PAD, UNK, BOS]] += 100
    found = head.predict(model.encode("translate", whole), SearchConfig(beam_size=3, max_length_ratio=0.5), n_best=3)
    assert {PAD, UNK, BOS}.isdisjoint(token for row in found for hypothesis in row for token in hypothesis.tokens)


@dataclass(frozen=True)
class Prefix(Rows):
    """A state that is nothing but the tokens so far: every step reads all of them again."""

    tokens: Tensor
    start: Rows


@every_translator
@torch.no_grad()
def test_a_wide_beam_is_one_that_reads_every_prefix_again(name: str) -> None:
    """What a state carries is re-ordered with its hypothesis, and leaves with its sentence."""
    model, head, whole = made(name, count=20)
    encoded, config = model.encode("translate", whole), SearchConfig(beam_size=6, max_length_ratio=0.5)
    found = head.predict(encoded, config, n_best=6)

    def step(memory: Rows, state: Prefix, tokens: Tensor) -> tuple[Tensor, None, Prefix]:
        prefix = torch.cat([state.tokens, tokens[:, None]], 1)
        vectors, _, _ = head.decoder.advance(memory, state.start, head.table(prefix))
        log_probs = F.log_softmax(head.output(vectors[:, -1]), dim=-1)
        forbidden = torch.tensor([PAD, UNK, BOS])
        return log_probs.index_fill(1, forbidden, -torch.inf), None, Prefix(prefix, state.start)

    memory, start = head.begin(encoded)
    limits = (encoded.mask.sum(1) * 0.5).long() + 10
    nothing = Prefix(torch.zeros(20, 0, dtype=torch.long), start)
    again = beam_search(step, memory, nothing, limits, 6, bos=BOS, eos=EOS, n_best=6)
    for ours, expected in zip(found, again, strict=True):
        assert [hypothesis.tokens for hypothesis in ours] == [hypothesis.tokens for hypothesis in expected]
        scores = [hypothesis.log_prob for hypothesis in expected]
        assert [hypothesis.log_prob for hypothesis in ours] == pytest.approx(scores, rel=1e-4)


@every_translator
@torch.no_grad()
def test_a_forced_beginning_is_as_many_steps(name: str) -> None:
    """Some tokens in one call, then the rest in another, is one call with all; and the same for two beams."""
    _, head, whole = made(name)
    encoded, ids = made(name)[0].encode("translate", whole), whole.target.ids[:, :-1]
    memory, state = head.begin(encoded)
    vectors, attention, _ = head.decoder.advance(memory, state, head.table(ids))
    twice = torch.arange(COUNT).repeat_interleave(2)
    state = state.select(twice)
    parts = []
    for part in (ids[twice, :3], ids[twice, 3:]):
        *found, state = head.decoder.advance(memory, state, head.table(part))
        parts.append(found)
    torch.testing.assert_close(torch.cat([part[0] for part in parts], 1), vectors[twice])
    torch.testing.assert_close(torch.cat([part[1] for part in parts], 1), attention[twice])
    assert memory.rows == COUNT


@every_translator
@torch.no_grad()
def test_forced_scores_do_not_depend_on_the_batch_to_the_bit(name: str) -> None:
    model, head, _ = made(name)
    chosen = [(*one[:3], [BOS, *[4 + word % 9 for word in range(3 * row)], EOS])
              for row, one in enumerate(examples("translate", 12))]  # targets of 2 to 35 tokens

    def scores(part: list[tuple[object, ...]]) -> list[list[float]]:
        whole = batch("translate", part, LENGTH_MULTIPLE).pad_rows()
        target = Tokens.of([one[3] for one in part], multiple=LENGTH_MULTIPLE).pad_rows()
        found = head.scores(model.encode("translate", whole), target).tolist()
        return [row[: len(one[3]) - 1] for row, one in zip(found, part, strict=False)]

    assert scores(chosen) == [scores([one])[0] for one in chosen]


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


@pytest.mark.parametrize("ratio", [1e30, float("inf")])
def test_a_ratio_without_end_does_not_end_all_outputs(ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Tensor] = []
    monkeypatch.setattr("seq2x.heads.outputs.beam_search", lambda *arguments, **_: limits.append(arguments[3]) or [[]])
    model, head, whole = made("translate dot")
    head.predict(model.encode("translate", whole), SearchConfig(beam_size=2, max_length_ratio=ratio))
    assert int(limits[0].min()) > 10**6


def test_tied_weights_need_one_vocabulary() -> None:
    from seq2x.heads import Outputs, TranslateHeadConfig

    with pytest.raises(ValueError, match="the source table is 9x256, the target's 30x256"):
        TranslateHeadConfig(tie="all").build((256, 512), 512, Outputs(TARGETS, source=torch.nn.Embedding(9, 256)))
    table = torch.nn.Embedding(TARGETS, 256)
    head = TranslateHeadConfig(tie="all").build((256, 512), 512, Outputs(TARGETS, source=table))
    assert head.output.weight is table.weight
    assert head.table.weight is table.weight
