"""Make what both sides translate: sentences of equally many pieces, and runs of ours with untrained weights.

DATA WORK: the folder of Multi30k, where train_data.py has written the subwords. The sizes stand in transformer.toml and
recurrent.toml. No weights of ours choose the end symbol before the limit, so that every search is STEPS long.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

BEAM, BATCH = 10, 32
PIECES = 14  # of each source, with its end symbol
STEPS = 16  # of each search
SENTENCES = 8 * BATCH
SETTINGS = ("transformer", "recurrent")


def sentences(work: Path) -> list[str]:
    """Return the raw sentences."""
    return (work / "sentences.txt").read_text(encoding="utf-8").split("\n")[:-1]


def main(folder: Path, data: Path, work: Path) -> None:
    import torch
    from train_data import main as learn
    from train_data import write

    from seq2x import checkpoint
    from seq2x.build import build_model
    from seq2x.config import read
    from seq2x.data.files import lines
    from seq2x.heads.outputs import EOS
    from seq2x.heads.translate import TranslateHead
    from seq2x.settings import RunConfig
    from seq2x.text import Subwords

    learn(folder / "transformer.toml", data, work)
    subwords = Subwords((work / "learnt.model").read_bytes())
    chosen = [text for text in lines(data / "train.en.gz") if len(subwords.encode(text).ids) == PIECES][:SENTENCES]
    if len(chosen) < SENTENCES:
        sys.exit(f"{len(chosen)} sentences of {PIECES} pieces; expected {SENTENCES}")
    write(work / "sentences.txt", chosen)
    write(work / "pieces.txt", (" ".join(subwords.entries[number] for number in subwords.encode(text).ids[:-1])
                                for text in chosen))
    for name in SETTINGS:
        nothing = json.dumps(["", ""])
        config = read(RunConfig, folder / f"{name}.toml", [
            f"tasks.translate.train={nothing}", f"tasks.translate.dev={nothing}"])
        torch.manual_seed(0)
        model = build_model(config, subwords, subwords, {})
        head = model.head("translate")
        assert isinstance(head, TranslateHead)
        with torch.no_grad():
            head.output.bias[EOS] = -1e4
        (work / name).mkdir(exist_ok=True)
        checkpoint.save_run(work / name, checkpoint.Loaded(config, model, subwords, subwords, {}), "")
    print(json.dumps({"figures": {}, "facts": {"sentences": len(chosen)}}))


if __name__ == "__main__":
    main(Path(__file__).parent, Path(sys.argv[1]), Path(sys.argv[2]))
