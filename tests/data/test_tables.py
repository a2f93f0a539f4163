"""Columns and cells that a reader must refuse: one column for two things, labels that a line cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2x.data.readers import TaggedFormat, TextFormat, read_tagged, read_texts
from seq2x.errors import DataError


@pytest.mark.parametrize(("name", "content", "format", "expected"), [
    ("a.csv", 'label,text\nx,one\n"y\nz",two\n', {},
     r"a\.csv, line 3: the label 'y\\nz' holds a line feed; expected a label of one line without tabs"),
    ("a.jsonl", '{"label": "x\\ty", "text": "one"}\n', {},
     r"a\.jsonl, line 1: the label 'x\\ty' holds a tab; expected a label of one line without tabs"),
    ("a.tsv", "x\tone\n", {"label_column": 1},
     r"a\.tsv, line 1: label_column and text_column are both column 1; expected two columns"),
    ("a.csv", "x,y\n1,one\n", {"label_column": "y", "text_column": -1}, r"a\.csv, line 1: .* both column 1"),
    ("a.jsonl", '{"label": "x", "text": "one"}\n', {"text_column": "label"}, r"a\.jsonl: .* are both column 'label'"),
])
def test_texts_with_one_column_for_two_or_labels_of_two_lines(
    tmp_path: Path, name: str, content: str, format: dict[str, str | int], expected: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=expected):
        read_texts(tmp_path / name, TextFormat.model_validate(format))


@pytest.mark.parametrize("line", [
    '{"tokens": ["a", "b"], "tags": ["O", "B-X\\nY"]}', '{"text": "a b", "spans": [[0, 1, "X\\nY"]]}',
])
def test_a_tag_is_one_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"tokens": ["c"], "tags": ["O"]}}\n{line}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the tag 'B-X\\nY' holds a line feed"):
        read_tagged(tmp_path / "a.jsonl", TaggedFormat(scheme="BIO"))
