"""The flow around the measurements, with invented scripts that say what they are told; no torch, no network."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import _bench
import _bench_cases
import _environment
import _peers
import pytest
from _bench import Measured, Result, as_json, compare, table
from _bench_cases import BENCHES, Bench, Duel, Figure
from _environment import ToolError, venv_python
from _peers import Peer, environment

# prints the figure of its own name and turn, and writes down that it was called
SCRIPT = """
import json, os, pathlib, sys
name, work = sys.argv[1], pathlib.Path(sys.argv[2])
turn = int(os.environ["SEED"])
with (work / "calls").open("a") as calls:
    calls.write(f"{name} {turn} threads {os.environ['OMP_NUM_THREADS']}\\n")
print("a word of a library")
print("a message", file=sys.stderr)
print(json.dumps({"figures": {"time": VALUES[turn], "speed": 1000 * VALUES[turn]}, "facts": {"size": SIZE}}))
"""
PEER = Peer("slowpoke", "1.0", ("shell==2",))
DUEL = Duel(("ours.py", "ours", "WORK"), ("peer.py", "peer", "WORK"),
            (Figure("time", "a case", "ms", False), Figure("speed", "another case", "words/s", True)), {"size": 0.05},
            PEER)
BENCH = Bench("an invented race", 1, (DUEL,), data=("tortoises",))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (tmp_path / "data" / "tortoises").mkdir(parents=True)
    (tmp_path / ".bench").mkdir()
    for name, value in {"ROOT": tmp_path, "SCRIPTS": scripts, "BENCHES": {"race": BENCH},
                        "prepare": lambda extra: Path(sys.executable),  # noqa: ARG005 - the signature
                        "environment": lambda peer: Path(sys.executable)}.items():  # noqa: ARG005 - the signature
        monkeypatch.setattr(_bench, name, value)
    monkeypatch.setenv("SEQ2X_DATA", str(tmp_path / "data"))
    write(tmp_path, "ours.py", [2.0, 9.0, 1.0])
    write(tmp_path, "peer.py", [8.0, 1.0, 6.0])
    return tmp_path


def write(project: Path, name: str, values: list[float], size: int = 100) -> None:
    text = SCRIPT.replace("VALUES", str([0, *values])).replace("SIZE", str(size))
    (project / "scripts" / name).write_text(text)


def calls(project: Path) -> list[str]:
    return (project / ".bench" / "work" / "race" / "calls").read_text().rstrip("\n").split("\n")


def test_sides_take_turns_on_as_many_threads(project: Path) -> None:
    assert _bench.tool(["race"]) == 0
    assert calls(project) == [f"{side} {turn} threads 1" for turn in (1, 2, 3) for side in ("ours", "peer")]
    _bench.tool(["race", "--threads", "2"])
    assert calls(project)[-1] == "peer 3 threads 2"


@pytest.mark.usefixtures("project")
def test_lines_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    _bench.tool(["race", "--json"])
    assert [json.loads(line) for line in capfd.readouterr().out.rstrip("\n").split("\n")] == [
        {"bench": "race", "case": "a case", "ours": 2.0, "peer": 6.0, "ratio": 3.0, "unit": "ms"},
        {"bench": "race", "case": "another case", "ours": 2000, "peer": 6000, "ratio": 0.333, "unit": "words/s"},
    ]


@pytest.mark.usefixtures("project")
def test_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    _bench.tool(["race"])
    assert capfd.readouterr().out == """\
an invented race: ours beside slowpoke 1.0, medians of 3 runs, threads: 1

case           ours  slowpoke 1.0  ratio  unit     spread
a case          2.0           6.0   3.00  ms         400%
another case  2,000         6,000   0.33  words/s    400%

