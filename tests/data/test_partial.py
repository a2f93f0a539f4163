"""Tags that are partly known: read, coded, and as the target of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from seq2x.data.coding import Limit, TaggedCoder
from seq2x.data.datasets import in_memory
from seq2x.data.examples import Tagged
from seq2x.data.readers import TaggedFormat, read_tagged
from seq2x.errors import DataError
from seq2x.text import Vocabulary, WordsConfig

TAGS = Vocabulary(["O", "B-X", "I-X", "E-X", "S-X"])
EXAMPLES = [Tagged(("a", "b", "c"), ("B-X|O", "?", "O")), Tagged(("d",), ("S-X",)), Tagged(("e", "f"), ("?", "?"))]


def coder(most: int = 50) -> TaggedCoder:
    processor = WordsConfig().learn([example.words for example in EXAMPLES])
    return TaggedCoder(processor, TAGS, 0, Limit(max_tokens=most, on_long="truncate"), "IOBES", partial=True)


def test_a_target_says_which_tags_each_word_may_have() -> None:
    dataset = in_memory(coder(), EXAMPLES)
    batch = dataset.batch([2, 0, 1], None)
    assert isinstance(batch.target, torch.Tensor)
    assert batch.target.dtype == torch.bool
    assert batch.spans is not None
    assert batch.target.shape == (*batch.spans.shape[:2], 5)
    assert batch.target[1].int().tolist() == [[1, 1, 0, 0, 0], [1] * 5, [1, 0, 0, 0, 0]]
    assert batch.target[0, :2].all()
    assert batch.target[2, 0].int().tolist() == [0, 0, 0, 0, 1]
    assert not batch.target[2, 1:].any()


def test_a_long_sentence_is_cut_where_a_valid_one_is_left() -> None:
    words = ("a", "b", "c", "d", "e", "f")
    coded = coder(6).code(Tagged(words, ("O", "?", "O|S-X", "B-X", "I-X|E-X", "E-X|O")))
    assert coded is not None
    assert coded.inputs == (("a", "b", "c", "d", "e"),)
    coded = coder(5).code(Tagged(words, ("O", "?", "O|S-X", "B-X", "I-X|E-X", "E-X|O")))
    assert coded is not None
    assert coded.inputs == (("a", "b", "c"),)
    with pytest.raises(DataError, match="cannot be cut to 3 tokens between two words"):
        coder(3).code(Tagged(words, ("B-X", "I-X", "I-X", "I-X", "E-X", "O")))


def test_a_reader_takes_them_where_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "some.conll"
    path.write_text("Ann ?\nwent O|B-LOC\nhome ?\n\nBob B-PER\nsaw O|I-LOC\n")
    with pytest.raises(DataError, match=r"some.conll, line 1: tag 1 of 3 is '\?'; a tag of BIO is O, B-LABEL"):
        read_tagged(path, TaggedFormat(scheme="BIO"))
    with pytest.raises(ValidationError, match="IOB1 does not: expected BIO, IOBES, BILOU or none"):
        TaggedFormat(scheme="IOB1", partial=True)
    found = read_tagged(path, TaggedFormat(scheme="BIO", partial=True))
    assert [example.tags for example in found] == [("?", "O|B-LOC", "?"), ("B-PER", "O|I-LOC")]
    path.write_text("Ann ?\nwent O|B-LOC\nhome I-PER\n")
    with pytest.raises(DataError, match=r"line 3: tag 3 of 3 is 'I-PER' after 'O\|B-LOC'; BIO has no valid"):
        read_tagged(path, TaggedFormat(scheme="BIO", partial=True))
    path.write_text("Ann ?\nwent O|LOC\n")
    with pytest.raises(DataError, match=r"line 2: a tag is 'LOC'; a tag of BIO is O, .* \(tag 2 of 2\)"):
        read_tagged(path, TaggedFormat(scheme="BIO", partial=True))
