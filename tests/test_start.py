"""What a run takes from an older one: by string, not by place; the rest is new, and it is said. And extraction."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.pieces import CHARACTERS, ENCODERS, SIZE, parse
from safetensors.torch import load_file
from tiny_data import quiet, settings, write_files, write_split
from tiny_runs import LINES, TARGETS, task, write_run

from seq2x import Classifier, Tagger, Translator, checkpoint, config, extract, start
from seq2x.build import build_model
from seq2x.checkpoint import Loaded
from seq2x.cli import main
from seq2x.encoders import EncoderConfig
from seq2x.errors import ConfigError, RunError
from seq2x.nn.embeddings import Embedding
from seq2x.run import train
from seq2x.settings import RunConfig
from seq2x.text import Vocabulary, tags
from seq2x.text.tags import Scheme


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def write_new(files: Path) -> None:
    """Data of another place: words, labels and translations that the first have not."""
    made = [[(name, "B-PER"), ("saw" if number % 3 else "went", "O"), ("kayak", "B-BOAT"), (".", "O")]
            for number, name in enumerate(["eve", "zoe", "ann", "kim"] * 6)]
    for name, part in (("train", made), ("dev", made[:5])):
        (files / f"{name}.conll").write_text(
            "".join("".join(f"{word} {tag}\n" for word, tag in one) + "\n" for one in part))
        (files / f"{name}.tsv").write_text(
            "".join(f"{'seen' if 'saw' in dict(one) else 'sunk'}\t{' '.join(dict(one))}\n" for one in part))


def from_run(files: Path, *kinds: str, **own: Any) -> RunConfig:
    """Settings that say of text, encoder and heads nothing, or what ``own`` says."""
    data = config.given(settings(files, *kinds, max_epochs=1, ema=0.0))
    for part in ("text", "encoder"):
        del data[part]
    for name in kinds:
        data["tasks"][name].pop("head", None)
    begin = {"from": f"{files}/old", **own.pop("start", {})}
    return config.parse(RunConfig, config.laid_over(data, {"start": begin, **own}), "new.toml")


def begun(files: Path, wanted: RunConfig) -> tuple[Loaded, list[str], dict[str, torch.Tensor]]:
    """The run as it begins (after one update at rate 0), what it said, and the older weights."""
    log: list[str] = []
    train(wanted, files / "new", say=log.append, overwrite=True,
          overrides=["optimiser.rate=1e-30", "training.max_steps=1"])
    return checkpoint.load(files / "new"), log, load_file(files / "old/weights.safetensors")


def test_a_whole_run_goes_on_with_other_data(files: Path) -> None:
    train(settings(files, "tag", "classify", max_epochs=2), files / "old", say=quiet)
    write_new(files)
    loaded, log, old = begun(files, from_run(files, "tag", "classify", start={"vocabulary": "grow", "labels": "grow"}))
    before = checkpoint.load(files / "old")
    assert loaded.config.encoder == before.config.encoder  # nothing was said of it
    assert loaded.source.entries[:before.source.size] == before.source.entries
    assert set(loaded.source.entries[before.source.size:]) == {"kayak", "zoe", "kim"}
    new = dict(loaded.model.named_parameters())
    rows = "encoder.embedding.table.weight"
    assert torch.equal(new[rows][:before.source.size], old[rows])
    assert set(loaded.labels["classify"].entries) == {"seen", "gone", "sunk"}
    assert tags.labels_of(loaded.labels["tag"].entries, "IOBES") == {"PER", "LOC", "BOAT"}
    for tag in before.labels["tag"].entries:
        here, there = loaded.labels["tag"].id(tag), before.labels["tag"].id(tag)
        assert torch.equal(new["heads.tag.emissions.1.weight"][here], old["heads.tag.emissions.1.weight"][there])
        for other in before.labels["tag"].entries:
            assert (new["heads.tag.chain.transitions"][here, loaded.labels["tag"].id(other)]
                    == old["heads.tag.chain.transitions"][there, before.labels["tag"].id(other)])
    text = "\n".join(log)
    assert "start       from " in text
    assert "the encoder and the head tag and the head classify" in text
    assert "3 new: kayak, " in text
    assert "labels of tag: 9 taken; 4 new: B-BOAT" in text
    assert "labels of classify: 2 taken; 1 new: sunk" in text
    assert "- started from" in (files / "new/README.md").read_text()


def test_word_vectors_are_read_again_only_for_words_that_are_new(files: Path) -> None:
    path = files / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join([str(number)] * 32)}\n"
                            for number, word in enumerate(["ann", "kayak", "zoe"])))
    data = config.given(settings(files, "tag", max_epochs=1))
    data["encoder"]["embedding"]["vectors"] = {"path": str(path), "mode": "two-channel"}
    train(config.parse(RunConfig, data, "old.toml"), files / "old", say=quiet)
    write_new(files)
    loaded, log, old = begun(files, from_run(files, "tag", start={"vocabulary": "grow"}))
    assert any("vectors" in line and "3 of 14 words found" in line for line in log)
    size, new = checkpoint.load(files / "old").source.size, dict(loaded.model.named_parameters())
    for name in ("encoder.embedding.table.weight", "encoder.embedding.static.weight"):
        assert torch.equal(new[name][:size], old[name])
        assert new[name][loaded.source.entries.index("kayak")].tolist() == [1.0] * 32
    path.unlink()
    begun(files, from_run(files, "tag"))  # keeps the vocabulary, so it needs no file


def test_by_default_the_vocabulary_stays_and_labels_are_those_of_the_data(files: Path) -> None:
    train(settings(files, "tag", max_epochs=1), files / "old", say=quiet)
    write_new(files)
    loaded, log, _ = begun(files, from_run(files, "tag", encoder={"kind": "recurrent", "dropout": 0.4}))
    before = checkpoint.load(files / "old")
    assert loaded.source.entries == before.source.entries
    assert (loaded.config.encoder.dropout, before.config.encoder.dropout) == (0.4, 0.1)  # type: ignore[union-attr]
    assert tags.labels_of(loaded.labels["tag"].entries, "IOBES") == {"PER", "BOAT"}
    assert any("4 new: B-BOAT" in line and "4 left: B-LOC" in line for line in log)


def test_an_encoder_alone_with_a_new_head_frozen_if_wished(files: Path) -> None:
    train(settings(files, "tag", max_epochs=1), files / "old", say=quiet)
    log: list[str] = []
    wanted = from_run(files, "classify", start={"take": "encoder", "freeze": True})
    train(wanted, files / "new", say=log.append)
    old, new = (load_file(files / name / "weights.safetensors") for name in ("old", "new"))
    assert all(torch.equal(old[name], new[name]) for name in new if name.startswith("encoder."))
    assert not any(name.startswith("heads.tag") for name in new)
    assert any(line.endswith("new: the head classify") for line in log)
    assert any(line.endswith("left: the head tag") for line in log)
    shutil.rmtree(files / "old")  # the older run is needed no more
    assert Classifier.load(files / "new").classify("ann saw oslo .").label in ("seen", "gone")
    log.clear()
    train(wanted, files / "new", resume=True, overrides=["training.max_epochs=2"], say=log.append)
    assert any("going on after update" in line for line in log)
    again = load_file(files / "new/resume/state.safetensors")
    assert all(torch.equal(old[name], again[f"model.{name}"]) for name in old if name.startswith("encoder."))


def test_stopped_and_resumed_it_is_as_if_never_stopped(files: Path) -> None:
    train(settings(files, "tag", max_epochs=1), files / "old", say=quiet)
    wanted = from_run(files, "tag", start={"vocabulary": "grow"})
    more = ["training.max_epochs=2"]
    train(wanted, files / "whole", overrides=more, say=quiet)
    train(wanted, files / "parts", say=quiet)
    shutil.rmtree(files / "old")
    train(wanted, files / "parts", overrides=more, resume=True, say=quiet)
    whole, parts = (load_file(files / name / "resume/state.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_encoder_of_tags_learns_to_translate(files: Path) -> None:
    own = config.given(settings(files, "tag", max_epochs=1))
    own["text"] = {"kind": "subwords", "size": 290}
    train(config.parse(RunConfig, own, "old.toml"), files / "old", say=quiet)
    wanted = from_run(files, "translate", start={"take": "encoder"}, target_text={"kind": "words"})
    loaded, log, _ = begun(files, wanted)
    assert loaded.target is not loaded.source
    assert loaded.target is not None
    assert "thomas" in loaded.target.entries
    assert any(line.strip().startswith("tokens: 290 taken") for line in log)
    write_split(files, "train", [[("ann", "B-PER"), (".", "O")]] * 9)
    grown = from_run(files, "translate", start={"take": "encoder", "vocabulary": "grow"}, target_text={"kind": "words"})
    with pytest.raises(ConfigError, match="pieces of words cannot grow"):
        begun(files, grown)


SPELT = {"kind": "recurrent", "hidden": 8, "embedding": {"width": 10, "characters": {"width": 6, "maps": 3}}}


def test_a_new_vocabulary_takes_the_vectors_of_what_both_have(tmp_path: Path) -> None:
    """Of every kind at once: words, their characters, target tokens, with a vocabulary in another order."""
    older = checkpoint.load(write_run(tmp_path / "old", {"t": task("translate")}, "recurrent, spelt", "spelt words"))
    data = config.given(older.config) | {"start": {"from": f"{tmp_path}/old", "vocabulary": "new"}}
    new = config.parse(RunConfig, data, "new")
    words = new.text.learn([*LINES[3:], "quite new"])
    target = new.text.learn(["Warum Schnee", "neu"])
    torch.manual_seed(9)
    made = Loaded(new, build_model(new, words, target, {}), words, target, {})
    fresh = {name: value.detach().clone() for name, value in made.model.named_parameters()}
    report = start.take(made, older)
    assert older.target is not None
    for name, here, there in [
        ("encoder.embedding.table.weight", words.entries, older.source.entries),
        ("encoder.embedding.spelling.table.weight", words.character_entries, older.source.character_entries),
        ("heads.t.table.weight", target.entries, older.target.entries),
        ("heads.t.output.bias", target.entries, older.target.entries),
    ]:
        now, before = made.model.get_parameter(name), older.model.get_parameter(name)
        assert here is not None
        assert there is not None
        assert set(here) - set(there)  # some are new
        for row, entry in enumerate(here):
            expected = before[there.index(entry)] if entry in there else fresh[name][row]
            assert torch.equal(now[row], expected), (name, entry)
    assert any(line.startswith("target tokens of t: 6 taken; 1 new: neu; ") for line in report)


def test_ngrams_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    text, bag = {"kind": "words"}, {"kind": "bag", "embedding": {"width": 8}, "buckets": 30}
    data = {"text": text, "encoder": bag, "tasks": {"t": task("classify")},
            "start": {"from": f"{tmp_path}/old", "vocabulary": "new"}}
    write_run(tmp_path / "old", {"t": task("classify")}, "bag", "words")
    with pytest.raises(ConfigError, match=r"n-grams .* those of its own vocabulary; expected 'keep' or 'grow'"):
        start.load(config.parse(RunConfig, data, "new"))
    data["start"]["vocabulary"] = "grow"
    assert start.load(config.parse(RunConfig, data, "new")).config.encoder.kind == "bag"


def test_it_starts_from_a_tied_or_untied_table(tmp_path: Path) -> None:
    """Three-way tied weights, and the same run with its tables apart."""
    decoder = {"kind": "recurrent", "width": 16, "hidden": 16}
    tied = task("translate", head={"kind": "translate", "tie": "all", "decoder": decoder})
    write_run(tmp_path / "old", {"t": tied})
    apart = task("translate", head={"kind": "translate", "tie": "none", "decoder": decoder})
    for wanted in (tied, apart):
        older = checkpoint.load(tmp_path / "old")
        data = config.given(older.config) | {"start": {"from": f"{tmp_path}/old"}, "tasks": {"t": wanted}}
        new = config.parse(RunConfig, data, "new")
        made = Loaded(new, build_model(new, older.source, older.target, {}), older.source, older.target, {})
        start.take(made, older)
        assert torch.equal(made.model.get_parameter("heads.t.output.weight"),
                           older.model.get_parameter("encoder.embedding.table.weight"))


def with_coverage(
    directory: Path, decoder: dict[str, Any], coverage: dict[str, Any]
) -> tuple[Loaded, Loaded, list[str]]:
    """A translator without coverage, one with it that starts from the first, and what was said."""
    heads = [{"kind": "translate", "decoder": {**decoder, "coverage": each}} for each in ({"kind": "none"}, coverage)]
    older = checkpoint.load(write_run(directory / "old", {"t": task("translate", 80, head=heads[0])}))
    data = config.given(older.config) | {"start": {"from": f"{directory}/old"},
                                         "tasks": {"t": task("translate", 80, head=heads[1])}}
    new = config.parse(RunConfig, data, "new")
    made = Loaded(new, build_model(new, older.source, older.target, {}), older.source, older.target, {})
    return older, made, start.take(made, older)


@pytest.mark.parametrize("kind", ["sum", "fertility", "gated", "embedding"])
@pytest.mark.parametrize("attention", ["additive", "multiplicative"])
def test_coverage_is_switched_on_later(tmp_path: Path, kind: str, attention: str) -> None:
    decoder = {"kind": "recurrent", "width": 16, "hidden": 16, "attention": {"kind": attention}}
    older, made, said = with_coverage(tmp_path, decoder, {"kind": kind})
    before, after = (dict(each.model.named_parameters(remove_duplicate=False)) for each in (older, made))
    assert set(before) < set(after)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    added = [after[name].numel() for name in set(after) - set(before)]
    assert f"new: the coverage of t, {sum(added):,} parameters" in said
    changes_nothing(older, made)


def changes_nothing(older: Loaded, made: Loaded) -> None:
    """The two say the same, and of given translations the same."""
    pairs = list(zip(LINES, TARGETS, strict=True))
    outputs = [(Translator([each]).translate(LINES), Translator([each]).score(pairs)) for each in (older, made)]
    assert outputs[0] == outputs[1]


def test_refinement_that_is_switched_on_later_begins_by_changing_nothing(tmp_path: Path) -> None:
    decoder = {"kind": "transformer", "width": 16, "layers": 2, "heads": 2, "feedforward": 24}
    older, made, said = with_coverage(tmp_path, decoder, {"kind": "sum"})
    assert any(line.startswith("new: the coverage of t") for line in said)
    changes_nothing(older, made)


@pytest.mark.parametrize("name", [name for name in ENCODERS if "pretrained" not in name])  # whose tokens are fixed
def test_an_encoder_has_no_other_part_for_each_token(name: str) -> None:
    small, large = (parse(EncoderConfig, ENCODERS[name]).build(SIZE + more, CHARACTERS + more) for more in (0, 3))
    grown = {other for other, parameter in large.named_parameters()
             if parameter.shape != small.get_parameter(other).shape}
    tables = {id(module.table.weight) for module in large.modules() if isinstance(module, Embedding)}
    tables |= {id(module.static.weight) for module in large.modules()
               if isinstance(module, Embedding) and module.static is not None}
    tables |= {id(module.spelling.table.weight) for module in large.modules()
               if isinstance(module, Embedding) and module.spelling is not None}
    assert {id(large.get_parameter(other)) for other in grown} == tables


def test_what_cannot_fit_names_both(files: Path) -> None:
    train(settings(files, "tag", max_epochs=1), files / "old", say=quiet)

    def mistake(*kinds: str, **own: Any) -> str:
        with pytest.raises((ConfigError, RunError)) as caught:
            train(from_run(files, *kinds, **own), files / "new", say=quiet)
        assert not (files / "new").exists()
        return str(caught.value)

    assert "none of the tasks (classify) is one of" in mistake("classify")
    wide = mistake("tag", encoder={"kind": "recurrent", "hidden": 24})
    assert "settings that differ: encoder.hidden 16 there, 24 here; " in wide
    assert "is [64, 32] there, [96, 32] here" in wide
    assert "encoder.kind 'recurrent' there, 'transformer' here" in mistake("tag", encoder={"kind": "transformer"})
    assert "tasks.tag.head.decoder 'crf' there, 'softmax' here" in mistake(
        "tag", tasks={"tag": {"head": {"kind": "tag", "decoder": "softmax"}}})
    assert "text.kind 'words' there, 'characters' here" in mistake("tag", text={"kind": "characters"})
    assert "size = 6 has no room for the 15 entries" in mistake(
        "tag", text={"kind": "words", "size": 6}, start={"vocabulary": "grow"})
    assert "did you mean 'old'" in mistake("tag", start={"from": f"{files}/odl"})
    assert "take = 'encoder' takes none" in mistake("classify", start={"take": "encoder", "labels": "grow"})
    assert "unknown key 'form'; did you mean 'from'" in mistake("tag", start={"form": "x"})
    data = config.given(from_run(files, "classify"))
    data["tasks"] = {"tag": data["tasks"]["classify"]}
    with pytest.raises(ConfigError, match=r"tasks\.tag\.kind: 'tag' in .*, 'classify' here"):
        train(config.parse(RunConfig, data, "test"), files / "new", say=quiet)
    with pytest.raises(ConfigError, match="is the run to be trained itself"):
        train(from_run(files, "tag"), files / "old", overwrite=True, say=quiet)


@pytest.mark.parametrize("scheme", ["BIO", "BILOU", "none"])
def test_tags_of_another_scheme_are_taken_by_their_strings(tmp_path: Path, scheme: Scheme) -> None:
    older = checkpoint.load(write_run(tmp_path / "old", {"ner": task("tag", scheme="IOBES")}))
    data = config.given(older.config) | {"start": {"from": f"{tmp_path}/old", "labels": "grow"}}
    data["tasks"]["ner"] |= {"scheme": scheme, "data": {"scheme": "none" if scheme == "none" else "BIO"}}
    new = config.parse(RunConfig, data, "new")
    if scheme == "none":
        with pytest.raises(ConfigError, match=r"tasks\.ner\.scheme: 'IOBES' in .*, 'none' here"):
            start.load(new)
        return
    learnt = {"ner": Vocabulary(tags.complete(["WAY"], scheme))}
    labels = start.grown_labels(new, older, learnt)
    assert set(labels["ner"].entries) == set(tags.complete(["WAY", "PER", "LOC"], scheme))
    made = Loaded(new, build_model(new, older.source, None, labels), older.source, None, labels)
    report = start.take(made, older)
    shared = set(labels["ner"].entries) & set(older.labels["ner"].entries)
    assert any(line.startswith(f"labels of ner: {len(shared)} taken") for line in report)


def test_extracted_tasks_predict_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoder = {"kind": "recurrent", "width": 16, "hidden": 16}
    tasks = {"ner": task("tag"), "topic": task("classify"),
             "de": task("translate", head={"kind": "translate", "tie": "all", "decoder": decoder})}
    run = write_run(tmp_path / "run", tasks)
    assert main(["extract", str(run), "--task", "ner", "--out", str(tmp_path / "small")]) == 0
    assert "small: 0.3 MB" in capsys.readouterr().out
    assert Tagger.load(tmp_path / "small").tag(LINES) == Tagger.load(run, task="ner").tag(LINES)
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert "labels.topic.txt" not in names
    assert "# `ner` of" in (tmp_path / "small/README.md").read_text()
    stored = load_file(tmp_path / "small/weights.safetensors")
    assert {name.split(".")[1] for name in stored if name.startswith("heads.")} == {"ner"}
    extract(run, tmp_path / "two", ["de", "topic"])
    assert Translator.load(tmp_path / "two", task="de").translate(LINES) == Translator.load(run).translate(LINES)
    assert Classifier.load(tmp_path / "two").classify(LINES) == Classifier.load(run).classify(LINES)
    with pytest.raises(RunError, match="has no task 'nerr'; did you mean 'ner'"):
        extract(run, tmp_path / "three", ["nerr"])
    with pytest.raises(RunError, match="exists already; choose another --out"):
        extract(run, tmp_path / "two")
