"""What a tagger says beside its tags, and what it may be told before: all of it exact, whatever the batch is."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import sentences, task, write_run

from seq2x.errors import ConfigError, DataError
from seq2x.predictors import Constraints, Gazetteer, Tagged, Tagger
from seq2x.text import tags
from seq2x.text.tags import Span

ALL = 10_000
"""More alternatives than two words have."""


def made(folder: Path, scheme: str = "BIO", model: str | None = None, **head: Any) -> Tagger:
    settings = {"data": {"scheme": scheme}, "head": {"kind": "tag", **head}}
    if model is not None:
        settings["scheme"] = model
    return Tagger.load(write_run(folder / "run", {"tag": task("tag", limit=20, **settings)}, text="words"))


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Tagger:
    return made(tmp_path_factory.mktemp("tagger"))


def of(spans: Any) -> list[Span]:
    return [Span(span.label, span.first, span.stop) for span in spans]


class TestAlternatives:
    @pytest.mark.parametrize("decoder", ["crf", "softmax"])
    @pytest.mark.parametrize(("scheme", "model"), [("BIO", "IOBES"), ("IOB1", "BIO"), ("IOBES", "IOBES"),
                                                   ("BILOU", "BIO")])
    def test_their_probabilities_are_those_of_whole_sentences(
        self, tmp_path: Path, scheme: tags.Scheme, model: str, decoder: str
    ) -> None:
        tagger = made(tmp_path, scheme, model, decoder=decoder)
        found = tagger.tag("Tarek sings", k_best=ALL, marginals=True)
        every = found.alternatives
        assert len(every) == len({reading.tags for reading in every}) == 1 + 2 * 3 + 2 * 2  # O O; one span; two spans
        assert math.isclose(sum(reading.probability for reading in every), 1)
        assert [reading.probability for reading in every] == sorted(
            (reading.probability for reading in every), reverse=True)
        assert (every[0].tags, list(every[0].spans)) == (found.tags, of(found.spans))
        assert all(tags.spans(reading.tags, scheme) == list(reading.spans) for reading in every)
        for span in found.spans:
            holding = [reading.probability for reading in every if of([span])[0] in reading.spans]
            assert math.isclose(span.confidence, sum(holding))
        if scheme != "IOB1":  # a tag of the model is one of the files, and these are summed
            files = scheme if (scheme, model) != ("BILOU", "BIO") else "BIO"
            for word, given in enumerate(found.marginals):
                for tag, value in given.items():
                    same = [reading.probability for reading in every
                            if tags.convert(reading.tags, scheme, files)[word] == tag]  # type: ignore[arg-type]
                    assert math.isclose(value, sum(same), abs_tol=1e-12)

    def test_k_best_is_the_beginning_of_all(self, tagger: Tagger) -> None:
        every = tagger.tag("Tarek sings in Oslo", k_best=ALL).alternatives
        few = tagger.tag("Tarek sings in Oslo", k_best=3).alternatives
        assert [reading.tags for reading in few] == [reading.tags for reading in every[:3]]
        assert [reading.probability for reading in few] == pytest.approx([one.probability for one in every[:3]])
        assert tagger.tag("Tarek sings in Oslo").alternatives == ()

    def test_windows_of_a_long_sentence_are_combined(self, tagger: Tagger) -> None:
        found = tagger.tag([["Snow", "falls", "."] * 10], k_best=5, marginals=True)[0]
        assert found.windows == 2
        assert len(found.alternatives) == 5
        assert found.alternatives[0].tags == found.tags
        assert len({one.tags for one in found.alternatives}) == 5
        assert [tags.spans(one.tags, "BIO") for one in found.alternatives] == [
            list(one.spans) for one in found.alternatives]
        halves = tagger.tag([["Snow", "falls", "."] * 5], k_best=5)[0].alternatives
        assert found.alternatives[0].probability == pytest.approx(halves[0].probability ** 2)
        assert found.alternatives[1].probability == pytest.approx(halves[0].probability * halves[1].probability)
        assert len(found.marginals) == 30

    def test_marginals_of_plain_tags(self, tmp_path: Path) -> None:
        found = made(tmp_path, "none").tag("Snow falls", marginals=True)
        assert [next(iter(given)) for given in found.marginals] == list(found.tags)
        assert [next(iter(given.values())) for given in found.marginals] == list(found.confidence)

    def test_a_k_that_is_none(self, tagger: Tagger) -> None:
        with pytest.raises(ConfigError, match="k_best: found 0; expected 1 or more"):
            tagger.tag(iter(["a"]), k_best=0)


class TestConstraints:
    def test_probabilities_are_those_given_the_constraints(self, tagger: Tagger) -> None:
        free = tagger.tag("Tarek sings", k_best=ALL).alternatives
        known = Constraints(force={0: ["B-PER", "O"]}, forbid={1: "O"})
        bound = tagger.tag("Tarek sings", k_best=ALL, constraints=known).alternatives
        kept = [one for one in free if one.tags[0] in ("B-PER", "O") and one.tags[1] != "O"]
        assert [one.tags for one in bound] == [one.tags for one in kept]
        total = sum(one.probability for one in kept)
        assert [one.probability for one in bound] == pytest.approx([one.probability / total for one in kept])

    @pytest.mark.parametrize(("scheme", "model"), [("BIO", "IOBES"), ("BIO", "BIO"), ("IOB1", "BILOU")])
    def test_a_span_that_is_corrected_stands_just_there(
        self, tmp_path: Path, scheme: tags.Scheme, model: str
    ) -> None:
        tagger = made(tmp_path, scheme, model)
        text = "Two painters from Lisbon met Mr. Okoye near the mill ."
        for first, stop in ((0, 1), (2, 5), (9, 11)):
            for label in ("LOC", "PER"):
                found = tagger.tag(text, constraints=Constraints(spans=[(label, first, stop)]), k_best=50)
                assert all(Span(label, first, stop) in reading.spans for reading in found.alternatives)
                assert next(span.confidence for span in found.spans if span.first == first) == pytest.approx(1)
                again = tagger.tag(text, constraints=Constraints(spans=found.spans))
                assert of(again.spans) == of(found.spans)
        found = tagger.tag(text, constraints=Constraints(characters=[("PER", 29, 38)]))
        assert ("PER", "Mr. Okoye", 29, 38) in [span[:4] for span in found.spans]

    def test_each_sentence_has_its_own(self, tagger: Tagger) -> None:
        texts = sentences(30, seed=3)
        known = [Constraints(force={0: "B-PER"}) if number % 3 == 0 and text else None
                 for number, text in enumerate(texts)]
        found = tagger.tag(texts, constraints=known, k_best=3, marginals=True, batch_tokens=256)
        assert list(tagger.tag(iter(texts), constraints=iter(known), k_best=3, marginals=True, window=7)) == found
        for text, given, one in zip(texts, known, found, strict=True):  # to the last bit
            assert tagger.tag(text, constraints=given, k_best=3, marginals=True) == one
            assert given is None or one.tags[0] == "B-PER"

    def test_what_is_said_beside_changes_no_tags(self, tagger: Tagger) -> None:
        texts = sentences(20, seed=4)
        plain, told = tagger.tag(texts), tagger.tag(texts, k_best=4, marginals=True)
        assert [one._replace(alternatives=(), marginals=()) for one in told] == plain
        nothing = [Constraints() for _ in texts]
        assert tagger.tag(texts, constraints=nothing) == plain

    def test_a_long_sentence_is_not_cut_in_a_span(self, tagger: Tagger) -> None:
        words = ["Snow", "falls", "."] * 20
        for first in range(14, 24):
            found = tagger.tag([words], constraints=[Constraints(spans=[("LOC", first, first + 6)])])[0]
            assert Span("LOC", first, first + 6) in of(found.spans)
            assert found.windows > 2
        with pytest.raises(DataError, match="sentence 1: the tokens 6 to 36 may not be parted, and together they are "
                                            "longer than the model's limit of 20"):
            tagger.tag([words], constraints=[Constraints(spans=[("LOC", 5, 36)])])

    @pytest.mark.parametrize(("known", "message"), [
        (Constraints(force={1: "B-PER"}, forbid={1: ["B-PER"]}), "sentence 2, token 2 ('sings'): the constraints leave "
         "no legal tags up to here; it may have no tag at all, the token before any tag (IOBES)"),
        (Constraints(force={0: "O", 1: "I-PER"}), "sentence 2, token 2 ('sings'): the constraints leave no legal tags "
         "up to here; it may have I-PER, E-PER, the token before O (IOBES)"),
        (Constraints(force={0: "I-LOC"}), "sentence 2, token 1 ('Tarek'): the constraints leave no legal tags up to "
         "here; it may have I-LOC, E-LOC"),
        (Constraints(spans=[("PER", 0, 2), ("LOC", 1, 2)]), "sentence 2, token 2 ('sings'): the constraints leave no"),
        (Constraints(force={2: "O"}), "sentence 2: a constraint is on word 2, counted from 0; there are 2 words"),
        (Constraints(forbid={0: "B-PRE"}), "sentence 2: the tag 'B-PRE' is not one of the model's; did you mean "
         "'B-PER'?"),
        (Constraints(force={0: []}), "sentence 2: found no tag at all for a word that is constrained"),
        (Constraints(spans=[("ORG", 0, 1)]), "sentence 2: the label 'ORG' is not one of the model's; the choices are "
         "'LOC', 'PER'"),
        (Constraints(spans=[("PER", 1, 3)]), "sentence 2: the span 'PER' from word 1 to 3 does not fit; expected "
         "0 <= first < stop <= 2 words"),
        (Constraints(characters=[("PER", 0, 3)]), "sentence 2: the span 'PER' from character 0 to 3, 'Tar', does not "
         "begin and end with words"),
    ])
    def test_that_cannot_be(self, tagger: Tagger, known: Constraints, message: str) -> None:
        with pytest.raises(DataError) as raised:
            tagger.tag(["Snow !", "Tarek sings"], constraints=[None, known])
        assert str(raised.value).startswith(message)

    def test_spans_need_a_scheme_that_has_them(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="sentence 1: the model's tags have no spans"):
            made(tmp_path, "none").tag("Snow", constraints=Constraints(spans=[("LOC", 0, 1)]))

    def test_as_many_as_sentences(self, tagger: Tagger) -> None:
        with pytest.raises(ConfigError, match="found 1 for 2 sentences; expected one, or None, for each"):
            tagger.tag(["a", "b"], constraints=[None])
        with pytest.raises(ConfigError, match="there are none for sentence 2"):
            list(tagger.tag(iter(["a", "b"]), constraints=[None]))
        with pytest.raises(ConfigError, match="found those of one sentence for several"):
            tagger.tag(["a", "b"], constraints=Constraints())
        with pytest.raises(ConfigError, match="found list for one text"):
            tagger.tag("a", constraints=[None])


class TestGazetteer:
    def test_finds_the_longest_phrase_of_the_first(self, tagger: Tagger) -> None:
        phrases = {"New York": "LOC", "New York Times": "PER", "York City": "LOC", "Mr. Okoye": "PER"}
        known = Gazetteer(phrases)
        assert len(known) == len(phrases)
        texts = ["The New York Times .", "Near New York City", "Mr. Okoye met him", "new york"]
        found = tagger.tag(texts, constraints=known)
        for one, phrase in zip(found, ["New York Times", "New York", "Mr. Okoye", None], strict=True):
            assert phrase is None or (phrase, pytest.approx(1)) in [(span.text, span.confidence) for span in one.spans]
        assert found[3] == tagger.tag("new york")
        told = Gazetteer({"NEW YORK": "LOC"}, ignore_case=True)
        assert "new York" in [span.text for span in tagger.tag("A new York .", constraints=told).spans]

    def test_one_of_several_labels(self, tagger: Tagger) -> None:
        known = Gazetteer({"Tarek sings": ["LOC", "PER"]})
        every = tagger.tag("Old Tarek sings", constraints=known, k_best=ALL).alternatives
        assert {reading.spans[-1] for reading in every} == {Span("LOC", 1, 3), Span("PER", 1, 3)}

    def test_words_that_blanks_part(self, tagger: Tagger) -> None:
        found = tagger.tag([["(Oslo)", "x"]], constraints=Gazetteer({"(Oslo)": "LOC"}))[0]
        assert of(found.spans)[0] == Span("LOC", 0, 1)

    def test_what_is_no_phrase(self) -> None:
        for phrases in ({" ": "LOC"}, {"a": ""}, {"a": []}):
            with pytest.raises(DataError, match="expected a phrase and its label"):
                Gazetteer(phrases)


class TestSplitters:
    def test_of_the_user(self, tagger: Tagger) -> None:
        text = "Old-Tarek sings, Old"
        as_words = tagger.tag(text, split=lambda text: re.split(r"[- ]", text))
        with_places = tagger.tag(text, split=lambda text: [(match[0], *match.span())
                                                           for match in re.finditer(r"[^- ]+", text)])
        assert as_words == with_places
        assert [tuple(token) for token in as_words.tokens] == [
            ("Old", 0, 3), ("Tarek", 4, 9), ("sings,", 10, 16), ("Old", 17, 20)]
        words = tagger.tag([["Old", "Tarek", "sings,", "Old"]])[0]
        assert isinstance(words, Tagged)
        assert (words.tags, words.confidence) == (as_words.tags, as_words.confidence)

    def test_words_that_are_not_in_the_text(self, tagger: Tagger) -> None:
        with pytest.raises(DataError, match=r"sentence 2, token 2 of the splitter: found 'Old'; expected a word of the "
                                            r"text from character 4 on, which is 'Tarek'"):
            tagger.tag(["", "Old Tarek"], split=lambda text: ["Old "[:4], "Old"] if text else [])
        for word in (("Old", 0, 50), ("", 0, 0), ("Old", -1, 3)):
            with pytest.raises(DataError, match="token 1 of the splitter"):
                tagger.tag("Old Tarek", split=lambda _, word=word: [word])  # type: ignore[misc]

    def test_an_empty_token(self, tagger: Tagger) -> None:
        with pytest.raises(DataError, match="sentence 2, token 2 of 3: it is empty; expected a word"):
            tagger.tag([["Snow"], ["Old", "", "Tarek"]])
