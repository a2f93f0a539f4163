"""Terms in texts: whole words, however the model writes them."""

from __future__ import annotations

import pytest

from seq2x.errors import DataError
from seq2x.predictors import Request
from seq2x.predictors.wording import Terms, Wordings, beginning
from seq2x.text import CharactersConfig, Processor, SubwordsConfig, WordsConfig

LINES = ["the old mill by the river", "a mill wheel turns", "windmills turn", "rivers run by the mill ."]
PROCESSORS: dict[str, Processor] = {
    "words": WordsConfig().learn(LINES),
    "pieces": SubwordsConfig(size=300).learn(LINES * 3),
    "characters": CharactersConfig().learn(LINES),
}
every_processor = pytest.mark.parametrize("name", PROCESSORS)


def need(name: str, text: str, *, must: tuple[str, ...] = (), must_not: tuple[str, ...] = (), ended: bool = True
         ) -> int | None:
    target = PROCESSORS[name]
    return Terms(Request("", must=must, must_not=must_not), target, 1).need(tuple(target.encode(text).ids[:-1]), ended)


@every_processor
def test_terms_are_whole_words(name: str) -> None:
    assert need(name, "the mill turns", must=("mill", "the mill")) == 0
    assert need(name, "the mill", must=("mill",)) == 0
    assert need(name, "windmills turn", must=("mill",)) is None
    assert need(name, "the river", must=("mill", "river")) is None
    assert need(name, "windmills turn", must_not=("mill", "wind")) == 0
    for text in ("the mill turns", "the mill", "mill ."):
        assert need(name, text, must_not=("river", "mill")) is None


def test_pieces_that_write_a_term_otherwise_are_that_term() -> None:
    target = PROCESSORS["pieces"]
    letters = tuple(target.entries.index(letter) for letter in "mill")
    start, blank = tuple(target.encode("the").ids[:-1]), target.entries.index("\u2581")
    assert (*start, blank, *letters) != tuple(target.encode("the mill").ids[:-1])
    assert target.decode((*start, blank, *letters)) == "the mill"
    assert Terms(Request("", must_not=("mill",)), target, 1).need((*start, blank, *letters), True) is None
    assert Terms(Request("", must=("mill",)), target, 1).need((*start, blank, *letters), True) == 0


@every_processor
def test_the_need_falls_to_nothing_token_by_token(name: str) -> None:
    target = PROCESSORS[name]
    terms = Terms(Request("", must=("old mill", "river")), target, 1)
    tokens = tuple(target.encode("the").ids[:-1])
    left = terms.need(tokens, False)
    assert left == sum(map(len, terms.ids)) > 0
    while left:
        assert terms.need(tokens, True) is None
        tokens = (*tokens, next(token for token in sorted(terms.towards(tokens))
                                if terms.need((*tokens, token), False) == left - 1))
        left = terms.need(tokens, False)
    assert terms.need(tokens, True) == 0
    assert "old mill" in target.decode(tokens)


@every_processor
def test_a_term_at_the_end_may_still_become_another_word(name: str) -> None:
    assert need(name, "wind", must_not=("wind",), ended=False) == 0
    assert need(name, "the mill turns", must_not=("mill",), ended=False) is None
    if name == "pieces":  # nothing can undo what ends in no letter
        assert need(name, "run .", must_not=("run .",), ended=False) is None


def test_what_cannot_be_written() -> None:
    for term in ("zebra", " "):
        with pytest.raises(DataError, match=r"text 7: the term .* is nothing that the target vocabulary can write"):
            Terms(Request("", must=(term,)), PROCESSORS["words"], 7)
    terms = Terms(Request("", must_not=("zebra mill",)), PROCESSORS["words"], 7)  # nor can it ever come
    assert terms.need(tuple(PROCESSORS["words"].encode("mill").ids[:-1]), True) == 0
    with pytest.raises(DataError, match="text 7: the beginning 'zebra' holds what"):
        beginning("zebra", PROCESSORS["words"], 7)
    assert beginning("  ", PROCESSORS["words"], 7) == ()


@pytest.mark.parametrize("name", ["must", "must_not"])
def test_one_term_is_a_tuple_too(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}: found the str 'mill'; expected a tuple of terms, as \('mill',\)"):
        Request("the mill", **{name: "mill"})  # else its letters would be terms


def test_a_message_says_what_was_asked_for() -> None:
    terms = Terms(Request("", must=("mill", "river"), must_not=("old",)), PROCESSORS["words"], 1)
    assert str(terms) == "must hold 'mill', 'river' and must not hold 'old'"
    guide = Wordings([None, terms])
    assert [guide.guides(row) for row in range(3)] == [False, True, False]
