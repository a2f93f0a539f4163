"""What a decoder takes from a language model of its target, which is the encoder of an older run. Trains nothing.

What attends to the source stays new, and so does a softmax that is not tied to the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from seq2x import checkpoint
from seq2x.checkpoint import Loaded
from seq2x.encoders import EncoderConfig
from seq2x.encoders.recurrent import RecurrentEncoderConfig
from seq2x.encoders.transformer import TransformerEncoderConfig
from seq2x.errors import ConfigError
from seq2x.heads.recurrent_decoder import RecurrentDecoderConfig
from seq2x.heads.transformer_decoder import TransformerDecoderConfig
from seq2x.heads.translate import DecoderConfig
from seq2x.model import Model
from seq2x.nn.embeddings import Embedding
from seq2x.settings import TranslateTask
from seq2x.start import Shared, put

TRANSFORMER = ("heads", "feedforward", "activation", "norm", "norm_first", "positions")
"""Settings that a Transformer decoder and a language model must have in common."""
Named = Mapping[str, Tensor]


def fill_decoder(made: Loaded, name: str, run: str) -> str:
    """Fill the decoder of a task with the layers and embeddings of a language model; return what was taken.

    The model is the encoder of ``run``: for a recurrent decoder a recurrent one in one direction (Ramachandran et al.
    2017, section 2.2), for a Transformer a Transformer, causal or not (Rothe et al. 2020). Of two depths the smaller
    counts, from below. Embeddings are those of the target tokens that both know. ConfigError where the two are not of
    the same kind and sizes.
    """
    older, task = checkpoint.load(run), made.config.tasks[name]
    assert isinstance(task, TranslateTask)
    assert made.target is not None
    decoder = task.head.decoder
    body = _fitting(decoder, older.config.encoder, older.model, f"tasks.{name}.decoder_from", run)
    shared = Shared.of(made.target.entries, older.source.entries)
    old, new = dict(older.model.encoder.named_parameters()), dict(made.model.head(name).named_parameters())
    layers = min(decoder.layers, body.layers)
    with torch.no_grad():
        put(new["table.weight"], (0,), shared.new, old["embedding.table.weight"].index_select(0, shared.old))
        fill = _fill_recurrent if decoder.kind == "recurrent" else _fill_transformer
        fill(new, old, layers)
    return (f"the decoder of {name}: {layers} layer{'s' if layers > 1 else ''} of {run}, and the embeddings of "
            f"{len(shared.new):,} of {len(made.target.entries):,} tokens")


def _fitting(
    decoder: DecoderConfig, body: EncoderConfig, model: Model, key: str, run: str
) -> RecurrentEncoderConfig | TransformerEncoderConfig:
    """Return ``body``; ConfigError, naming each setting that differs, where its weights do not fit ``decoder``."""
    wanted: dict[str, object]
    if isinstance(decoder, RecurrentDecoderConfig) and isinstance(body, RecurrentEncoderConfig):
        wanted = {"cell": decoder.cell, "hidden": decoder.hidden, "connections": decoder.connections, "projection": 0,
                  "bidirectional": False, "reversed": False, "front": None}
    elif isinstance(decoder, TransformerDecoderConfig) and isinstance(body, TransformerEncoderConfig):
        learned = ("max_length",) if decoder.positions == "learned" else ()
        wanted = {setting: getattr(decoder, setting) for setting in (*TRANSFORMER, *learned)}
    else:
        raise ConfigError(f"{key}: found a decoder of the kind {decoder.kind!r} here and an encoder of the kind "
                          f"{body.kind!r} in {run}; expected both 'recurrent', or both 'transformer'")
    found = {setting: getattr(body, setting) for setting in wanted}
    wanted["embedding.width"], found["embedding.width"] = decoder.width, body.embedding.width
    if isinstance(decoder, RecurrentDecoderConfig):
        wanted["embedding.scale"], found["embedding.scale"] = decoder.scale_embeddings, body.embedding.scale
    differ = [f"{setting} = {found[setting]!r}, expected {value!r}" for setting, value in wanted.items()
              if found[setting] != value]
    embedding = model.encoder.vectors()[0]
    if isinstance(embedding, Embedding) and embedding.width != body.embedding.width:
        differ.append(f"embedding: vectors {embedding.width} wide, with characters, shapes or a second channel; "
                      f"expected those of tokens alone, {body.embedding.width} wide")
    if differ:
        raise ConfigError(f"{key}: {run}: encoder.{'; encoder.'.join(differ)}")
    return body


def _fill_recurrent(new: Named, old: Named, layers: int) -> None:
    """Cells take those of the one direction."""
    for layer in range(layers):
        cell, before = f"decoder.cells.{layer}", f"stack.layers.{layer}.forwards"
        new[f"{cell}.input.weight"].copy_(old[f"{before}.weight_ih_l0"])
        new[f"{cell}.recurrent.weight"].copy_(old[f"{before}.weight_hh_l0"])
        biases = old[f"{before}.bias_ih_l0"], old[f"{before}.bias_hh_l0"]
        if f"{cell}.recurrent.bias" in new:  # of a GRU, whose two products are not simply added
            new[f"{cell}.input.bias"].copy_(biases[0])
            new[f"{cell}.recurrent.bias"].copy_(biases[1])
        else:
            new[f"{cell}.input.bias"].copy_(biases[0] + biases[1])


def _fill_transformer(new: Named, old: Named, layers: int) -> None:
    """All but the embeddings is called alike, but for a second norm, which in a decoder stands third."""
    for name, value in old.items():
        part, _, rest = name.partition(".")
        if part != "embedding" and not (part == "stack" and int(rest.partition(".")[0]) >= layers):
            new[f"decoder.{name.replace('norms.1', 'norms.2')}"].copy_(value)
