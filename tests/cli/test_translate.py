"""``seq2x translate``: what each option writes, in one process and in several."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seq2x import Request, Translator
from seq2x.cli import translate_main

Call = Callable[..., tuple[int, str, str]]
Fails = Callable[..., str]
LINES = ["Ann ging nach Rome .", "", "Tom Eve sah Oslo .", "Bob ging in Oslo , nach Rome . Ann sah York ."]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def translator(world: Path) -> Translator:
    return Translator.load(world / "runs/translate")


@pytest.fixture
def translate(world: Path, call: Call) -> Call:
    """Run the command on TEXT; standard output in lines."""

    def run(*options: object, stdin: bytes = TEXT) -> tuple[int, list[str], str]:
        code, output, errors = call(["--model", world / "runs/translate", *map(str, options)], stdin, translate_main)
        return code, output.split("\n")[:-1], errors

    return run


def test_json_says_everything(translate: Call, translator: Translator) -> None:
    code, lines, errors = translate("--json", "--n-best", 2)
    assert (code, errors) == (0, "")
    expected = translator.translate(LINES, n_best=2, details=True)
    for number, (line, one) in enumerate(zip(lines, expected, strict=True), start=1):
        found = json.loads(line)
        best = one.alternatives[0]
        assert (found["line"], found["source"], found["text"]) == (number, LINES[number - 1], one.text)
        assert (found["score"], found["log_prob"], found["windows"]) == (one.score, one.log_prob, one.windows)
        assert found["tokens"] == list(best.tokens)
        assert found["alignment"] == [list(pair) for pair in best.alignment]
        assert [other["text"] for other in found["alternatives"]] == [other.text for other in one.alternatives]


def test_alignments_and_scores(translate: Call, translator: Translator) -> None:
    expected = translator.translate(LINES, details=True)
    pairs = [" ".join(f"{i}-{j}" for i, j in one.alternatives[0].alignment) for one in expected]
    assert translate("--alignments")[1] == [f"{one.text}\t{links}" for one, links in zip(expected, pairs, strict=True)]
    assert translate("--alignments", "--scores")[1][0] == f"{expected[0].score:.4f}\t{expected[0].text}\t{pairs[0]}"
    assert translate("--alignments", "--n-best", 2)[1][3] == "2\t-inf\t\t"
    assert any(pairs)


def test_given_translations_score_as_found_ones(
    translate: Call, translator: Translator, tmp_path: Path, fails: Fails, world: Path
) -> None:
    found = translate()[1]
    (tmp_path / "out.en").write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    how = ["--coverage-penalty", "0.2", "--length-norm", "average"]
    code, scores, _ = translate("--score", tmp_path / "out.en", *how)
    assert code == 0
    expected = [line.split("\t")[0] for line in translate("--scores", *how)[1]]
    search = translator.search.model_copy(update={"coverage_penalty": 0.2, "length_norm": "average"})
    texts = [one.text for one in translator.translate(LINES, search=search)]
    same = [place for place in (0, 2) if texts[place] == found[place]]
    assert same
    for place in same:
        assert float(scores[place]) == pytest.approx(float(expected[place]), abs=2e-4)
    records = [json.loads(line) for line in translate("--score", tmp_path / "out.en", "--json")[1]]
    assert [record["text"] for record in records] == found
    (tmp_path / "short").write_text("a\n\n")
    (tmp_path / "long").write_text("a\n\n" + "a\n" * 7)
    code, lines, errors = translate("--score", tmp_path / "short")
    assert (code, len(lines)) == (2, 2)
    assert "short: has 2 lines; standard input has more" in errors
    assert "long: has more lines than standard input, which has 4" in translate("--score", tmp_path / "long")[2]
    run = ["translate", world / "runs/translate"]
    assert "shrt: no such file" in fails([*run, "--score", tmp_path / "shrt"])
    for option in ("--n-best", "--beam-size", "--max-length-ratio", "--no-repeat-ngram"):
        assert f"cannot be had with {option}" in fails([*run, "--score", tmp_path / "long", option, "2"])
    # where the lines end early, that is the reason why those of the other file are more
    code, lines, errors = translate("--score", tmp_path / "long", stdin=b"Tom\nEve \xff\n")
    assert (code, len(lines)) == (2, 1)
    assert "standard input, line 2: invalid UTF-8" in errors


def test_demands_line_by_line(translate: Call, tmp_path: Path) -> None:
    (tmp_path / "prefix").write_text("Bob\n\n\nTom\n")
    assert [line.split(" ")[0] for line in translate("--prefix", tmp_path / "prefix")[1]][::3] == ["Bob", "Tom"]
    unwanted = translate()[1][2].split()[:2]
    (tmp_path / "terms").write_text(f"York\tloves\n\n-{unwanted[0]}\t-{unwanted[1]}\n+Eve\n")
    lines = translate("--constraints", tmp_path / "terms", "--beam-size", 6)[1]
    assert {"York", "loves"} <= set(lines[0].split())
    assert set(unwanted).isdisjoint(lines[2].split())
    assert "Eve" in lines[3].split()
    (tmp_path / "terms").write_text("York\t-York\n\n\n\n")
    code, lines, errors = translate("--constraints", tmp_path / "terms")
    assert (code, lines) == (2, [])
    assert "text 1: no translation within the length limit" in errors


def test_samples_and_the_best_of_them(translate: Call, fails: Fails, world: Path) -> None:
    one, other = (translate("--sample", "--seed", seed, "--temperature", 2)[1] for seed in (1, 2))
    assert one != other
    assert translate("--sample", "--seed", 1, "--temperature", 2, "--window", 1)[1] == one
    assert len(translate("--sample", "--n-best", 7)[1]) == 28
    assert len(translate("--sample", "--mbr", 8, "--top-k", 3, "--top-p", 0.9)[1]) == 4
    assert all(0 <= json.loads(line).get("utility", 0) <= 100 for line in translate("--mbr", 3, "--json")[1])
    run = ["translate", world / "runs/translate"]
    assert "--mbr 9 needs a beam of 9 or more; it is 3: set --beam-size 9" in fails([*run, "--mbr", "9"])
    assert "--temperature is for samples: add --sample" in fails([*run, "--temperature", "2"])
    assert "--n-best 3 needs as many candidates; --mbr is 2" in fails([*run, "--mbr", "2", "--n-best", "3"])
    assert "--constraints is for the beam search" in fails([*run, "--sample", "--constraints", "x"])
    assert "--beam-size is for the beam search" in fails([*run, "--sample", "--beam-size", "2"])
    assert "expected a number of more than 0 and at most 1" in fails([*run, "--sample", "--top-p", "2"])


def test_an_ensemble(world: Path, call: Call, translate: Call) -> None:
    run = ["--model", world / "runs/translate"]
    code, output, _ = call([*run, *run], TEXT, translate_main)
    assert code == 0
    assert output.split("\n")[:-1] == translate()[1]


def test_long_lines_may_be_refused(translate: Call) -> None:
    long = "Ann ging nach Rome . " * 400
    code, lines, errors = translate(stdin=f"Tom\n{long}\nEve\n".encode())
    assert (code, len(lines)) == (0, 3)
    assert "standard input, line 2: longer than the model's limit" in errors
    code, lines, errors = translate("--long-lines", "error", stdin=f"Tom\n{long}\n".encode())
    assert code == 2
    assert "text 2: found" in errors


def test_attention_is_written(translate: Call, tmp_path: Path, fails: Fails, world: Path) -> None:
    heat = tmp_path / "heat.json"
    assert translate("--attention", heat)[0] == 0
    records = [json.loads(line) for line in heat.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [(record["line"], len(record["parts"])) for record in records] == [(1, 1), (2, 0), (3, 1), (4, 1)]
    part = records[0]["parts"][0]
    assert len(part["weights"]) == len(part["target"])
    assert all(math.isclose(sum(row), 1, abs_tol=1e-3) and len(row) == len(part["source"]) for row in part["weights"])
    assert translate("--attention", tmp_path / "heat.png")[0] == 0
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    run = ["translate", world / "runs/translate", "--attention"]
    assert "heat.json: exists already; --overwrite replaces it" in fails([*run, heat])
    assert "--attention and -o cannot both be written to" in fails(
        [*run, tmp_path / "both", "-o", tmp_path / "." / "both"])


def test_a_device_that_is_not_there(fails: Fails, world: Path) -> None:
    message = fails(["translate", world / "runs/translate", "--device", "nonsense"])
    assert "--device: 'nonsense' cannot be used" in message


def test_lines_are_verified(translate: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines, errors = translate("--verify", 3)
    assert (code, len(lines), errors) == (0, 4, "seq2x: verified: 3 of 3 lines come out the same alone\n")
    from seq2x.cli.translating import Verification

    keep = Verification.keep
    monkeypatch.setattr(Verification, "keep", lambda self, item, record: keep(
        self, item, record._replace(text="x") if item.number == 3 else record))
    code, _, errors = translate("--verify")
    assert code == 1
    assert errors == "seq2x: verified: 3 of 4 lines come out the same alone; not so line 3\n"


def test_workers_write_the_same_bytes(world: Path, translate: Call, tmp_path: Path, fails: Fails) -> None:
    lines = [line for line in LINES for _ in range(30)]
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "seq2x", "translate", str(world / "runs/translate"), "--workers", "2", "--scores",
               "-i", str(tmp_path / "in.txt"), "--verify", "2"]
    answer = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    found = answer.stdout.decode().split("\n")[:-1]
    assert answer.stderr == b"seq2x: verified: 2 of 2 lines come out the same alone\n"
    assert found == [line for line in translate("--scores")[1] for _ in range(30)]
    run = ["translate", world / "runs/translate", "--workers", "2"]
    assert "--workers have nothing to share" in fails([*run, "--stream"])
    assert "processes of one thread each; found --threads 3" in fails([*run, "--threads", "3"])


def test_the_library_says_the_same(translate: Call, translator: Translator) -> None:
    requests = [Request(line, "Ann" if line else "") for line in LINES]
    search = translator.search.model_copy(update={"no_repeat_ngram": 2, "max_length_ratio": 1.5})
    found = [one.text for one in translator.translate(requests, search=search)]
    assert all(text.startswith("Ann") for text in found if text)
    assert translate("--no-repeat-ngram", 2, "--max-length-ratio", 1.5)[1] == [
        one.text for one in translator.translate(LINES, search=search)]


@pytest.mark.parametrize("has", [False, True])
def test_a_slow_precision_is_said(translate: Call, monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr("seq2x.machine.has_bfloat16", lambda _: has)
    code, lines, errors = translate("--precision", "bfloat16")
    assert (code, len(lines)) == (0, len(LINES))
    assert ("bfloat16 is slow here: cpu has no such instructions" in errors) == (not has)


def test_what_is_found_can_be_scored_empty_lines_too(translate: Call, tmp_path: Path) -> None:
    _, lines, _ = translate("--scores", "--max-length-ratio", 9)
    scores, texts = zip(*(line.split("\t") for line in lines), strict=True)
    (tmp_path / "found").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    assert translate("--score", tmp_path / "found")[1] == list(scores)
    record = json.loads(translate("--score", tmp_path / "found", "--json")[1][1])
    assert (record["text"], record["score"], record["windows"]) == ("", 0.0, 0)


def test_lines_before_one_that_cannot_be_are_done(translate: Call, tmp_path: Path) -> None:
    (tmp_path / "terms").write_text("\n\n\n-Rom\tRom\n", encoding="utf-8")
    code, lines, errors = translate("--constraints", tmp_path / "terms")
    assert (code, len(lines)) == (2, 3)
    assert lines == translate()[1][:3]
    assert "text 4: no translation within the length limit" in errors


@pytest.mark.parametrize("option", ["--score", "--prefix", "--constraints"])
def test_an_empty_file_name_is_no_missing_option(translate: Call, option: str) -> None:
    code, lines, errors = translate(option, "")
    assert (code, lines) == (2, [])
    assert "a text file was expected" in errors


def test_numbers_and_names_that_nothing_can_take(call: Call, translate: Call) -> None:
    assert "--threads 1000000: expected at most" in translate("--threads", 1000000)[2]
    assert "cannot be used: it computes nothing" in translate("--device", "meta")[2]
    assert "coverage_penalty: found 1e+308" in translate("--coverage-penalty", "1e308")[2]
    code, _, errors = call([""], TEXT, translate_main)
    assert code == 2
    assert "Traceback" not in errors
