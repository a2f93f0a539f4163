"""What a run says of itself before it starts. Knows no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seq2x.model import Model
from seq2x.text import Processor, Vocabulary


def say_model(
    model: Model,
    source: Processor,
    target: Processor | None,
    labels: Mapping[str, Vocabulary],
    say: Callable[[str], None],
) -> None:
    """Say the sizes of the vocabularies and of the parts of the model."""
    parts = {"encoder": model.encoder, **{f"head {name}": head for name, head in model.heads.items()}}
    counts: dict[str, int] = {}
    known: set[int] = set()
    for name, part in parts.items():
        own = {id(parameter): parameter.numel() for parameter in part.parameters()}
        counts[name] = sum(size for key, size in own.items() if key not in known)  # tied weights count once
        known |= own.keys()
    vocabulary = f"{source.size:,} tokens"
    if target is not None and target is not source:
        vocabulary += f" in, {target.size:,} out"
    if source.character_size is not None:
        vocabulary += f", {source.character_size:,} characters"
    vocabulary += "".join(f", {len(entries):,} labels of {name}" for name, entries in labels.items())
    say(f"vocabulary: {vocabulary}")
    each = ", ".join(f"{name} {size:,}" for name, size in counts.items())
    say(f"model: {sum(counts.values()):,} parameters ({each})")
