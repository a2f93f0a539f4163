"""The real MiniLM (Wang et al. 2020), out of a wheel of the package registry: what it was trained for, it does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from seq2x.encoders.pretrained import PretrainedEncoder, PretrainedEncoderConfig
from seq2x.predictors.base import batch_of
from seq2x.text import Pretrained, PretrainedTextConfig

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["A man is riding a horse through the snow.", "Someone on horseback crosses a wintry field.",
         "The bank has raised its interest rates.", "Loans are getting dearer, the lender announced.", "Oslo"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.append(str(ROOT / "tools"))  # which find each other beside themselves
    datasets = importlib.import_module("_datasets")
    made: Path = datasets.get("minilm", datasets.SETS["minilm"], tmp_path_factory.mktemp("data"))
    return made


@pytest.fixture(scope="module")
def processor(folder: Path) -> Pretrained:
    return PretrainedTextConfig(model=str(folder)).learn([])


@pytest.fixture(scope="module")
def encoder(folder: Path, processor: Pretrained) -> PretrainedEncoder:
    config = PretrainedEncoderConfig(model=str(folder))
    return config.build(processor.size, None, order=processor.order, opens=processor.opens).eval()


def embedded(encoder: PretrainedEncoder, processor: Pretrained, texts: list[str]) -> torch.Tensor:
    """The mean of all states, [CLS] and [SEP] among them, as the model was trained."""
    with torch.inference_mode():
        encoded = encoder(batch_of([processor.encode(text) for text in texts]).source)
    return F.normalize(encoded.states.sum(1) + encoded.summary)[: len(texts)]


def test_what_means_the_same_lies_together(encoder: PretrainedEncoder, processor: Pretrained) -> None:
    vectors = embedded(encoder, processor, TEXTS)
    nearest = (vectors @ vectors.T).fill_diagonal_(-1)[:4].argmax(1)
    assert nearest.tolist() == [1, 0, 3, 2]


def test_it_is_what_the_librarys_own_model_computes(
    folder: Path, encoder: PretrainedEncoder, processor: Pretrained
) -> None:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt", padding=False)).last_hidden_state[0]
            found = encoder(batch_of([processor.encode(text)]).source)
        torch.testing.assert_close(found.states[0, : len(expected) - 1], expected[1:], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.summary[0], expected[0], atol=1e-4, rtol=1e-4)


def test_together_is_alone_to_the_bit(encoder: PretrainedEncoder, processor: Pretrained) -> None:
    texts = [*TEXTS, " ".join(TEXTS) * 2, "", *[text.upper() for text in TEXTS]]
    together = embedded(encoder, processor, texts)
    for number, text in enumerate(texts):
        assert torch.equal(embedded(encoder, processor, [text])[0], together[number])
    assert torch.equal(embedded(encoder, processor, texts[::-1]), together.flip(0))
