# ruff: noqa: RUF001 - letters that look like others are what is tested

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seq2x.config import parse
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.text import EOS, SPECIALS, UNK, Encoding, WordsConfig, split

TEXTS = ["The miller , born in 1931 , isn't old .", ["the", "café", "costs", "2024"], "The café"]
# Made of what the splitter has rules for, so that they meet.
KNOTTY = st.lists(
    st.sampled_from([
        "n't", "'", "’s", "'ll", "n", "t", "Mr", "Dr.", "U.S.", "a.", "b", "1", ",", "3.14", ":", "/", "-", "--", "...",
        ".", "@", "x.com", "www.", "https://", "''", "``", "&", "(", ")", "\u0301", "\u200d", "👩", "💻", "🇩", "🏽",
        " ", "\u2028", "\u200b", "\x00", "_", "你", "क", "ि", "\u00ad", "é", "İ", "ſ",
    ]),
    max_size=12,
).map("".join)


@given(st.one_of(st.text(), KNOTTY))
def test_offsets_point_at_the_words(text):
    end = 0
    for word in split(text):
        assert text[word.start : word.end] == word.text != ""
        assert word.start >= end
        end = word.end


@given(st.one_of(st.text(), KNOTTY))
def test_nothing_visible_is_lost(text):
    words = split(text)
    edges = [0, *(edge for word in words for edge in (word.start, word.end)), len(text)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        assert all(character in "\u200b\ufeff" or not character.isprintable() or character.isspace()
                   for character in text[start:end])


@given(st.one_of(st.text(), KNOTTY))
@example("a'n't ''s 'll''")
def test_what_is_split_stays_as_it_is(text):
    words = [word.text for word in split(text)]
    assert [word.text for word in split(" ".join(words))] == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\u2028\u00a0 ", ""),
        ("Well, (yes)!", "Well | , | ( | yes | ) | !"),
        ("3.14 of 1,000 at 10:30.", "3.14 | of | 1,000 | at | 10:30 | ."),
        ("$5 or 5%", "$ | 5 | or | 5 | %"),
        ("The U.S. army, e.g. Ph.D. men", "The | U.S. | army | , | e.g. | Ph.D. | men"),
        ("the U.S.A, a.b.cd", "the | U.S.A | , | a | . | b | . | cd"),
        ("I left.", "I | left | ."),
        ("Mr. Hay met Dr. Lo.", "Mr. | Hay | met | Dr. | Lo | ."),
        ("don't CAN'T we’ll it's", "do | n't | CA | N'T | we | ’ll | it | 's"),
        ("shouldn't've", "should | n't | 've"),
        ("O'Brien's U.S.'s", "O'Brien | 's | U.S. | 's"),
        ("the millers' dogs", "the | millers | ' | dogs"),
        ("John 's ca n't", "John | 's | ca | n't"),
        ("'hello' ''hi'' ``ho''", "' | hello | ' | '' | hi | '' | `` | ho | ''"),
        ("well-known U.S.-based mid--air -5", "well-known | U.S.-based | mid | -- | air | - | 5"),
        ("AT&T and/or R&D", "AT&T | and | / | or | R&D"),
        ("see https://x.org/a?b=1, (www.foo.de).", "see | https://x.org/a?b=1 | , | ( | www.foo.de | ) | ."),
        ("mail a.b+c@mail.example.org.", "mail | a.b+c@mail.example.org | ."),
        ("a@b." + "c" * 63 + "n't", "a@b." + "c" * 63 + " | n't"),
        ("Example.com's shop", "Example.com | 's | shop"),
        ("wait...what…", "wait | ... | what | …"),
        ("cafe\u0301 नमस्ते می\u200cخواهم", "cafe\u0301 | नमस्ते | می\u200cخواهم"),
        ("ok👩\u200d💻👍🏽🇩🇪!", "ok | 👩\u200d💻 | 👍🏽 | 🇩🇪 | !"),
        ("«Ja», sagte er – „nein“.", "« | Ja | » | , | sagte | er | – | „ | nein | “ | ."),
        ("你好,世界。", "你好 | , | 世界 | 。"),
        ("zero\u200bwidth\x00blank", "zero | width | blank"),
    ],
)
def test_the_splitter_on_what_texts_hold(text, expected):
    assert " | ".join(word.text for word in split(text)) == expected


@pytest.mark.parametrize("unit", ["a.", "a-", "+", "w@", "x.y-", "''s", "n't'", "http://.", "0.", "☺\u200d"])
def test_long_lines_take_no_longer_than_their_length(unit):
    text = unit * 60_000 + "bc"
    start = time.process_time()
    assert split(text)[-1].end == len(text)
    assert time.process_time() - start < 4  # about 0.3; a quadratic rule takes 10 and more