of the last run  ours  slowpoke 1.0
size              100           100
"""


def test_medians_of_more_runs(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(project, "ours.py", [4.0, 1.0, 2.0, 3.0])
    write(project, "peer.py", [1.0, 1.0, 1.0, 1.0])
    _bench.tool(["race", "--json", "--repeat", "4"])
    first = json.loads(capfd.readouterr().out.split("\n")[0])
    assert (first["ours"], first["peer"], first["ratio"]) == (2.5, 1.0, 0.4)


def test_ratios_tell_who_is_better() -> None:
    runs = {"ours": [Measured({"time": 2.0, "speed": 300.0}, {})],
            "peer": [Measured({"time": 8.0, "speed": 100.0}, {})]}
    assert [(result.ratio, result.spread) for result in compare(DUEL, runs)] == [(4.0, 0.0), (3.0, 0.0)]


def test_numbers_are_rounded_to_what_counts() -> None:
    results = [Result("a", 0.123456, 12345.678, 1.23456, "ms", 0.005)]
    assert as_json("b", results) == [
        '{"bench": "b", "case": "a", "ours": 0.1235, "peer": 12346, "ratio": 1.235, "unit": "ms"}']
    assert table(results, "x").split("\n")[1] == "a     0.1235  12,346   1.23  ms        0%"


def test_other_work_is_no_fair_race(project: Path) -> None:
    write(project, "ours.py", [1.0, 1.0, 1.0], size=105)
    assert _bench.tool(["race"]) == 0
    write(project, "ours.py", [1.0, 1.0, 1.0], size=106)
    with pytest.raises(ToolError, match=r"did not do the same work: 'size' of ours.py is 106, of peer.py 100"):
        _bench.tool(["race"])


def test_missing_data_says_where_it_comes_from(project: Path) -> None:
    (project / "data" / "tortoises").rmdir()
    with pytest.raises(ToolError, match=r"tortoises: no such folder; `tools/get_data tortoises` fetches"):
        _bench.tool(["race"])


def test_a_script_that_fails_shows_its_last_words(project: Path) -> None:
    (project / "scripts" / "peer.py").write_text("import sys; sys.exit('no shell')")
    with pytest.raises(ToolError, match=r"exit code 1 of: .*peer.py peer .*\n.*log.txt:\n  (.*\n)*  no shell$"):
        _bench.tool(["race"])


@pytest.mark.parametrize(("code", "message"), [
    ("print('done')", "peer.py ended without its line of figures"),
    ("""print('{"figures": {"time": 1}, "facts": {"size": 1}}')""", "peer.py did not print 'speed'"),
    ("""print('{"figures": {"time": 1, "speed": 1}, "facts": {}}')""", "peer.py did not print 'size'"),
])
def test_a_script_that_says_too_little(code: str, message: str, project: Path) -> None:
    (project / "scripts" / "peer.py").write_text(code)
    with pytest.raises(ToolError, match=message):
        _bench.tool(["race"])


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("arguments", "message"), [
    (["rase"], "unknown bench 'rase'; the choices are race"),
    (["race", "--repeat", "2"], "fewer than 3 runs"),
    (["race", "--threads", "0"], "expected 1 or more"),
])
def test_bad_arguments(arguments: list[str], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        _bench.tool(arguments)


def test_data_is_prepared_once_by_ours(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench, "BENCHES", {"race": BENCH._replace(prepare=("ours.py", "prepare", "WORK"))})
    _bench.tool(["race"])
    assert calls(project)[:2] == ["prepare 0 threads 1", "ours 1 threads 1"]
    assert len(calls(project)) == 7


def test_a_lock_is_waited_for(project: Path) -> None:
    script = project / "scripts" / "peer.py"
    held = f"""
