from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import _files
import pytest
from _environment import ToolError
from _files import Progress, building, download, sha256_of, write_bytes


def test_gzip_has_no_name_and_no_time(tmp_path: Path) -> None:
    write_bytes(tmp_path / "one.txt.gz", b"text\n")
    write_bytes(tmp_path / "two.txt.gz", b"text\n")
    packed = (tmp_path / "one.txt.gz").read_bytes()
    assert packed == (tmp_path / "two.txt.gz").read_bytes()
    assert packed[3] & 0x08 == 0  # the flag of a name
    assert packed[4:8] == bytes(4)  # the time stamp
    assert gzip.decompress(packed) == b"text\n"


def test_sha256_of_what_is_packed(tmp_path: Path) -> None:
    write_bytes(tmp_path / "plain.txt", b"text\n")
    write_bytes(tmp_path / "packed.txt.gz", b"text\n")
    expected = hashlib.sha256(b"text\n").hexdigest()
    assert sha256_of(tmp_path / "plain.txt") == sha256_of(tmp_path / "plain.txt", unpacked=True) == expected
    assert sha256_of(tmp_path / "packed.txt.gz", unpacked=True) == expected
    assert sha256_of(tmp_path / "packed.txt.gz") != expected


def interrupted(folder: Path) -> None:
    with building(folder) as partial:
        (partial / "new").write_text("")
        raise KeyboardInterrupt


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with building(folder) as partial:
        (partial / "old").write_text("")
    with pytest.raises(KeyboardInterrupt):
        interrupted(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "old"]
    (tmp_path / "set.partial").mkdir()  # as after a power failure
    with building(folder) as partial:
        (partial / "new").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "new"]


def test_a_download_arrives_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_bytes(b"x" * 100_000)
    download((tmp_path / "there").as_uri(), tmp_path / "deep" / "here")
    assert (tmp_path / "deep" / "here").read_bytes() == b"x" * 100_000
    assert "0.1 of 0.1 MB" in capsys.readouterr().out


def test_what_cannot_be_fetched_says_where_to_put_it(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.zip"
    with pytest.raises(ToolError, match="could not be fetched") as raised:
        download((tmp_path / "nowhere").as_uri(), target)
    assert f"put it at {target}" in str(raised.value)
    assert list(target.parent.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        headers = {"Content-Length": "10"}  # noqa: RUF012 - stands for an instance
        chunks = [b"short", b""]  # noqa: RUF012 - stands for an instance

        def read(self, amount: int) -> bytes:  # noqa: ARG002 - the signature of a stream
            return self.chunks.pop(0)

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *problem: object) -> None:
            pass

    monkeypatch.setattr(_files.urllib.request, "urlopen", lambda url, timeout: Answer())  # noqa: ARG005 - its signature
    with pytest.raises(ToolError, match="broke off after 5 of 10 bytes"):
        download("https://example.org/file", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_the_progress_bar() -> None:
    progress = Progress("a file", 2_000_000)
    progress.add(1_000_000)
    assert progress.line().startswith("    a file  [###############...............] 1.0 of 2.0 MB")
    assert "MB/s" in Progress("of unknown length", 0).line()
