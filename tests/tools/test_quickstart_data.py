"""The converters on invented archives of the same form; the library then reads what they wrote."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import quickstart_data
from _environment import ToolError
from quickstart_data import classifier, provide, split, tagger

from seq2x.data.readers import TaggedFormat, read_tagged, read_texts


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def snippets(path: Path, rows: list[tuple[float, str]]) -> Path:
    text = "".join(f"{number}\t{rating}\t{snippet}\r\n" for number, (rating, snippet) in enumerate(rows, start=1))
    inner = packed({"hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": text.rstrip("\r\n").encode()})
    path.write_bytes(packed({"project-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner}))
    return path


def sentences(path: Path, lines: list[str]) -> Path:
    path.write_bytes(packed({"project-3.0.0/test/corpora/tagged-en-oanc.txt": "\n".join(lines).encode()}))
    return path


MANY = [(2.5 if number % 2 else -1.75, f"Film {number} and what I think of it") for number in range(40)]
TAGGED = [f"Dogs/NNS chase/VBP {number}/CD cars/NNS ./." for number in range(40)]


def lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def test_a_split_is_the_same_on_every_machine() -> None:
    sides = split([str(number) for number in range(10)], dev=2, test=3)
    assert sorted(sides.values()) == ["dev"] * 2 + ["test"] * 3 + ["train"] * 5
    assert [key for key, side in sorted(sides.items()) if side == "test"] == ["1", "3", "9"]
    assert split(reversed([str(number) for number in range(10)]), dev=2, test=3) == sides
    with pytest.raises(ToolError, match="5 different examples cannot give 2 to dev and 3 to test"):
        split("abcdea", dev=2, test=3)


def test_snippets_become_labelled_lines(tmp_path: Path) -> None:
    rows = [
        (3.1, "A  ''warm''  film &amp; a `kind' one"),
        (0.5, "Neither here nor there"),
        (-0.5, "Nor this"),
        (-0.51, "A bore\u2028of a film"),
        (2.0, "a warm film, & a kind one!"),  # the first again
        *MANY,
    ]
    made = classifier(snippets(tmp_path / "archive", rows), dev=4, test=8)
    assert made.counts["left out: neither positive nor negative"] == 2
    assert made.counts["left out: said before"] == 1
    assert [len(lines(made.files[f"{name}.tsv"])) for name in ("train", "dev", "test")] == [30, 4, 8]
    everything = [line for text in made.files.values() for line in lines(text)]
    assert 'positive\tA "warm" film & a \'kind\' one' in everything
    assert "negative\tA bore of a film" in everything
    assert len(set(everything)) == len(everything) == 42


def test_sentences_become_columns(tmp_path: Path) -> None:
    odd = [
        "1/2/CD of/IN it/PRP ./.",  # a slash in the word
        "odd/VBG|NN ./.",  # a tag seen once
        TAGGED[0],
    ]
    common = ["It/PRP is/VBZ of/IN use/NN ./."] + [f"It/PRP is/VBZ of/IN use/NN {number}/CD" for number in range(20)]
    made = tagger(sentences(tmp_path / "archive", TAGGED + common + odd), dev=5, test=10)
    assert made.counts["left out: said before"] == 1
    assert made.counts["left out: rare tag"] == 1
    assert made.counts["tags"] == 8
    everything = "".join(made.files.values())
    assert "1/2\tCD\nof\tIN\nit\tPRP\n.\t.\n\n" in everything
    found = [block for text in made.files.values() for block in text.rstrip("\n").split("\n\n")]
    assert len(found) == len(set(found)) == 62
    assert made.counts["dev: sentences"] == 5
    assert made.counts["test: sentences"] == 10


@pytest.mark.parametrize("token", ["word", "/NN", "word/"])
def test_a_token_without_word_or_tag_is_an_error(token: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"found '{token}', expected word/TAG"):
        tagger(sentences(tmp_path / "archive", [f"Dogs/NNS {token}"]))


def test_an_archive_without_the_member_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.tar.gz").write_bytes(packed({}))
    with pytest.raises(ToolError, match=r"tagged-en-oanc.txt cannot be read from it"):
        tagger(tmp_path / "empty.tar.gz")
    (tmp_path / "damaged.tar.gz").write_bytes(packed({"a": b"b" * 999})[:40])
    with pytest.raises(ToolError, match="cannot be read from it"):
        classifier(tmp_path / "damaged.tar.gz")


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What provide() fetched, from invented archives big enough for its splits."""
    names: list[str] = []
    many = [(1.0 if number % 3 else -1.0, f"Film {number}") for number in range(1600)]
    archives = {
        quickstart_data.SNIPPETS: snippets(tmp_path / "snippets", many),
        quickstart_data.SENTENCES: sentences(tmp_path / "sentences", [f"Car/NN {number}/CD" for number in range(2100)]),
    }

    def fetch(archive: quickstart_data.Archive, cache: Path) -> Path:  # noqa: ARG001 - the signature
        names.append(archive.file)
        return archives[archive]

    monkeypatch.setattr(quickstart_data, "fetch", fetch)
    return names


def test_data_is_made_once(fetched: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = provide("classifier", tmp_path / "data")
    assert sorted(path.name for path in folder.iterdir()) == ["counts.json", "dev.tsv", "test.tsv", "train.tsv"]
    assert "    train: positive: 6" in capsys.readouterr().out
    provide("classifier", tmp_path / "data")
    assert "data already in" in capsys.readouterr().out
    assert fetched == ["vaderSentiment-3.3.2.tar.gz"]
    (folder / "dev.tsv").unlink()
    provide("classifier", tmp_path / "data")
    assert (folder / "dev.tsv").exists()


def test_data_of_other_settings_is_made_again(fetched: list[str], tmp_path: Path) -> None:
    folder = provide("classifier", tmp_path / "data")
    record = json.loads((folder / "counts.json").read_text())
    record["settings"]["seed"] = 99
    (folder / "counts.json").write_text(json.dumps(record))
    provide("classifier", tmp_path / "data")
    assert len(fetched) == 2
    assert json.loads((folder / "counts.json").read_text())["settings"]["seed"] == quickstart_data.SEED


@pytest.mark.usefixtures("fetched")
def test_the_library_reads_what_was_made(tmp_path: Path) -> None:
    texts = read_texts(provide("classifier", tmp_path / "data") / "test.tsv")
    assert len(texts) == 1000
    assert {text.label for text in texts} == {"positive", "negative"}
    tagged = read_tagged(provide("tagger", tmp_path / "data") / "dev.conll", TaggedFormat(scheme="none"))
    assert len(tagged) == 500
    assert tagged[0].words[0] == "Car"
    assert tagged[0].tags == ("NN", "CD")


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ToolError, match="unknown name 'tager'"):
        quickstart_data.tool(["tager"])
