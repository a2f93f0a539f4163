"""Settings: what is right comes back as it went, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2x import config
from seq2x.errors import ConfigError
from seq2x.settings import RunConfig

TASK = {"kind": "tag", "train": "a.conll", "data": {"scheme": "BIO"}}
SMALLEST = {"tasks": {"ner": TASK}}


def problem(data: dict[str, object], *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(RunConfig, data, "ner.toml", overrides)
    return str(caught.value)


@given(st.builds(dict, seed=st.integers(0, 10**6), threads=st.none() | st.integers(1, 64),
                 encoder=st.sampled_from([{"kind": "recurrent", "layers": 3}, {"kind": "transformer"}]),
                 schedule=st.sampled_from([{"kind": "cosine", "final": 0.25}, {"kind": "plateau"}])))
def test_dump_and_read_is_the_same(data: dict[str, object]) -> None:
    import tomllib

    made = config.parse(RunConfig, {**data, **SMALLEST}, "test")
    assert config.parse(RunConfig, tomllib.loads(config.dump(made)), "test") == made


def test_task_names_that_cannot_be_are_refused() -> None:
    for name in ("type", "keys", "training"):  # torch has attributes of these names
        assert "torch keeps for itself" in problem({"tasks": {name: TASK}})
    assert "stands twice" in problem({"tasks": {"ner": TASK, "NER": TASK}})
    assert "may hold letters" in problem({"tasks": {"a.b": TASK}})


def test_settings_that_would_fail_later_are_refused() -> None:
    pairs = {"kind": "translate", "train": "a.de", "data": {"format": "lines"}}
    assert problem({"tasks": {"de": pairs}}) == (
        "ner.toml: tasks.de: train is one file, 'a.de'; data.format = 'lines' needs two: [source, target]")
    assert "encoder.windows.1: found 0" in problem(SMALLEST, "encoder.kind=convolution", "encoder.windows=[3, 0]")
    assert "'subwords' learns its own pieces, expected text.kind = 'words'" in problem(
        SMALLEST, "encoder.kind=recurrent", "encoder.embedding.vectors.path=glove.txt")
    for text in ("subwords", "words"):
        assert "encoder.embedding.shape_width needs text.kind = 'words' and text.shapes = true" in problem(
            SMALLEST, f"text.kind={text}", "encoder.kind=recurrent", "encoder.embedding.shape_width=4")
    assert "encoder.embedding.characters: unknown key 'maps'" in problem(
        SMALLEST, "encoder.kind=recurrent", "encoder.embedding.characters={kind = 'recurrent', maps = 3}")
    assert "optimiser.betas.1: found 1.5" in problem(SMALLEST, "optimiser.kind=adamw", "optimiser.betas=[0.9, 1.5]")


def test_of_a_setting_with_alternatives_one_problem_is_told_under_its_own_name() -> None:
    task = {"tasks": {"c": {"kind": "classify", "train": "a.tsv"}}}
    at = "ner.toml: tasks.c.head."
    assert problem(task, "tasks.c.head.class_weights=balancd") == (
        f"{at}class_weights: found 'balancd'; did you mean 'balanced'?")
    assert problem(task, "tasks.c.head.class_weights={pos=-1}") == (
        f"{at}class_weights.pos: found -1: Input should be greater than 0")
    assert problem(task, "tasks.c.head.threshold=tunned") == f"{at}threshold: found 'tunned'; did you mean 'tuned'?"
    assert problem(task, "tasks.c.head.threshold=1.5") == f"{at}threshold: found 1.5: Input should be less than 1"
    assert problem({"tasks": {"c": {"kind": "classify", "train": 3}}}).startswith("ner.toml: tasks.c.train: found 3: ")


def test_optimiser_and_schedule_need_no_kind() -> None:
    made = config.parse(RunConfig, SMALLEST, "test", ["optimiser.rate=1e-4", "schedule.warmup=7"])
    assert (made.optimiser.kind, made.optimiser.rate, made.schedule.kind) == ("adam", 1e-4, "cosine")
    assert "optimiser: unknown key 'ratte'; did you mean 'rate'?" in problem(SMALLEST, "optimiser.ratte=1")


def test_a_layer_is_no_choice_where_the_summary_is_read() -> None:
    head = {"kind": "classify", "train": "a.tsv", "head": {"pooling": "last", "layer": 0}}
    assert "tasks.c.head: layer = 0: pooling = 'last' reads the encoder's summary" in problem({"tasks": {"c": head}})


def test_mistakes_name_file_table_key_and_the_nearest_choice() -> None:
    assert problem({**SMALLEST, "encoder": {"kind": "recurrent", "layer": 2}}) == (
        "ner.toml: encoder: unknown key 'layer'; did you mean 'layers'?")
    assert problem({**SMALLEST, "encodr": {}}) == "ner.toml: unknown key 'encodr'; did you mean 'encoder'?"
    assert problem({**SMALLEST, "encoder": {"kind": "recurent"}}) == (
        "ner.toml: encoder: unknown kind 'recurent'; did you mean 'recurrent'?")
    assert "the key 'kind' is missing; the choices are 'recurrent'" in problem({**SMALLEST, "encoder": {"layers": 2}})
    assert problem({**SMALLEST, "encoder": {"kind": "recurrent", "cell": "gruu"}}) == (
        "ner.toml: encoder.cell: found 'gruu'; did you mean 'gru'?")
    assert problem({"tasks": {"ner": {**TASK, "data": {}}}}) == "ner.toml: tasks.ner.data: the key 'scheme' is missing"
    assert "tasks.ner.head: unknown key 'decodr'; did you mean 'decoder'?" in problem(
        {"tasks": {"ner": {**TASK, "head": {"decodr": "crf"}}}})
    assert "training.max_epochs: found 0" in problem({**SMALLEST, "training": {"max_epochs": 0}})
    assert "the key 'tasks' is missing" in problem({})


def test_overrides_are_toml_and_checked_alike() -> None:
    made = config.parse(RunConfig, SMALLEST, "ner.toml",
                        ["optimiser.kind=sgd", "optimiser.rate=1e-4", "encoder.kind='recurrent'", "encoder.layers = 3"])
    assert (made.optimiser.kind, made.optimiser.rate) == ("sgd", 1e-4)
    assert made.encoder.kind == "recurrent"
    assert "unknown key 'rat'; did you mean 'rate'" in problem(SMALLEST, "optimiser.kind=adam", "optimiser.rat=1")
    assert "expected KEY=VALUE" in problem(SMALLEST, "optimiser.rate")
    assert "is a value, not a table" in problem({**SMALLEST, "seed": 1}, "seed.sub=1")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken = (("a.toml", b"seed = ", "not valid TOML"), ("b.toml", b"\xff", "not valid UTF-8 at byte 0"))
    for name, content, message in broken:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=f"{name}: {message}"):
            config.read(RunConfig, tmp_path / name)
    with pytest.raises(ConfigError, match="no such file"):
        config.read(RunConfig, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a directory"):
        config.read(RunConfig, tmp_path)
