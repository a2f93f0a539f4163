"""A tiny BERT as Hugging Face leaves them in a folder: random weights, an invented tokenizer; nothing is fetched."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

LETTERS = "abcdefghijklmnopqrstuvwxyz.,!?'-0123456789äöü[]"
PIECES = ["[PAD]", "the", "mill", "[UNK]", "river", "##s", "[CLS]", "[SEP]", "[MASK]", *LETTERS,
          *[f"##{letter}" for letter in LETTERS if letter != "s"], "ferry", "oslo", "old"]


@cache
def tiny_bert(size: int = len(PIECES), positions: int = 48, layers: int = 2) -> str:
    """Return the folder of a model with ``size`` embeddings; its tokenizer knows ``PIECES``."""
    import torch
    from transformers import BertConfig, BertModel

    directory = tempfile.TemporaryDirectory(prefix="tiny-bert-")
    _KEPT.append(directory)
    settings = BertConfig(
        vocab_size=size, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=positions, pad_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(settings).save_pretrained(directory.name)
    write_tokenizer(Path(directory.name))
    return directory.name


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Deleted when the process ends."""


def write_tokenizer(folder: Path) -> None:
    """As sentence-transformers leave theirs: with a truncation and a padding that no encoding may show."""
    made = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[(name, PIECES.index(name)) for name in ("[CLS]", "[SEP]")])
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.enable_truncation(6)
    made.enable_padding(length=6)
    made.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 6, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
