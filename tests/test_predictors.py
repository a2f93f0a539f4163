"""Text in, predictions out: one result an input, the same whatever stands beside it, lazily."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import ENCODERS, LABELS, SPANS, sentences, task, write_run

from seq2x.batch import Multiples
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.heads import SearchConfig
from seq2x.predictors import Alternative, Classifier, Reading, Tagged, Tagger, Translator
from seq2x.predictors.base import Predictor, batch_of
from seq2x.predictors.windows import cut_text, cut_words, pack
from seq2x.search import Normaliser
from seq2x.text import CharactersConfig, Encoding, SubwordsConfig, WordsConfig, tags

PREDICTORS: dict[str, type[Predictor]] = {"classify": Classifier, "tag": Tagger, "translate": Translator}
every_kind = pytest.mark.parametrize("kind", PREDICTORS)
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each encoder, with a task of each kind."""
    made = {}
    for number, encoder in enumerate(ENCODERS):
        text = "spelt words" if "spelt" in encoder else "subwords"
        tasks = {kind: task(kind) for kind in PREDICTORS}
        made[encoder] = write_run(tmp_path_factory.mktemp("run") / "tiny", tasks, encoder, text, seed=number)
    return made


@pytest.fixture(scope="module")
def tagger(runs: dict[str, Path]) -> Tagger:
    return Tagger.load(runs["recurrent"])


@pytest.fixture(scope="module")
def translator(runs: dict[str, Path]) -> Translator:
    return Translator.load(runs["recurrent"])


def method(predictor: Predictor) -> Any:
    return getattr(predictor, predictor.kind)


class TestIndependence:
    """Exactly the same results, to the last bit, whatever stands beside a sentence, before or after it."""

    @every_kind
    @every_encoder
    def test_of_the_batch_and_the_order(self, runs: dict[str, Path], encoder: str, kind: str) -> None:
        predict = method(PREDICTORS[kind].load(runs[encoder]))
        texts = [*sentences(14), "", sentences(1, seed=5, longest=60)[0] + " Oslo ." * 20, "  "]
        alone = [predict(text) for text in texts]
        assert len({repr(result) for result in alone}) > 9  # not equal for want of anything to differ
        for tokens, window in [(96, 2048), (4096, 5)]:
            assert predict(texts, batch_tokens=tokens, window=window) == alone
        order = random.Random(1).sample(range(len(texts)), len(texts))
        assert predict([texts[index] for index in order]) == [alone[index] for index in order]

    @every_kind
    def test_of_the_model_being_in_training(self, runs: dict[str, Path], kind: str) -> None:
        predictor = PREDICTORS[kind].load(runs["transformer"])
        expected = method(predictor)(sentences(5))
        predictor.loaded.model.train()
        assert method(predictor)(sentences(5)) == expected
        assert predictor.loaded.model.training

    @every_kind
    def test_of_the_random_state(self, runs: dict[str, Path], kind: str) -> None:
        state = torch.get_rng_state()
        predict = method(PREDICTORS[kind].load(runs["convolution"]))
        assert predict(sentences(5)) == predict(sentences(5))
        assert torch.equal(torch.get_rng_state(), state)

    def test_batches_are_padded_as_the_products_need_it(self) -> None:
        batch = batch_of([Encoding([5, 3], [(0, 1)]), Encoding([5, 6, 7, 3], [(0, 2), (2, 3)])])
        assert batch.source.ids.shape == (8, 16)
        assert batch.spans is not None
        assert batch.spans.shape == (8, 16, 2)
        assert batch.spans[1, :3].tolist() == [[0, 2], [2, 3], [0, 0]]
        assert batch_of([Encoding([5, 3], [(0, 1)])], Multiples(2, 4)).source.ids.shape == (2, 4)


