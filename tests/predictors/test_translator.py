"""Translators for their users: what is asked of translations, other ways to choose, details, several models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import HEADS, sentences, task, write_run

from seq2x.data.alignments import words_of
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.heads import SamplingConfig, SearchConfig
from seq2x.machine import has_bfloat16
from seq2x.predictors import Request, Translator
from seq2x.predictors.windows import cut_text
from seq2x.search import Hypothesis, Normaliser

TRANSFORMER = {"head": {**HEADS["translate"], "decoder": {
    "kind": "transformer", "width": 16, "layers": 1, "heads": 2, "feedforward": 24}}}
TEXTS = [text for text in sentences(14, seed=3, longest=7) if text.strip()]
SEARCH = SearchConfig(beam_size=4, max_length_ratio=0.5)
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pieces": ("recurrent", "subwords", {}),
    "words": ("recurrent", "words", {}),
    "characters": ("transformer", "characters", TRANSFORMER),
    "transformer": ("transformer", "subwords", TRANSFORMER),
}
every_run = pytest.mark.parametrize("name", RUNS)


@pytest.fixture(scope="module")
def translators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Translator]:
    made = {}
    for name, (encoder, text, settings) in RUNS.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        made[name] = Translator.load(write_run(folder, {"translate": task("translate", **settings)}, encoder, text))
    return made


@every_run
class TestEveryWay:
    WAYS: tuple[dict[str, Any], ...] = (
        {"details": True, "n_best": 3, "search": SEARCH.model_copy(update={"coverage_penalty": 0.3})},
        {"sampling": SamplingConfig(seed=3, temperature=0.7), "n_best": 2, "search": SEARCH},
        {"sampling": SamplingConfig(top_k=9), "mbr": 5, "n_best": 2, "search": SEARCH},
        {"mbr": 4, "search": SEARCH.model_copy(update={"no_repeat_ngram": 2})},
    )

    @pytest.mark.parametrize("way", WAYS)
    def test_the_batch_and_the_order_change_nothing(
        self, translators: dict[str, Translator], name: str, way: dict[str, Any]
    ) -> None:
        translator = translators[name]
        requests = [Request(text, "", must_not=("Der", "ü")) if place % 3 == 0 and "sampling" not in way
                    else Request(text, "Die" if place % 3 == 1 else "") for place, text in enumerate(TEXTS)]
        alone = [translator.translate(request, **way) for request in requests]
        assert translator.translate(requests, **way) == alone
        assert translator.translate(requests[::-1], batch_tokens=200, **way) == alone[::-1]
        assert len({one.text for one in alone}) > len(alone) // 2

    def test_printed_scores_are_the_formula_and_forced_scores(
        self, translators: dict[str, Translator], name: str
    ) -> None:
        translator = translators[name]
        for norm, penalty, coverage in (("gnmt", 0.8, 0.0), ("average", 1.0, 0.5), ("none", 1.0, 0.2)):
            how = SearchConfig(beam_size=3, length_norm=norm, length_penalty=penalty, coverage_penalty=coverage,
                               max_length_ratio=0.5)
            found = translator.translate(TEXTS, search=how, details=True)
            pairs = [(text, one.text) for text, one in zip(TEXTS, found, strict=True)]
            forced = translator.score(pairs, search=how, details=True)
            same = 0
            for one, again in zip(found, forced, strict=True):
                best = one.alternatives[0]
                length = len(best.tokens) + 1
                divisor = {"gnmt": (5 + length) / 6, "average": length, "none": 1}[norm] ** penalty
                sums = [sum(column) for column in zip(*best.attention[0].weights, strict=True)]
                cover = coverage * float(torch.tensor(sums).clamp(1e-6, 1).log().sum())
                assert one.score == pytest.approx(one.log_prob / divisor + cover, abs=1e-4)
                if again.tokens == best.tokens:  # the text may be written in other tokens, too
                    same += 1
                    assert again[:3] == (one.text, pytest.approx(one.score, abs=1e-4),
                                         pytest.approx(one.log_prob, abs=1e-4))
                    assert again.alignment == best.alignment
            assert same >= (len(found) // 2 if name in ("words", "characters") else 0)


@every_run
class TestDemands:
    def test_translations_begin_as_asked(self, translators: dict[str, Translator], name: str) -> None:
        for begin in ("Die", "Der alte", "  Es ist "):
            requests = [Request(text, begin) for text in TEXTS]
            for search in (SEARCH, SearchConfig(beam_size=1, max_length_ratio=0.1)):
                for one in translators[name].translate(requests, search=search, n_best=search.beam_size):
                    assert all(other.text.startswith(begin.strip()) for other in one.alternatives)

    @pytest.mark.parametrize("beam", [1, 3, 8])
    def test_terms_are_held_or_not_held(self, translators: dict[str, Translator], name: str, beam: int) -> None:
        must, must_not = ("Schnee", "rote Drachen"), ("Der", "nicht", "a")
        requests = [Request(text, "", must, must_not) for text in TEXTS[:2]]
        search = SearchConfig(beam_size=beam, max_length_ratio=0.5)
        for one in translators[name].translate(requests, search=search, n_best=min(beam, 2)):
            for other in one.alternatives:
                assert all(re.search(rf"(?<!\w){term}(?!\w)", other.text) for term in must)
                assert not any(re.search(rf"(?<!\w){term}(?!\w)", other.text) for term in must_not)

    def test_what_no_translation_can_be_is_an_error(self, translators: dict[str, Translator], name: str) -> None:
        translator = translators[name]
        impossible = Request("Snow !", must=("Schnee",), must_not=("Schnee",))
        with pytest.raises(DataError, match=r"text 2: no translation .* must hold 'Schnee' and must not hold"):
            translator.translate(["Snow !", impossible], search=SEARCH)
        with pytest.raises(DataError, match="text 5: is empty"):
            translator.translate(Request("  ", must=("Schnee",), number=5))
        with pytest.raises(DataError, match="text 1: is empty"):
            translator.translate(Request("", "Die"))
        with pytest.raises(DataError, match=r"text 1: found .* terms are for texts of one part"):
            translator.translate(Request("kite " * 60, must=("Schnee",)))
        with pytest.raises(ConfigError, match="not for sampling"):
            translator.translate(Request("Snow !", must=("Schnee",)), sampling=SamplingConfig())


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """One that reads tags of languages."""
    folder = tmp_path_factory.mktemp("tags") / "run"
    return Translator.load(write_run(folder, {"translate": task("translate")}, text="tagged subwords"))


class TestTags:
    def test_a_tag_alone_is_an_empty_line(self, tagged: Translator) -> None:
        blank, real = tagged.translate(["<2de>  ", "<2de> Snow !"], search=SEARCH)
        assert (blank.text, blank.windows, real.windows) == ("", 0, 1)

    def test_the_tag_of_every_window_is_the_word_that_the_text_begins_with(self, tagged: Translator) -> None:
        text = "<2de> " + "Snow falls . " * 30
        parts = cut_text(text, tagged.loaded.source, tagged.limit)
        assert len(parts) > 2
        word = tuple(tagged._target.encode("Es").ids[:-1])

        def aligned(place: int) -> list[int]:
            """The word that each part's only word is aligned to, where it looked at one token of the part."""
            outputs = [Hypothesis(word, 0.0, 0.0, torch.eye(len(part.ids))[[place] * (len(word) + 1)])
                       for part in parts]
            whole = tagged._assembly.join(text, [*zip(parts, outputs, strict=True)], Normaliser(), details=True)
            return [source for source, _ in whole.alignment]

        assert aligned(0) == [0] * len(parts)
        lengths = [len(part.text.split()) - 1 for part in parts]
        assert aligned(-2) == [sum(lengths[: place + 1]) for place in range(len(parts))]

    def test_no_output_begins_with_a_tag(self, tagged: Translator) -> None:
        for way in ({}, {"sampling": SamplingConfig()}):
            with pytest.raises(DataError, match="text 1: the beginning '<2fr> Es' holds what the target vocabulary ca"):
                tagged.translate(Request("Snow !", "<2fr> Es"), search=SEARCH, **way)


