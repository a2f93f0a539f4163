"""What every tool needs before it starts: a Python that is new enough, `.venv`, the project installed in it.

Knows nothing of the library and nothing of data. Standard library only; the same on Linux, macOS and Windows
(no symbolic links, no shell). Everything before the version check must be readable by an old Python 3, which is
why this file has no `from __future__` line: its only message on an old Python is to be one clear line.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the check is for those who have an older one
    sys.exit(
        f"seq2x needs Python 3.11 or newer; this is Python {sys.version_info[0]}.{sys.version_info[1]} "
        f"({sys.executable}). Start the command with a newer one, for example: python3.12 {sys.argv[0]}"
    )

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STAMP = "seq2x-installed.json"


class ToolError(Exception):
    """Something that the user can mend; the message says what and how."""


class Installed(NamedTuple):
    """What pip last installed here: a hash of what decides it, and the extras."""

    fingerprint: str
    extras: frozenset[str]


def main(tool: Callable[[Sequence[str]], int]) -> None:
    """Run a tool and end the process: a problem is one paragraph and exit code 2, Ctrl-C is exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace", line_buffering=True)  # a console that knows no umlauts still works
    try:
        sys.exit(tool(sys.argv[1:]))
    except (ToolError, OSError) as error:
        sys.exit(_fail(str(error)))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def say(message: str) -> None:
    """One line of progress."""
    print(f"==> {message}", flush=True)


def venv_python(root: Path = ROOT) -> Path:
    """Where the Python of `.venv` lies on this system."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return root / ".venv" / folder / name


def prepare(extra: str = "", root: Path = ROOT) -> Path:
    """Make `.venv` where it is missing, install the project with ``extra`` in it, return its Python.

    pip runs only when pyproject.toml, constraints.txt or the Python have changed since it last succeeded.
    """
    python = venv_python(root)
    version = _version_of(python)
    if version is None:
        _make_venv(root)
        version = _version_of(python)
        if version is None:
            raise ToolError(f"{python} does not run; delete the folder {root / '.venv'} and start the command again")
    if version < [3, 11]:
        raise ToolError(f"{root / '.venv'} holds Python {version[0]}.{version[1]}, 3.11 or newer is needed; "
                      "delete that folder and start the command again")
    stamp = root / ".venv" / STAMP
    fingerprint = _fingerprint(root, version)
    installed = _read(stamp)
    known = installed.extras if installed.fingerprint == fingerprint else frozenset()
    if installed.fingerprint == fingerprint and known.issuperset({extra} - {""}):
        return python
    extras = sorted(known | ({extra} - {""}))
    _install(python, extras, root)
    write_whole(stamp, json.dumps({"fingerprint": fingerprint, "extras": extras}))
    return python


def run(command: Iterable[str | Path], *, root: Path = ROOT, settings: Mapping[str, str] | None = None) -> int:
    """Run a program with the screen as its own; return its exit code, also after Ctrl-C.

    On Ctrl-C the program gets the signal too: it is left the time to save, then the interrupt goes on.
    """
    process = subprocess.Popen([str(part) for part in command], cwd=root, env={**_settings(), **(settings or {})})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def ask(command: Iterable[str | Path], text: str = "", *, root: Path = ROOT) -> str:
    """Give a program ``text`` to read and return what it prints; its messages go to the screen."""
    words = [str(part) for part in command]
    answer = subprocess.run(words, input=text, cwd=root, env=_settings(), stdout=subprocess.PIPE, encoding="utf-8")
    if answer.returncode != 0:
        raise ToolError(f"exit code {answer.returncode} of: {' '.join(words)}\nIts message stands above.")
    return answer.stdout


def write_whole(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it: it is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def _settings() -> dict[str, str]:
    return {**os.environ, "PYTHONUTF8": "1"}


def _make_venv(root: Path) -> None:
    say(f"making {root / '.venv'}")
    # --clear: what is there has no working Python, such as a .venv whose making was interrupted
    if run([sys.executable, "-m", "venv", "--clear", ".venv"], root=root) != 0:
        raise ToolError(f"{sys.executable} -m venv failed, its message stands above. On Debian and Ubuntu the module "
                      "is a package of its own: python3-venv.")


def _version_of(python: Path) -> list[int] | None:
    """The version of a Python that starts and has pip, or None."""
    code = "import sys, pip; print(sys.version_info[0], sys.version_info[1])"
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [int(part) for part in answer.stdout.split()]


def _fingerprint(root: Path, version: Sequence[int]) -> str:
    digest = hashlib.sha256(str((str(root), list(version))).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def _read(stamp: Path) -> Installed:
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
        return Installed(found["fingerprint"], frozenset(found["extras"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Installed("", frozenset())


def _install(python: Path, extras: Sequence[str], root: Path) -> None:
    wanted = f".[{','.join(extras)}]" if extras else "."
    say(f"installing seq2x{wanted[1:]} into .venv (the first time this fetches PyTorch: some minutes)")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-e", wanted,
               "-c", "constraints.txt"]
    code = run(command, root=root)
    if code != 0:
        raise ToolError(f"PIP failed with exit code {code}; its message stands above. Nothing is lost: mend the cause "
                      "(most often the network, a proxy or a full disk) and start the command again. The command was:\n"
                      f"  {' '.join(command)}")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return 2
