"""The classification head: one vector a text, a softmax over labels, or for several labels a text a sigmoid of each.

Knows no encoder, no label's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import Encoded, Loss
from seq2x.config import Config
from seq2x.heads.base import Head, Lesson, Outputs, Soft
from seq2x.nn.attention import masked_softmax
from seq2x.nn.linear import FewOutputs, product

Pooling = Literal["last", "max", "mean", "max-mean", "k-max", "attention"]


class Prediction(NamedTuple):
    """What a text was classified as."""

    label: int
    """The likeliest."""
    probabilities: list[float]
    """One a label; where a text may have several labels they do not sum to one."""


class ClassifyHeadConfig(Config):
    """How a text becomes one vector, what stands between that and the labels, and how the labels count."""

    kind: Literal["classify"] = "classify"
    pooling: Pooling = Field(
        "max", description="last: the encoder's own summary; over the states: max (the best of those that Zhang & "
                           "Wallace 2015 compare), mean, max-mean (both, side by side: Howard & Ruder 2018), k-max "
                           "(the highest k of each feature, in their order: Kalchbrenner et al. 2014), attention (Lin "
                           "et al. 2017)")
    k: int = Field(3, ge=1, description="values of each feature that k-max keeps")
    hops: int = Field(1, ge=1, description="attention: weighted sums of the states, side by side (r in Lin et al. "
                                           "2017, who take 30)")
    attention_width: int = Field(0, ge=0, description="attention: units of its hidden layer (d_a: 350); 0 = as wide "
                                                      "as the states")
    penalty: float = Field(
        0.0, ge=0, description="attention: weight of ||A A' - I||_F^2, the mean over texts, which keeps hops apart "
                               "(Lin et al. 2017, equation 8, who take 1)")
    hidden: int = Field(0, ge=0, description="units of a layer before the labels; 0 = none")
    dropout: float = Field(0.0, ge=0, lt=1, description="on the text's vector and the hidden layer")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Szegedy et al. 2016; of a sigmoid towards 1/2")
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none", description="factors on the loss of the texts of a label, or, where a text may have several, on that "
                            "of the label in texts that have it: a table, such as { spam = 3.0 }, 1 for all others; "
                            "balanced: rare labels weigh as much as frequent ones")
    calibrate: bool = Field(
        False, description="after training, fit a temperature on dev, so that probabilities can be believed (Guo et "
                           "al. 2017)")
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["tuned"] = Field(
        0.5, description="several labels a text: the probability above which a label is given; tuned: the one with "
                         "the best micro F1 on dev, after training")
    layer: int = Field(-1, description="the encoder layer that is pooled; last has none to choose")

    @model_validator(mode="after")
    def _parts_fit(self) -> ClassifyHeadConfig:
        for name, pooling in (("hops", "attention"), ("attention_width", "attention"), ("penalty", "attention"),
                              ("k", "k-max")):
            value = getattr(self, name)
            if self.pooling != pooling and value != type(self).model_fields[name].default:
                raise ValueError(f"{name} = {value:g} is of {pooling}; found pooling = {self.pooling!r}")
        if self.pooling == "last" and self.layer != -1:
            raise ValueError(f"layer = {self.layer}: pooling = 'last' reads the encoder's summary, and has no layer to "
                             "choose; leave it out, or pool in another way")
        return self

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> ClassifyHead:
        """``dims``: widths of the encoder's layers; ``summary``: that of its summary; ``outputs.size`` labels.

        ValueError for a threshold where a text has one label.
        """
        if self.threshold != 0.5 and not outputs.several:
            raise ValueError(f"threshold = {self.threshold!r} is for texts that may have several labels; expected "
                             "data.separator, what stands between them, or no threshold")
        return ClassifyHead(self, dims, summary, outputs)


class ClassifyHead(Head):
    """Encoded text in, its labels out. Targets are labels [B] long; of texts with several labels [B, K] bool.

    ``temperature`` and ``threshold`` are 1 and 1/2 where nothing fits them to dev; training does not use them.
    """

    unit: ClassVar[Literal["sequence"]] = "sequence"
    weights: Tensor

    def __init__(self, config: ClassifyHeadConfig, dims: tuple[int, ...], summary: int, outputs: Outputs) -> None:
        super().__init__()
        self.config, self.layer, self.several = config, config.layer, outputs.several
        states = dims[config.layer]
        times = {"max-mean": 2, "k-max": config.k, "attention": config.hops}.get(config.pooling, 1)
        width = summary if config.pooling == "last" else times * states
        self.attention: nn.Sequential | None = None
        if config.pooling == "attention":
            inner = config.attention_width or states
            self.attention = nn.Sequential(
                FewOutputs(states, inner), nn.Tanh(), FewOutputs(inner, config.hops, bias=False))
        dropout = nn.Dropout(config.dropout)
        hidden = [FewOutputs(width, config.hidden), nn.ReLU(), dropout] if config.hidden else []
        self.output = nn.Sequential(dropout, *hidden, FewOutputs(config.hidden or width, outputs.size))
        # a run keeps its parameters: these are two, which no gradient reaches
        self.temperature = _scalar(1.0) if config.calibrate else None
        self.threshold = _scalar(0.5) if self.several and config.threshold == "tuned" else None
        self.register_buffer("weights", torch.ones(outputs.size), persistent=False)

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """A row of the last layer for each label."""
        return [(parameter, (0,)) for parameter in self.output[-1].parameters()]

    def weigh(self, weights: Sequence[float]) -> None:
        """Take a factor on the loss for each label; they are for training only, and no run keeps them."""
        self.weights.copy_(torch.tensor(weights))

    def tune(self, temperature: float | None = None, threshold: float | None = None) -> None:
        """Set what was fitted to dev, where the settings have room for it."""
        with torch.no_grad():
            for parameter, value in ((self.temperature, temperature), (self.threshold, threshold)):
                if parameter is not None and value is not None:
                    parameter.fill_(value)

    @property
    def bar(self) -> float:
        """The probability above which a label is given, where a text may have several."""
        if self.threshold is not None:
            return float(self.threshold)
        return 0.5 if self.config.threshold == "tuned" else self.config.threshold

    def logits(self, encoded: Encoded) -> Tensor:
        """Return what the labels' probabilities are made of, [B, K] float32, divided by the temperature."""
        logits: Tensor = self.output(self._pool(encoded)[0]).float()
        return logits if self.temperature is None else logits / self.temperature

    def log_probs(self, encoded: Encoded) -> Tensor:
        """Return the log-probability of each label, [B, K]."""
        logits = self.logits(encoded)
        return F.logsigmoid(logits) if self.several else F.log_softmax(logits, dim=-1)

    def log_odds(self, encoded: Encoded) -> Tensor:
        """Return log(p / (1 - p)) of each label, [B, K], which says more than p where that is near to 1."""
        logits = self.logits(encoded)
        if self.several:
            return logits
        own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
        others = logits[:, None].expand(-1, logits.shape[1], -1).masked_fill(own, torch.finfo(logits.dtype).min)
        return logits - others.logsumexp(-1)

    def loss(self, encoded: Encoded, target: Tensor, lesson: Lesson | None = None) -> Loss:
        """Label-smoothed cross-entropy, of one softmax or of a sigmoid a label, summed over texts; and the penalty."""
        pooled, attention = self._pool(encoded)
        logits = self.output(pooled).float()
        parts = {"nll": -_likelihood(logits.detach(), target, self.several).sum()}
        total = self._cross_entropy(logits, target).sum()
        if attention is not None and self.config.penalty:
            same = product(attention, attention.transpose(1, 2), exact=False).float()  # [B, R, R]
            excess = (same - torch.eye(same.shape[1], device=same.device)).square().sum()
            total, parts["penalty"] = total + self.config.penalty * excess, excess.detach()
        loss = Loss(total, torch.tensor(len(target), device=target.device), parts)
        if lesson is None:
            return loss
        (wanted,), logits = lesson.soft, logits / lesson.temperature
        if self.several:
            return lesson.added_to(loss, F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum"))
        return lesson.added_to(loss, F.cross_entropy(logits, wanted, reduction="sum"))

    def soft(self, encoded: Encoded, target: Tensor, temperature: float) -> Soft:  # noqa: ARG002 - the contract
        """Return the probabilities of the labels, [B, K]; those of training, whatever was calibrated later."""
        logits = self.output(self._pool(encoded)[0]).float() / temperature
        return (logits.sigmoid() if self.several else logits.softmax(-1),)

    def scores(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Return the log-probability of each text's label, or of all its labels and of no other, [B]."""
        return _likelihood(self.logits(encoded), target, self.several)

    def predict(self, encoded: Encoded) -> list[Prediction]:
        """Return the probabilities of the labels of each row, and the likeliest."""
        probabilities = self.log_probs(encoded).exp()
        labels = probabilities.argmax(1).tolist()
        return [Prediction(*row) for row in zip(labels, probabilities.tolist(), strict=True)]

    def attended(self, encoded: Encoded) -> Tensor | None:
        """Return how much of the text's vector is from each position, [B, T], the mean over hops; None: no attention.

        Rows sum to one.
        """
        weights = self._attend(encoded.layers[self.layer], encoded.mask)
        return None if weights is None else weights.mean(1)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """[B], weighed and smoothed."""
        smoothing = self.config.label_smoothing
        if not self.several:
            loss = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
            return loss * self.weights[target]
        wanted = target.float() * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=self.weights).sum(1)

    def _attend(self, states: Tensor, mask: Tensor) -> Tensor | None:
        """A = softmax(W_2 tanh(W_1 H')) (Lin et al. 2017, equation 6), [B, R, T]."""
        if self.attention is None:
            return None
        return masked_softmax(self.attention(states).transpose(1, 2), mask[:, None])

    def _pool(self, encoded: Encoded) -> tuple[Tensor, Tensor | None]:
        """One vector a text, [B, D], and the weights of the attention, [B, R, T]."""
        if self.config.pooling == "last":
            return encoded.summary, None
        states, real = encoded.layers[self.layer], encoded.mask[..., None]
        weights = self._attend(states, encoded.mask)
        if weights is not None:
            return product(weights.to(states.dtype), states, exact=not self.training).flatten(1), weights
        lowest = states.masked_fill(~real, torch.finfo(states.dtype).min)
        if self.config.pooling == "k-max":
            return self._highest(lowest, real).flatten(1), None
        parts = [lowest.amax(1)] if self.config.pooling.startswith("max") else []
        if self.config.pooling.endswith("mean"):
            parts.append((states * real).sum(1) / real.sum(1))
        return torch.cat(parts, dim=-1), None

    def _highest(self, states: Tensor, real: Tensor) -> Tensor:
        """The k highest values of each feature in the order of their positions, zeros behind: [B, k, D]."""
        k = self.config.k
        missing = max(k - states.shape[1], 0)
        states = F.pad(states, (0, 0, 0, missing), value=torch.finfo(states.dtype).min)
        values = states.masked_fill(~F.pad(real, (0, 0, 0, missing)), 0.0)
        # among equal values, topk's choice depends on the length of the padding
        places = states.topk(k, 1).indices
        if not self.training:
            places = states.argsort(dim=1, descending=True, stable=True)[:, :k]
        return values.gather(1, places.sort(1).values)


def _scalar(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value), requires_grad=False)


def _likelihood(logits: Tensor, target: Tensor, several: bool) -> Tensor:
    """The log-probability of the targets, [B]."""
    if several:
        return -F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").sum(1)
    return F.log_softmax(logits, dim=-1).gather(1, target[:, None])[:, 0]
