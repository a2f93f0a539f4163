"""The public names: all there, each the one of its room, and none of them costs an import before it is used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import seq2x


@pytest.mark.parametrize("name", seq2x.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(seq2x, name)
    room = seq2x._ROOMS.get(name)
    assert room is None or value is getattr(importlib.import_module(f"seq2x.{room}"), name)
    assert name in dir(seq2x)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'seq2x' has no attribute 'Taggr'"):
        seq2x.Taggr  # noqa: B018


def test_names_are_loaded_when_used() -> None:
    code = ("import sys, seq2x; heavy = {'torch', 'numpy', 'pydantic'}; print(sorted(heavy & set(sys.modules)));"
            "seq2x.Tagger; print(sorted(heavy & set(sys.modules)))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[:2] == ["[]", "['numpy', 'pydantic', 'torch']"]
