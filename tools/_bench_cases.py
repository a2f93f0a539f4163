"""What `tools/bench` measures: which scripts fight, over which figures, and what must be equal for it to be fair.

Knows no library and runs nothing. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from _peers import CRFSUITE, FLAIR, KERAS, OPENNMT_PY, PYTORCH_CRF, SPACY, Peer


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
    beside: Peer | str
    """The other side: a peer, or what to call another script of ours."""

    @property
    def other(self) -> str:
        """The other side, for people."""
        return self.beside if isinstance(self.beside, str) else self.beside.title


class Bench(NamedTuple):
    """Duels with one peer or more, or with a part of our own where there is none.

    DATA in an argument stands for the folder of the first set of ``data``, the name of another for its own, WORK for a
    folder of the bench's own.
    """

    title: str
    threads: int
    duels: tuple[Duel, ...]
    data: tuple[str, ...] = ()
    """The sets of tools/get_data that are needed."""
    extra: str = ""
    """The extra of the project that ours is measured with, if any."""
    prepare: tuple[str, ...] = ()
    """A script of ours that makes files for both sides first, if any."""
    lines: tuple[str, ...] = ()
    """A script of ours for --lines N, if any: LINES stands for N."""

    @property
    def others(self) -> list[str]:
        """The other sides, for people."""
        return list(dict.fromkeys(duel.other for duel in self.duels))

    @property
    def other(self) -> str:
        """All of them."""
        return ", ".join(self.others)


CRF_SIZES = ("[32,40,17]", "[64,100,25]", "[16,512,9]")  # batch, length, tags

CRF = Bench(
    "a CRF's loss (forward and backward) and Viterbi, processor milliseconds",
    1, tuple(
        Duel(
            ("crf_ours.py", way), ("crf_pytorch_crf.py",),
            tuple(Figure(f"{what} {size}", f"{what} {size} {way}", "ms", False)
                  for size in CRF_SIZES for what in ("loss", "viterbi")),
            {"threads": 0, **{f"{what} {size}": 1e-3 for size in CRF_SIZES for what in ("loss is", "tags sum to")}},
            PYTORCH_CRF,
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
        OPENNMT_PY,
    )


TRAIN = Bench(
    "training a translator on Multi30k, real target tokens a second, and its peak resident memory",
    2, tuple(training(settings, precision) for settings in TRAININGS for precision in ("fp32", "bf16")),
    data=("multi30k",),
    prepare=("train_data.py", "transformer.toml", "DATA", "WORK"),
)

PIPELINE = ("cache to tensors", *(f"{what}, {workers}" for what in ("tokenise", "BPE-dropout")
                                  for workers in ("no workers", "1 worker", "2 workers")))

DATA = Bench(
    "the input pipeline on Multi30k, real target tokens a second",
    1, (
        Duel(
            ("data_ours.py", "transformer.toml", "DATA", "WORK"),
            ("data_training.py", "transformer.toml", "DATA", "WORK"),
            tuple(Figure(case, case, "tokens/s", True) for case in PIPELINE), {},
            "training",
        ),
    ),
    data=("multi30k",),
    prepare=("train_data.py", "transformer.toml", "DATA", "WORK"),
    lines=("data_lines.py", "LINES", "WORK"),
)

def translation(settings: str, workers: int) -> Duel:
    """Ours in so many processes (one of all threads, or two of one thread) and the peer, which knows one."""
    case = f"{TRAININGS[settings]} beam 10 batch 32 fp32 {workers} worker{'s' if workers > 1 else ''} vs opennmt-py"
    return Duel(
        ("translate_ours.py", f"{settings}.toml", "WORK", str(workers)),
        ("translate_opennmt.py", f"{settings}.yaml", "WORK"),
        (Figure("sentences/s", case, "sentences/s", True),),
        {"threads": 0, "sentences": 0, "steps": 0, "parameters": 0.05}, OPENNMT_PY,
    )


TRANSLATE = Bench(
    "translation at 16 tokens a sentence with untrained weights, sentences a second (cold start: seconds)",
    2, (
        translation("transformer", 1), translation("transformer", 2), translation("recurrent", 1),
        translation("recurrent", 2),
        Duel(("translate_start.py", "WORK", "translate"), ("translate_start.py", "WORK", "torch"),
             (Figure("seconds", "cold start vs import torch", "s", False),), {"starts": 0}, "import torch"),
    ),
    data=("multi30k",),
    prepare=("translate_data.py", "DATA", "WORK"),
)

TAG_FLAIR = Duel(
    ("tag_ours.py", "DATA", "WORK"), ("tag_flair.py", "DATA", "WORK"),
    (Figure("training", "training words/s vs flair", "words/s", True),
     Figure("tagging", "tagging words/s vs flair", "words/s", True),
     Figure("memory", "training memory vs flair", "MiB", False)),
    {"threads": 0}, FLAIR,
)
TAG_SPACY = Duel(
    ("tag_ours.py", "DATA", "WORK"), ("tag_spacy.py", "DATA"),
    (Figure("training", "training words/s vs spacy", "words/s", True),
     Figure("tagging", "tagging words/s vs spacy", "words/s", True),
     Figure("p50", "latency p50 vs spacy", "ms", False), Figure("p95", "latency p95 vs spacy", "ms", False),
     Figure("memory", "training memory vs spacy", "MiB", False)),
    {"threads": 0}, SPACY,
)
TAG_START = Duel(  # of the run that the last duel has left
    ("tag_start.py", "WORK", "tag"), ("tag_start.py", "WORK", "torch"),
    (Figure("seconds", "cold start vs import torch", "s", False),
     Figure("memory", "cold start memory vs import torch", "MiB", False)),
    {"starts": 0}, "import torch",
)
TAG_NCBI = Duel(
    ("tag_ncbi_ours.py", "ncbi-disease", "WORK"), ("tag_ncbi_crfsuite.py", "ncbi-disease", "WORK"),
    (Figure("f1", "ncbi F1 vs crfsuite", "F1", True),), {}, CRFSUITE,
)

TAG = Bench(
    "the tagger of the CoNLL-2000 recipe, processor time (cold start: wall time)",
    1, (TAG_FLAIR, TAG_SPACY, TAG_START, TAG_NCBI),
    data=("conll2000", "ncbi-disease"), extra="fast",
)

TUTORIAL = ("lstm", "dropout", "gates", "convolution")
"""The models of the Keras tutorial on reviews, as recipes/imdb and bench_scripts/classify_keras.py call them."""


def epoch(backend: str, case: str) -> Duel:
    """The tutorial's LSTM: ours with length buckets and masked padding, the peer's on rows of 500 words."""
    return Duel(
        ("classify_ours.py", "masked", "epoch", "DATA", "WORK"),
        ("classify_keras.py", "lstm", "epoch", backend, "WORK"),
        (Figure("epoch", case, "s", False),), {"threads": 0, "parameters": 0.05}, KERAS,
    )


def accuracy(name: str) -> Duel:
    """A model of the tutorial, ours and the peer's, trained to the end.

    On jax: an epoch on torch takes the peer 5,200 processor seconds (``tools/bench classify``), 60 times as long.
    """
    return Duel(
        ("classify_ours.py", name, "accuracy", "DATA", "WORK"),
        ("classify_keras.py", name, "accuracy", "jax", "WORK"),
        (Figure("accuracy", f"imdb {name} accuracy vs keras {name}", "%", True),),
        {"threads": 0, "parameters": 0.05}, KERAS,
    )


CLASSIFY = Bench(
    "an epoch of the Keras tutorial's LSTM on IMDB reviews, processor seconds",
    1, (epoch("torch", "imdb lstm epoch vs keras"), epoch("jax", "imdb lstm epoch vs keras on jax")),
    data=("imdb",), prepare=("classify_data.py", "DATA", "WORK"),
)
IMDB = Bench(
    "the four models of the Keras tutorial on IMDB reviews, a seed a run, test accuracy (hours)",
    1, tuple(accuracy(name) for name in TUTORIAL),
    data=("imdb",), prepare=("classify_data.py", "DATA", "WORK"),
)

BENCHES: Mapping[str, Bench] = {"crf": CRF, "train": TRAIN, "data": DATA, "tag": TAG, "translate": TRANSLATE,
                                "classify": CLASSIFY, "imdb": IMDB}
