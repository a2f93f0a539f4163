"""From settings to the model that they describe. Knows which part is made of what; no file, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seq2x.encoders import Encoder, EncoderConfig, PretrainedEncoderConfig
from seq2x.errors import ConfigError
from seq2x.heads import Outputs
from seq2x.heads.base import Head
from seq2x.model import Model, Own
from seq2x.settings import RunConfig, SharingTask, TaskConfig
from seq2x.text import Pretrained, Processor, Subwords, Vocabulary


def build_model(
    config: RunConfig, source: Processor, target: Processor | None, labels: Mapping[str, Vocabulary],
    pretrained: Path | None = None,
) -> Model:
    """Make the model that ``config`` describes, weights fresh from torch's global generator.

    A pretrained encoder has its weights, or none that count where ``pretrained`` is the folder that a run keeps of it.
    """
    try:
        encoder = _build_encoder(config.encoder, source, pretrained)
    except ValueError as error:
        raise ConfigError(f"encoder: {error}") from None
    heads: dict[str, Head] = {}
    own: dict[str, Own] = {}
    for name, task in config.tasks.items():
        own[name] = _build_own(name, task, encoder, source)
        if not -len(encoder.dims) <= task.head.layer < len(encoder.dims):
            raise ConfigError(f"tasks.{name}.head.layer: found {task.head.layer}; the encoder has the layers "
                              f"0 (embeddings) to {len(encoder.dims) - 1}, or -1 for the last")
        try:
            if task.kind == "translate":
                assert target is not None
                silent = tuple(target.symbols.values()) if isinstance(target, Subwords) else ()
                outputs = Outputs(target.size, source=encoder.table if config.joint else None, silent=silent)
            elif task.kind == "tag":
                outputs = Outputs(len(labels[name]), labels[name].entries, task.model_scheme)
            elif task.kind == "language_model":
                outputs = _neighbours(encoder, source)
            else:
                outputs = Outputs(len(labels[name]), several=bool(task.data.separator))
            dims, summary = encoder.dims, encoder.summary_width
            if (private := own[name].private) is not None:
                dims = tuple(width + private.dims[-1] for width in dims)
                summary += private.summary_width
            heads[name] = task.head.build(dims, summary, outputs)
            if encoder.stride > 1 and heads[name].unit != "sequence":
                raise ValueError(f"labels or reads single tokens, and the encoder gives one state for every "
                                 f"{encoder.stride} of them; expected a task of the kind 'classify', or no pooling")
        except ValueError as error:
            raise ConfigError(f"tasks.{name}.head: {error}") from None
    return Model(encoder, heads, own)


def _build_own(name: str, task: TaskConfig, encoder: Encoder, source: Processor) -> Own:
    """Make what a task has beside the shared encoder and its head."""
    own = Own(task.loss_weight)
    if not isinstance(task, SharingTask):
        return own
    part = "auxiliary"
    try:
        if (settings := task.auxiliary) is not None:
            if not -len(encoder.dims) <= settings.layer < len(encoder.dims):
                raise ValueError(f"found layer = {settings.layer}; the encoder has 0 to {len(encoder.dims) - 1}")
            head = settings.build(encoder.dims, encoder.summary_width, _neighbours(encoder, source))
            own = own._replace(auxiliary=head, auxiliary_weight=settings.weight)
        part = "private"
        if task.private is not None:
            private = task.private.build(source.size, source.character_size)
            if max(private.stride, encoder.stride) > 1:
                raise ValueError("private and shared states stand side by side at each token; found an encoder that "
                                 "pools over tokens (front.pool)")
            own = own._replace(private=private, orthogonality=task.orthogonality)
    except ValueError as error:
        raise ConfigError(f"tasks.{name}.{part}: {error}") from None
    return own


def _neighbours(encoder: Encoder, source: Processor) -> Outputs:
    """What a language model chooses from, and whether the encoder leaves it anything to predict."""
    return Outputs(source.size, direction=encoder.direction_width, causal=encoder.causal)


def _build_encoder(config: EncoderConfig, source: Processor, pretrained: Path | None) -> Encoder:
    if isinstance(config, PretrainedEncoderConfig) and isinstance(source, Pretrained):
        return config.build(source.size, None, order=source.order, opens=source.opens, folder=pretrained)
    return config.build(source.size, source.character_size)
