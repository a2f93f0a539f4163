"""Our recipe for NCBI disease mentions: F1 on the test part, a seed a run.

NCBI WORK: the folder of the data, where the run is put.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from seq2x import Tagger, evaluate, train
from seq2x.config import read
from seq2x.corpus import read_examples
from seq2x.settings import RunConfig

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "tagging" / "ncbi-disease.toml"


def main(data: Path, work: Path) -> None:
    config = read(RunConfig, RECIPE, [f"seed={os.environ['SEED']}", *(
        f"tasks.diseases.{part}={json.dumps(str(data / f'{part}.tsv.gz'))}" for part in ("train", "dev"))])
    out = work / "ncbi"
    shutil.rmtree(out, ignore_errors=True)
    began = time.process_time()
    train(config, out, say=lambda line: print(line, file=sys.stderr))
    seconds = time.process_time() - began
    found = evaluate(Tagger.load(out), read_examples(config.tasks["diseases"], str(data / "test.tsv.gz")))
    print(json.dumps({"figures": {"f1": found.value}, "facts": {"processor seconds of training": seconds}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