class TestDetails:
    @every_run
    def test_alignments_are_of_words(self, translators: dict[str, Translator], name: str) -> None:
        texts = [*TEXTS, "Snow falls . " * 30, "a \u00a0 b\u2028c  ½ ﬁne", "x"]
        for text, one in zip(texts, translators[name].translate(texts, search=SEARCH, details=True), strict=True):
            best = one.alternatives[0]
            words, targets = words_of(text), words_of(best.text)
            assert all(0 <= source < len(words) and 0 <= target < len(targets) for source, target in best.alignment)
            assert len(best.alignment) <= len(targets)
            assert [target for _, target in best.alignment] == sorted({target for _, target in best.alignment})
            assert len(best.attention) == one.windows
            assert sum(len(part.target) - 1 for part in best.attention) == len(best.tokens)
            for part in best.attention:
                assert len(part.weights) == len(part.target)
                assert {len(row) for row in part.weights} == {len(part.source)}
                assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in part.weights)
                assert (part.source[-1], part.target[-1]) == ("</s>", "</s>")

    def test_a_word_is_aligned_to_what_its_pieces_looked_at(self, translators: dict[str, Translator]) -> None:
        translator = translators["words"]
        text = "Mira bought seven red kites ."
        best = translator.translate(text, search=SEARCH, details=True).alternatives[0]
        (part,) = best.attention
        for place, row in enumerate(part.weights[:-1]):
            assert (max(range(6), key=row.__getitem__), place) in best.alignment

    def test_nothing_is_added_that_was_not_asked_for(self, translators: dict[str, Translator]) -> None:
        best = translators["words"].translate("Snow !").alternatives[0]
        assert best[3:] == (None, (), (), ())