def test_words_and_their_characters():
    processor = WordsConfig(characters=True).learn(TEXTS)
    assert processor.vocabulary.entries[4:8] == (",", "The", "café", ".")
    encoding = processor.encode_words(["The", "mill", "café", ""])
    assert encoding.ids == [5, UNK, 6, UNK, EOS]
    assert encoding.spans == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [len(word) for word in encoding.characters] == [3, 4, 4, 1, 1]
    assert encoding.characters[-2:] == [[UNK], [UNK]]
    assert processor.decode([2, *encoding.ids, 0]) == "The café"


def test_raw_text_is_split_and_has_no_spans():
    processor = WordsConfig(characters=True).learn(TEXTS)
    encoding = processor.encode("The café isn't old.", sample=3)
    assert encoding.spans is None
    assert processor.decode(encoding.ids) == "The café is n't old ."
    assert encoding._replace(spans=None) == processor.encode_words(
        ["The", "café", "is", "n't", "old", "."])._replace(spans=None)


def test_nothing_is_encoded_as_the_end_alone():
    processor = WordsConfig(characters=True).learn(TEXTS)
    assert processor.encode("") == Encoding([EOS], None, [[UNK]])
    assert processor.encode_words([]) == Encoding([EOS], [], [[UNK]])


def test_lowercase_and_digits_change_the_word_but_not_its_characters():
    processor = WordsConfig(lowercase=True, digits=True, characters=True).learn(TEXTS)
    assert processor.vocabulary.entries[4] == "the"
    assert processor.decode(processor.encode_words(["THE", "1987", "٣٤٥٦"]).ids) == "the 0000 0000"
    assert processor.characters.id("T") != processor.characters.id("t")
    digits = processor.encode_words(["1931"]).characters[0]
    assert [processor.characters.entry(number) for number in digits] == list("1931")


def test_sizes_and_counts_limit_the_vocabulary():
    assert WordsConfig(min_count=2).learn(TEXTS).vocabulary.entries == (*SPECIALS, ",", "The", "café")
    processor = WordsConfig(size=5).learn(TEXTS)
    assert processor.size == 5
    assert processor.character_size is None
    assert processor.encode_words(["x"]).characters is None


def test_words_that_no_file_can_hold_are_unknown(tmp_path):
    processor = WordsConfig(characters=True).learn([["a", "\n", "b\nc", "", "\ud800", "<pad>"]])
    assert processor.vocabulary.entries == (*SPECIALS, "a")
    assert set(processor.encode_words(["\n", "", "\ud800", "<pad>"]).ids[:-1]) == {UNK}
    processor.save(tmp_path, "source")


def test_save_and_load(tmp_path):
    config = WordsConfig(characters=True, digits=True)
    processor = config.learn(TEXTS)
    processor.save(tmp_path, "source")
    assert {path.name for path in tmp_path.iterdir()} == {"source.vocabulary.txt", "source.characters.txt"}
    loaded = config.load(tmp_path, "source")
    assert loaded.encode("The café of 2024") == processor.encode("The café of 2024")
    assert (loaded.size, loaded.character_size) == (processor.size, processor.character_size)
    (tmp_path / "source.characters.txt").unlink()
    with pytest.raises(RunError, match=r"source\.characters\.txt: no such file"):
        config.load(tmp_path, "source")


def test_no_text_is_an_error():
    with pytest.raises(DataError, match="no text to learn words from"):
        WordsConfig().learn(["", []])


def test_an_absurdly_long_word_is_spelt_by_its_two_ends():
    made = WordsConfig(characters=True).learn([["ab", "c"]])
    a, b, c = (made.characters.id(letter) for letter in "abc")
    (spelt, _) = made.encode_words(["a" * 100 + "c" * 10_000 + "b" * 100]).characters
    assert spelt == [a] * 100 + [b] * 100
    assert made.encode_words(["c" * 200]).characters[0] == [c] * 200


def test_the_last_words_with_a_visible_pad_word_in_front():
    config = WordsConfig(keep_last=4, pad_to=4, punctuation=False)
    words = config.learn(["The café , they say , isn't old ."])
    assert words.entries[len(SPECIALS)] == "<fill>"
    assert set(words.entries[len(SPECIALS) + 1 :]) == {"The", "café", "they", "say", "is", "n't", "old"}
    fill = words.vocabulary.id("<fill>")
    text = "The old café !"
    assert words.encode(text).ids == [fill, *map(words.vocabulary.id, ("The", "old", "café")), EOS]
    assert words.starts(text) == [-1, 0, 4, 8]
    assert words.encode("").ids == [fill] * 4 + [EOS]
    assert words.encode("they say the café isn't old").ids == [
        *map(words.vocabulary.id, ("café", "is", "n't", "old")), EOS]
    assert words.encode_words(["old", "."]).ids == [words.vocabulary.id("old"), UNK, EOS]
    assert words.encode("<fill>").ids == [fill, fill, fill, UNK, EOS]


def test_a_pad_word_needs_a_greatest_length():
    with pytest.raises(ConfigError, match=r"pad_to = 5 needs keep_last = 5 or more.* found keep_last = 4"):
        parse(WordsConfig, {"pad_to": 5, "keep_last": 4}, "text")
