"""Texts that may have several labels, or none: read, and as tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2x.data.coding import TextCoder
from seq2x.data.datasets import in_memory
from seq2x.data.examples import Text
from seq2x.data.readers import TextFormat, read_texts
from seq2x.errors import DataError
from seq2x.text import Vocabulary, WordsConfig

COMMA = TextFormat(separator=",")


@pytest.mark.parametrize(("name", "content"), [
    ("a.tsv", "sad, long,sad\tIt rains\n\tIt is\nshort\tRain\n"),
    ("a.csv", 'label,text\n"sad,long",It rains\n,It is\nshort,Rain\n'),
    ("a.jsonl", '{"label": ["sad", "long"], "text": "It rains"}\n{"label": [], "text": "It is"}\n'
                '{"label": "short", "text": "Rain"}\n'),
])
def test_they_are_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    texts = read_texts(tmp_path / name, COMMA)
    assert [text.labels for text in texts] == [("sad", "long"), (), ("short",)]
    assert [text.text for text in texts] == ["It rains", "It is", "Rain"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"label": ["sad,long"], "text": "It rains"}\n')
    with pytest.raises(DataError, match="the item 'sad,long' of 'label' holds the separator ','; set another"):
        read_texts(path, COMMA)
    path.write_text('{"label": [["sad"]], "text": "It rains"}\n')
    with pytest.raises(DataError, match="'label': found a list"):
        read_texts(path, COMMA)
    path.write_text('{"label": ["sad"], "text": "It rains"}\n')
    with pytest.raises(DataError, match=r"'label': found a list .* expected a string"):
        read_texts(path)
    (tmp_path / "a.tsv").write_text("sad\t \n")
    with pytest.raises(DataError, match="the text is empty"):
        read_texts(tmp_path / "a.tsv", COMMA)


def test_one_label_is_one_of_several() -> None:
    assert Text("Rain", "short").labels == ("short",)
    assert Text("Rain").labels == ()


def test_they_are_a_row_of_truths() -> None:
    processor, labels = WordsConfig().learn(["it rains"]), Vocabulary(["long", "sad", "short"])
    texts = [Text("it rains", ("short", "sad")), Text("it", ()), Text("rains", ("long",))]
    dataset = in_memory(TextCoder(processor, labels, 1, None, several=True), texts)
    assert dataset.batch([2, 0, 1], None).target.tolist() == [  # type: ignore[union-attr]
        [True, False, False], [False, True, True], [False, False, False]]
    assert dataset.batch([1], None).target.tolist() == [[False] * 3]  # type: ignore[union-attr]
    assert dataset.label_counts(3) == [1, 1, 1]
    with pytest.raises(DataError, match=r"the label 'lang' is not known .*did you mean 'long'"):
        in_memory(TextCoder(processor, labels, 1, None, several=True), [Text("it", ("sad", "lang"))])
