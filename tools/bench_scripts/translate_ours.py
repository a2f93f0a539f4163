"""Our translation, of a model with untrained weights at a forced length: sentences a second, of one process or two.

SETTINGS WORK WORKERS: settings of ours, what translate_data.py wrote, the number of processes.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from translate_data import BATCH, BEAM, PIECES, STEPS, sentences

from seq2x import Translator

LONGEST = 16  # what a batch is padded to


def translate(run: Path, texts: list[str], ready: Barrier | None, seconds: Connection | None) -> float:
    """Translate some to warm up, then all; return the seconds of the latter, from when every process is ready."""
    if ready is not None:
        torch.set_num_threads(1)
    translator = Translator.load(run)
    # PIECES tokens a sentence: such a share of them, and ten more, is the limit, which no output ends before
    limit = (STEPS - 10 + 0.5) / PIECES
    search = translator.search.model_copy(update={"beam_size": BEAM, "max_length_ratio": limit})
    translator.translate(texts[: 2 * BATCH], search=search, batch_tokens=BATCH * LONGEST)
    if ready is not None:
        ready.wait()
    began = time.perf_counter()
    translator.translate(texts, search=search, batch_tokens=BATCH * LONGEST)
    taken = time.perf_counter() - began
    if seconds is not None:
        seconds.send(taken)
    return taken


def together(run: Path, texts: list[str], workers: int) -> float:
    """The seconds of the slowest of several processes of one thread, each with its share."""
    context = multiprocessing.get_context("spawn")
    ready, (receive, send) = context.Barrier(workers), context.Pipe(duplex=False)
    processes = [context.Process(target=translate, args=(run, texts[first::workers], ready, send))
                 for first in range(workers)]
    for process in processes:
        process.start()
    taken: list[float] = [receive.recv() for _ in processes]
    for process in processes:
        process.join()
    return max(taken)


def main(run: Path, work: Path, workers: int) -> None:
    texts = sentences(work)
    threads = torch.get_num_threads()
    seconds = translate(run, texts, None, None) if workers == 1 else together(run, texts, workers)
    parameters = sum(parameter.numel() for parameter in Translator.load(run).loaded.model.parameters())
    facts = {"parameters": parameters, "sentences": len(texts), "steps": STEPS, "threads": threads}
    print(json.dumps({"figures": {"sentences/s": len(texts) / seconds}, "facts": facts}))


if __name__ == "__main__":
    main(Path(sys.argv[2]) / Path(sys.argv[1]).stem, Path(sys.argv[2]), int(sys.argv[3]))
