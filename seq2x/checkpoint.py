"""The run directory: what is in it, written whole or not at all, checked when read. Nothing in it is pickled.

    runs/NAME/
      config.toml           every setting, defaults filled in
      source.model ...      SentencePiece model(s), plain-text vocabularies, labels.TASK.txt (line number = id)
      pretrained/           config and tokenizer of a Hugging Face encoder, where one is used
      weights.safetensors   the best weights; tensors only
      resume/               everything that going on needs; may be deleted
      cache/                the training data as numbers, where corpus.memory = "cache"; may be deleted
      metrics.jsonl         one line an evaluation
      tensorboard/          curves, where TensorBoard is installed; may be deleted
      README.md             the model card
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import portalocker
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from seq2x import config as settings_file
from seq2x.build import build_model
from seq2x.errors import RunError, nearest
from seq2x.model import Model
from seq2x.settings import RunConfig
from seq2x.text import Processor, Vocabulary, same_entries
from seq2x.text.pretrained import FOLDER

CONFIG, WEIGHTS, METRICS, CARD = "config.toml", "weights.safetensors", "metrics.jsonl", "README.md"
STATE, LOCK, CACHE = "resume/state.safetensors", ".lock", "cache"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What the system says of a disk that is full, and of a directory that is not to be written."""
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
          torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}
"""What safetensors calls them."""
UNHARMED = "what stood there before is unharmed; "
FORMAT = "1"
"""Of the run directory; grows when a reader of today could not read what is written."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other trainings out of ``directory`` (made if need be) meanwhile; RunError where one is in it already."""
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("w")
    with file:
        try:
            portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.LockException:
            raise RunError(f"{directory}: another training is at work in it; wait for its end, or choose another "
                           "--out") from None
        try:
            yield
        finally:
            if [entry.name for entry in directory.iterdir()] == [LOCK]:  # nothing came of it: leave no trace
                (directory / LOCK).unlink()
                directory.rmdir()


def is_empty(directory: Path) -> bool:
    """Whether there is no such directory, or nothing in it that counts."""
    return not directory.exists() or (
        directory.is_dir() and all(entry.name in (LOCK, CACHE) for entry in directory.iterdir()))


def clear(directory: Path, keep: str | None = None) -> None:
    """Delete everything in a directory, its lock and ``keep`` apart."""
    with _writing(directory):
        for entry in directory.iterdir():
            if entry.name in (LOCK, keep):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


class Loaded(NamedTuple):
    """A run, ready to use."""

    config: RunConfig
    model: Model
    source: Processor
    target: Processor | None
    labels: dict[str, Vocabulary]

    def reads_as(self, other: Loaded) -> bool:
        """Whether both turn the same source text into the same tokens."""
        return self.config.text == other.config.text and same_entries(self.source, other.source)


def load(directory: str | Path, device: str = "cpu") -> Loaded:
    """Read a run directory; RunError says what is missing or damaged.

    Instead of the directory it may be a file of weights in it, such as ``runs/ner/snapshots/2.safetensors``.
    """
    directory, weights = _place(Path(directory))
    config = read_config(directory)
    source, target = load_text(directory, config)
    labels = load_labels(directory, config)
    with torch.random.fork_rng(devices=[]):  # the fresh weights are overwritten: the caller's random state stays
        model = build_model(config, source, target, labels, directory / FOLDER)
    load_weights(model, weights)
    return Loaded(config, model.to(device).eval(), source, target, labels)


def load_runs(places: str | Path | Sequence[str | Path], device: str = "cpu") -> list[Loaded]:
    """Read one run or several, as :func:`load` does; a folder of weights in a run, such as snapshots, is all of them.

    RunError where there is none.
    """
    places = [places] if isinstance(places, str | Path) else places
    found = [file for place in places for file in _members(Path(place))]
    if not found:
        raise RunError("found no run; expected one or more run directories")
    return [load(file, device) for file in found]


def is_run(place: str | Path) -> bool:
    """Whether something is, or is in, a run directory: the run, a file of weights, or a folder of such files."""
    path = Path(place)
    return (path.is_dir() or path.suffix == ".safetensors") and (directory_of(path) / CONFIG).is_file()


def directory_of(place: str | Path) -> Path:
    """Return the run directory that an argument of :func:`load_runs` lies in."""
    path = _place(Path(place))[0]
    return path.parent if not (path / CONFIG).is_file() and (path.parent / CONFIG).is_file() else path


def _members(path: Path) -> list[Path]:
    """What an argument stands for: itself, or the weights in a folder of a run, the oldest first."""
    if (path / CONFIG).is_file() or not path.is_dir() or not (path.parent / CONFIG).is_file():
        return [path]
    found = sorted(path.glob("*.safetensors"), key=lambda file: (len(file.stem), file.stem))
    if not found:
        raise RunError(f"{path}: holds no weights; expected files such as 1.safetensors, as schedule.kind = 'cyclic' "
                       "leaves them in snapshots")
    return found


def _place(path: Path) -> tuple[Path, Path]:
    """The run directory of an argument, and the file of its weights."""
    if path.suffix != ".safetensors":
        return path, path / WEIGHTS
    inside = next((folder for folder in (path.parent, path.parent.parent) if (folder / CONFIG).is_file()), path)
    return inside, path


def read_config(directory: Path) -> RunConfig:
    """Read config.toml of a run directory."""
    path = directory / CONFIG
    if not path.is_file():
        around = sorted(other.name for other in directory.parent.glob("*") if (other / CONFIG).is_file())
        what = "is no run directory (it has no config.toml)" if directory.is_dir() else "no such directory"
        if directory.is_file():
            what = "is a file; expected a run directory (commands read their text from standard input or -i FILE)"
        raise RunError(f"{directory}: {what}{nearest(directory.name, around) if around else ''}")
    return settings_file.read(RunConfig, path)


