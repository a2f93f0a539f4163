"""Holds the order of the rooms: who may import whom, and what a line may do only in its own room.

Reads the source with ``ast``; the tables below are the contract. A module that is in no table fails, so that a new
room is a decision. Imports inside functions and under TYPE_CHECKING count like all others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "seq2x"

LEAVES = {"errors", "version", "config", "batch"}
CORE = {"encoders", "heads", "model", "search"}
TOP = LEAVES | CORE | {"text", "data", "nn", "ensemble", "metrics", "training", "settings", "build", "checkpoint",
                       "predictors", "evaluation", "mistakes", "card", "corpus", "machine", "overview", "start",
                       "start_decoder", "bayes", "run", "samples", "resuming", "distil", "compare", "tuning", "reports",
                       "integrations", "api"}

# A room, and the rooms (or single modules) that it may import; its own modules always.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "config": {"errors"},
    "batch": set(),
    "text": {"errors", "config"},
    "data": LEAVES | {"text"},
    "nn": {"batch", "config", "errors"},
    "encoders": {"batch", "config", "errors", "nn"},
    "search": {"batch", "config", "errors"},
    "heads": {"batch", "config", "errors", "nn", "search", "text.tags"},
    "model": {"batch", "config", "errors", "encoders", "heads"},
    "ensemble": {"batch", "config", "errors", "encoders", "heads", "search", "model"},
    "metrics": {"config", "errors", "text"},
    "training": {"batch", "config", "errors", "machine", "model"},
    "settings": LEAVES | {"text", "data", "encoders", "heads", "training"},
    "build": LEAVES | {"text", "encoders", "heads", "model", "settings"},
    "checkpoint": LEAVES | {"text", "model", "settings", "build"},
    "predictors": LEAVES | {"text", "data", "heads", "search", "machine", "model", "ensemble", "settings", "checkpoint",
                   "metrics"},
    "evaluation": LEAVES | {"text", "data", "heads", "search", "settings", "metrics", "predictors"},
    "mistakes": {"text.tags"},
    "card": LEAVES | {"data", "settings", "metrics", "training"},
    "corpus": LEAVES | {"text", "data", "settings", "checkpoint"},
    "machine": set(),
    "overview": LEAVES | {"text", "data", "model", "settings", "corpus"},
    "samples": LEAVES | {"text", "settings"},
    "start": LEAVES | {"text", "encoders", "heads", "model", "nn.embeddings", "settings", "checkpoint"},
    "start_decoder": LEAVES | {"encoders", "heads", "model", "nn.embeddings", "settings", "checkpoint", "start"},
    "bayes": LEAVES | {"data", "encoders", "heads", "settings", "checkpoint", "predictors"},
    "resuming": LEAVES | {"settings", "checkpoint"},
    "distil": LEAVES | {"text", "data", "model", "settings", "checkpoint", "corpus", "overview"},
    "compare": {"text.tags", "settings", "metrics"},
    "run": TOP - {"run", "tuning", "reports", "integrations", "api"},
    "tuning": TOP - {"tuning", "reports", "integrations", "api"},
    "reports": TOP - {"integrations", "api"},
    "integrations": TOP - {"reports", "api"},
    "cli": TOP,
    "__main__": {"cli"},
    "__init__": TOP,  # the public names, loaded lazily: see test_import_needs_no_torch
}

# Above all: these may be imported by the rooms named and by nobody else.
ONLY_FROM = {"cli": {"__main__"}, "integrations": {"cli"}, "reports": {"cli"}}

# Modules that run code out of a file.
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

# What a line may do only in these rooms or modules.
OPENS_FILES = {"config", "data", "text", "checkpoint", "corpus", "machine", "start", "run", "reports", "cli",
               "encoders.pretrained", "integrations"}
READS_COMMANDS = {"cli", "__main__"}
COMPUTES_WITH_TENSORS = {"nn", "encoders", "heads", "model", "ensemble", "search", "training", "predictors"}
WRITES_MINUS_INFINITY = {  # of those
    "nn.attention", "nn.crf", "search",
    "heads.translate",  # forbids symbols that no translation may hold, before search sees them
}

# May take **settings, and why.
TAKES_ANY_SETTING = {"cli.options"}  # argparse makes the parsers of sub-commands itself, with settings of its own

# Longer than 50 lines (functions) or 400 (files), and why.
LONG: dict[str, str] = {}


def modules() -> dict[str, Path]:
    """Every module of the library: dotted name below seq2x -> file."""
    return {_name(path): path for path in sorted(LIBRARY.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def imports(path: Path, package: str = "seq2x") -> Iterator[tuple[str, int]]:
    """(full name, line) of what a file imports; ``from seq2x import x`` and relative imports are written out."""
    inside = [package, *path.relative_to(LIBRARY).parts[:-1]] if path.is_relative_to(LIBRARY) else []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)


def within(module: str, rooms: set[str]) -> bool:
    """Whether a dotted name is one of the rooms or lies in one."""
    parts = module.split(".")
    return any(".".join(parts[:length]) in rooms for length in range(1, len(parts) + 1))


def room_of(module: str) -> str:
    return module.split(".")[0]


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call of a file, and the last part of what is called: ``open`` for both open(...) and path.open(...)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = node.func
            yield node, called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def sources() -> list[Path]:
    """Every Python file of the project that is not a test, tools without a suffix included."""
    tools = [path for path in (ROOT / "tools").iterdir()
             if path.is_file() and (path.suffix == ".py" or path.read_bytes().startswith(b"#!/usr/bin/env python"))]
    return sorted([*LIBRARY.rglob("*.py"), *(ROOT / "recipes").rglob("*.py"), *tools])


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_every_module_has_a_room() -> None:
    assert {room_of(name) for name in modules()} <= set(MAY_IMPORT)
    assert not [name for name in modules() if "utils" in name]


@pytest.mark.parametrize("name", modules())
def test_imports_keep_the_order(name: str) -> None:
    room, path = room_of(name), modules()[name]
    forbidden = []
    for found, line in imports(path):
        package, _, rest = found.partition(".")
        if package != "seq2x" or not rest or found in ("seq2x.__future__",):
            continue
        target = room_of(rest)
        if target == room or (target not in MAY_IMPORT and room in ("cli", "reports", "integrations")):
            continue  # a public name of the package itself
        if not within(rest, MAY_IMPORT[room]):
            forbidden.append(f"{where(path, line)}: {room} imports {rest}")
        if target in ONLY_FROM and room not in ONLY_FROM[target] | {"__init__"}:
            forbidden.append(f"{where(path, line)}: only {ONLY_FROM[target]} may import {target}")
    assert not forbidden


def test_nobody_imports_recipes_or_tests_or_tools() -> None:
    found = [f"{where(path, line)}: {name}" for path in sources() for name, line in imports(path)
             if room_of(name) in ("recipes", "tests", "tools")]
    assert not found


def test_tools_do_not_import_the_library() -> None:
    tools = [path for path in sources() if path.parent == ROOT / "tools"]
    assert len(tools) >= 4
    assert not [f"{where(path, line)}: {name}" for path in tools for name, line in imports(path)
                if room_of(name) in ("seq2x", "torch", "numpy")]


def test_text_knows_no_tensors() -> None:
    assert not [f"{where(path, line)}: {found}" for name, path in modules().items() if within(name, {"text"})
                for found, line in imports(path) if room_of(found) in ("torch", "numpy")]


def test_nothing_is_pickled() -> None:
    found = [f"{where(path, line)}: imports {name}" for path in sources() for name, line in imports(path)
             if room_of(name) in UNSAFE]
    for path in sources():
        for call, called in calls(path):
            settings = {keyword.arg: keyword.value for keyword in call.keywords}
            safe = isinstance(settings.get("weights_only"), ast.Constant) and settings["weights_only"].value is True
            of_torch = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "torch"
            if ("weights_only" in settings or (called == "load" and of_torch)) and not safe:
                found.append(f"{where(path, call.lineno)}: {called} without weights_only=True")
            if "allow_pickle" in settings:
                found.append(f"{where(path, call.lineno)}: allow_pickle")
    assert not found


@pytest.mark.parametrize(("called", "instead"), [
    ("cuda", "Rows.to(device): a device is the caller's choice"),
    ("splitlines", "split('\\n'): it also breaks lines at U+2028 and U+0085"),
])
def test_nobody_calls(called: str, instead: str) -> None:
    found = [where(path, call.lineno) for path in sources() for call, name in calls(path)
             if name == called and isinstance(call.func, ast.Attribute)]
    assert not found, instead


def test_files_are_opened_in_few_rooms() -> None:
    opening = {"open", "read_text", "write_text", "read_bytes", "write_bytes"}
    found = [f"{where(path, call.lineno)}: {called}" for name, path in modules().items()
             if not within(name, OPENS_FILES) for call, called in calls(path) if called in opening]
    assert not found


def test_the_command_line_is_read_in_one_room() -> None:
    found = [f"{where(path, line)}: {target}" for name, path in modules().items() if not within(name, READS_COMMANDS)
             for target, line in imports(path) if target.startswith(("argparse", "getopt", "sys.argv"))]
    found += [where(path, node.lineno) for name, path in modules().items() if not within(name, READS_COMMANDS)
              for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr == "argv"]
    assert not found


def test_minus_infinity_is_written_in_few_rooms() -> None:
    found = []
    for name, path in modules().items():
        if within(name, WRITES_MINUS_INFINITY) or not within(name, COMPUTES_WITH_TENSORS):
            continue
        for node in ast.walk(tree(path)):
            negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
            if negative and ast.unparse(node.operand) in ("torch.inf", "math.inf", "np.inf", "float('inf')", "inf"):
                found.append(where(path, node.lineno))
            if isinstance(node, ast.Call) and ast.unparse(node) == "float('-inf')":
                found.append(where(path, node.lineno))
    assert not found


def test_no_settings_are_swallowed() -> None:
    found = [f"{where(path, node.lineno)}: {node.name}(**{node.args.kwarg.arg})"
             for name, path in modules().items() if name not in TAKES_ANY_SETTING
             for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef) and node.args.kwarg]
    assert not found


def test_files_and_functions_are_short() -> None:
    found = []
    for path in sources():
        name = str(path.relative_to(ROOT))
        length = path.read_bytes().count(b"\n")
        if length > 400 and name not in LONG:
            found.append(f"{name}: {length} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                if length > 50 and f"{name}:{node.name}" not in LONG:
                    found.append(f"{where(path, node.lineno)}: {node.name} has {length} lines")
    assert not found, "longer than 400 lines (file) or 50 (function) wants an entry in LONG, with the reason"


@pytest.mark.parametrize("module", ["seq2x", "seq2x.cli"])
def test_import_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    loaded = set(answer.stdout.split())
    assert "seq2x" in loaded
    assert not loaded & {"torch", "numpy", "sentencepiece", "transformers"}
