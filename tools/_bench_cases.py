"""What `tools/bench` measures: which scripts fight, over which figures, and what must be equal for it to be fair.

Knows no library and runs nothing. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from _peers import OPENNMT_PY, PYTORCH_CRF, Peer


class Figure(NamedTuple):
    """A number that both scripts of a duel print."""

    key: str
    """Its name in what they print."""
    case: str
    """Its name in what we print."""
    unit: str
    more_is_better: bool


class Duel(NamedTuple):
    """Two scripts of `tools/bench_scripts`, each with its arguments."""

    ours: tuple[str, ...]
    peer: tuple[str, ...]
    figures: tuple[Figure, ...]
    alike: Mapping[str, float]
    """By which share the facts that they print may differ: more, and they did not do the same work."""


class Bench(NamedTuple):
    """Duels with one peer, or with a part of our own where there is none.

    DATA in an argument stands for the folder of ``data``, WORK for one of the bench's own.
    """

    title: str
    peer: Peer | None
    threads: int
    duels: tuple[Duel, ...]
    data: str = ""
    """The set of tools/get_data that is needed, if any."""
    extra: str = ""
    """The extra of the project that ours is measured with, if any."""
    prepare: tuple[str, ...] = ()
    """A script of ours that makes files for both sides first, if any."""
    beside: str = ""
    """What to call the other side where it is no peer."""
    lines: tuple[str, ...] = ()
    """A script of ours for --lines N, if any: LINES stands for N."""

    @property
    def other(self) -> str:
        """The other side, for people."""
        return self.peer.title if self.peer is not None else self.beside


CRF_SIZES = ("[32,40,17]", "[64,100,25]", "[16,512,9]")  # batch, length, tags

CRF = Bench(
    "a CRF's loss (forward and backward) and Viterbi, processor milliseconds",
    PYTORCH_CRF, 1, tuple(
        Duel(
            ("crf_ours.py", way), ("crf_pytorch_crf.py",),
            tuple(Figure(f"{what} {size}", f"{what} {size} {way}", "ms", False)
                  for size in CRF_SIZES for what in ("loss", "viterbi")),
            {"threads": 0, **{f"{what} {size}": 1e-3 for size in CRF_SIZES for what in ("loss is", "tags sum to")}},
        )
        for way in ("fast", "torch")  # compiled recursions (the extra of that name), and without them
    ),
    extra="fast",
)

TRAININGS = {"transformer": "transformer", "recurrent": "recurrent coverage"}
"""The settings in bench_scripts, each in our words (.toml) and the peer's (.yaml), and their names."""


def training(settings: str, precision: str) -> Duel:
    """Ours in one precision and the peer in its only one on a processor, float32."""
    name = f"{TRAININGS[settings]} {precision}"
    memory = "memory" if name == "transformer bf16" else f"{name} memory"
    return Duel(
        ("train_ours.py", f"{settings}.toml", "DATA", "WORK", precision),
        ("train_opennmt.py", f"{settings}.yaml", "WORK"),
        (Figure("tokens/s", f"{name} vs opennmt-py", "tokens/s", True),
         Figure("memory", f"{memory} vs opennmt-py", "MiB", False)),
        {"threads": 0, "vocabulary": 0, "parameters": 0.05},
    )


TRAIN = Bench(
    "training a translator on Multi30k, real target tokens a second, and its peak resident memory",
    OPENNMT_PY, 2, tuple(training(settings, precision) for settings in TRAININGS for precision in ("fp32", "bf16")),
    data="multi30k",
    prepare=("train_data.py", "transformer.toml", "DATA", "WORK"),
)

PIPELINE = ("cache to tensors", *(f"{what}, {workers}" for what in ("tokenise", "BPE-dropout")
                                  for workers in ("no workers", "1 worker", "2 workers")))

DATA = Bench(
    "the input pipeline on Multi30k, real target tokens a second",
    None, 1, (
        Duel(
            ("data_ours.py", "transformer.toml", "DATA", "WORK"),
            ("data_training.py", "transformer.toml", "DATA", "WORK"),
            tuple(Figure(case, case, "tokens/s", True) for case in PIPELINE), {},
        ),
    ),
    data="multi30k",
    prepare=("train_data.py", "transformer.toml", "DATA", "WORK"),
    beside="training",
    lines=("data_lines.py", "LINES", "WORK"),
)



def translation(settings: str, workers: int) -> Duel:
    """Ours in so many processes (one of all threads, or two of one thread) and the peer, which knows one."""
    case = f"{TRAININGS[settings]} beam 10 batch 32 fp32 {workers} worker{'s' if workers > 1 else ''} vs opennmt-py"
    return Duel(
        ("translate_ours.py", f"{settings}.toml", "WORK", str(workers)),
        ("translate_opennmt.py", f"{settings}.yaml", "WORK"),
        (Figure("sentences/s", case, "sentences/s", True),),
        {"threads": 0, "sentences": 0, "steps": 0, "parameters": 0.05},
    )


TRANSLATE = Bench(
    "translation at 16 tokens a sentence with untrained weights, sentences a second (cold start: seconds)",
    OPENNMT_PY, 2, (
        translation("transformer", 1), translation("transformer", 2), translation("recurrent", 1),
        translation("recurrent", 2),
        Duel(("translate_start.py", "WORK", "translate"), ("translate_start.py", "WORK", "torch"),
             (Figure("seconds", "cold start vs import torch", "s", False),), {"starts": 0}),
    ),
    data="multi30k",
    prepare=("translate_data.py", "DATA", "WORK"),
)

BENCHES: Mapping[str, Bench] = {"crf": CRF, "train": TRAIN, "data": DATA, "translate": TRANSLATE}