import fcntl
with open({str(project / 'lock')!r}, "a") as lock:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        raise SystemExit("the lock was free")
"""
    script.write_text(held + script.read_text())
    assert _bench.tool(["race", "--lock", str(project / "lock")]) == 0
    with (project / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again


def test_cases_have_their_published_names() -> None:
    cases = {name: [figure.case for duel in bench.duels for figure in duel.figures] for name, bench in BENCHES.items()}
    assert cases == {
        "crf": [f"{what} {size} {way}" for way in ("fast", "torch")
                for size in ("[32,40,17]", "[64,100,25]", "[16,512,9]") for what in ("loss", "viterbi")],
        "train": ["transformer fp32 vs opennmt-py", "transformer fp32 memory vs opennmt-py",
                  "transformer bf16 vs opennmt-py", "memory vs opennmt-py",
                  "recurrent coverage fp32 vs opennmt-py", "recurrent coverage fp32 memory vs opennmt-py",
                  "recurrent coverage bf16 vs opennmt-py", "recurrent coverage bf16 memory vs opennmt-py"],
        "data": ["cache to tensors", *(f"{what}, {workers}" for what in ("tokenise", "BPE-dropout")
                                       for workers in ("no workers", "1 worker", "2 workers"))],
        "translate": [*(f"{model} beam 10 batch 32 fp32 {workers} vs opennmt-py"
                        for model in ("transformer", "recurrent coverage") for workers in ("1 worker", "2 workers")),
                      "cold start vs import torch"],
        "tag": [*(f"{what} vs flair" for what in ("training words/s", "tagging words/s", "training memory")),
                *(f"{what} vs spacy" for what in ("training words/s", "tagging words/s", "latency p50", "latency p95",
                                                  "training memory")),
                "cold start vs import torch", "cold start memory vs import torch", "ncbi F1 vs crfsuite"],
        "classify": ["imdb lstm epoch vs keras", "imdb lstm epoch vs keras on jax"],
        "imdb": [f"imdb {model} accuracy vs keras {model}" for model in ("lstm", "dropout", "gates", "convolution")],
    }


def test_every_script_is_there(tools: Path) -> None:
    for bench in _bench_cases.BENCHES.values():
        for script in (bench.prepare, *(side for duel in bench.duels for side in (duel.ours, duel.peer))):
            for word in script:
                assert word in ("DATA", "WORK", "fast", "torch", "fp32", "bf16", "1", "2", "tag", "translate", "jax",
                                "epoch", "accuracy", "masked", *_bench_cases.TUTORIAL,
                                *bench.data[1:]) or (tools / "bench_scripts" / word).is_file()


class Pip:
    """Stands for every program that environment() starts; makes what venv would make."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.code = 0

    def __call__(self, command: list[str], *, root: Path) -> int:
        self.commands.append([str(word) for word in command])
        if "venv" in command:
            venv_python(root).parent.mkdir(parents=True)
            venv_python(root).touch()
        return self.code if "pip" in command else 0

    @property
    def installed(self) -> list[list[str]]:
        return [[word for word in command[4:] if word not in ("--quiet", "--disable-pip-version-check")]
                for command in self.commands if "pip" in command]


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(_peers, "run", pip)
    (tmp_path / "constraints.txt").write_text("torch==9.9\nnumpy==1\n")
    return pip


def test_a_peer_gets_our_torch_first(pip: Pip, tmp_path: Path) -> None:
    python = environment(PEER, tmp_path)
    assert python == venv_python(tmp_path / ".bench" / "slowpoke")
    assert pip.installed == [["torch==9.9"], ["shell==2"], ["slowpoke==1.0"]]
    assert all(command[0] == str(python) for command in pip.commands if "pip" in command)


def test_a_peer_that_forbids_our_torch_comes_alone(pip: Pip, tmp_path: Path) -> None:
    environment(PEER._replace(alone=True), tmp_path)
    assert pip.installed[-1] == ["slowpoke==1.0", "--no-deps"]


def test_an_environment_is_made_once(pip: Pip, tmp_path: Path) -> None:
    environment(PEER, tmp_path)
    done = len(pip.commands)
    environment(PEER, tmp_path)
    assert len(pip.commands) == done
    environment(PEER._replace(version="1.1"), tmp_path)
    assert pip.installed[-1] == ["slowpoke==1.1"]
    (tmp_path / "constraints.txt").write_text("torch==9.10\n")
    environment(PEER, tmp_path)
    assert ["torch==9.10"] in pip.installed


def test_a_peer_may_come_without_torch(pip: Pip, tmp_path: Path) -> None:
    environment(PEER._replace(torch=False, needs=()), tmp_path)
    assert pip.installed == [["slowpoke==1.0"]]


