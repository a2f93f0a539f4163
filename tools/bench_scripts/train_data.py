"""Learn the joint subwords, as our run will, and write the training part in pieces for those that cannot.

SETTINGS DATA WORK: settings of ours, the folder of Multi30k, where to write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.data.files import read_lines
from seq2x.settings import RunConfig
from seq2x.text import Subwords
from seq2x.text.vocabulary import SPECIALS

DEV = 8  # pairs of train: our run wants a dev set, which so short a training never comes to


def main(settings: Path, data: Path, work: Path) -> None:
    train = [str(data / "train.en.gz"), str(data / "train.de.gz")]
    config = read(RunConfig, settings, [f"tasks.translate.train={json.dumps(train)}"])
    pairs = read_examples(config.tasks["translate"], (train[0], train[1]))
    sides = {"en": [pair.source for pair in pairs], "de": [pair.target for pair in pairs]}
    subwords = config.text.learn(text for texts in sides.values() for text in texts)
    assert isinstance(subwords, Subwords)
    work.mkdir(parents=True, exist_ok=True)
    subwords.save(work, "learnt")
    pieces = subwords.entries
    write(work / "vocabulary.txt", pieces[len(SPECIALS):])
    for language, texts in sides.items():
        ids = (subwords.encode(text).ids[:-1] for text in texts)  # without </s>, which the peer puts there itself
        write(work / f"train.{language}", (" ".join(pieces[number] for number in line) for line in ids))
        write(work / f"dev.{language}", texts[:DEV])
    for side, path in zip(("en", "de"), (data / "val.en.gz", data / "val.de.gz"), strict=True):  # for curve_opennmt.py
        lines = read_lines(path)
        write(work / f"val.{side}", lines)
        encoded = (subwords.encode(line).ids[:-1] for line in lines)
        write(work / f"val.pieces.{side}", (" ".join(pieces[number] for number in line) for line in encoded))
    print(json.dumps({"figures": {}, "facts": {"pairs": len(pairs), "vocabulary": subwords.size}}))


def write(path: Path, lines: Iterable[str | None]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    folder = Path(__file__).parent
    main(folder / sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
