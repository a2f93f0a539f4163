"""The memory of a corpus of many lines, made up here: learning subwords, making the cache, walking through batches.

LINES WORK: how many pairs of lines, and where to put them (they are deleted). Each phase runs in a process of its own,
once with a tenth of the lines and once with all: memory is constant where both take as much. LINES WORK PHASE is one.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHARDS = 10
PHASES = ("learn", "cache", "walk")
WORKERS = 1
BATCHES = 20_000
"""At most so many are walked through, from the middle of the epoch on."""
WORDS = 50_000


def make(folder: Path, lines: int) -> None:
    """Write shards of pairs of made-up sentences: 3 to 12 words, the frequent ones frequent as in a language."""
    import numpy as np

    draw = np.random.default_rng(1)
    letters = np.array(list("aeionrstlmdkuphgbvfcz"))
    words = [np.array(["".join(letters[draw.integers(0, len(letters), draw.integers(2, 10))]) for _ in range(WORDS)])
             for _ in range(2)]
    for shard in range(SHARDS):
        share = lines * (shard + 1) // SHARDS - lines * shard // SHARDS
        chosen = np.minimum(draw.zipf(1.2, (share, 12)) - 1, WORDS - 1)
        lengths = draw.integers(3, 13, share).tolist()
        for side, own in zip(("in", "out"), words, strict=True):
            with gzip.open(folder / f"train.{shard}.{side}.gz", "wt", encoding="utf-8", compresslevel=1) as file:
                for start in range(0, share, 10_000):
                    rows = own[chosen[start : start + 10_000]].tolist()
                    file.writelines(" ".join(row[:length]) + "\n"
                                    for row, length in zip(rows, lengths[start : start + 10_000], strict=True))


def phase(name: str, folder: Path, lines: int) -> dict[str, float]:
    """Do one phase; return its figures."""
    from seq2x.corpus import stream_examples
    from seq2x.data.cache import Cache
    from seq2x.data.coding import Limit, PairCoder
    from seq2x.settings import TranslateTask
    from seq2x.text import SubwordsConfig

    task = TranslateTask.model_validate({"train": [f"{folder}/train.*.in.gz", f"{folder}/train.*.out.gz"]})
    config = SubwordsConfig.model_validate({"size": 8000 if lines >= 10_000 else 400, "lines": 100_000})
    began = time.perf_counter()
    if name == "learn":
        pairs = stream_examples(task, task.train, [])
        config.learn(pair.source for pair in pairs).save(folder, "source")
        return {"seconds": time.perf_counter() - began}
    subwords = config.load(folder, "source")
    coder, cache = PairCoder(subwords, subwords, 1, Limit()), Cache(folder / "cache")
    if name == "cache":
        cache.make({}, {}, coder, stream_examples(task, task.train, []), WORKERS, told)
        return {"seconds": time.perf_counter() - began, "tokens": cache.tokens, "MiB on disk": cache.size / 2**20}
    return walk(coder, cache)


def told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def walk(coder: Any, cache: Any) -> dict[str, float]:
    """Count an epoch, seek its middle, take batches."""
    from seq2x.batch import Tokens
    from seq2x.data.batching import Batches, Position
    from seq2x.data.datasets import CodedDataset
    from seq2x.data.loading import load

    dataset = CodedDataset(coder, cache.open(coder))
    batches, began = Batches({"translate": dataset.lengths}, 2048, 1, buffer=100_000), time.perf_counter()
    count = batches.count(0)
    counted = time.perf_counter()
    items = load({"translate": dataset}, batches, Position(0, count // 2))
    next(items)
    sought, tokens, number = time.perf_counter(), 0, 0
    for number, item in enumerate(items, start=1):
        assert isinstance(item.batch.target, Tokens)
        tokens += int(item.batch.target.mask.sum()) - len(item.indices)
        if number == min(BATCHES, count // 2):
            break
    seconds = time.perf_counter() - sought
    return {"seconds": seconds, "batches": number, "an epoch": count, "seconds to count": counted - began,
            "seconds to seek the middle": sought - counted, "target tokens/s": tokens / seconds}


def main(lines: int, work: Path) -> None:
    figures: dict[str, float] = {}
    facts: dict[str, float] = {}
    sys.path.insert(0, str(Path(__file__).parent))
    from _memory import watched

    for amount in (lines // 10, lines):
        with tempfile.TemporaryDirectory(dir=work) as folder:
            make(Path(folder), amount)
            for name in PHASES:
                answer, peak = watched([sys.executable, __file__, str(amount), folder, name], dict(os.environ))
                found = json.loads(answer.rstrip("\n").rpartition("\n")[2])
                figures[f"{name}, {amount:,} lines"] = peak
                facts |= {f"{name}, {amount:,} lines: {key}": value for key, value in found.items()}
                print(f"{amount:,} lines, {name}: {peak:,.0f} MiB at most; {found}", file=sys.stderr, flush=True)
    print(json.dumps({"figures": figures, "facts": facts}))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        print(json.dumps(phase(sys.argv[3], Path(sys.argv[2]), int(sys.argv[1]))))
    else:
        main(int(sys.argv[1]), Path(sys.argv[2]))