def test_a_failed_pip_is_said_and_tried_again(pip: Pip, tmp_path: Path) -> None:
    pip.code = 1
    with pytest.raises(ToolError, match=r"PIP failed; its message stands above(.|\n)*pip install"):
        environment(PEER, tmp_path)
    pip.code = 0
    environment(PEER, tmp_path)
    assert pip.installed[-1] == ["slowpoke==1.0"]


def test_peers_are_pinned() -> None:
    peers = {duel.beside for bench in BENCHES.values() for duel in bench.duels if isinstance(duel.beside, Peer)}
    assert len(peers) >= 5
    assert all("==" in need for peer in peers for need in peer.needs)
    assert _peers._torch(_environment.ROOT) == "torch==2.13.0"


def test_a_part_of_our_own_instead_of_a_peer(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own = BENCH._replace(duels=(DUEL._replace(beside="training"),), lines=("lines.py", "LINES", "WORK"))
    monkeypatch.setattr(_bench, "BENCHES", {"race": own, "crf": BENCH})
    monkeypatch.delattr(_bench, "environment")
    _bench.tool(["race"])
    assert "an invented race: ours beside training, medians of 3 runs" in capfd.readouterr().out
    write(project, "lines.py", [3.0])
    assert _bench.tool(["race", "--lines", "5000", "--json"]) == 0
    answer = capfd.readouterr()
    assert [json.loads(line) for line in answer.out.rstrip("\n").split("\n")] == [
        {"bench": "race", "case": "time", "ours": 3.0, "unit": "MiB"},
        {"bench": "race", "case": "speed", "ours": 3000, "unit": "MiB"}]
    assert "size 100" in answer.err
    assert calls(project)[-1] == "5000 1 threads 1"
    _bench.tool(["race", "--lines", "5000"])
    assert capfd.readouterr().out == "time: 3.0 MiB\nspeed: 3,000 MiB\n"
    with pytest.raises(ToolError, match="--lines 10: expected 1000 or more"):
        _bench.tool(["race", "--lines", "10"])
    with pytest.raises(ToolError, match="the bench 'crf' knows no number of lines; it is for race"):
        _bench.tool(["crf", "--lines", "5000"])


def test_several_peers_and_sets_of_data(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def python_of(peer: Peer) -> Path:
        made.append(peer.title)
        return Path(sys.executable)

    other = DUEL._replace(peer=("peer.py", "hares", "WORK"), beside=PEER._replace(name="hare"))
    bench = BENCH._replace(duels=(DUEL, other, DUEL._replace(beside="walking")), data=("tortoises", "hares"))
    monkeypatch.setattr(_bench, "BENCHES", {"race": bench})
    monkeypatch.setattr(_bench, "environment", python_of)
    with pytest.raises(ToolError, match="hares: no such folder; `tools/get_data hares`"):
        _bench.tool(["race"])
    (project / "data" / "hares").mkdir()
    assert _bench.tool(["race"]) == 0
    assert made == ["slowpoke 1.0", "hare 1.0"]
    printed = capfd.readouterr().out
    assert "ours beside slowpoke 1.0, hare 1.0, walking, medians" in printed
    assert "case           ours   peer  ratio" in printed
    assert "of the last run  ours  hare 1.0" in printed
    assert f"{project / 'data' / 'hares'} 3 threads 1" in calls(project)


def test_memory_of_a_made_up_corpus(tmp_path: Path) -> None:
    """The real script, on few lines: every phase gives its figures."""
    script = _environment.ROOT / "tools" / "bench_scripts" / "data_lines.py"
    answer = subprocess.run([sys.executable, script, "3000", tmp_path], stdout=subprocess.PIPE, check=True, text=True,
                            cwd=_environment.ROOT, env={**os.environ, "PYTHONPATH": str(_environment.ROOT)})
    found = json.loads(answer.stdout)
    assert set(found["figures"]) == {f"{phase}, {lines} lines" for phase in ("learn", "cache", "walk")
                                     for lines in ("300", "3,000")}
    assert all(value > 20 for value in found["figures"].values())
    assert found["facts"]["cache, 3,000 lines: tokens"] > 9 * found["facts"]["cache, 300 lines: tokens"]
    assert list(tmp_path.iterdir()) == []