class TestOneResultForEachInput:
    ODD = ("", " ", "\t", "\u2028", "a\u2028b", "\u200b", "\x00", "\ud800", "e\u0301", "🙂", "a\nb", "\u2581",
           "<pad> </s>", "日本語。")

    @every_kind
    @every_encoder
    def test_of_odd_lines(self, runs: dict[str, Path], encoder: str, kind: str) -> None:
        results = method(PREDICTORS[kind].load(runs[encoder]))(list(self.ODD))
        assert len(results) == len(self.ODD)

    @every_kind
    @pytest.mark.parametrize("encoder", ["recurrent", "transformer, learned positions"])
    @pytest.mark.parametrize("unit", ["kite ", "kite", "Snow . "])
    def test_of_a_line_of_10000_tokens(self, runs: dict[str, Path], encoder: str, kind: str, unit: str) -> None:
        predict = method(PREDICTORS[kind].load(runs[encoder]))
        if kind == "translate":  # into short lines, for the sake of time
            predict = partial(predict, search=SearchConfig(beam_size=1, max_length_ratio=0.01))
        results = predict(["before", unit * (10_000 // len(unit.split())), "after"])
        assert [results[0], results[2]] == [predict("before"), predict("after")]
        if kind == "tag":
            assert len(results[1].tags) == (1 if unit == "kite" else 10_000)
        else:
            assert results[1].windows >= 10_000 // 40

    @every_kind
    def test_of_no_input_at_all(self, runs: dict[str, Path], kind: str) -> None:
        predict = method(PREDICTORS[kind].load(runs["recurrent"]))
        assert predict([]) == []
        assert list(predict(iter([]))) == []

    @every_kind
    def test_the_lines_of_a_file_lose_their_ends(self, runs: dict[str, Path], kind: str, tmp_path: Path) -> None:
        predict = method(PREDICTORS[kind].load(runs["recurrent"]))
        (tmp_path / "in.txt").write_bytes(b"Old Tarek sings\r\n\nSnow !")
        with (tmp_path / "in.txt").open(encoding="utf-8", newline="\n") as file:
            assert list(predict(file)) == predict(["Old Tarek sings", "", "Snow !"])


class TestLaziness:
    """Generators of any length in constant memory."""

    @every_kind
    def test_reads_one_window_ahead(self, runs: dict[str, Path], kind: str) -> None:
        predict = method(PREDICTORS[kind].load(runs["recurrent"]))
        read = count()

        def endless() -> Iterator[str]:
            for number in read:
                yield ["Snow !", "", "Old Tarek sings"][number % 3]

        results = predict(endless(), window=8)
        assert next(read) == 0  # nothing was read yet
        assert len(list(islice(results, 20))) == 20
        assert next(read) <= 26

    @every_kind
    def test_a_stream_answers_before_the_next_line(self, runs: dict[str, Path], kind: str) -> None:
        predict = method(PREDICTORS[kind].load(runs["recurrent"]))
        lines = ["Snow !", "", "kite " * 100, " ", "It isn't far ."]
        given_out: list[str] = []

        def typed() -> Iterator[str]:
            for number, line in enumerate(lines):
                assert len(given_out) == number
                yield line

        for result in predict(typed(), window=1):
            given_out.append(result)
        assert given_out == predict(lines)

    @every_kind
    def test_mistakes_in_the_call_are_said_at_once(self, runs: dict[str, Path], kind: str) -> None:
        predict = method(PREDICTORS[kind].load(runs["recurrent"]))
        for name in ("batch_tokens", "window"):
            with pytest.raises(ConfigError, match=f"{name}: found 0; expected 1 or more"):
                predict(iter(["a"]), **{name: 0})
        with pytest.raises(TypeError, match="found bytes; expected a text"):
            predict(b"Snow !")
        with pytest.raises(TypeError, match="found NoneType; expected a text"):
            predict(None)
        with pytest.raises(TypeError, match="text 2: found int; expected str"):
            predict(["Snow !", 7])


class TestLoading:
    def test_one_task_of_the_kind_needs_no_name(self, runs: dict[str, Path]) -> None:
        assert Tagger.load(runs["recurrent"]).name == "tag"
        assert Tagger.load(str(runs["recurrent"]), "tag").name == "tag"

    def test_a_run_without_such_a_task(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", {"topics": task("classify")})
        with pytest.raises(RunError) as raised:
            Tagger.load(run)
        assert str(raised.value) == f"{run}: the run has no task of the kind 'tag'; its tasks are 'topics' (classify)"
        with pytest.raises(RunError, match="the task 'topics' is of the kind 'classify', not 'translate'"):
            Translator.load(run, "topics")

    def test_several_tasks_of_the_kind(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", {"topics": task("classify"), "tone": task("classify")})
        with pytest.raises(RunError, match=r"has 2 tasks of the kind 'classify': say which.*'topics' \(classify\)"):
            Classifier.load(run)
        with pytest.raises(RunError, match="no task 'topic'; did you mean 'topics'"):
            Classifier.load(run, "topic")
        assert Classifier.load(run, "tone").classify("Snow !") != Classifier.load(run, "topics").classify("Snow !")

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="no such directory"):
            Classifier.load(tmp_path / "nowhere")


class TestTagger:
    @given(text=st.text(max_size=60) | st.text(alphabet="ab .,'-1", max_size=60))
    def test_offsets_are_of_the_text(self, tagger: Tagger, text: str) -> None:
        result = tagger.tag(text)
        assert result.text == text or text.endswith("\n")
        assert len(result.tags) == len(result.confidence) == len(result.tokens)
        assert all(result.text[token.start : token.end] == token.text for token in result.tokens)
        for span in result.spans:
            assert span.text == result.text[span.start : span.end]
            words = result.tokens[span.first : span.stop]
            assert (words[0].start, words[-1].end) == (span.start, span.end)
            assert span.label in SPANS
            assert 0 < span.confidence <= min(result.confidence[span.first : span.stop]) + 1e-9

    def test_words_are_tagged_as_they_are(self, tagger: Tagger) -> None:
        result = tagger.tag([["Mr. X", "isn't", " ", "in"], ("Oslo",)])
        assert result[0].text == "Mr. X isn't   in"
        assert [tuple(token) for token in result[0].tokens] == [
            ("Mr. X", 0, 5), ("isn't", 6, 11), (" ", 12, 13), ("in", 14, 16)]
        assert result[1] == tagger.tag([["Oslo"]])[0] == tagger.tag("Oslo")

    def test_a_sentence_without_words(self, tagger: Tagger) -> None:
        assert tagger.tag("") == Tagged("", (), (), (), (), 0)
        assert tagger.tag([[], " "]) == [Tagged("", (), (), (), (), 0), Tagged(" ", (), (), (), (), 0)]
        best = tagger.tag([[]], k_best=2, marginals=True)[0]
        assert (best.alternatives, best.marginals) == ((Reading((), (), 1.0),), ())

    def test_confidence_is_a_probability(self, tagger: Tagger) -> None:
        assert all(0 <= value <= 1 for result in tagger.tag(sentences(20)) for value in result.confidence)

    @pytest.mark.parametrize("scheme", ["BIO", "IOB1", "IOBES", "BILOU"])
    def test_tags_are_in_the_scheme_of_the_files(self, tmp_path: Path, tagger: Tagger, scheme: tags.Scheme) -> None:
        run = write_run(tmp_path / "run", {kind: task(kind) for kind in PREDICTORS} | {
            "tag": task("tag", data={"scheme": scheme})})
        texts = sentences(30)
        found = Tagger.load(run).tag(texts)
        assert sum(len(result.spans) for result in found) > 20
        for result, bio in zip(found, tagger.tag(texts), strict=True):  # one model, its tags written in two ways
            assert [(span.label, span.first, span.stop) for span in result.spans] == tags.spans(result.tags, scheme)
            assert result.spans == bio.spans
            assert tags.convert(result.tags, scheme, "BIO") == list(bio.tags)

    def test_plain_tags_have_no_spans(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", {"tag": task("tag", data={"scheme": "none"})})
        result = Tagger.load(run).tag("Snow falls .")
        assert result.spans == ()
        assert set(result.tags) <= set(SPANS)

    def test_long_sentences_are_tagged_in_windows(self, tagger: Tagger) -> None:
        words = ["Snow"] * 500
        result = tagger.tag([words])[0]
        assert len(result.tags) == 500
        assert result.windows > 1
        first = cut_words(words, tagger.loaded.source, tagger.limit)[0]
        assert result.confidence[: first.stop] == tagger.tag([words[: first.stop]])[0].confidence

    def test_what_is_no_sentence(self, tagger: Tagger) -> None:
        with pytest.raises(TypeError, match="sentence 2: found int among its words"):
            tagger.tag([["Snow"], ["Snow", 1]])  # type: ignore[list-item]


class TestClassifier:
    def test_probabilities_are_sorted_and_sum_to_one(self, runs: dict[str, Path]) -> None:
        for result in Classifier.load(runs["recurrent"]).classify(sentences(20)):
            assert sorted(result.probabilities) == LABELS
            values = list(result.probabilities.values())
            assert values == sorted(values, reverse=True)
            assert sum(values) == pytest.approx(1)
            assert (result.label, result.probability) == next(iter(result.probabilities.items()))

    def test_a_long_text_is_the_mean_of_its_parts(self, runs: dict[str, Path]) -> None:
        classifier = Classifier.load(runs["recurrent"])
        text = "The ferry to Bergen leaves at 10:30 . " * 12
        parts = cut_text(text, classifier.loaded.source, classifier.limit)
        each = [classifier.classify(classifier.loaded.source.decode(part.ids)).probabilities for part in parts]
        whole = classifier.classify(text)
        assert whole.windows == len(parts) > 1
        lengths = [len(part.ids) for part in parts]
        for label in LABELS:
            mean = sum(length * one[label] for length, one in zip(lengths, each, strict=True)) / sum(lengths)
            assert whole.probabilities[label] == pytest.approx(mean)


class TestTranslator:
    def test_n_best_come_in_order_with_their_scores(self, translator: Translator) -> None:
        search = SearchConfig(beam_size=4, max_length_ratio=0.5)
        for text, result in zip(sentences(8), translator.translate(sentences(8), search=search, n_best=3), strict=True):
            if not text:
                continue
            assert len(result.alternatives) == 3
            assert (result.text, result.score, result.log_prob) == result.alternatives[0][:3]
            scores = [one.score for one in result.alternatives]
            assert scores == sorted(scores, reverse=True)
            assert result == translator.translate(text, search=search, n_best=3)

    def test_more_than_the_beam_holds(self, translator: Translator) -> None:
        with pytest.raises(ConfigError, match="n_best: found 4; expected 1 to beam_size, which is 3"):
            translator.translate(iter(["a"]), n_best=4)

    def test_an_empty_line_is_an_empty_translation(self, translator: Translator) -> None:
        for blank in ("", "  ", "\u2028", "\u00a0\t"):
            assert translator.translate(blank) == ("", 0.0, 0.0, (Alternative("", 0.0, 0.0),), 0)

    def test_a_translation_is_one_line(self, translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(translator.loaded.target), "decode", lambda *_: "one\ntwo\r\nthree")
        assert translator.translate("Snow !").text == "one two  three"

    def test_a_long_text_is_translated_in_parts(self, translator: Translator) -> None:
        sentence = "The ferry leaves at 10:30 , not earlier ."  # 21 to 40 tokens: one fits, two do not
        assert 20 < len(translator.loaded.source.encode(sentence).ids) <= 40
        result = translator.translate(f"{sentence} {sentence} {sentence}", n_best=2)
        one = translator.translate(sentence, n_best=2)
        assert result.windows == 3
        assert [other.text for other in result.alternatives] == [" ".join([o.text] * 3) for o in one.alternatives]
        assert result.log_prob == pytest.approx(3 * one.log_prob)
        normalise = Normaliser(translator.search.length_norm, translator.search.length_penalty)
        length = next(n for n in range(1, 100) if one.log_prob / normalise(n) == one.score)
        assert result.score == pytest.approx(3 * one.log_prob / normalise(3 * length))

    def test_a_long_text_may_be_an_error(self, translator: Translator) -> None:
        with pytest.raises(DataError, match=r"text 2: found .* tokens, expected at most 40; on_long = 'split'"):
            translator.translate(["Snow !", "kite " * 60], on_long="error")

    def test_given_translations_score_as_found_ones(self, tmp_path: Path) -> None:
        run = write_run(tmp_path / "run", {"translate": task("translate")}, text="words")
        translator = Translator.load(run)
        bias = translator.loaded.model.head("translate").output.bias
        bias.data[1] = -100  # an unknown word would be lost between ids and text
        texts = [text for text in sentences(20) if text]
        found = translator.translate(texts)
        pairs = [(text, result.text) for text, result in zip(texts, found, strict=True)]
        assert len({result.text for result in found}) > 10
        forced = translator.score(pairs)
        for name in ("log_prob", "score"):
            expected = [getattr(result, name) for result in found]
            assert [getattr(one, name) for one in forced] == pytest.approx(expected, abs=1e-4)
        assert [one.text for one in forced] == [result.text for result in found]
        assert list(translator.score(iter(pairs), batch_tokens=1, window=1)) == forced
        assert [translator.score([pair])[0] for pair in pairs] == forced

    def test_what_cannot_be_scored(self, translator: Translator) -> None:
        with pytest.raises(DataError, match=r"pair 2: the text has .* tokens, expected at most 40; a pair is"):
            translator.score([("a", "b"), ("Schnee " * 60, "a")])
        with pytest.raises(DataError, match=r"pair 1: the text is empty, and so is its only translation; found 'b'"):
            translator.score([(" ", "b")])
        scored = translator.score(iter([("a", "b"), ("", "b")]))
        assert next(scored) == translator.score([("a", "b")])[0]  # what is right before what is wrong
        with pytest.raises(DataError, match="pair 2"):
            next(scored)

    def test_what_a_search_may_write_can_be_scored(self, translator: Translator) -> None:
        (long,) = translator.score([("a", "Schnee " * 60)])
        assert long.text == ("Schnee " * 60).strip()
        empty = translator.translate("")
        assert translator.score([("", ""), (" ", " ")]) == [empty.alternatives[0]] * 2
        with pytest.raises(TypeError, match="pair 1: found str; expected"):
            translator.score(["ab"])  # type: ignore[list-item]


class TestWindows:
    WORDS = WordsConfig().learn(["a b c . d"])
    PIECES = SubwordsConfig(size=275).learn(["a b c . d aa bb ab"] * 3)
    CHARACTERS = CharactersConfig().learn(["a b c . d"])

    @given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40), st.integers(1, 20))
    def test_ranges_cover_all_and_fit(self, units: list[tuple[int, bool]], most: int) -> None:
        costs, ends = [cost for cost, _ in units], [end for _, end in units]
        ranges = pack(costs, ends, most)
        assert [index for start, stop in ranges for index in range(start, stop)] == list(range(len(units)))
        assert all(start < stop for start, stop in ranges)
        assert all(sum(costs[start:stop]) <= most or stop - start == 1 for start, stop in ranges)

    def test_a_window_ends_with_a_sentence_if_one_ends_in_its_second_half(self) -> None:
        assert pack([1] * 10, [False] * 2 + [True] + [False] * 7, 5) == [(0, 3), (3, 7), (7, 10)]
        assert pack([1] * 10, [True] + [False] * 9, 5) == [(0, 5), (5, 10)]

    def test_no_window_is_a_mere_remainder(self) -> None:
        assert pack([1] * 6, [False] * 6, 5) == [(0, 3), (3, 6)]

    @given(st.text(alphabet="ab .。", max_size=80) | st.text(max_size=80), st.integers(5, 20))
    def test_windows_of_text_fit_and_lose_nothing(self, text: str, most: int) -> None:
        for processor in (self.WORDS, self.PIECES, self.CHARACTERS):
            parts = cut_text(text, processor, most)
            assert all(len(part.ids) <= most or most < 10 for part in parts)  # one character may be several bytes
            whole, together = processor.encode(text), [number for part in parts for number in part.ids[:-1]]
            if len(parts) == 1:
                assert parts[0].encoding == whole
            if processor is self.CHARACTERS:
                decode = processor.decode
                assert "".join(decode(together).split()) == "".join(decode(whole.ids).split())

    @given(st.lists(st.text(alphabet="abc.", max_size=6), min_size=1, max_size=30), st.integers(5, 20))
    def test_windows_of_words_hold_every_word_once(self, words: list[str], most: int) -> None:
        for processor in (self.WORDS, self.PIECES, self.CHARACTERS):
            windows = cut_words(words, processor, most)
            found = [index for window in windows for index in range(window.first, window.stop)]
            assert found == list(range(len(words)))
            for window in windows:
                assert len(window.encoding.ids) <= most
                assert window.encoding.spans is not None
                assert len(window.encoding.spans) == window.stop - window.first
                assert all(start < stop < len(window.encoding.ids) for start, stop in window.encoding.spans)

    def test_a_text_is_cut_behind_its_sentences(self) -> None:
        parts = cut_text("a b c. d a b. c d a b c d", self.WORDS, 6)
        assert [self.WORDS.decode(part.ids) for part in parts] == ["a b c .", "d a b .", "c d a", "b c d"]

    def test_every_window_begins_with_the_tag_of_the_text(self) -> None:
        lines = ["<2de> a b c. d a b.", "<2fr> c d a b c d"]
        pieces = SubwordsConfig(size=270, symbols=("<2de>", "<2fr>")).learn(lines * 5)
        for tag in ("<2de> ", "<2fr>", ""):
            text = tag + " ".join(lines[0][6:] for _ in range(6))
            parts = cut_text(text, pieces, 12)
            assert len(parts) > 3
            assert all(pieces.tag(part.text) == tag and len(part.ids) <= 12 for part in parts)
            assert all(pieces.encode(part.text) == part.encoding for part in parts)
            assert "".join(part.text[len(tag):] for part in parts).replace(" ", "") == text[len(tag):].replace(" ", "")