class TestChoosing:
    def test_samples_are_seeded(self, translators: dict[str, Translator]) -> None:
        translator = translators["pieces"]

        def drawn(seed: int, count: int = 2) -> list[list[str]]:
            found = translator.translate(TEXTS, sampling=SamplingConfig(seed=seed), n_best=count, search=SEARCH)
            return [[other.text for other in one.alternatives] for one in found]

        assert drawn(1) == drawn(1) != drawn(2)
        assert [row[:2] for row in drawn(1, 5)] == drawn(1)  # more of them change none

    def test_the_one_most_like_all_is_chosen(self, translators: dict[str, Translator]) -> None:
        from sacrebleu.metrics.chrf import CHRF

        translator, sampling = translators["words"], SamplingConfig(temperature=0.8)
        drawn = translator.translate(TEXTS[:5], sampling=sampling, n_best=6, search=SEARCH)
        chosen = translator.translate(TEXTS[:5], sampling=sampling, mbr=6, n_best=6, search=SEARCH)
        for samples, ranked in zip(drawn, chosen, strict=True):
            texts = [other.text for other in samples.alternatives]
            means = {one: sum(CHRF().sentence_score(one, [other]).score for other in texts) / 6 for one in texts}
            utilities = [other.utility for other in ranked.alternatives]
            assert utilities == pytest.approx(sorted(means.values(), reverse=True))
            assert {other.text for other in ranked.alternatives} == set(texts)  # each once
            assert means[ranked.text] == pytest.approx(max(means.values()))

    def test_more_than_there_can_be(self, translators: dict[str, Translator]) -> None:
        translator = translators["words"]
        with pytest.raises(ConfigError, match="mbr: found 5; expected 1 to beam_size, which is 4"):
            translator.translate("a", mbr=5, search=SEARCH)
        with pytest.raises(ConfigError, match="n_best: found 3; expected 1 to mbr, which is 2"):
            translator.translate("a", mbr=2, n_best=3, search=SEARCH)
        with pytest.raises(ConfigError, match="on_long: found 'windows'; the choices are 'split', 'error'"):
            translator.translate("a", on_long="windows")  # type: ignore[call-overload]

    def test_many_samples_that_are_alike_are_one(self, translators: dict[str, Translator]) -> None:
        cold = SamplingConfig(temperature=1e-6)
        found = translators["words"].translate(TEXTS[:3], sampling=cold, mbr=6, n_best=6, search=SEARCH)
        assert [len(one.alternatives) for one in found] == [1, 1, 1]

    def test_no_run_of_tokens_comes_twice(self, translators: dict[str, Translator]) -> None:
        search = SEARCH.model_copy(update={"no_repeat_ngram": 2, "max_length_ratio": 2.0})
        plain = SEARCH.model_copy(update={"max_length_ratio": 2.0})
        repeated = {}
        for how in (search, plain):
            found = translators["words"].translate(TEXTS, search=how, details=True)
            runs = [[*zip(one.alternatives[0].tokens, one.alternatives[0].tokens[1:], strict=False)] for one in found]
            repeated[how] = sum(len(row) - len(set(row)) for row in runs)
        assert repeated[search] == 0 < repeated[plain]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of three kinds with the same vocabularies."""
    runs: list[tuple[str, int, dict[str, Any]]] = [
        ("recurrent", 0, {}), ("transformer", 1, TRANSFORMER), ("convolution", 2, {})]
    return [write_run(tmp_path_factory.mktemp("run") / "run", {"translate": task("translate", **settings)},
                      encoder, seed=seed) for encoder, seed, settings in runs]


class TestEnsembles:
    def test_probabilities_are_averaged_in_the_step(self, folders: list[Path]) -> None:
        together = Translator.load(folders)
        each = [Translator.load(folder)._models for folder in folders]
        from seq2x.predictors.base import batch_of

        batch = batch_of([together.loaded.source.encode(text) for text in TEXTS])
        tokens = torch.arange(batch.rows) + 10
        with torch.no_grad():
            log_probs, attention, _ = together._models.step(*together._models.begin(batch)[:2], tokens)
            own = [one.step(*one.begin(batch)[:2], tokens) for one in each]
        mean = torch.stack([found[0].exp() for found in own]).mean(0)
        torch.testing.assert_close(log_probs.exp(), mean)
        assert attention is not None
        torch.testing.assert_close(attention, torch.stack([found[1] for found in own]).mean(0))

    def test_found_and_forced_scores_agree_and_the_batch_changes_nothing(self, folders: list[Path]) -> None:
        together = Translator.load(folders)
        found = together.translate(TEXTS, search=SEARCH, details=True, n_best=3)
        assert [together.translate(text, search=SEARCH, details=True, n_best=3) for text in TEXTS] == found
        assert found != Translator.load(folders[0]).translate(TEXTS, search=SEARCH, details=True, n_best=3)
        for text, one in zip(TEXTS, found, strict=True):
            (again,) = together.score([(text, one.text)], search=SEARCH, details=True)
            if again.tokens == one.alternatives[0].tokens:
                assert again.log_prob == pytest.approx(one.log_prob, abs=1e-4)

    def test_one_model_twice_is_that_model(self, folders: list[Path]) -> None:
        once = Translator.load(folders[:1]).translate(TEXTS, search=SEARCH)
        twice = Translator.load([folders[0], folders[0]]).translate(TEXTS, search=SEARCH)
        assert [one.text for one in twice] == [one.text for one in once]
        assert [one.score for one in twice] == pytest.approx([one.score for one in once], abs=1e-4)

    def test_other_vocabularies_are_refused(self, folders: list[Path], tmp_path: Path) -> None:
        other = write_run(tmp_path / "other", {"translate": task("translate")}, text="words")
        with pytest.raises(RunError, match="same vocabularies; the source vocabulary of the first has not the entries"):
            Translator.load([folders[0], other])

    def test_bfloat16_is_near(self, folders: list[Path]) -> None:
        pairs = [(text, "Es ist nah") for text in TEXTS]
        exact, near = (Translator.load(folders[:2], precision=precision).score(pairs)
                       for precision in ("float32", "bfloat16"))
        assert [one.log_prob for one in near] == pytest.approx([one.log_prob for one in exact], rel=0.05)
        assert near != exact
        chosen = Translator.load(folders[:2], precision="auto").score(pairs)
        assert chosen == (near if has_bfloat16() else exact)
        with pytest.raises(ConfigError, match="precision: found 'float8'"):
            Translator.load(folders[0], precision="float8")  # type: ignore[arg-type]


