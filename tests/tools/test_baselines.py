from __future__ import annotations

from pathlib import Path

import pytest
from _baselines import Baseline, commonest_tag, copied, majority, nearest


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8", newline="\n")
        return tmp_path / name

    return write


def test_the_majority_of_training_is_what_counts(write) -> None:
    train = write("train.tsv", "good\ta\nbad\tb\ngood\tc\n")
    test = write("test.tsv", "good\ta\nbad\tb\nbad\tc\nbad\td\n")
    assert majority(train, test) == Baseline("always good", 25.0)


def test_each_word_has_its_commonest_tag(write) -> None:
    train = write("train", "runs\tVBZ\nruns\tNNS\nruns\tVBZ\n\ndogs\tNNS\ncats\tNNS\n\n")
    test = write("test", "runs\tVBZ\nruns\tNNS\n\nbirds\tNNS\nfly\tVBP\n\n")  # both unseen: NNS
    assert commonest_tag(train, test) == Baseline("each word's commonest tag", 50.0)


def test_the_nearest_verse_shares_most_words(write) -> None:
    train_source = write("train.de", "der Hund\nder Hund und die Katze\nein Haus\n")
    train_target = write("train.en", "the dog\nthe dog and the cat\na house\n")
    test = write("test.de", "Der Hund!\nDie Katze und der\u2028Hund\nEin Garten\nnichts davon\n")
    assert nearest(train_source, train_target, test) == ["the dog", "the dog and the cat", "a house", "the dog"]


def test_copying(write) -> None:
    assert copied(write("test.de", "ein\u2028Satz\nnoch einer\n")) == ["ein\u2028Satz", "noch einer"]
