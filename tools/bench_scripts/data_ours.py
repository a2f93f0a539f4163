"""What our input pipeline gives, in real target tokens a second: the cache, tokenising into it, BPE-dropout out of it.

SETTINGS DATA WORK: settings of ours, the folder of Multi30k, what train_data.py wrote. Seconds are wall seconds, after
the workers have answered once.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

SECONDS = 5.0  # measured of each case
WORKERS = (0, 1, 2)


def main(settings: Path, data: Path, work: Path) -> None:
    from seq2x.config import read
    from seq2x.corpus import stream_examples
    from seq2x.data.batching import Batches, Position
    from seq2x.data.cache import Cache, Tokenise, chunks
    from seq2x.data.coding import Limit, PairCoder
    from seq2x.data.datasets import CodedDataset
    from seq2x.data.loading import load
    from seq2x.data.workers import Workers
    from seq2x.settings import RunConfig

    config = read(RunConfig, settings)
    pairs = list(stream_examples(config.tasks["translate"], (f"{data}/train.en.gz", f"{data}/train.de.gz"), []))
    plain, dropping = (text.load(work, "learnt") for text in (
        config.text, config.text.model_copy(update={"dropout": 0.1})))
    coder = PairCoder(plain, plain, 1, Limit())
    figures: dict[str, float] = {}
    for count in WORKERS:
        with Workers(Tokenise(coder), count) as workers:
            blocks = workers.map(chain.from_iterable(chunks(pairs, "translate") for _ in range(1000)))
            # of a target all tokens but the first, which no decoder predicts
            figures[f"tokenise, {name(count)}"] = speed(len(block.columns["ids1"][0]) - block.kept for block in blocks)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for kind, processor in (("cache", plain), ("dropout", dropping)):
            coder, cache = PairCoder(processor, processor, 1, Limit()), Cache(Path(folder) / kind)
            cache.make({}, {}, coder, pairs, 0, lambda _: None)
            datasets = {"translate": CodedDataset(coder, cache.open(coder))}
            batches = Batches({"translate": datasets["translate"].lengths}, 2048, 1)
            for count in WORKERS if kind == "dropout" else (0,):
                items = load(datasets, batches, Position(), count)
                case = f"BPE-dropout, {name(count)}" if kind == "dropout" else "cache to tensors"
                figures[case] = speed(tokens(item.batch) for item in items)
                items.close()  # type: ignore[attr-defined]  # a generator
    print(json.dumps({"figures": figures, "facts": {"pairs": len(pairs), "vocabulary": plain.size}}))


def tokens(batch: Any) -> int:
    count: int = batch.target.mask.sum().item() - batch.rows
    return count


def name(workers: int) -> str:
    return f"{workers or 'no'} worker{'s' if workers != 1 else ''}"


def speed(amounts: Iterable[int]) -> float:
    """What comes a second, once the first four have come."""
    source: Iterator[int] = iter(amounts)
    list(islice(source, 4))
    began, total = time.perf_counter(), 0
    for amount in source:
        total += amount
        if time.perf_counter() - began >= SECONDS:
            break
    return total / (time.perf_counter() - began)


if __name__ == "__main__":
    here = Path(__file__).parent
    main(here / sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
