"""What all predictors share: a task of a run, any number of sentences in, as many results out, in their order.

Knows no task. Results do not depend on what else is predicted beside, before or after: the rows and lengths of every
batch are padded as seq2x.batch says, and a sentence sees nothing of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, TypeVar

import torch
from torch import nn

from seq2x import checkpoint
from seq2x.batch import EXACT, LENGTH_MULTIPLE, Batch, Encoded, Multiples, Tokens, pad
from seq2x.checkpoint import Loaded
from seq2x.data.batching import in_windows
from seq2x.errors import ConfigError, DataError, RunError, nearest
from seq2x.machine import has_bfloat16
from seq2x.settings import RunConfig
from seq2x.text import Encoding


class Piece(Protocol):
    """What the model reads at once, an :class:`~seq2x.text.Encoding` or more."""

    @property
    def ids(self) -> list[int]:
        """Its tokens."""


T = TypeVar("T")
R = TypeVar("R")
P = TypeVar("P", bound=Piece)

Precision = Literal["float32", "bfloat16", "auto"]
BATCH_TOKENS = 4096
"""Padded tokens a batch at most (rows * longest), except that a batch has never less than 8 rows."""
WINDOW = 2048
"""Sentences read at a time, to be sorted by length; 1 = each result comes before the next sentence is read."""


class Predictor:
    """Base of every predictor: one task of a run, or of several that act as one model."""

    kind: ClassVar[Literal["classify", "tag", "translate", "language_model"]]

    def __init__(self, loaded: Loaded | Sequence[Loaded], task: str | None = None) -> None:
        """``task`` is its name in the runs; None = the only one of this kind. RunError names the tasks there are.

        What the first of several runs says of input and output holds for all.
        """
        self.runs = (loaded,) if isinstance(loaded, Loaded) else tuple(loaded)
        self.loaded = self.runs[0]
        self.names = tuple(task_of(run.config, self.kind, task) for run in self.runs)
        self.name = self.names[0]
        self.limit = min(run.config.tasks[name].limit.max_tokens
                         for run, name in zip(self.runs, self.names, strict=True))
        """Tokens of the longest sentence that the model reads as one."""

    @classmethod
    def load(
        cls, directory: str | Path | Sequence[str | Path], task: str | None = None, device: str = "cpu"
    ) -> Self:
        """Read a run directory, or several whose probabilities are averaged; RunError says what is wrong with one.

        A file of weights in a run stands for the run with these weights, ``runs/ner/snapshots`` for all files there.
        """
        runs = checkpoint.load_runs(directory, device)
        try:
            return cls(runs, task)
        except RunError as error:
            raise RunError(f"{listed(directory)}: {error}") from None

    def _predict(
        self, pieces: Sequence[Encoding], predict: Callable[[Encoded], Sequence[R]], member: int = 0
    ) -> list[R]:
        """Encode one batch with one of the models and let its head ``predict`` from it: one result a piece."""
        model, name = self.runs[member].model, self.names[member]
        with inference(model) as device:
            batch = batch_of(pieces, model.multiples(name)).to(device)
            encoded = model.encode(name, batch)
            return list(predict(encoded)[: len(pieces)])


def listed(directory: str | Path | Sequence[str | Path]) -> str:
    """Return the runs of an argument, for a message."""
    return str(directory) if isinstance(directory, str | Path) else ", ".join(map(str, directory))


def check_labels(runs: Sequence[Loaded], names: Sequence[str]) -> None:
    """RunError where the tasks ``names`` of several runs have not the same labels, in the same order."""
    first = runs[0].labels[names[0]].entries
    for number, (each, name) in enumerate(zip(runs, names, strict=True), start=1):
        entries = each.labels[name].entries
        if entries != first:
            other = next((label for label in (*first, *entries) if (label in first) != (label in entries)), first[0])
            raise RunError(f"models that act as one need the same labels; the first has {len(first):,}, number "
                           f"{number} {len(entries):,}, and not both have {other!r}")


@contextmanager
def inference(*models: nn.Module, precision: Precision = "float32") -> Iterator[torch.device]:
    """Inside, nothing drops out and nothing is kept for gradients; yields where the models are.

    In bfloat16 the products are made in that type, which is faster where the processor or the GPU has it; "auto" is
    bfloat16 there.
    """
    learning = [model for model in models if model.training]
    device = next(models[0].parameters()).device
    rounded = has_bfloat16(device) if precision == "auto" else precision == "bfloat16"
    for model in learning:
        model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            yield device
    finally:
        for model in learning:
            model.train()


def batch_of(pieces: Sequence[Encoding], multiples: Multiples = EXACT) -> Batch:
    """Return one batch whose rows and lengths are padded to the multiples that keep results apart; see seq2x.batch."""
    characters = [piece.characters for piece in pieces if piece.characters is not None]
    shapes = [piece.shapes for piece in pieces if piece.shapes is not None]
    source = Tokens.of([piece.ids for piece in pieces], characters or None, multiples.tokens, shapes or None)
    spans = None
    if all(piece.spans is not None for piece in pieces):
        flat = pad([list(chain.from_iterable(piece.spans or ())) for piece in pieces], 2 * multiples.tokens)
        spans = flat.view(len(pieces), -1, 2)
    return Batch(source, spans).pad_rows(multiples.rows)


def run(
    sentences: Iterable[tuple[T, Sequence[P]]],
    predict: Callable[[list[P]], list[R]],
    tokens: int = BATCH_TOKENS,
    window: int = WINDOW,
    multiple: int = LENGTH_MULTIPLE,
) -> Iterator[tuple[T, list[R]]]:
    """Yield each sentence with the results of its pieces, in the order given, in constant memory.

    A sentence is anything and the pieces of it that the model shall read, none or more. ``predict`` gets batches of
    at most ``tokens`` tokens, each piece padded to ``multiple``, made from ``window`` pieces at a time.
    """
    waiting: deque[tuple[T, int]] = deque()

    def pieces() -> Iterator[P | None]:
        for sentence, encodings in sentences:
            waiting.append((sentence, len(encodings)))
            yield from encodings
            if not encodings:
                yield None  # keeps the place of a sentence that the model need not see

    def predict_some(batch: list[P | None]) -> list[R | None]:
        real = [piece for piece in batch if piece is not None]
        results = iter(predict(real) if real else ())
        return [None if piece is None else next(results) for piece in batch]

    results = in_windows(pieces(), partial(_padded, multiple), predict_some, tokens, window)
    for result in results:
        sentence, count = waiting.popleft()
        found = [result, *islice(results, count - 1)] if count else []
        yield sentence, [item for item in found if item is not None]


def errors_in_turn(read: Iterable[T], results: Callable[[Iterable[T]], Iterator[R]]) -> Iterator[R]:
    """Yield ``results(read)``; where ``read`` ends with a DataError, it is raised behind what was read before it."""
    errors: list[DataError] = []

    def until_then() -> Iterator[T]:
        try:
            yield from read
        except DataError as error:
            errors.append(error)

    yield from results(until_then())
    for error in errors:
        raise error


def _padded(multiple: int, piece: Piece | None) -> int:
    """What a piece takes in a batch."""
    length = 0 if piece is None else len(piece.ids)
    return length + -length % multiple


def answer(
    inputs: object, results: Callable[[Iterable[object]], Iterator[R]], tokens: int, window: int,
    one: type | tuple[type, ...] = str,
) -> R | list[R] | Iterator[R]:
    """One result for one text (a ``one``), a list for a list, for others an iterator that reads as it goes."""
    for name, value in (("batch_tokens", tokens), ("window", window)):
        if value < 1:
            raise ConfigError(f"{name}: found {value}; expected 1 or more")
    if isinstance(inputs, one):
        (result,) = results([inputs])
        return result
    if isinstance(inputs, list):
        return list(results(inputs))
    if isinstance(inputs, bytes) or not isinstance(inputs, Iterable):
        raise TypeError(f"found {type(inputs).__name__}; expected a text (str), a list, or an iterable of texts")
    return results(inputs)


def line(text: object, number: int) -> str:
    """Return a text as it came, without the line end that lines of a file have; TypeError names the text by number."""
    if not isinstance(text, str):
        raise TypeError(f"text {number}: found {type(text).__name__}; expected str")
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text


def task_of(config: RunConfig, kind: str, name: str | None) -> str:
    """Return the task of that name, or the only one of that kind; RunError names the tasks there are."""
    names = [task for task, settings in config.tasks.items() if settings.kind == kind]
    if name is None and len(names) == 1:
        return names[0]
    tasks = ", ".join(f"{task!r} ({settings.kind})" for task, settings in config.tasks.items())
    if name is None:
        found = f"{len(names)} tasks of the kind {kind!r}: say which" if names else f"no task of the kind {kind!r}"
        raise RunError(f"the run has {found}; its tasks are {tasks}")
    if name not in config.tasks:
        raise RunError(f"the run has no task {name!r}{nearest(name, names)}")
    if name not in names:
        raise RunError(f"the task {name!r} is of the kind {config.tasks[name].kind!r}, not {kind!r}; "
                       f"the tasks of the run are {tasks}")
    return name
