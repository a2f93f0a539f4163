"""From text files to a run directory, on small invented data: train, stop, go on, refuse."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny_data import NAMES, pretrained, quiet, settings, write_files

from seq2x import checkpoint, config
from seq2x.errors import ConfigError, DataError, RunError
from seq2x.predictors import Tagger, Translator
from seq2x.run import Interrupted, train
from seq2x.settings import RunConfig
from seq2x.start import extract


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


@pytest.mark.parametrize("kind", ["tag", "classify", "translate"])
def test_it_learns_and_leaves_a_whole_directory(files: Path, kind: str) -> None:
    log: list[str] = []
    result = train(settings(files, kind, max_epochs=20 if kind == "translate" else 8), files / "run", say=log.append)
    assert result.progress.best is not None
    assert result.progress.best > (50 if kind == "translate" else 90)  # BLEU of unseen sentences, from 60 pairs
    assert any(line.startswith("data        train        60 examples   ") for line in log)
    loaded = checkpoint.load(result.directory)
    assert loaded.config == settings(files, kind, max_epochs=20 if kind == "translate" else 8)
    names = {path.name for path in result.directory.iterdir()}
    assert {"config.toml", "weights.safetensors", "resume", "metrics.jsonl", "README.md"} <= names
    assert (f"labels.{kind}.txt" in names) == (kind != "translate")
    records = checkpoint.read_metrics(result.directory)
    assert records[-1]["step"] == result.progress.step
    assert max(record["best"] for record in records) == result.progress.best


def test_tasks_share_one_encoder(files: Path) -> None:
    result = train(settings(files, "tag", "classify", max_epochs=8), files / "run", say=quiet)
    loaded = checkpoint.load(result.directory)
    assert set(loaded.model.heads) == {"tag", "classify"}
    stored = load_file(result.directory / "weights.safetensors")
    assert sum(name.startswith("encoder.embedding") for name in stored) == 1
    assert result.progress.best is not None
    assert result.progress.best > 90


@pytest.mark.parametrize("kinds", [("translate",), ("tag", "classify")])
def test_stopped_and_resumed_is_never_stopped(files: Path, kinds: tuple[str, ...]) -> None:
    train(settings(files, *kinds), files / "whole", say=quiet)
    train(settings(files, *kinds, max_epochs=1), files / "parts", say=quiet)
    train(settings(files, *kinds, max_steps=10), files / "parts", resume=True, say=quiet)  # in the middle of an epoch
    train(settings(files, *kinds), files / "parts", resume=True, say=quiet)
    mine, other = (checkpoint.read_metrics(files / name) for name in ("whole", "parts"))
    assert [record["step"] for record in mine] == [record["step"] for record in other if record["step"] != 10]
    whole, parts = (load_file(files / name / "resume/state.safetensors") for name in ("whole", "parts"))
    assert all((whole[key] == parts[key]).all() for key in whole if key.startswith("model."))


def test_ctrl_c_ends_a_script_when_all_is_saved(files: Path) -> None:
    def press(line: str) -> None:
        if line.startswith("ends"):  # the last line before the first update
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()

    with pytest.raises(Interrupted, match=r"Ctrl-C; all is saved in .*run") as found:
        train(settings(files, "tag", max_epochs=10_000), files / "run", say=press)
    step = found.value.trained.progress.step
    assert step > 0
    again = train(settings(files, "tag", max_epochs=10_000, max_steps=step + 1), files / "run", resume=True, say=quiet)
    assert again.progress.step == step + 1


@pytest.mark.parametrize("mode", ["tuned", "frozen", "two-channel"])
def test_word_vectors_are_read_once_and_never_again(files: Path, mode: str) -> None:
    log: list[str] = []
    known = {word: [number + 0.5] * 32 for number, word in enumerate([*NAMES, "rome", "went"])}
    path = files / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in known.items()))
    own = config.dump(settings(files, "tag"))
    own = own.replace("[encoder.embedding]", f'[encoder.embedding]\nvectors = {{ path = "{path}", mode = "{mode}" }}')
    (files / "own.toml").write_text(own)
    train(files / "own.toml", files / "whole", say=log.append)
    assert any("vectors" in line and "6 of 11 words found, 0 in lower case" in line for line in log)
    loaded = checkpoint.load(files / "whole")
    tables = {name: value for name, value in loaded.model.encoder.named_parameters() if value.shape[1:] == (32,)}
    rows = [loaded.source.encode_words([word]).ids[0] for word in known]
    same = {name: all(value[row].tolist() == known[word] for row, word in zip(rows, known, strict=True))
            for name, value in tables.items() if name.startswith("embedding")}
    assert same == {"tuned": {"embedding.table.weight": False}, "frozen": {"embedding.table.weight": True},
                    "two-channel": {"embedding.table.weight": False, "embedding.static.weight": True}}[mode]
    train(files / "own.toml", files / "parts", overrides=["training.max_steps=5"], say=quiet)
    path.unlink()
    train(files / "own.toml", files / "parts", resume=True, say=quiet)
    whole, parts = (load_file(files / name / "resume/state.safetensors") for name in ("whole", "parts"))
    assert all((whole[key] == parts[key]).all() for key in whole if key.startswith("model."))
    with pytest.raises(DataError, match=r"vectors\.txt: no such file"):
        train(files / "own.toml", files / "whole", overwrite=True, say=quiet)
    assert checkpoint.load(files / "whole").config == loaded.config  # refused, it harms nothing


def test_an_older_run_is_not_overwritten_without_being_asked(files: Path) -> None:
    train(settings(files, "classify", max_epochs=1), files / "run", say=quiet)
    with pytest.raises(RunError, match="holds a run already; --resume goes on with it, --overwrite starts afresh"):
        train(settings(files, "classify"), files / "run", say=quiet)
    with pytest.raises(RunError, match=r"other settings: encoder.hidden was 16, now 8"):
        train(settings(files, "classify"), files / "run", overrides=["encoder.hidden=8"], resume=True, say=quiet)
    (files / "train.tsv").write_text("gone\tann went to rome .\nseen\tbob ann saw oslo .\n")
    with pytest.raises(RunError, match=r"train\.tsv is not the file that the run began with"):
        train(settings(files, "classify"), files / "run", resume=True, say=quiet)
    assert checkpoint.read_config(files / "run").training.max_epochs == 1  # refused, it changes nothing
    with pytest.raises(RunError, match="exists and is no run directory"):
        train(settings(files, "classify"), files, say=quiet)
    train(settings(files, "classify", max_epochs=1), files / "run", overwrite=True, say=quiet)
    assert len(checkpoint.read_metrics(files / "run")) == 1


def test_mistakes_are_found_before_anything_is_written_or_deleted(files: Path) -> None:
    log: list[str] = []
    train(settings(files, "classify", max_epochs=1), files / "run", say=quiet)
    kept = {path.name: path.read_bytes() for path in (files / "run").iterdir() if path.is_file()}
    good = (files / "dev.tsv").read_text()
    (files / "dev.tsv").write_text("lost\tann went to rome .\n")
    for out, overwrite in (("run", True), ("new", False)):
        with pytest.raises(DataError, match="'lost'"):
            train(settings(files, "classify"), files / out, overwrite=overwrite, say=quiet)
    assert {path.name: path.read_bytes() for path in (files / "run").iterdir() if path.is_file()} == kept
    (files / "dev.tsv").write_text(good)
    train(settings(files, "classify", max_epochs=1), files / "new", say=log.append)  # the name is still free
    assert not any("going on" in line for line in log)


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_what_is_no_run_directory_is_left_alone(files: Path, how: str) -> None:
    for name, content in (("papers", None), ("blog", "baseURL = 'https://example.org'\n")):
        (files / name).mkdir()
        (files / name / "README.md").write_text("my own\n")
        if content:
            (files / name / "config.toml").write_text(content)
        with pytest.raises(RunError, match=r"is no run directory"):
            train(settings(files, "classify"), files / name, say=quiet, **{how: True})  # type: ignore[arg-type]
        assert (files / name / "README.md").read_text() == "my own\n"


def test_without_a_state_it_starts_again_or_says_that_it_cannot_go_on(files: Path) -> None:
    train(settings(files, "classify", max_epochs=2), files / "run", say=quiet)
    whole = (files / "run/metrics.jsonl").read_text().count("\n")
    shutil.rmtree(files / "run/resume")
    with pytest.raises(RunError, match=r"resume/state\.safetensors is gone, without which it cannot go on"):
        train(settings(files, "classify", max_epochs=3), files / "run", resume=True, say=quiet)
    (files / "run/README.md").unlink()  # as if it had been killed between the first weights and the first state
    (files / "run/metrics.jsonl").write_text('{"step": 1, "cut')
    train(settings(files, "classify", max_epochs=2), files / "run", resume=True, say=quiet)
    assert [record["epoch"] for record in checkpoint.read_metrics(files / "run")] == [1, 2][-whole:]


def test_weights_of_a_run_without_a_state_are_no_part_of_the_next(files: Path) -> None:
    train(settings(files, "tag", average=2, max_epochs=2), files / "run", say=quiet)
    shutil.rmtree(files / "run" / "resume")
    (files / "run" / "README.md").unlink()  # as where it was killed in its first save
    train(settings(files, "classify", average=2, max_epochs=1), files / "run", resume=True, say=quiet)
    assert len(list((files / "run" / "checkpoints").iterdir())) == 1


def test_a_task_may_be_so_rare_that_an_epoch_is_empty(files: Path) -> None:
    log: list[str] = []
    own = settings(files, "classify", max_epochs=200, max_steps=2)
    progress = train(own, files / "run", overrides=["tasks.classify.weight=0.004"], say=log.append).progress
    assert (progress.step, progress.done) == (2, "2 updates")
    assert any(line.endswith("; 1 an epoch, 2 at most") for line in log)


def test_settings_kept_are_those_of_the_last_limits(files: Path) -> None:
    train(settings(files, "classify", max_epochs=1), files / "run", say=quiet)
    train(settings(files, "classify", max_epochs=2), files / "run", resume=True, say=quiet)
    assert checkpoint.read_config(files / "run").training.max_epochs == 2


def test_without_a_dev_file_some_of_train_is_held_out_and_it_is_said(files: Path) -> None:
    log: list[str] = []
    own = settings(files, "classify", max_epochs=1).model_dump(mode="json", exclude_none=True)
    del own["tasks"]["classify"]["dev"]
    overrides = ["tasks.classify.hold_out=0.2"]
    train(config.parse(RunConfig, own, "test"), files / "run", overrides=overrides, say=log.append)
    assert any("of these examples, held out of train (hold_out = 0.2)" in line for line in log)
    assert json.loads((files / "run" / "metrics.jsonl").read_text())["scores"]["classify"]


def test_mistakes_are_named(files: Path) -> None:
    with pytest.raises(ConfigError, match="encoder: unknown key 'layer'; did you mean 'layers'"):
        train(settings(files, "tag"), files / "run", overrides=["encoder.layer=2"], say=quiet)
    with pytest.raises(ConfigError, match=r"encoder: unknown kind 'recurent'; did you mean 'recurrent'"):
        train(settings(files, "tag"), files / "run", overrides=["encoder.kind=recurent"], say=quiet)
    with pytest.raises(ConfigError, match=r"batch_tokens = 20 is smaller than tasks.tag.limit.max_tokens = 50"):
        train(settings(files, "tag"), files / "run", overrides=["training.batch_tokens=20"], say=quiet)
    with pytest.raises(ConfigError, match=r"processor with characters: text.kind = .words. and text.characters = true"):
        train(settings(files, "tag"), files / "run", overrides=["encoder.embedding.characters.width=3"], say=quiet)
    (files / "dev.tsv").write_text("lost\tann went to rome .\n")
    with pytest.raises(DataError, match=r"dev\.tsv, line 1: .*'lost'"):
        train(settings(files, "classify"), files / "run2", say=quiet)
    with pytest.raises(ConfigError, match=r"device: 'cuda:99' cannot be used: .*'auto'"):
        train(settings(files, "tag"), files / "run", overrides=["device=cuda:99"], say=quiet)
    with pytest.raises(ConfigError, match=r"corpus\.cache needs corpus\.memory = 'cache'; found memory = 'all'"):
        train(settings(files, "tag"), files / "run", overrides=["corpus.cache=x"], say=quiet)
    with pytest.raises(ConfigError, match=r"schedule\.minimum: found 3: .*less than or equal to 1"):
        train(settings(files, "tag"), files / "run", overrides=["schedule={kind='plateau', minimum=3}"], say=quiet)


@pytest.mark.parametrize("memory", ["all", "cache"])
@pytest.mark.parametrize("kind", ["tag", "translate"])
def test_data_of_which_nothing_is_left_are_refused(files: Path, kind: str, memory: str) -> None:
    own = [f"tasks.{kind}.limit={{max_tokens=2, on_long='skip'}}", f"corpus.memory={memory}"]
    with pytest.raises(DataError, match=rf"train.*: every example has more than 2 tokens .* tasks\.{kind}\.limit"):
        train(settings(files, kind), files / "run", overrides=own, say=quiet)


def test_too_few_to_hold_out_are_refused_by_name(files: Path) -> None:
    (files / "few.tsv").write_text("a\tone\n")
    data = settings(files, "classify").model_dump(mode="json", exclude_none=True)
    data["tasks"]["classify"] |= {"train": f"{files}/few.tsv"}
    del data["tasks"]["classify"]["dev"]
    with pytest.raises(DataError, match=r"few\.tsv: cannot hold out 0\.1 of 1 examples"):
        train(config.parse(RunConfig, data, "test"), files / "run", say=quiet)


@pytest.mark.parametrize("memory", ["all", "cache"])
def test_the_card_counts_the_examples_of_each_file(files: Path, memory: str) -> None:
    for number, (first, last) in enumerate([(0, 40), (40, 60)], start=1):
        for side in ("src", "tgt"):
            lines = (files / f"train.{side}").read_text().splitlines(keepends=True)
            (files / f"part{number}.{side}").write_text("".join(lines[first:last]))
    data = settings(files, "translate", max_epochs=1).model_dump(mode="json", exclude_none=True)
    data["tasks"]["translate"]["train"] = [f"{files}/part*.src", f"{files}/part*.tgt"]
    data["corpus"]["memory"] = memory
    train(config.parse(RunConfig, data, "test"), files / "run", say=quiet)
    card = (files / "run/README.md").read_text().split("\n")
    rows = [line for line in card if line.startswith("| translate | train")]
    assert [row.split(" | ")[3] for row in rows] == ["40", "40", "20", "20"]

def test_two_trainings_do_not_share_a_directory(files: Path) -> None:
    with checkpoint.locked(files / "run"), pytest.raises(RunError, match="another training is at work in it"):
        train(settings(files, "classify"), files / "run", say=quiet)
    assert not (files / "run").exists()
    train(settings(files, "classify", max_epochs=1), files / "run", say=quiet)


def test_without_a_directory_it_is_named_after_the_file(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    (files / "mine.toml").write_text(config.dump(settings(files, "classify", max_epochs=1)))
    assert train("mine.toml", say=quiet).directory == Path("runs/mine")
    with pytest.raises(RunError, match=r"say where to train"):
        train(settings(files, "classify"), say=quiet)


def test_a_run_with_a_pretrained_encoder_needs_its_model_no_more(files: Path) -> None:
    own = config.parse(RunConfig, pretrained(files, "tag", "translate", max_epochs=2), "test")
    assert own.text.model_dump() == {"kind": "pretrained", "model": f"{files}/bert"}
    train(own, files / "run", say=quiet)
    shutil.rmtree(files / "bert")
    assert {path.name for path in (files / "run" / "pretrained").iterdir()} == {
        "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert checkpoint.load(files / "run").config == own
    tagged = Tagger.load(files / "run").tag("Ann went to York.")
    assert [word.text for word in tagged.tokens] == ["Ann", "went", "to", "York", "."]
    assert all(span.text == tagged.text[span.start : span.end] for span in tagged.spans)
    assert isinstance(Translator.load(files / "run").translate("ann saw rome .").text, str)
    assert Tagger.load(extract(files / "run", files / "small", ["tag"])).tag("Ann went to York.") == tagged
    data = settings(files, "tag", max_epochs=1).model_dump(mode="json", exclude_none=True, exclude={"text", "encoder"})
    train(config.parse(RunConfig, {**data, "start": {"from": f"{files}/small"}}, "test"), files / "next", say=quiet)
    assert checkpoint.load(files / "next").config.encoder == own.encoder


@pytest.mark.parametrize(("changes", "message"), [
    ({"text": {"kind": "words"}}, r"text\.kind = 'words' does not go with encoder\.kind = 'pretrained'"),
    ({"text": {"kind": "pretrained", "model": "other"}}, r"text\.model = 'other' is not encoder\.model = '.*bert'"),
    ({"text": {"kind": "pretrained", "model": "x"}, "encoder": {"kind": "recurrent"}}, r"does not go with encoder"),
    ({"encoder": {"kind": "pretrained"}}, r"encoder: the key 'model' is missing"),
])
def test_a_pretrained_encoder_has_its_own_text(files: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(RunConfig, {**pretrained(files, "tag"), **changes}, "test")
    data = pretrained(files, "translate")
    data["target_text"] = {"kind": "pretrained", "model": "x"}
    with pytest.raises(ConfigError, match=r"target_text\.kind = 'pretrained'"):
        config.parse(RunConfig, data, "test")
    del data["target_text"]
    with pytest.raises(ConfigError, match=r"tasks\.translate translates: .* the target needs a \[target_text\]"):
        config.parse(RunConfig, data, "test")
