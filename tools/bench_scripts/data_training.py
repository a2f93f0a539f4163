"""What a training takes, in real target tokens a second, beside what the input pipeline gives (data_ours.py).

SETTINGS DATA WORK: settings of ours, the folder of Multi30k, what train_data.py wrote.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from _train import WARM_UP, Enough
from data_ours import WORKERS, name
from train_ours import Watch

from seq2x.config import read
from seq2x.run import train
from seq2x.settings import RunConfig


def main(settings: Path, data: Path, work: Path) -> None:
    paths = {"train": [str(data / f"train.{language}.gz") for language in ("en", "de")],
             "dev": [str(work / f"dev.{language}") for language in ("en", "de")]}
    config = read(RunConfig, settings, [f"seed={os.environ['SEED']}", *(
        f"tasks.translate.{key}={json.dumps(files)}" for key, files in paths.items())])
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=work) as out, suppress(Enough):
        train(config, out, display=watch, say=lambda line: print(line, file=sys.stderr))
    clock = watch.clock
    speed = clock.tokens / (clock.ended - clock.began)
    cases = [f"{what}, {name(count)}" for what in ("tokenise", "BPE-dropout") for count in WORKERS]
    print(json.dumps({"figures": dict.fromkeys(["cache to tensors", *cases], speed), "facts": {
        "updates": clock.updates - WARM_UP, "tokens an update": clock.tokens / (clock.updates - WARM_UP)}}))


if __name__ == "__main__":
    folder = Path(__file__).parent
    main(folder / sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
