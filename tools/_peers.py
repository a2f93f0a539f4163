"""The toolkits that we are measured beside, each in a virtual environment of its own under `.bench`.

Knows nothing of what is measured. torch comes first, in the version that `constraints.txt` pins for us, so that both
sides run on the same one. Standard library only.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from _environment import ROOT, ToolError, run, say, venv_python, write_whole

FOLDER = ".bench"
STAMP = "installed.json"


class Peer(NamedTuple):
    """A package of the registry, pinned."""

    name: str
    version: str
    needs: tuple[str, ...]
    """What is installed with it, pinned."""
    alone: bool = False
    """Whether its own requirements are left out, as they forbid our torch; ``needs`` is then all that it gets."""
    torch: bool = True
    """Whether it gets our torch, and gets it first."""

    @property
    def title(self) -> str:
        """Its name and version for people."""
        return f"{self.name} {self.version}"


PYTORCH_CRF = Peer("pytorch-crf", "0.7.2", ("numpy==2.4.6",))
OPENNMT_PY = Peer("opennmt-py", "3.5.1", (
    "numpy==2.4.6", "configargparse==1.9.0", "pyyaml==6.0.3", "six==1.17.0", "pyonmttok==1.38.1", "sacrebleu==2.6.0",
    "rapidfuzz==3.14.6", "pyahocorasick==2.3.1", "regex==2026.11.15",
), alone=True)

SPACY = Peer("spacy", "3.8.18", ("numpy==2.4.6",), torch=False)
FLAIR = Peer("flair", "0.15.1", ("numpy==2.4.6",))
CRFSUITE = Peer("python-crfsuite", "0.9.12", (), torch=False)
KERAS = Peer("keras", "3.15.1", ("numpy==2.4.6", "jax==0.10.2"))


def environment(peer: Peer, root: Path = ROOT) -> Path:
    """Return the Python that has ``peer``; its environment is made once, and anew when a version has changed."""
    folder = root / FOLDER / peer.name
    python = venv_python(folder)
    torch = _torch(root)
    stamp = json.dumps({"python": sys.version_info[:3], "torch": torch, "peer": peer})
    if python.exists() and _read(folder / STAMP) == stamp:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say(f"making {folder.relative_to(root)} for {peer.title} (this fetches PyTorch once more: some minutes)")
    if run([sys.executable, "-m", "venv", ".venv"], root=folder) != 0:
        raise ToolError(f"{sys.executable} -m venv failed, its message stands above. On Debian and Ubuntu the module "
                        "is a package of its own: python3-venv.")
    itself = f"{peer.name}=={peer.version}"
    first = [torch] if peer.torch else []
    for packages in (first, peer.needs):
        if packages:
            _install(python, packages, folder)
    _install(python, [itself, "--no-deps"] if peer.alone else [itself], folder)
    write_whole(folder / STAMP, stamp)
    return python


def _torch(root: Path) -> str:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").split("\n")
    return next(line for line in lines if line.startswith("torch=="))


def _read(stamp: Path) -> str:
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


def _install(python: Path, packages: Sequence[str], folder: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if run(command, root=folder) != 0:
        raise ToolError(f"PIP failed; its message stands above. Start the command again once the cause (most often "
                        f"the network or a full disk) is mended. The command was:\n  {' '.join(command)}")
