"""spaCy's entity recogniser, as its quickstart for a processor sets it up, over chunks instead of entities.

DATA: the folder of CoNLL-2000. Its batches are of 1,000 words from the start, which training comes to only after some
thousands of updates: it is quickest with them.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import suppress
from pathlib import Path

from _tag import BATCH, Clock, Enough, measure, read
from spacy import util
from spacy.cli.init_config import init_config
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Example

WORDS = 1000


def main(data: Path) -> None:
    util.fix_random_seed(int(os.environ["SEED"]))
    config = init_config(lang="en", pipeline=["ner"], optimize="efficiency", gpu=False)
    config["training"]["batcher"]["size"] = WORDS
    nlp = util.load_model_from_config(config, auto_fill=True)
    settings = util.registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    sentences = read(data / "train.txt.gz", 2)
    examples = [Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, ents=tags))
                for words, tags in sentences]
    nlp.initialize(lambda: examples)
    clock = Clock()
    with suppress(Enough):
        while True:
            random.shuffle(examples)
            for batch in settings["batcher"](examples):
                nlp.update(batch, drop=settings["dropout"], sgd=settings["optimizer"])
                clock.updated(sum(len(example.reference) for example in batch))

    def tag(some: list[list[str]]) -> int:
        docs = [Doc(nlp.vocab, words=words) for words in some]
        return sum(len([(span.label_, span.start, span.end) for span in doc.ents])
                   for doc in nlp.pipe(docs, batch_size=BATCH))

    parameters = sum(node.get_param(name).size for _, pipe in nlp.pipeline for node in pipe.model.walk()
                     for name in node.param_names if node.has_param(name))
    measure(clock, tag, read(data / "test.txt.gz", 2), sentences[:BATCH],
            {"parameters": parameters, "threads": int(os.environ["OMP_NUM_THREADS"])})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
