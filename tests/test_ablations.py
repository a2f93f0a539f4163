"""Every variant of recipes/ablations is valid, has its source, and changes something."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from seq2x.config import laid_over, parse
from seq2x.settings import RunConfig

FOLDER = Path(__file__).parent.parent / "recipes" / "ablations"
KEYS = {"cites", "set", "drop", "members", "snapshots", "teachers", "first", "target_first", "vectors", "like",
        "against"}


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def filled(settings: dict[str, Any]) -> RunConfig:
    """As run.py fills it in."""
    for table in ("start", "distil"):
        if table in settings:
            settings[table]["from"] = "a"
    if "vectors" in settings["encoder"].get("embedding", {}):
        settings["encoder"]["embedding"]["vectors"]["path"] = "a"
    for task in settings["tasks"].values():
        task |= dict.fromkeys(("train", "dev"), ["a", "b"] if task["kind"] == "translate" else "a")
    return parse(RunConfig, settings, "variant")


@pytest.mark.parametrize("task", ["tag", "classify", "translate"])
def test_every_variant_can_be_trained(task: str) -> None:
    base, shared, own = read(task), read("shared.variants"), read(f"{task}.variants")
    assert not set(shared) & set(own)
    plain, names = filled(read(task)), {"base", *shared, *own}
    for name, variant in {**shared, **own}.items():
        assert set(variant) <= KEYS
        assert variant["cites"]
        assert {variant.get(key, "base") for key in ("teachers", "like", "against")} <= names
        changed = read(task)
        for key in variant.get("drop", []):
            *path, last = key.split(".")
            table = changed
            for part in path:
                table = table[part]
            del table[last]
        settings = laid_over(changed, variant.get("set", {}))
        assert (filled(settings) != plain) == ("set" in variant), name
        for first in (variant[key] for key in ("first", "target_first") if key in variant):
            before = {key: table for key, table in settings.items() if key not in ("start", "tasks")}
            assert {task.kind for task in filled(laid_over(before, first)).tasks.values()} == {"language_model"}
        if "vectors" in variant:
            assert "first" in own[variant["vectors"]]
        assert ("vectors" in variant) == ("vectors" in settings["encoder"].get("embedding", {}))
        assert ("first" in variant) == ("start" in settings)
        assert "members" in variant or "set" in variant
    assert base == read(task)
