"""The reviews for both sides: a dev part for ours; for the peer the ids of words as the tutorial's model reads them.

DATA WORK: the folder of the reviews, where dev.tsv and the others are put.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from classify_ours import settings, split

from seq2x.data.readers import read_texts


def main(data: Path, work: Path) -> None:
    split(data, work)
    train, test = (list(read_texts(data / f"{part}.tsv.gz")) for part in ("train", "test"))
    words = settings("lstm", data, work).text.learn([text.text for text in train])
    for part, texts in (("train", train), ("test", test)):
        # the end symbol is ours
        ids = np.array([words.encode(text.text).ids[:-1] for text in texts], dtype=np.int32)
        np.save(work / f"{part}.ids.npy", ids)
        np.save(work / f"{part}.labels.npy", np.array([text.label == "pos" for text in texts], dtype=np.float32))
    print(json.dumps({"figures": {}, "facts": {"words": words.size}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
