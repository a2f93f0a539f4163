from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from _environment import ToolError
from _pinned import Archive, fetch

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.5\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def sdist(registry: Path) -> Archive:
    """A source archive whose setup.py must not be run."""
    path = registry / "tiny-1.5.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"PKG-INFO": METADATA, "setup.py": "raise SystemExit('setup.py was run')\n"}.items():
            member = tarfile.TarInfo(f"tiny-1.5/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return Archive("tiny", "1.5", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT")


def wheel(registry: Path) -> Archive:
    path = registry / "tiny-1.5-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny-1.5.dist-info/METADATA", METADATA)
        archive.writestr("tiny-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.5.dist-info/RECORD", "")
    return Archive("tiny", "1.5", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "MIT", wheel=True)


@pytest.mark.parametrize("make", [sdist, wheel])
def test_an_archive_is_fetched_unrun_and_kept(make, registry: Path, tmp_path: Path, monkeypatch) -> None:
    archive, cache = make(registry), tmp_path / "cache"
    path = fetch(archive, cache)
    assert [found.name for found in cache.iterdir()] == [archive.file]
    assert path.read_bytes() == (registry / archive.file).read_bytes()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch(archive, cache) == path


def test_another_sha256_is_refused(registry: Path, tmp_path: Path) -> None:
    archive = sdist(registry)._replace(sha256="0" * 64)
    with pytest.raises(ToolError, match=r"PIP could not fetch tiny==1.5"):
        fetch(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_archive_in_the_cache_is_said(registry: Path, tmp_path: Path) -> None:
    archive = wheel(registry)
    (tmp_path / archive.file).write_bytes(b"half")
    with pytest.raises(ToolError, match=r"has the sha256 .* expected .*; delete it and start again"):
        fetch(archive, tmp_path)


def test_what_cannot_be_fetched_says_where_to_put_it(registry: Path, tmp_path: Path) -> None:
    archive = Archive("absent", "1", "absent-1.tar.gz", "0" * 64, "MIT")
    assert not list(registry.iterdir())
    with pytest.raises(ToolError, match="PIP could not fetch absent==1") as raised:
        fetch(archive, tmp_path / "cache")
    assert f"put absent-1.tar.gz (sha256 {'0' * 64}) into {tmp_path / 'cache'}" in str(raised.value)