def save_text(directory: Path, source: Processor, target: Processor | None) -> None:
    """Write the text processors; a joint one once."""
    with _writing(directory):
        source.save(directory, "source")
        if target is not None and target is not source:
            target.save(directory, "target")


def save_run(directory: Path, loaded: Loaded, card: str) -> None:
    """Write a run that no training goes on with."""
    write(directory / CONFIG, settings_file.dump(loaded.config))
    save_text(directory, loaded.source, loaded.target)
    save_labels(directory, loaded.labels)
    save_encoder(directory, loaded.model)
    save_weights(dict(loaded.model.named_parameters()), directory / WEIGHTS)
    write(directory / CARD, card)


def load_text(directory: Path, config: RunConfig) -> tuple[Processor, Processor | None]:
    """Read the source processor and, where the run translates, the target's (the same one where it is joint)."""
    source = config.text.load(directory, "source")
    if not any(task.kind == "translate" for task in config.tasks.values()):
        return source, None
    return source, source if config.joint else (config.target_text or config.text).load(directory, "target")


def save_encoder(directory: Path, model: Model) -> None:
    """Write the folder ``pretrained``, if the encoder is one."""
    with _writing(directory):
        model.encoder.save(directory / FOLDER)


def save_labels(directory: Path, labels: Mapping[str, Vocabulary]) -> None:
    """Write labels.TASK.txt of each task."""
    with _writing(directory):
        for task, entries in labels.items():
            entries.save(directory / f"labels.{task}.txt")


def load_labels(directory: Path, config: RunConfig) -> dict[str, Vocabulary]:
    """Read labels.TASK.txt of each task that has labels."""
    return {name: Vocabulary.load(directory / f"labels.{name}.txt") for name in config.labelled}


def save_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors; each shared parameter stands once, under its first name."""
    _save(tensors, path, {"format": FORMAT, "framework": "pt"})


def load_weights(model: Model, path: Path) -> None:
    """Fill ``model``; RunError names every tensor that is missing, unknown or of another size, with both sizes."""
    tensors, _ = _load(path)
    expected = dict(model.named_parameters())
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in expected]
    for name, parameter in expected.items():
        if name in tensors and tensors[name].shape != parameter.shape:
            found, wanted = (list(tensor.shape) for tensor in (tensors[name], parameter))
            problems.append(f"{name} has the size {found} in the file, {wanted} by config.toml and the vocabularies")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise RunError(f"{path}: the weights do not fit the model: {'; '.join(problems[:5])}{more}")
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(tensors[name])


def load_mean(model: Model, paths: Sequence[Path]) -> None:
    """Fill ``model`` with the mean of the weights of several files (Vaswani et al. 2017, section 6.1)."""
    sums: dict[str, Tensor] = {}
    for path in paths:
        load_weights(model, path)
        for name, parameter in model.named_parameters():
            sums[name] = sums.get(name, 0.0) + parameter.detach().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sums[name] / len(paths))


def save_state(tensors: Mapping[str, Tensor], progress: Mapping[str, Any], directory: Path) -> None:
    """Write what a resume needs as one file, so that it is old or new and never half."""
    _save(tensors, directory / STATE, {"format": FORMAT, "progress": json.dumps(progress)})


def load_state(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what :func:`save_state` wrote, or None where there is nothing."""
    if not (directory / STATE).exists():
        return None
    tensors, metadata = _load(directory / STATE)
    return tensors, json.loads(metadata["progress"])


def amend_state(changes: Mapping[str, Any], directory: Path) -> None:
    """Change some of the progress that a resume goes on from."""
    if (state := load_state(directory)) is not None:
        tensors, progress = state
        save_state(tensors, {**progress, **changes}, directory)


def append_metrics(directory: Path, record: Mapping[str, Any]) -> None:
    """Add one line to metrics.jsonl; where that fails, the lines before stay as they are."""
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8")
    with _writing(directory / METRICS, UNHARMED), (directory / METRICS).open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while line:  # of what a disk has room for, a write does no more
                line = line[file.write(line) :]
        except OSError:
            file.truncate(before)
            raise


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, none where there is no such file; a last line cut short is left out."""
    path = directory / METRICS
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [json.loads(line) for line in lines[:-1]]


def keep_metrics(directory: Path, step: int) -> None:
    """Drop the lines after ``step``: what a run that goes on from there will write again."""
    kept = [record for record in read_metrics(directory) if record["step"] <= step]
    write(directory / METRICS, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))


def write(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    _replace(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))


def _save(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file straight out of the tensors' memory; the library's own writer holds it three times."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # so that each is aligned
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)

    def produce(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, tensor in ordered:
                file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    _replace(path, produce)


def _replace(path: Path, produce: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with _writing(path, UNHARMED):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            produce(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)  # it would fill the disk
            raise


@contextmanager
def _writing(path: Path, state: str = "") -> Iterator[None]:
    """Turn what the system says into a RunError that names the place, its ``state``, and what to do."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        advice = "choose another --out"
        if error.errno in FULL:
            advice = "make room, then go on with --resume"
        elif error.errno in CLOSED:
            advice = "make it writable, then go on with --resume; or choose another --out"
        raise RunError(f"{path}: cannot be written: {what}; {state}{advice}") from error


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise RunError(f"{path}: no such file; has the training reached its first evaluation?")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(f"{path}: format {metadata.get('format')!r}; this version of seq2x reads {FORMAT!r}")
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise RunError(f"{path}: damaged or cut short ({path.stat().st_size:,} bytes): {error}") from None
