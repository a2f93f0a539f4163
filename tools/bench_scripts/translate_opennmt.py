"""OpenNMT-py's own translation (onmt.inference_engine), of a model after one update, at a forced length.

SETTINGS WORK: settings of OpenNMT-py, what translate_data.py wrote.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # or torch refuses what the peer has just saved

import torch
import yaml
from translate_data import BATCH, BEAM, STEPS

for name in ("spacy", "fasttext"):  # large, and imported for transforms that are not used here
    sys.modules[name] = ModuleType(name)

from onmt.bin import train as program  # noqa: E402 - after what it imports
from onmt.inference_engine import InferenceEnginePY  # noqa: E402
from onmt.opts import train_opts, translate_opts  # noqa: E402
from onmt.utils.parse import ArgumentParser  # noqa: E402


def untrained(settings: Path, work: Path) -> Path:
    """Return a model of its own making."""
    name = work / f"opennmt-{settings.stem}"
    saved = work / f"{name.name}_step_1.pt"
    if saved.exists():
        return saved
    config = yaml.safe_load(settings.read_text(encoding="utf-8"))
    config |= {
        "data": {"multi30k": {"path_src": str(work / "train.en"), "path_tgt": str(work / "train.de"), "weight": 1}},
        "src_vocab": str(work / "vocabulary.txt"), "tgt_vocab": str(work / "vocabulary.txt"),
        "save_model": str(name), "seed": 1, "train_steps": 1, "save_checkpoint_steps": 1,
    }
    filled = work / f"{name.name}.yaml"
    filled.write_text(yaml.safe_dump(config), encoding="utf-8")
    parser = ArgumentParser(description="bench")
    train_opts(parser)
    program.train(parser.parse_known_args(["-config", str(filled)])[0])
    return saved


def main(settings: Path, work: Path) -> None:
    parser = ArgumentParser(description="bench")
    translate_opts(parser)
    length = str(STEPS)
    options = parser.parse_args([
        "-model", str(untrained(settings, work)), "-src", str(work / "pieces.txt"),
        "-output", str(work / "opennmt.txt"),
        "-beam_size", str(BEAM), "-batch_size", str(BATCH), "-min_length", length, "-max_length", length])
    for check in (ArgumentParser.validate_translate_opts, ArgumentParser._get_all_transform_translate,
                  ArgumentParser._validate_transforms_opts, ArgumentParser.validate_translate_opts_dynamic):
        check(options)
    engine = InferenceEnginePY(options)
    lines = (work / "pieces.txt").read_text(encoding="utf-8").split("\n")[:-1]
    engine.infer_list(lines[: 2 * BATCH])
    began = time.perf_counter()
    _, found = engine.infer_list(lines)
    seconds = time.perf_counter() - began
    steps = {len(best.split()) for best, *_ in found}
    if len(steps) != 1:
        sys.exit(f"outputs of different lengths: {sorted(steps)}")
    parameters = sum(parameter.numel() for parameter in engine.translator.model.parameters())
    facts = {"parameters": parameters, "sentences": len(found), "steps": steps.pop(),
             "threads": torch.get_num_threads()}
    print(json.dumps({"figures": {"sentences/s": len(found) / seconds}, "facts": facts}))


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1], Path(sys.argv[2]))
