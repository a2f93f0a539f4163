"""Tags of which not all is known: what is left of them, in any scheme."""

from __future__ import annotations

from itertools import product

import pytest

from seq2x.errors import DataError
from seq2x.text import tags
from seq2x.text.partial import Paths, check_partial, choices, convert_partial, is_partial, rewrite

SCHEMES: tuple[tags.Scheme, ...] = ("BIO", "IOBES", "BILOU")


def valid(length: int, scheme: tags.Scheme) -> list[tuple[str, ...]]:
    every = tags.complete(["A", "B"], scheme)
    return [found for found in product(every, repeat=length) if not broken(found, scheme)]


def broken(found: tuple[str, ...], scheme: tags.Scheme) -> bool:
    try:
        tags.check(found, scheme)
    except DataError:
        return True
    return False


def fits(found: tuple[str, ...], partial: list[str] | tuple[str, ...]) -> bool:
    return all(not choices(tag) or one in choices(tag) for one, tag in zip(found, partial, strict=True))


@pytest.mark.parametrize("target", ["IOBES", "BILOU"])
@pytest.mark.parametrize("source", SCHEMES)
def test_conversion_keeps_just_the_same_sentences(source: tags.Scheme, target: tags.Scheme) -> None:
    every = valid(3, source)
    for partial in (["?", "?", "?"], ["B-A|O", "?", "O"], ["?", "I-A|O", "?"], ["O|B-B|I-B", "B-A", "?"]):
        if not all(set(choices(tag)) <= set(tags.complete(["A", "B"], source)) for tag in partial):
            continue
        written = convert_partial(partial, source, target)
        kept = {tuple(tags.convert(one, source, target)) for one in every if fits(one, partial)}
        assert {one for one in valid(3, target) if fits(one, written)} == kept


def test_the_words_beside_narrow_a_word() -> None:
    assert convert_partial(["B-A", "O|B-B", "?"], "BIO", "IOBES") == ["S-A", "O|B-B|S-B", "?"]
    assert convert_partial(["?", "I-A", "I-A|O", "?", "B-A"], "BIO", "IOBES") == [
        "?", "E-A|I-A", "E-A|I-A|O", "?", "S-A"]
    assert convert_partial(["?", "I-A", "B-A|O"], "BIO", "BIO") == ["?", "I-A", "B-A|O"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_check_finds_what_leaves_nothing(scheme: tags.Scheme) -> None:
    every, known = valid(3, scheme), tags.complete(["A", "B"], scheme)
    parts = ["?", "O", f"{known[1]}|O", known[2], f"{known[-1]}|{known[2]}", f"{known[4]}|{known[3]}"]
    refused = 0
    for partial in product(parts, repeat=3):
        if any(fits(one, partial) for one in every):
            check_partial(partial, scheme)
        else:
            refused += 1
            with pytest.raises(DataError, match=r"tag \d of 3 is"):
                check_partial(partial, scheme)
    assert refused


@pytest.mark.parametrize(("found", "message"), [
    (["O", "B-A|"], "tag 2 of 2 is 'B-A|'; expected tags parted by '|', or '?' alone"),
    (["B-A|?"], "tag 1 of 1 is 'B-A|?'; expected tags parted by '|'"),
    (["?", "A|O"], "a tag is 'A'; a tag of BIO is O, B-LABEL, I-LABEL (tag 2 of 2)"),
    (["O|B-B", "I-A|I-C", "?"], "tag 2 of 3 is 'I-A|I-C' after 'O|B-B'; BIO has no valid sequence"),
    (["O", "I-A"], "tag 2 of 2 is 'I-A' after 'O'; BIO allows"),
])
def test_what_is_wrong_is_said(found: list[str], message: str) -> None:
    with pytest.raises(DataError) as raised:
        check_partial(found, "BIO")
    assert str(raised.value).startswith(message)


def test_plain_tags() -> None:
    check_partial(["X|Y", "?", "Z"], "none")
    assert convert_partial(["X|Y", "?", "Z"], "none", "none") == ["X|Y", "?", "Z"]
    assert (is_partial(["X", "Y"]), is_partial(["X", "?"]), is_partial(["X|Y"])) == (False, True, True)
    with pytest.raises(DataError, match="expected tags parted by"):
        check_partial(["|"], "none")


def test_a_word_by_itself_in_another_scheme() -> None:
    assert rewrite("B-A-B", "BIO", "IOBES") == ("B-A-B", "S-A-B")
    assert rewrite("I-A", "IOB1", "IOBES") == ("B-A", "E-A", "I-A", "S-A")
    assert rewrite("E-A", "IOBES", "BIO") == ("I-A",)
    assert rewrite("O", "BIO", "BILOU") == ("O",)
    with pytest.raises(DataError, match="a tag is 'E-A'; a tag of BIO is"):
        rewrite("E-A", "BIO", "IOBES")


def test_paths() -> None:
    paths = Paths(tags.legal(["O", "B-A", "I-A", "E-A", "S-A"], "IOBES"))
    assert paths.stuck([]) is None
    assert paths.stuck([{1}, None, {3}]) is None
    assert paths.stuck([{1}, {0}, None]) == 1
    assert paths.stuck([None, {1}]) == 1  # nothing ends there
    assert paths.stuck([{2}]) == 0
    assert (paths.may_open({2, 3}), paths.may_open(None), paths.may_close({1, 2}), paths.may_close({3})) == (
        False, True, False, True)
