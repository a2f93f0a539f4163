"""CRFsuite on NCBI disease mentions: words, affixes of up to four characters, shapes, two neighbours on each side.

NCBI WORK: the folder of the data, where the model is put. 100 iterations of L-BFGS, L1 and L2 as its authors advise.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import pycrfsuite
from _tag import Tagged, read

Span = tuple[int, str, int, int]


def features(words: list[str]) -> list[list[str]]:
    near = [[f"lower={word.lower()}", f"shape={shape(word)}", f"suffix={word[-3:].lower()}"] for word in words]
    found = []
    for place, word in enumerate(words):
        mine = ["bias", *of(word)]
        for distance in (-2, -1, 1, 2):
            there = 0 <= place + distance < len(words)
            mine += [f"{distance:+d}:{name}" for name in (near[place + distance] if there else ["edge"])]
        found.append(mine)
    return found


def of(word: str) -> list[str]:
    lower, seen = word.lower(), shape(word)
    sizes = [size for size in range(1, 5) if size <= len(word)]
    flags = {"digit": any(map(str.isdigit, word)), "upper": word.isupper(), "title": word.istitle(),
             "dash": "-" in word}
    return [f"word={word}", f"lower={lower}", f"shape={seen}", "short=" + re.sub(r"(.)\1+", r"\1", seen),
            *(f"prefix={lower[:size]}" for size in sizes), *(f"suffix={lower[-size:]}" for size in sizes),
            *(name for name, there in flags.items() if there)]


def shape(word: str) -> str:
    """Xxxx, 00, XXX-0."""
    return "".join("0" if sign.isdigit() else "X" if sign.isupper() else "x" if sign.isalpha() else sign
                   for sign in word)


def spans(sentences: list[list[str]]) -> set[Span]:
    """What seqeval reads from BIO tags in strict mode: a span begins with B-, and goes on with I- of its label."""
    found: set[Span] = set()
    for number, tags in enumerate(sentences):
        for start, tag in enumerate(tags):
            if tag.startswith("B-"):
                stop = start + 1
                while stop < len(tags) and tags[stop] == f"I-{tag[2:]}":
                    stop += 1
                found.add((number, tag[2:], start, stop))
    return found


def main(data: Path, work: Path) -> None:
    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True})
    for sentence in read(data / "train.tsv.gz", 1):
        trainer.append(features(sentence.words), sentence.tags)
    began = time.process_time()
    trainer.train(str(work / "crfsuite.model"))
    seconds = time.process_time() - began
    tagger = pycrfsuite.Tagger()
    tagger.open(str(work / "crfsuite.model"))
    test: list[Tagged] = read(data / "test.tsv.gz", 1)
    gold = spans([sentence.tags for sentence in test])
    found = spans([tagger.tag(features(sentence.words)) for sentence in test])
    f1 = 200 * len(gold & found) / (len(gold) + len(found))
    print(json.dumps({"figures": {"f1": f1}, "facts": {"processor seconds of training": seconds}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
