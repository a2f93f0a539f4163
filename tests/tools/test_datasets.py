"""The converters on invented files of the public form, and the flow around them with addresses on this disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import _datasets
import pytest
from _converters import (
    MODEL,
    as_published,
    labelled_questions,
    labels_first,
    members_of_zip,
    model_in_wheel,
    packed,
    reviews_in_tar,
    sentences_in_columns,
    sentences_of_two_kinds,
    slots_and_intents,
    topics,
)
from _datasets import SETS, DataSet, get, state
from _environment import ToolError, main
from _files import write_bytes

from seq2x.data.readers import TaggedFormat, read_tagged, read_texts

CHUNKS = "Dogs NNS B-NP\nbark VBP B-VP\n. . O\n\nThe DT B-NP\ncat NN I-NP\n\n"


def published(folder: Path) -> Path:
    """A zip as a corpus collection publishes it: a folder, a README, blanks and CR at line ends."""
    path = folder / "published.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("corpus/README.txt", "read me")
        archive.writestr("corpus/train.txt", CHUNKS.replace("\n", " \r\n"))
        archive.writestr("corpus/test.txt", CHUNKS)
    return path


def test_members_of_a_zip(tmp_path: Path) -> None:
    found = members_of_zip({"published.zip": published(tmp_path)})
    assert found == {"train.txt.gz": CHUNKS.encode(), "test.txt.gz": CHUNKS.encode()}
    write_bytes(tmp_path / "train.txt.gz", found["train.txt.gz"])
    sentences = read_tagged(tmp_path / "train.txt.gz", TaggedFormat(scheme="BIO"))
    assert [sentence.tags for sentence in sentences] == [("B-NP", "B-VP", "O"), ("B-NP", "I-NP")]


def test_labelled_questions(tmp_path: Path) -> None:
    (tmp_path / "train_9.label").write_bytes(b"LOC:city Where is S\xe3o Paulo ?\nHUM:ind Who is she : Ann ?\n")
    (tmp_path / "TREC_1.label").write_bytes(b"NUM:date When was it ?\n")
    found = labelled_questions({path.name: path for path in tmp_path.iterdir()})
    assert found == {
        "train.fine.tsv": "LOC:city\tWhere is São Paulo ?\nHUM:ind\tWho is she : Ann ?\n".encode(),
        "train.coarse.tsv": "LOC\tWhere is São Paulo ?\nHUM\tWho is she : Ann ?\n".encode(),
        "test.fine.tsv": b"NUM:date\tWhen was it ?\n",
        "test.coarse.tsv": b"NUM\tWhen was it ?\n",
    }
    write_bytes(tmp_path / "train.coarse.tsv", found["train.coarse.tsv"])
    assert [text.label for text in read_texts(tmp_path / "train.coarse.tsv")] == ["LOC", "HUM"]


def test_a_line_without_a_label_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.label").write_bytes(b"NUM:date When ?\nWhen was it ?\n")
    with pytest.raises(ToolError, match=r"line 2: found 'When was it [?]', expected COARSE:fine"):
        labelled_questions({"train.label": tmp_path / "train.label"})


def test_files_as_published_are_packed_again(tmp_path: Path) -> None:
    (tmp_path / "train.en.gz").write_bytes(gzip.compress(b"A dog .\n", mtime=1234))
    (tmp_path / "plain.txt").write_bytes(b"A cat .\n")
    found = as_published({path.name: path for path in tmp_path.iterdir()})
    assert found == {"train.en.gz": b"A dog .\n", "plain.txt": b"A cat .\n"}


def test_plain_files_are_packed(tmp_path: Path) -> None:
    (tmp_path / "devel.tsv").write_bytes(b"fever\tB-Disease\n\n")
    assert packed({"dev.tsv": tmp_path / "devel.tsv"}) == {"dev.tsv.gz": b"fever\tB-Disease\n\n"}


def test_sentences_are_one_empty_line_apart(tmp_path: Path) -> None:
    (tmp_path / "dev.conll").write_bytes(b"Ann\tB-person\n\t\n\nsings\tO\r\n.\tO\n\n\n")
    found = sentences_in_columns({"dev.conll": tmp_path / "dev.conll"})
    assert found == {"dev.conll.gz": b"Ann\tB-person\n\nsings\tO\n.\tO\n"}


def spoken(folder: Path, slots: str = "O B-artist \nO O\n", intents: str = "Play\nStop\n") -> dict[str, Path]:
    parts = {"in": "play  abba \nstop it\n", "out": slots, "label": intents}
    for split in ("train", "dev", "test"):
        for part, text in parts.items():
            (folder / f"{split}.{part}").write_text(text, encoding="utf-8")
    return {path.name: path for path in folder.iterdir()}


def test_slots_and_intents(tmp_path: Path) -> None:
    found = slots_and_intents(spoken(tmp_path))
    assert len(found) == 6
    assert found["dev.slots.conll.gz"] == b"play\tO\nabba\tB-artist\n\nstop\tO\nit\tO\n"
    assert found["test.intents.tsv.gz"] == b"Play\tplay abba\nStop\tstop it\n"


def test_slots_and_intents_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"train, line 2: found 'stop it' and 'O', expected a slot for each word"):
        slots_and_intents(spoken(tmp_path, slots="O B-artist\nO\n"))
    with pytest.raises(ToolError, match="train: found 2 texts, 2 rows of slots and 1 intents"):
        slots_and_intents(spoken(tmp_path, intents="Play\n"))


def test_a_model_in_a_wheel(tmp_path: Path) -> None:
    path = tmp_path / "model.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("package/__init__.py", "")
        wheel.writestr("package/model/1_Pooling/config.json", "{}")
        for name in MODEL:
            wheel.writestr(f"package/model/{name}", f"the {name}")
    assert model_in_wheel({path.name: path}) == {name: f"the {name}".encode() for name in MODEL}


def test_reviews_in_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "reviews.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"train/pos/1_9.txt": "Good .\tVery\x85good .", "train/neg/10_2.txt": "Bad\xa0.",
                           "train/neg/1_1.txt": "Worse .", "train/unsup/1_0.txt": "What ?", "train/urls_pos.txt": "a.b",
                           "test/neg/0_3.txt": "Poor ."}.items():
            member = tarfile.TarInfo(f"corpus/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    assert reviews_in_tar({path.name: path}) == {
        "train.tsv.gz": b"neg\tWorse .\npos\tGood . Very good .\nneg\tBad .\n", "test.tsv.gz": b"neg\tPoor .\n"}


def test_labels_first(tmp_path: Path) -> None:
    (tmp_path / "set.fine.dev").write_text("4 it 's good .\n0 no .\n", encoding="utf-8")
    downloads = {"set.fine.dev": tmp_path / "set.fine.dev"}
    assert labels_first(downloads) == {"fine.dev.tsv.gz": b"4\tit 's good .\n0\tno .\n"}
    (tmp_path / "set.fine.dev").write_text("4\n", encoding="utf-8")
    with pytest.raises(ToolError, match="found '4', expected a label and a text"):
        labels_first(downloads)


def test_sentences_of_two_kinds_are_dealt_out(tmp_path: Path) -> None:
    path = tmp_path / "kinds.zip"
    sentences = {"neg": [f"d\xe9j\xe0 vu  number {number} ." for number in range(30)], "pos": ["new ."] * 2}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kinds/README", "read me")
        for label, some in sentences.items():
            archive.writestr(f"kinds/text.{label}", "".join(f"{one} \n" for one in some).encode("latin-1"))
    found = sentences_of_two_kinds({"text.neg": "neg", "text.pos": "pos"})({path.name: path})
    lines = {part: content.decode().removesuffix("\n").split("\n") for part, content in found.items()}
    assert sorted(line for some in lines.values() for line in some) == sorted(
        [*(f"neg\td\xe9j\xe0 vu number {number} ." for number in range(30)), "pos\tnew ."])
    for number, sentence in enumerate(sentences["neg"]):
        digit = int(hashlib.sha1(sentence.encode()).hexdigest(), 16) % 10
        part = "test" if digit == 0 else "dev" if digit == 1 else "train"
        assert f"neg\td\xe9j\xe0 vu number {number} ." in lines[f"{part}.tsv.gz"]


def test_topics(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text('"3","Up","Shares \\$5 ""more"""\n"1","War","Over\\nnow"\n', encoding="utf-8")
    sample = [f'"Item {number}, and more",{number % 4}\n' for number in range(520)]
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(sample) + 'War Over now,0\n', encoding="utf-8")
    found = topics({path.name: path for path in tmp_path.iterdir()})
    assert found["test.tsv.gz"] == b'business\tUp Shares $5 "more"\nworld\tWar Over now\n'
    dev, train = (found[f"{part}.tsv.gz"].decode().removesuffix("\n").split("\n") for part in ("dev", "train"))
    assert (len(dev), len(train)) == (500, 20)
    assert sorted(dev + train)[:2] == ["business\tItem 10, and more", "business\tItem 102, and more"]
    texts = [line.partition("\t")[2] for line in dev + train]
    assert [hashlib.sha1(text.encode()).hexdigest() for text in texts] == sorted(
        hashlib.sha1(text.encode()).hexdigest() for text in texts)


