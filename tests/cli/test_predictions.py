"""tag, classify and translate: formats, order, one record for each line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x import Classifier, Tagger, Translator, checkpoint
from seq2x.cli import translate_main
from seq2x.data.readers import TaggedFormat, read_tagged
from seq2x.search import Normaliser

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
TEXT = b"Ann went to Rome.\nTom Eve saw  Oslo .\n"


def test_tags_in_columns_can_be_read_again(world: Path, call: Call, tmp_path: Path) -> None:
    code, output, errors = call(["tag", world / "runs/tag"], TEXT)
    assert (code, errors) == (0, "")
    assert output == ("Ann\tB-PER\nwent\tO\nto\tO\nRome\tB-LOC\n.\tO\n\n"
                      "Tom\tB-PER\nEve\tI-PER\nsaw\tO\nOslo\tB-LOC\n.\tO\n\n")
    (tmp_path / "again.conll").write_bytes(output.encode())
    assert [len(one.words) for one in read_tagged(tmp_path / "again.conll", TaggedFormat(scheme="BIO"))] == [5, 5]


def test_tags_as_json_can_be_read_again(world: Path, call: Call, tmp_path: Path) -> None:
    code, output, _ = call(["tag", world / "runs/tag", "--format", "jsonl"], TEXT)
    assert code == 0
    records = [json.loads(line) for line in output.split("\n")[:-1]]
    assert records[1]["text"] == "Tom Eve saw  Oslo ."
    assert records[1]["tokens"] == ["Tom", "Eve", "saw", "Oslo", "."]
    for record in records:
        for span in record["spans"]:
            assert record["text"][span["start"] : span["end"]] == span["text"]
            assert 0 < span["confidence"] <= 1
    assert [span["label"] for span in records[1]["spans"]] == ["PER", "LOC"]
    (tmp_path / "again.jsonl").write_bytes(output.encode())
    assert read_tagged(tmp_path / "again.jsonl", TaggedFormat(scheme="BIO"))[1].tags == tuple(records[1]["tags"])


def test_tags_inside_the_text(world: Path, call: Call) -> None:
    code, output, _ = call(["tag", world / "runs/tag", "--format", "inline"], TEXT + b"\nto\n")
    assert (code, output) == (0, "[Ann|PER] went to [Rome|LOC].\n[Tom Eve|PER] saw  [Oslo|LOC] .\n\nto\n")


def test_plain_tags_inside_the_text(data: Path, call: Call, fails: Fails) -> None:
    words = (data / "train.conll").read_text().replace("B-", "").replace("I-", "")
    (data / "plain.conll").write_text(words)
    assert call(["init", "tag", "plain.conll"])[0] == 0
    assert call(["train", "tag.toml", "--set", "encoder.hidden=8", "--set", "training.max_epochs=1"])[0] == 0
    code, output, _ = call(["tag", "runs/tag", "--format", "inline"], b"Ann went\xc2\xa0home.\n")
    assert code == 0
    assert [part.partition("/")[0] for part in output.split()] == ["Ann", "went", "home", "."]
    assert {part.partition("/")[2] for part in output.split()} <= {"O", "PER", "LOC"}
    code, output, _ = call(["evaluate", "runs/tag"])
    assert code == 0
    assert "gold \\ found" in output
    (data / "known.tsv").write_text("PER\tAnn\n")
    assert "--gazetteer names spans, and this model's tags have none" in fails(
        ["tag", "runs/tag", "--gazetteer", "known.tsv"], b"Ann went\n")


def test_the_best_ways_and_all_probabilities(world: Path, call: Call, fails: Fails) -> None:
    code, output, _ = call(["tag", world / "runs/tag", "--k-best", "3", "--marginals"], TEXT + b"\n")
    assert code == 0
    records = [json.loads(line) for line in output.split("\n")[:-1]]
    assert [len(record["alternatives"]) for record in records] == [3, 3, 1]
    best = records[0]["alternatives"]
    assert best[0]["tags"] == records[0]["tags"]
    assert best[0]["spans"] == [{"label": "PER", "first": 0, "stop": 1}, {"label": "LOC", "first": 3, "stop": 4}]
    assert best[0]["probability"] > best[1]["probability"] >= best[2]["probability"]
    assert [next(iter(given)) for given in records[1]["marginals"]] == records[1]["tags"]
    assert sum(records[1]["marginals"][0].values()) == pytest.approx(1, abs=1e-4)
    assert "--k-best and --marginals need --format jsonl; found conll" in fails(
        ["tag", world / "runs/tag", "--marginals", "--format", "conll"], TEXT)


def test_a_gazetteer(world: Path, call: Call, fails: Fails, tmp_path: Path) -> None:
    path = tmp_path / "known.tsv"
    path.write_bytes(b"LOC\tTom Eve\n\nPER\tWENT\n")
    code, output, _ = call(["tag", world / "runs/tag", "--gazetteer", path, "--format", "inline"], TEXT)
    assert (code, output.count("[Tom Eve|LOC]"), output.count("went|PER")) == (0, 1, 0)
    any_case = ["--gazetteer", path, "--ignore-case"]
    code, output, _ = call(["tag", world / "runs/tag", *any_case, "--format", "inline"], TEXT)
    assert (code, output.count("[Tom Eve|LOC]"), output.count("[went|PER]")) == (0, 1, 1)
    path.write_bytes(b"LOK\tTom\n")
    assert "known.tsv: the label 'LOK' is not one of the model's; did you mean 'LOC'?" in fails(
        ["tag", world / "runs/tag", "--gazetteer", path], TEXT)
    path.write_bytes(b"LOC\tTom\nOslo\n")
    assert "known.tsv, line 2: found 'Oslo'; expected a label, a TAB and a phrase" in fails(
        ["tag", world / "runs/tag", "--gazetteer", path], TEXT)
    path.write_bytes(b"\n")
    assert "known.tsv: holds no phrases" in fails(["tag", world / "runs/tag", "--gazetteer", path], TEXT)
    assert "--ignore-case is for the phrases of --gazetteer" in fails(["tag", world / "runs/tag", "--ignore-case"])


def test_colours_are_for_people(world: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    inline = ["tag", world / "runs/tag", "--format", "inline"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = call(inline, TEXT)[1]
    assert "\x1b[33m[Tom Eve|PER]\x1b[0m saw  \x1b[36m[Oslo|LOC]\x1b[0m .\n" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in call(inline, TEXT)[1]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in call(inline, TEXT)[1]


def test_mistakes_are_listed(world: Path, call: Call, fails: Fails, tmp_path: Path) -> None:
    test = tmp_path / "test.conll"
    test.write_bytes(b"Ann B-LOC\nwent O\n\nTom B-PER\nEve I-PER\nsaw O\nOslo O\n. O\n")
    code, output, _ = call(["evaluate", world / "runs/tag", test, "--errors", "1"])
    assert code == 0
    assert "wrong label: gold LOC 'Ann', found PER 'Ann' (" in output
    assert output.endswith("    [Ann] went\n")
    assert "spurious                      1" in output
    assert "expected calibration error" in output
    code, output, _ = call(["evaluate", world / "runs/tag", test, "--errors", "9", "--json"])
    assert [one["kind"] for one in json.loads(output)["tasks"]["tag"]["errors"]] == ["wrong label", "spurious"]
    code, output, _ = call(["evaluate", world / "runs/tag", test, "--errors", tmp_path / "wrong.jsonl"])
    records = [json.loads(line) for line in (tmp_path / "wrong.jsonl").read_text().split("\n")[:-1]]
    assert (code, [(one["task"], one["kind"], one["line"]) for one in records]) == (
        0, [("tag", "wrong label", 1), ("tag", "spurious", 4)])
    assert "exists already; --overwrite replaces it" in fails(
        ["evaluate", world / "runs/tag", test, "--errors", tmp_path / "wrong.jsonl"])
    assert "--errors lists the mistakes of a tagger or classifier; no task" in fails(
        ["evaluate", world / "runs/translate", "--errors", "3"])
    assert "--errors: found '0', expected a whole number of 1 or more" in fails(
        ["evaluate", world / "runs/tag", test, "--errors", "0"])
    assert "--errors: found '-3', expected" in fails(["evaluate", world / "runs/tag", test, "--errors", "-3"])
    assert "is a folder; expected the name of a file" in fails(
        ["evaluate", world / "runs/tag", test, "--errors", tmp_path])


def test_files_may_stand_behind_options(world: Path, call: Call, fails: Fails) -> None:
    behind = call(["evaluate", world / "runs/classify", "--json", world / "dev.tsv"])
    assert behind == call(["evaluate", world / "runs/classify", world / "dev.tsv", "--json"])
    assert behind[0] == 0
    assert "unknown option --jsno; did you mean '--json'?" in fails(
        ["evaluate", world / "runs/classify", "--jsno", world / "dev.tsv"])


def test_a_search_is_for_translations(world: Path, fails: Fails) -> None:
    assert "--beam-size says how translations are searched for; no task that is evaluated here translates" in fails(
        ["evaluate", world / "runs/tag", "--beam-size", "3"])


def test_words_given_are_kept(world: Path, call: Call) -> None:
    code, output, _ = call(["tag", world / "runs/tag", "--tokenised"], b"Ann's U.S. (Rome)\tdo_not!\n \n")
    assert code == 0
    words = [line.partition("\t")[0] for line in output.split("\n")]
    assert words == ["Ann's", "U.S.", "(Rome)", "do_not!", "", "", ""]


def test_labels(world: Path, call: Call) -> None:
    code, output, errors = call(["classify", world / "runs/classify"], TEXT)
    assert (code, errors) == (0, "")
    rows = [line.split("\t") for line in output.split("\n")[:-1]]
    assert [label for label, _ in rows] == ["gone", "seen"]
    assert all(0.5 < float(probability) <= 1 for _, probability in rows)
    code, output, _ = call(["classify", world / "runs/classify", "--format", "jsonl", "--window", "1"], TEXT)
    records = [json.loads(line) for line in output.split("\n")[:-1]]
    assert [record["text"] for record in records] == ["Ann went to Rome.", "Tom Eve saw  Oslo ."]
    assert [record["label"] for record in records] == ["gone", "seen"]
    assert list(records[0]["probabilities"]) == ["gone", "seen"]


def test_translations_and_scores(world: Path, call: Call) -> None:
    translator = Translator.load(world / "runs/translate")
    expected = translator.translate(["Ann ging nach Rome .", "Tom Eve sah Oslo ."])
    text = b"Ann ging nach Rome .\nTom Eve sah Oslo .\n"
    code, output, errors = call(["--model", world / "runs/translate"], text, translate_main)
    assert (code, errors) == (0, "")
    assert output.split("\n")[:-1] == [translation.text for translation in expected]
    code, output, _ = call(["translate", world / "runs/translate", "--scores"], text)
    assert output.split("\n")[0] == f"{expected[0].score:.4f}\t{expected[0].text}"
    how = ["--beam-size", "1", "--length-norm", "average", "--length-penalty", "0.5"]
    code, output, _ = call(["translate", world / "runs/translate", "--scores", *how], text)
    greedy = translator.translate("Ann ging nach Rome .", search=translator.search.model_copy(
        update={"beam_size": 1, "length_norm": "average", "length_penalty": 0.5}))
    assert code == 0
    assert output.split("\n")[0] == f"{greedy.score:.4f}\t{greedy.text}"
    tokens = len(translator.loaded.target.encode(greedy.text).ids) if translator.loaded.target else 0
    assert greedy.score == pytest.approx(greedy.log_prob / Normaliser("average", 0.5)(tokens))


def test_a_search_is_checked_as_its_settings_are(world: Path, fails: Fails) -> None:
    assert "search: length_penalty: found 300.0" in fails(["translate", world / "runs/translate",
                                                           "--length-penalty", "300"], b"Ann\n")


def test_n_best_are_n_lines_for_each(world: Path, call: Call, fails: Fails) -> None:
    text = b"Ann ging nach Rome .\n\nTom Eve sah Oslo .\n"
    code, output, _ = call(["translate", world / "runs/translate", "--n-best", "3"], text)
    assert code == 0
    rows = [line.split("\t") for line in output.split("\n")[:-1]]
    assert [int(index) for index, *_ in rows] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert rows[3][1:] == ["0.0000", ""]
    assert rows[4][1:] == rows[5][1:] == ["-inf", ""]
    for best in (rows[:3], rows[6:]):
        scores = [float(score) for _, score, _ in best]
        assert scores == sorted(scores, reverse=True)
    assert "--n-best 4 needs a beam of 4 or more; it is 3: set --beam-size 4" in fails(
        ["translate", world / "runs/translate", "--n-best", "4"], text)


@pytest.mark.parametrize("options", [["--window", "1"], ["--window", "3"], ["--batch-tokens", "1"], ["--stream"],
                                     ["--threads", "1"]])
@pytest.mark.parametrize("command", ["tag", "classify", "translate"])
def test_how_it_is_computed_changes_nothing(
    world: Path, call: Call, command: str, options: list[str], whole: dict[str, str]
) -> None:
    code, output, _ = call([command, world / "runs" / command, *options], many())
    assert code == 0
    assert output == whole[command]


@pytest.fixture(scope="module")
def whole() -> dict[str, str]:
    return {}


@pytest.fixture(autouse=True)
def _whole(whole: dict[str, str], world: Path, call: Call) -> None:
    """The output of each command with default options."""
    for command in ("tag", "classify", "translate"):
        if command not in whole:
            whole[command] = call([command, world / "runs" / command], many())[1]


def many() -> bytes:
    """Lines of many lengths."""
    draw = random.Random(5)
    words = ["Ann", "Bob", "went", "ging", "to", "nach", "Rome", "Oslo", "saw", "sah", ".", "zebra", "\u2028", "42"]
    lines = [" ".join(draw.choice(words) for _ in range(draw.randint(0, 30))) for _ in range(40)]
    return "".join(f"{line}\n" for line in lines).encode()


def test_a_run_of_another_kind(world: Path, fails: Fails) -> None:
    message = fails(["tag", world / "runs/classify"], b"Ann\n")
    assert "no task of the kind 'tag'; its tasks are 'classify' (classify)" in message


def test_the_library_gives_what_the_command_gives(world: Path, call: Call) -> None:
    lines = [line for line in many().decode().split("\n")[:-1] if line]
    text = "".join(f"{line}\n" for line in lines).encode()
    label = Classifier.load(world / "runs/classify").classify(lines)
    code, output, _ = call(["classify", world / "runs/classify"], text)
    assert code == 0
    assert output == "".join(f"{one.label}\t{one.probability:.4f}\n" for one in label)
    tagged = Tagger(checkpoint.load(world / "runs/tag")).tag(iter(lines))
    code, output, _ = call(["tag", world / "runs/tag"], text)
    assert code == 0
    assert output.count("\n") == sum(len(one.tokens) + 1 for one in tagged)


def test_several_runs_act_as_one(world: Path, call: Call) -> None:
    for kind, test in (("tag", "dev.conll"), ("classify", "dev.tsv")):
        run = world / f"runs/{kind}"
        once, twice = (call([kind, *runs], many()) for runs in ([run], [run, run / "weights.safetensors"]))
        assert (once[0], once[1].count("\n")) == (0, twice[1].count("\n"))
        results = [json.loads(call(["evaluate", *runs, world / test, "--json"])[1])
                   for runs in ([run], [run, run / "weights.safetensors"])]
        assert results[0]["tasks"][kind]["value"] == results[1]["tasks"][kind]["value"]
