"""Whether a directory may be trained in, and what a run that goes on may have otherwise. Trains nothing."""

from __future__ import annotations

from pathlib import Path

from seq2x import checkpoint
from seq2x import config as settings_file
from seq2x.checkpoint import CARD, CONFIG, STATE
from seq2x.errors import ConfigError, RunError
from seq2x.settings import RunConfig

LIMITS = ("threads", "device", "corpus.workers", "corpus.cache", "training.max_epochs", "training.max_steps",
          "training.max_minutes", "training.patience", "training.show_examples", "training.save_minutes",
          "training.max_skipped")
"""Settings that a resumed run may have otherwise than it began with."""


def check_directory(directory: Path, config: RunConfig, resume: bool, overwrite: bool) -> None:
    """RunError where ``directory`` holds something that a training may not go on with, or replace."""
    if checkpoint.is_empty(directory):
        return
    if not (directory / CONFIG).is_file():
        raise RunError(f"{directory}: exists and is no run directory; choose another --out")
    try:
        older = checkpoint.read_config(directory)
    except ConfigError as error:  # a config.toml of some other program, perhaps: none of ours to delete
        raise RunError(f"{directory}: is no run directory that this version can read ({error}); "
                       "delete it yourself, or choose another --out") from None
    if not resume and not overwrite:
        raise RunError(f"{directory}: holds a run already; --resume goes on with it, --overwrite starts afresh")
    if resume and (directory / STATE).is_file():
        _same(directory, older, config)
    elif resume and (directory / CARD).is_file():
        raise RunError(f"{directory}: was trained, but {STATE} is gone, without which it cannot go on; "
                       "--overwrite starts afresh")


def _same(directory: Path, old: RunConfig, new: RunConfig) -> None:
    before, after = (settings_file.flat(config.model_dump(mode="json", by_alias=True)) for config in (old, new))
    changed = [key for key in before | after if before.get(key) != after.get(key) and key not in LIMITS]
    if changed:
        key = changed[0]
        raise RunError(
            f"{directory}: the run began with other settings: {key} was {before.get(key)!r}, now {after.get(key)!r}"
            f"{f', and {len(changed) - 1} more differ' if len(changed) > 1 else ''}; "
            f"--resume takes new limits only ({', '.join(LIMITS)})"
        )