def test_every_set_is_pinned() -> None:
    assert {"conll2000", "trec", "multi30k", "ncbi-disease", "ud-english-ewt", "wnut17", "snips", "minilm",
            "imdb", "sst", "sentence_polarity", "subjectivity", "ag_news_small"} <= set(SETS)
    assert {"tatoeba-en-de", "tatoeba-en-fr", "bible", "gold-align-enfr"} <= set(SETS)
    for data_set in SETS.values():
        assert all(len(sha256) == 64 for sha256 in data_set.files.values())
        assert all(url.startswith("https://") for url in data_set.urls.values())
        assert data_set.licence


@pytest.fixture
def tiny(tmp_path: Path) -> DataSet:
    sha256 = hashlib.sha256(CHUNKS.encode()).hexdigest()
    return DataSet("a tiny set", "invented", {"published.zip": published(tmp_path).as_uri()}, members_of_zip,
                   {"train.txt.gz": sha256, "test.txt.gz": sha256})


def test_a_set_is_fetched_once(tiny: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = get("tiny", tiny, tmp_path / "data")
    assert sorted(path.name for path in folder.iterdir()) == ["test.txt.gz", "train.txt.gz"]
    assert gzip.decompress((folder / "train.txt.gz").read_bytes()) == CHUNKS.encode()
    assert "Licence: invented" in capsys.readouterr().out
    (tmp_path / "published.zip").unlink()
    get("tiny", tiny, tmp_path / "data")
    assert "already in" in capsys.readouterr().out
    (folder / "train.txt.gz").unlink()
    get("tiny", tiny, tmp_path / "data")  # from what was downloaded
    assert state(tiny, folder) == ([], [])


def test_what_cannot_be_fetched_says_where_to_put_it(tiny: DataSet, tmp_path: Path) -> None:
    away = tiny._replace(urls={"published.zip": (tmp_path / "away.zip").as_uri()})
    expected = tmp_path / "data" / ".downloads" / "tiny" / "published.zip"
    with pytest.raises(ToolError) as raised:
        get("tiny", away, tmp_path / "data")
    assert f"put it at {expected} and start the command again" in str(raised.value)
    published(tmp_path).replace(expected)
    assert state(tiny, get("tiny", away, tmp_path / "data")) == ([], [])


def test_other_content_is_refused(tiny: DataSet, tmp_path: Path) -> None:
    changed = tiny._replace(files={**tiny.files, "train.txt.gz": "0" * 64})
    with pytest.raises(ToolError, match=r"train.txt.gz would have the sha256 \w+, expected 0000"):
        get("tiny", changed, tmp_path / "data")
    with pytest.raises(ToolError, match=r"other.txt would have the sha256"):
        get("tiny", tiny._replace(files={"other.txt": "0" * 64}), tmp_path / "data")
    assert not (tmp_path / "data" / "tiny").exists()


def test_a_page_of_html_is_no_archive(tiny: DataSet, tmp_path: Path) -> None:
    (tmp_path / "published.zip").write_text("<html>log in</html>")
    with pytest.raises(ToolError, match="is not what was published there"):
        get("tiny", tiny, tmp_path / "data")


def test_a_damaged_set_is_said(tiny: DataSet, tmp_path: Path) -> None:
    folder = get("tiny", tiny, tmp_path / "data")
    (folder / "train.txt.gz").write_bytes((folder / "train.txt.gz").read_bytes()[:-9])
    assert state(tiny, folder) == ([], ["train.txt.gz"])
    with pytest.raises(ToolError, match=r"train.txt.gz is not the file it should be"):
        get("tiny", tiny, tmp_path / "data")


def test_the_order_of_lines_may_be_free(tiny: DataSet, tmp_path: Path) -> None:
    lines = CHUNKS.encode().split(b"\n")
    sha256 = hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()
    free = tiny._replace(files=dict.fromkeys(tiny.files, sha256), any_order=True)
    folder = get("tiny", free, tmp_path / "data")
    write_bytes(folder / "train.txt.gz", b"\n".join(lines[::-1]))
    assert state(free, folder) == ([], [])
    write_bytes(folder / "train.txt.gz", b"\n".join(lines[2:]))
    assert state(free, folder) == ([], ["train.txt.gz"])


def test_where_the_data_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQ2X_DATA", raising=False)
    assert _datasets.folder_of_data() == _datasets.ROOT / ".data"
    monkeypatch.setenv("SEQ2X_DATA", str(tmp_path))
    assert _datasets.folder_of_data() == tmp_path


def script(tools: Path):
    code = compile((tools / "get_data").read_bytes(), "get_data", "exec")
    names: dict[str, object] = {"__name__": "get_data", "__doc__": ""}
    exec(code, names)
    return names["tool"]


def test_the_command(tiny: DataSet, tools: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SEQ2X_DATA", str(tmp_path))
    monkeypatch.setattr(_datasets, "SETS", {"tiny": tiny})
    tool = script(tools)
    assert tool(["--list"]) == 0
    assert "tiny              not here  a tiny set. Licence: invented" in capsys.readouterr().out
    assert tool(["tiny"]) == 0
    assert tool([]) == 0
    assert "tiny              here      a tiny set" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["get_data", "tyni"])
    with pytest.raises(SystemExit, match="2"):
        main(tool)
    assert capsys.readouterr().err == "error: unknown set 'tyni'; the choices are tiny\n"
