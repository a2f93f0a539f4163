"""What a bag of words and n-grams begins with: naive Bayes of its training texts. Trains nothing, opens no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2x.batch import Batch
from seq2x.checkpoint import Loaded
from seq2x.data.datasets import Dataset
from seq2x.encoders.bag import BagEncoder, BagEncoderConfig
from seq2x.errors import ConfigError
from seq2x.heads.classify import ClassifyHead, ClassifyHeadConfig
from seq2x.predictors.base import inference
from seq2x.settings import ClassifyTask, RunConfig

TEXTS = 256
"""Texts that are counted at a time."""


def begin(loaded: Loaded, datasets: Mapping[str, Dataset]) -> str:
    """Let a bag begin as naive Bayes where its settings say so; return what was done, "" where nothing was.

    Unit k of the vector of a word or n-gram becomes its log-count ratio for label k, r = log(p / |p|) - log(q / |q|)
    (Wang & Manning 2012, section 2.1): p is alpha and the number of texts with the label that have it, once or more
    often, q the same of all others. The output reads unit k for label k, scaled, as naive Bayes is far too sure, to
    a standard deviation of 1 over the texts, and begins with the log-odds of the label. Further units begin at random,
    and unread. ConfigError for settings that this does not fit.
    """
    settings, encoder = loaded.config.encoder, loaded.model.encoder
    if not isinstance(settings, BagEncoderConfig) or not settings.naive_bayes:
        return ""
    assert isinstance(encoder, BagEncoder)
    name = _task(loaded.config, settings)
    labels, width = len(loaded.labels[name]), settings.embedding.width
    if width < labels:
        raise ConfigError(f"encoder.embedding.width = {width} is less than the {labels} labels of tasks.{name}: "
                          f"encoder.naive_bayes needs a unit for each; expected {labels} or more")
    head, tables = loaded.model.head(name), [encoder.embedding.table, *([encoder.ngrams] if encoder.ngrams else [])]
    assert isinstance(head, ClassifyHead)
    sizes = [table.num_embeddings for table in tables]
    counts = _counted(encoder, datasets[name], sum(sizes), labels)
    ratios = log_count_ratios(counts.having, counts.any_, settings.naive_bayes)
    weight, bias = head.output[-1].parameters()
    with torch.no_grad():
        for table, rows in zip(tables, torch.split(ratios, sizes), strict=True):
            table.weight[:, :labels] = rows
        with inference(loaded.model) as device:
            means = torch.cat([encoder(batch.source.to(device)).summary for batch in _batches(datasets[name])])
        weight.copy_(torch.eye(*weight.shape) / means[:, :labels].std(0).mean().clamp(min=1e-3))
        bias.copy_(((counts.labelled + 1) / (counts.texts - counts.labelled + 1)).log())
    return f"as naive Bayes of {counts.texts:,} texts: {int((counts.any_ > 0).sum()):,} words and n-grams"


def log_count_ratios(having: Tensor, any_: Tensor, alpha: float) -> Tensor:
    """Return r [F, K] of features: ``having`` [F, K] texts with label k have feature f, ``any_`` [F, 1] whatever label.

    Zero for a feature that no text has.
    """
    inside, outside = having + alpha, any_ - having + alpha
    ratios = (inside / inside.sum(0)).log() - (outside / outside.sum(0)).log()
    return ratios * (any_ > 0)


def _task(config: RunConfig, bag: BagEncoderConfig) -> str:
    """The only task; ConfigError where the output could not read naive Bayes off the encoder."""
    (name, task), *others = config.tasks.items()
    embedding, settings = bag.embedding, f"tasks.{name}"
    head = task.head if isinstance(task, ClassifyTask) else ClassifyHeadConfig(pooling="mean")
    for wrong, found, expected in (
        (others, f"{len(config.tasks)} tasks", "a single one"),
        (task.kind != "classify", f"{settings}.kind = {task.kind!r}", "'classify'"),
        (head.pooling != "mean", f"{settings}.head.pooling = {head.pooling!r}", "'mean'"),
        (head.hidden, f"{settings}.head.hidden = {head.hidden}", "0"),
        (head.layer not in (-1, 1), f"{settings}.head.layer = {head.layer}", "-1"),
        (embedding.vectors, "encoder.embedding.vectors", "none, as two things cannot be begun with"),
        (embedding.scale, "encoder.embedding.scale = true", "false, as n-grams are not scaled"),
    ):
        if wrong:
            raise ConfigError(f"encoder.naive_bayes: found {found}, expected {expected}")
    return name


class _Counts(NamedTuple):
    having: Tensor
    """[F, K] texts with label k that have feature f."""
    any_: Tensor
    """[F, 1] texts that have it."""
    labelled: Tensor
    """[K] texts with label k."""
    texts: int


def _counted(encoder: BagEncoder, dataset: Dataset, features: int, labels: int) -> _Counts:
    """Count the words and, behind them, the n-grams of all texts."""
    words, counts = encoder.embedding.table.num_embeddings, torch.zeros(features, 1 + labels)
    labelled = torch.zeros(labels)
    for batch in _batches(dataset):
        assert isinstance(batch.target, Tensor)
        target = batch.target if batch.target.dim() == 2 else F.one_hot(batch.target, labels)
        labelled += target.sum(0)
        tokens = batch.source
        found = [(tokens.ids, tokens.mask), *((rows + words, there) for rows, there in encoder.rows(tokens))]
        text = features * torch.arange(len(target))[:, None].expand_as(tokens.ids)
        each = torch.unique(torch.cat([(text + rows)[there] for rows, there in found]))  # a text counts once
        counts.index_add_(0, each % features, F.pad(target, (1, 0), value=1)[each // features].float())
    return _Counts(counts[:, 1:], counts[:, :1], labelled, len(dataset))


def _batches(dataset: Dataset) -> Iterator[Batch]:
    for start in range(0, len(dataset), TEXTS):
        yield dataset.batch(range(start, min(start + TEXTS, len(dataset))), None)
