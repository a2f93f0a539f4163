import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x.errors import DataError, RunError
from seq2x.text import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

ODD = ["\u2028", "a\u0085b", "\u00a0", "\r", "x\r", " ", "\t", "\x00", "\x1c", "\ufeff", "ß", "👩\u200d💻"]
ENTRIES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=5)


def test_specials_have_the_ids_that_every_room_relies_on():
    vocabulary = Vocabulary.build({"a": 1})
    assert [vocabulary.entry(number) for number in (PAD, UNK, BOS, EOS)] == list(SPECIALS)
    assert vocabulary.entries == (*SPECIALS, "a")
    assert len(vocabulary) == 5


def test_build_orders_by_count_then_string():
    counts = Counter("bbbaaaccd")
    assert Vocabulary.build(counts, specials=()).entries == ("a", "b", "c", "d")
    assert Vocabulary.build(counts, min_count=2).entries == (*SPECIALS, "a", "b", "c")
    assert Vocabulary.build(counts, size=6).entries == (*SPECIALS, "a", "b")


@given(st.dictionaries(ENTRIES, st.integers(1, 3)))
def test_build_does_not_depend_on_the_order_of_counting(counts):
    backwards = dict(reversed(counts.items()))
    assert Vocabulary.build(counts) == Vocabulary.build(backwards)


def test_unknown_is_unk_with_specials_and_an_error_without():
    assert Vocabulary.build({"a": 1}).id("b") == UNK
    with pytest.raises(DataError, match="'PRE' is not in the vocabulary; did you mean 'PER'"):
        Vocabulary(["PER", "LOC"]).id("PRE")
    with pytest.raises(DataError, match="did you mean 'PER'"):
        Vocabulary(["PER", "LOC"]).require("PRE")


@pytest.mark.parametrize("special", SPECIALS)
def test_a_text_that_spells_a_special_holds_an_unknown_word(special):
    vocabulary = Vocabulary.build({special: 10, "a": 1})
    assert vocabulary.entries == (*SPECIALS, "a")
    assert vocabulary.id(special) == UNK
    assert special not in vocabulary


def test_labels_may_be_spelt_like_a_special():
    labels = Vocabulary(["<s>", "<pad>"])
    assert [labels.id("<s>"), labels.id("<pad>")] == [0, 1]


def test_odd_characters_survive_the_file(tmp_path):
    vocabulary = Vocabulary([*SPECIALS, *ODD])
    vocabulary.save(tmp_path / "v.txt")
    loaded = Vocabulary.load(tmp_path / "v.txt")
    assert loaded == vocabulary
    assert [loaded.id(entry) for entry in ODD] == list(range(4, 4 + len(ODD)))
    assert (tmp_path / "v.txt").read_bytes().count(b"\n") == len(vocabulary)


@given(entries=st.lists(ENTRIES, unique=True, min_size=1))
def test_save_and_load_are_inverse(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("v") / "v.txt"
    Vocabulary(entries).save(path)
    assert Vocabulary.load(path).entries == tuple(entries)


@pytest.mark.parametrize("entry", ["", "a\nb", "\n", "\ud800"])
def test_entries_that_the_file_cannot_hold_are_refused(entry):
    with pytest.raises(DataError, match="line 2 of a vocabulary"):
        Vocabulary(["a", entry])


def test_duplicates_are_refused_with_both_lines():
    with pytest.raises(DataError, match="'b' stands twice in a vocabulary, on lines 2 and 4"):
        Vocabulary(["a", "b", "c", "b"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc\nb\n", "v.txt, line 4: 'b' stands here and on line 2"),
        (b"a\n\nb\n", "v.txt, line 2: an empty line"),
        (b"", "v.txt, line 1: an empty line"),
        (b"a\nb\xffc\n", "v.txt, line 2: not valid UTF-8 at byte 2"),
    ],
)
def test_damaged_files_name_the_line(tmp_path, content, message):
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Vocabulary.load(tmp_path / "v.txt")


def test_missing_file_is_an_error_of_the_run(tmp_path):
    with pytest.raises(RunError, match=r"none\.txt: no such file"):
        Vocabulary.load(tmp_path / "none.txt")


def test_an_edited_file_without_a_last_line_feed_is_read(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"a\nb")
    assert Vocabulary.load(tmp_path / "v.txt").entries == ("a", "b")


def test_entry_refuses_numbers_that_are_no_id():
    vocabulary = Vocabulary(string.ascii_lowercase)
    for number in (-1, 26):
        with pytest.raises(IndexError):
            vocabulary.entry(number)
