"""Each format read well, and each mistake in it named: file, line, found, expected."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from seq2x.data.annotations import Annotation, align
from seq2x.data.examples import Examples, Pair, Tagged, Text
from seq2x.data.readers import (
    PairFormat,
    TaggedFormat,
    TextFormat,
    read_pairs,
    read_tagged,
    read_texts,
    stream_plain,
)
from seq2x.errors import ConfigError, DataError, Seq2xError

BIO = TaggedFormat(scheme="BIO")


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def message(error: pytest.ExceptionInfo[Seq2xError], path: Path) -> str:
    """What the message says, its path cut off, which it must begin with."""
    assert str(error.value).startswith(str(path))
    return str(error.value)[len(str(path)):]


# ------------------------------------------------------------------------------------------------ texts

TEXTS = [("warm", "sun, all day"), ("cold", 'they said "snow"\u2028again')]


@pytest.mark.parametrize(("name", "content", "format"), [
    ("a.tsv", 'warm\tsun, all day\ncold\tthey said "snow"\u2028again\n', {}),
    ("a.txt", '\ufeffwarm\tsun, all day\r\n cold \tthey said "snow"\u2028again\r\n', {}),
    ("a.tsv", 'text\tid\tlabel\nsun, all day\t1\twarm\nthey said "snow"\u2028again\t2\tcold',
     {"label_column": "label", "text_column": "text"}),
    ("a.tsv", 'text\tlabel\nsun, all day\twarm\nthey said "snow"\u2028again\tcold', {"label_column": "label"}),
    ("a.tsv", '1\tsun, all day\twarm\n2\tthey said "snow"\u2028again\tcold\n', {"label_column": -1, "text_column": 1}),
    ("a.csv", 'label,text\nwarm,"sun, all day"\ncold,"they said ""snow""\u2028again"\n', {}),
    ("a.csv", 'a,b\r\n"sun, all day",warm\r\n"they said ""snow""\u2028again",cold\r\n',
     {"label_column": "b", "text_column": "a"}),
    ("a.csv", 'a,b\n"sun, all day",warm\n"they said ""snow""\u2028again",cold\n',
     {"label_column": 1, "text_column": 0}),
    ("a.data", 'label,text\nwarm,"sun, all day"\ncold,"they said ""snow""\u2028again"\n', {"format": "csv"}),
    ("a.jsonl", '{"label": "warm", "text": "sun, all day"}\n'
                '{"text": "they said \\"snow\\"\\u2028again", "label": "cold", "id": 3}\n', {}),
    ("a.jsonl", '{"y": "warm", "x": "sun, all day"}\n{"y": "cold", "x": "they said \\"snow\\"\u2028again"}\n',
     {"label_column": "y", "text_column": "x"}),
])
def test_texts(tmp_path: Path, name: str, content: str, format: dict[str, Any]) -> None:
    path = write(tmp_path / name, content)
    examples = read_texts(path, TextFormat.model_validate(format))
    assert [(example.label, example.text) for example in examples] == TEXTS
    assert all(example.where[0] == str(path) for example in examples)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [example.text for example in read_texts(packed, TextFormat.model_validate(format))] == [
        text for _, text in TEXTS]


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'label,text\nx,"two\nlines"\ny,one\n')
    assert [(example.text, example.where) for example in read_texts(path)] == [
        ("two\nlines", (str(path), 2)), ("one", (str(path), 4))]


def test_a_cell_may_hold_a_book(tmp_path: Path) -> None:
    book = "word " * 100_000
    assert read_texts(write(tmp_path / "a.csv", f'label,text\nx,"{book}"\n'))[0].text == book
    assert csv.field_size_limit() == 131072


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"label": 1, "text": "yes"}\n{"label": 0, "text": "no"}')
    assert [example.label for example in read_texts(path)] == ["1", "0"]


@pytest.mark.parametrize(("name", "content", "format", "expected"), [
    ("a.tsv", "x\tone\ntwo\n", {}, ", line 2: found 1 column, expected 2 columns, as on line 1"),
    ("a.tsv", "one\nx\ttwo\n", {}, ", line 1: found 1 column, expected 2: label, text"),
    ("a.tsv", "x\tone\n\ny\ttwo\n", {}, ", line 2: found an empty line, expected 2 columns, as on line 1"),
    ("a.tsv", "x\t1\tone\n", {}, ", line 1: found 3 columns, expected 2: label, text (to use some columns of many, set "
                                 "label_column and text_column)"),
    ("a.tsv", "x\tone\n", {"text_column": 2}, ", line 1: found 2 column(s), but column 2 is wanted (counted from 0)"),
    ("a.tsv", "label\ttext\nx\tone\n", {"text_column": "txt"},
     ", line 1: the header has no column 'txt'; did you mean 'text'?"),
    ("a.tsv", "x\tone\n \ttwo\n", {}, ", line 2: the label is empty; expected a label and a text"),
    ("a.tsv", "x\tone\ny\t \u00a0\n", {}, ", line 2: the text is empty; expected a label and a text"),
    ("a.csv", "label,text\nx,one\ny,two,three\n", {}, ", line 3: found 3 columns, expected 2 columns, as on line 1 (to "
                                                      "use some columns of many, set label_column and text_column)"),
    ("a.csv", "label,text\nx,one\n\n", {}, ", line 3: found an empty line, expected 2 columns, as on line 1"),
    ("a.csv", "label,text,text\nx,one,two\n", {}, ", line 1: the header names the column 'text' more than once"),
    ("a.csv", "label,text\n", {}, ": holds no texts"),
    ("a.jsonl", '{"label": "x", "text": "one"}\n\n', {},
     ", line 2: found an empty line; expected one JSON object a line"),
    ("a.jsonl", '{"label": "x", "text": "one"}\n["x", "two"]', {},
     ', line 2: found a list (["x", "two"]); expected one JSON object a line'),
    ("a.jsonl", '{"label": "x", "txt": "one"}', {}, ", line 1: the key 'text' is missing; did you mean 'txt'?"),
    ("a.jsonl", '{"label": true, "text": "one"}', {}, ", line 1: 'label': found true, expected a string"),
    ("a.jsonl", '{"label": "x", "text": null}', {}, ", line 1: 'text': found null, expected a string"),
    ("a.jsonl", '{"label": "x", "text": "\\ud83d"}', {},
     ", line 1: 'text': found half of a surrogate pair in '\\ud83d', expected Unicode text"),
])
def test_malformed_texts(tmp_path: Path, name: str, content: str, format: dict[str, Any], expected: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as raised:
        read_texts(path, TextFormat.model_validate(format))
    assert message(raised, path) == expected


@pytest.mark.parametrize(("name", "content", "line", "expected"), [
    ("a.csv", 'label,text\nx,one\ny,"two\nz,three\n', 3, "found a malformed CSV row"),
    ("a.csv", 'label,text\nx,"one" two\n', 2, "expected cells parted by commas"),
    ("a.jsonl", '{"label": "x", "text": "one"}\n{"label": "x", text}', 2, "found invalid JSON at character 16: "),
    ("a.jsonl", '{"label": ' + "1" * 5000 + "}", 1, "found invalid JSON Exceeds the limit"),
    ("a.jsonl", "[" * 100_000, 1, "found invalid JSON"),
])
def test_malformed_rows(tmp_path: Path, name: str, content: str, line: int, expected: str) -> None:
    with pytest.raises(DataError, match=rf"{name}, line {line}: .*{expected}"):
        read_texts(write(tmp_path / name, content))


def test_json_lines_have_no_positions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"label": "x", "text": "one"}')
    with pytest.raises(ConfigError, match="column 1 must be a name"):
        read_texts(path, TextFormat(label_column="label", text_column=1))


# ------------------------------------------------------------------------------------------------ tagged

COLUMNS = "Anna N B-PER\nLund N I-PER\nsings V O\n\n\nHello I O\n"
SENTENCES = [(("Anna", "Lund", "sings"), ("B-PER", "I-PER", "O")), (("Hello",), ("O",))]


def read(path: Path, format: TaggedFormat = BIO) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    return [(example.words, example.tags) for example in read_tagged(path, format)]


@pytest.mark.parametrize("content", [
    COLUMNS, COLUMNS.replace(" ", "\t"), COLUMNS.replace(" ", "   "), COLUMNS.replace("\n", "\r\n"), "\ufeff" + COLUMNS,
    COLUMNS.removesuffix("\n"), "\n" + COLUMNS + "\n\t\n", "-DOCSTART- -X- O\n\n" + COLUMNS + "\n-DOCSTART- O\n\n",
])
def test_columns(tmp_path: Path, content: str) -> None:
    assert read(write(tmp_path / "a.conll", content)) == SENTENCES


def test_places_of_sentences(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", COLUMNS)
    assert [example.where for example in read_tagged(path, BIO)] == [(str(path), 1), (str(path), 6)]


def test_any_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", COLUMNS)
    assert read(path, TaggedFormat(scheme="none", tag_column=1))[0] == (("Anna", "Lund", "sings"), ("N", "N", "V"))
    assert read(path, TaggedFormat(scheme="none", word_column=1, tag_column=0))[1] == (("I",), ("Hello",))


def test_odd_words_stay_whole(tmp_path: Path) -> None:
    words = ("#", "a\u2028b", "10\u00a0000", "\u3000", "x\u0085y")
    path = write(tmp_path / "a.txt", "".join(f"{word} O\n" for word in words))
    assert read(path) == [(words, ("O",) * 5)]


@pytest.mark.parametrize(("content", "format", "expected"), [
    ("a B-X\nb O\nc I-X\n", {}, ", line 3: tag 3 of 3 is 'I-X' after 'O'; BIO allows O or B-* here"),
    ("a O\n\nb O\nc O\nd I-X\n", {}, ", line 5: tag 3 of 3 is 'I-X' after 'O'; BIO allows O or B-* here"),
    ("a O\n\nb I-X\n", {}, ", line 3: tag 1 of 1 is 'I-X' at the start; BIO allows O or B-* here"),
    ("a O\nb X\n", {}, ", line 2: tag 2 of 2 is 'X'; a tag of BIO is O, B-LABEL, I-LABEL"),
    ("a O\nb B-X\n", {"scheme": "IOBES"}, ", line 2: the tags end after tag 2, 'B-X'; IOBES expects I-X or E-X next"),
    ("a O\nb C O\n", {}, ", line 2: found 3 columns, expected 2 as on line 1"),
    ("a A O\nb\n", {}, ", line 2: found 1 column, expected 3 as on line 1"),
    ("a\nb\n", {}, ", line 1: found 1 column, expected at least 2: a word and its tag"),
    ("a O\n", {"tag_column": 2},
     ", line 1: found 2 columns, but tag_column is 2 (counted from 0, -1 = the last)"),
    ("a O\n", {"word_column": 1}, ", line 1: word_column and tag_column are both column 1"),
    ("a\tO\n\tO\n", {}, ", line 2: the word (column 0, counted from 0) is empty"),
    ("a\tO\nb\t \n", {}, ", line 2: the tag (column 1, counted from 0) is empty"),
    ("\n\n", {}, ": holds no sentences"),
])
def test_malformed_columns(tmp_path: Path, content: str, format: dict[str, Any], expected: str) -> None:
    path = write(tmp_path / "a.conll", content)
    with pytest.raises(DataError) as raised:
        read_tagged(path, TaggedFormat.model_validate({"scheme": "BIO", **format}))
    assert message(raised, path) == expected


def unit(id: str, form: str, upos: str = "X", xpos: str = "Y") -> str:
    return "\t".join([id, form, "_", upos, xpos, "_", "_", "_", "_", "_"]) + "\n"


CONLLU = ("# sent_id = 1\n# text = im Haus.\n" + unit("1-2", "im") + unit("1", "in", "ADP")
          + unit("2", "dem", "DET", "ART") + unit("3", "Haus", "NOUN", "NN") + unit("3.1", "steht")
          + unit("3.2", "da") + unit("4", ".", "PUNCT", "$.")
          + "\n# sent_id = 2\n" + unit("0.1", "ich") + unit("1", "2 000", "NUM", "CARD") + "\n")


def test_conllu_reads_the_syntactic_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conllu", CONLLU)
    assert read(path, TaggedFormat(scheme="none")) == [
        (("in", "dem", "Haus", "."), ("ADP", "DET", "NOUN", "PUNCT")), (("2 000",), ("NUM",))]
    for column in ("xpos", 4):
        assert read(path, TaggedFormat(scheme="none", tag_column=column))[0][1] == ("Y", "ART", "NN", "$.")
    assert [example.where[1] for example in read_tagged(path, TaggedFormat(scheme="none"))] == [4, 13]


@pytest.mark.parametrize(("content", "expected"), [
    (unit("1", "a") + "2\tb\tX\n", ", line 2: found 3 columns parted by TABs, expected the 10 of CoNLL-U"),
    (unit("1", "a") + unit("3", "b"), ", line 2: found the id '3' after 1 words, expected 2"),
    (unit("2-3", "ab") + unit("1", "a"), ", line 1: found the id '2-3' after 0 words, expected a range from 1"),
    (unit("1-0", "ab") + unit("1", "a"), ", line 1: found the id '1-0' after 0 words, expected a range from 1"),
    (unit("1", "a") + unit("0.1", "b"), ", line 2: found the id '0.1' after 1 words, expected 1.1"),
    (unit("x", "a"), ", line 1: found the id 'x', expected a number, a range 1-2 or an empty node 1.1"),
    (unit("1-3", "ab") + unit("1", "a") + unit("2", "b") + "\n",
     ", line 4: found the end of the sentence, expected word 3 of the multiword token"),
    (unit("1", ""), ", line 1: the word (column 1, counted from 0) is empty"),
    ("# only a comment\n\n", ": holds no sentences"),
])
def test_malformed_conllu(tmp_path: Path, content: str, expected: str) -> None:
    path = write(tmp_path / "a.conllu", content)
    with pytest.raises(DataError) as raised:
        read_tagged(path, TaggedFormat(scheme="none"))
    assert message(raised, path) == expected


def test_tagged_settings_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CoNLL-U has no column 'upo'; did you mean 'upos'"):
        read_tagged(write(tmp_path / "a.conllu", CONLLU), TaggedFormat(scheme="none", tag_column="upo"))
    with pytest.raises(ConfigError, match="CoNLL columns have no names; found 'upos'"):
        read_tagged(write(tmp_path / "a.conll", COLUMNS), TaggedFormat(scheme="BIO", tag_column="upos"))
    with pytest.raises(ConfigError, match="JSON lines have no columns"):
        read_tagged(write(tmp_path / "a.jsonl", "{}"), TaggedFormat(scheme="BIO", tag_column=1))


TEXT = "\u00c5sa Lind (Ume\u00e5) sings."


@pytest.mark.parametrize("record", [
    {"tokens": ["\u00c5sa", "Lind", "(", "Ume\u00e5", ")", "sings", "."],
     "tags": ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "O"]},
    {"text": TEXT, "spans": [{"start": 10, "end": 14, "label": "LOC"}, {"start": 0, "end": 8, "label": "PER"}]},
    {"text": TEXT, "spans": [[0, 8, "PER"], [10, 14, "LOC"]], "id": 7},
    {"text": TEXT, "label": [[0, 8, "PER"], [10, 14, "LOC"]]},
    {"text": TEXT, "entities": [{"id": 1, "start_offset": 0, "end_offset": 9, "label": "PER"}, [10, 14, "LOC"]]},
    {"text": TEXT, "tokens": [{"text": "\u00c5sa", "start": 0}], "spans": [[0, 8, "PER"], [10, 14, "LOC"]]},
])
@pytest.mark.parametrize("ascii", [True, False])
def test_annotations(tmp_path: Path, record: dict[str, Any], ascii: bool) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps(record, ensure_ascii=ascii))
    assert list(read_tagged(path, BIO)) == [
        Tagged(("\u00c5sa", "Lind", "(", "Ume\u00e5", ")", "sings", "."),
               ("B-PER", "I-PER", "O", "B-LOC", "O", "O", "O"), (str(path), 1))]


def test_annotations_in_another_scheme(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": TEXT, "spans": [[0, 8, "PER"], [10, 14, "LOC"]]}))
    assert read(path, TaggedFormat(scheme="IOBES"))[0][1] == ("B-PER", "E-PER", "O", "S-LOC", "O", "O", "O")


def test_a_span_that_cuts_a_word_splits_it() -> None:
    words, spans = align("pre-Rome days", [Annotation(4, 8, "LOC")])
    assert (words, [tuple(span) for span in spans]) == (["pre-", "Rome", "days"], [("LOC", 1, 2)])
    words, spans = align("abcdef", [Annotation(2, 4, "B"), Annotation(0, 2, "A")])
    assert (words, [tuple(span) for span in spans]) == (["ab", "cd", "ef"], [("A", 0, 1), ("B", 1, 2)])


@pytest.mark.parametrize(("record", "expected"), [
    ({"text": "one two", "spans": [[0, 5, "A"], [4, 7, "B"]]},
     "the spans 0-5 'A' and 4-7 'B' overlap; expected spans apart"),
    ({"text": "one two", "spans": [[4, 8, "A"]]}, "the span 4-8 'A' does not lie in the text, which has 7 characters"),
    ({"text": "one two", "spans": [[3, 3, "A"]]}, "the span 3-3 'A' does not lie in the text, which has 7 characters"),
    ({"text": "one two", "spans": [[3, 4, "A"]]}, "the span 3-4 'A' holds no word, only ' '"),
    ({"text": "one two", "spans": {"start": 0}}, "'spans': found an object ({\"start\": 0}), expected a list of spans"),
    ({"text": "one two", "spans": [[0, 3, 7]]}, "'spans', span 1, label: found a number (7), expected a string"),
    ({"text": "one two"}, "found the keys 'text'; expected 'tokens' and 'tags', or 'text' and 'spans'"),
    ({"text": " ", "spans": []}, "the text ' ' holds no word"),
    ({"tokens": ["a", "b"], "tags": ["O"]}, "found 2 tokens and 1 tags, expected one tag a token"),
    ({"tokens": ["a", "b"], "tags": ["O", "I-X"]}, "tag 2 of 2 is 'I-X' after 'O'; BIO allows O or B-* here"),
    ({"tokens": [], "tags": []}, "'tokens': found an empty list, expected one or more strings"),
    ({"tokens": ["a", ""], "tags": ["O", "O"]}, "'tokens': found an empty string, expected one or more strings"),
    ({"tokens": ["a", 1], "tags": ["O", "O"]}, "'tokens', item 2: found a number (1), expected a string"),
])
def test_malformed_annotations(tmp_path: Path, record: dict[str, Any], expected: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n' + json.dumps(record))
    with pytest.raises(DataError) as raised:
        read_tagged(path, BIO)
    assert message(raised, path) == f", line 2: {expected}"


@pytest.mark.parametrize("span", [[0, 3], [0, 3, ""], [0, "3", "A"], [0, True, "A"], {"start": 0, "label": "A"}, 3])
def test_malformed_span(tmp_path: Path, span: Any) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "one two", "spans": [span]}))
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: 'spans', span 1: found .*; expected a start, an end"):
        read_tagged(path, BIO)


def test_spans_need_a_scheme(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "one two", "spans": []}))
    with pytest.raises(DataError, match="the scheme 'none' cannot write"):
        read_tagged(path, TaggedFormat(scheme="none"))


# ------------------------------------------------------------------------------------------------ pairs

PAIRS = [("a dog", "ein Hund"), ("two\u2028cats", "zwei Katzen")]


def sides(examples: Examples[Pair]) -> list[tuple[str, str | None]]:
    return [(example.source, example.target) for example in examples]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_aligned_files(tmp_path: Path, end: str) -> None:
    source = write(tmp_path / "a.en", "".join(text + end for text, _ in PAIRS))
    target = tmp_path / "a.de.gz"
    target.write_bytes(gzip.compress("\ufeffein Hund\nzwei Katzen".encode()))
    examples = read_pairs(source, target)
    assert sides(examples) == PAIRS
    assert [example.where for example in examples] == [(str(source), 1), (str(source), 2)]
    assert examples.report == ""


def test_sources_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.en", "a dog\ntwo\u2028cats\n")
    assert sides(read_pairs(path, None, PairFormat(format="lines"))) == [("a dog", None), ("two\u2028cats", None)]


@pytest.mark.parametrize(("name", "content", "format"), [
    ("a.tsv", "a dog\tein Hund\ntwo\u2028cats\tzwei Katzen\n", {}),
    ("a.txt", "a dog\tein Hund\t1\ntwo\u2028cats\tzwei Katzen\t2\n", {"source_column": 0, "target_column": 1}),
    ("a.csv", "target,source\nein Hund,a dog\nzwei Katzen,two\u2028cats\n", {}),
    ("a.jsonl", '{"en": "a dog", "de": "ein Hund"}\n{"en": "two\\u2028cats", "de": "zwei Katzen"}',
     {"source_column": "en", "target_column": "de"}),
])
def test_pairs_in_one_file(tmp_path: Path, name: str, content: str, format: dict[str, Any]) -> None:
    assert sides(read_pairs(write(tmp_path / name, content), None, PairFormat.model_validate(format))) == PAIRS


def test_unequal_files_say_both_counts(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a.en", "x\n" * 1200), write(tmp_path / "a.de", "x\n" * 1199)
    with pytest.raises(DataError) as raised:
        read_pairs(source, target)
    assert str(raised.value) == (f"found 1,200 lines in {source} and 1,199 lines in {target}; "
                                 "expected as many, line by line translations of each other")


def test_empty_sides_are_errors_or_counted(tmp_path: Path) -> None:
    source, target = write(tmp_path / "a.en", "a\n\nc\nd\n"), write(tmp_path / "a.de", "A\nB\n \nD\n")
    with pytest.raises(DataError) as raised:
        read_pairs(source, target)
    assert str(raised.value) == f"{source}, line 2: the source is empty; expected text (or skip_empty = true)"
    examples = read_pairs(source, target, PairFormat(skip_empty=True))
    assert sides(examples) == [("a", "A"), ("d", "D")]
    assert examples[1].where == (str(source), 4)
    assert examples.report == f"{source}: skipped 2 of 4 pairs for an empty side, the first on line 2"
    write(source, "a\nb\nc\nd\n")
    with pytest.raises(DataError) as raised:
        read_pairs(source, target)
    assert str(raised.value) == f"{target}, line 3: the target is empty; expected text (or skip_empty = true)"
    write(source, "\n\n\n\n")
    with pytest.raises(DataError, match=r"a\.en: holds no pairs"):
        read_pairs(source, target, PairFormat(skip_empty=True))


def test_pairs_wrong_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tA\nb\n")
    with pytest.raises(DataError) as raised:
        read_pairs(path)
    assert message(raised, path) == ", line 2: found 1 column, expected 2 columns, as on line 1"


def test_pair_settings_that_do_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tA\n")
    with pytest.raises(ConfigError, match="'tsv' holds both sides in one file, yet a target file"):
        read_pairs(path, path, PairFormat(format="tsv"))
    with pytest.raises(ConfigError, match="'lines' has no columns"):
        read_pairs(path, path, PairFormat(source_column=1))


def test_plain_text_is_a_text_a_line_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "raw.txt"
    path.write_text("A first one.\n\n  \nThe second,\twith a tab\n", encoding="utf-8")
    assert list(stream_plain(path)) == [Text("A first one.", None, (str(path), 1)),
                                        Text("The second,\twith a tab", None, (str(path), 4))]
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no texts"):
        list(stream_plain(path))
