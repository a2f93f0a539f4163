"""The translation head: target embeddings, a decoder, a softmax; loss, forced scores and beam search."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import PAD, Beside, Encoded, Loss, Rows, Tokens
from seq2x.config import Config
from seq2x.errors import DataError
from seq2x.heads.base import Head, Lesson, Outputs, Soft
from seq2x.heads.decoder import Decoder
from seq2x.heads.outputs import NEVER, SearchConfig, find
from seq2x.heads.recurrent_decoder import RecurrentDecoderConfig
from seq2x.heads.transformer_decoder import TransformerDecoderConfig
from seq2x.nn.coverage import CoverageLossConfig, alignment_loss, coverage_loss
from seq2x.nn.linear import Linear
from seq2x.nn.losses import cross_entropy, vocabulary_loss
from seq2x.search import Hypothesis

DecoderConfig = Annotated[RecurrentDecoderConfig | TransformerDecoderConfig, Field(discriminator="kind")]


class TranslateHeadConfig(Config):
    """Decoder, tied weights and label smoothing."""

    kind: Literal["translate"] = "translate"
    decoder: DecoderConfig = RecurrentDecoderConfig()
    tie: Literal["none", "decoder", "all"] = Field(
        "decoder",
        description="decoder: target embeddings are the softmax's weights (Press & Wolf 2017); all: the source's too",
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Szegedy et al. 2016")
    layer: int = Field(-1, description="the encoder layer attended to")
    also_layers: tuple[int, ...] = Field(
        (), description="layers attended to with it, side by side; [0]: the word embeddings as well as the states "
                        "(Kadlec et al. 2017)")
    guided_attention: float = Field(
        0.0, ge=0, description="weight of - sum_j A_tj log a_tj, for target tokens that the task's alignments say "
                               "something of (Chen et al. 2016, guided alignment training); 0 = none")

    @model_validator(mode="after")
    def _tied_widths_are_equal(self) -> Self:
        width, output = self.decoder.width, getattr(self.decoder, "output_width", None)
        if output is not None and output != width and self.tie != "none":
            raise ValueError(f"tie = {self.tie!r} needs a vector as wide as the embeddings it is compared with: found "
                             f"decoder.output_width = {output} and decoder.width = {width}; expected tie = 'none'")
        return self

    def build(self, dims: tuple[int, ...], summary: int, outputs: Outputs) -> TranslateHead:
        """``dims``: widths of the encoder's layers; ``outputs.size``: the target vocabulary."""
        return TranslateHead(self, dims, summary, outputs)


class TranslateHead(Head):
    """Encoded source in, target tokens out."""

    unit: ClassVar[Literal["token"]] = "token"

    def __init__(self, config: TranslateHeadConfig, dims: tuple[int, ...], summary: int, outputs: Outputs) -> None:
        super().__init__()
        self.layer, self.smoothing, self.guided = config.layer, config.label_smoothing, config.guided_attention
        self.layers = _attended(config, len(dims))
        coverage = getattr(config.decoder, "coverage", None)
        self.coverage_loss = coverage if isinstance(coverage, CoverageLossConfig) else CoverageLossConfig()
        self.never = NEVER + outputs.silent
        """Tokens that are in no output."""
        width = config.decoder.width
        self.table = nn.Embedding(outputs.size, width, padding_idx=PAD)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        with torch.no_grad():
            self.table.weight[PAD].zero_()
        if config.tie == "all":
            self._tie_source(outputs, width)
        memory = sum(dims[layer] for layer in self.layers)
        self.decoder: Decoder[Any, Any] = config.decoder.build(memory, summary, dims[0])
        self.output = Linear(self.decoder.width or width, outputs.size)
        nn.init.zeros_(self.output.bias)
        if config.tie != "none":
            self.output.weight = self.table.weight

    def _tie_source(self, outputs: Outputs, width: int) -> None:
        if outputs.source is None or outputs.source.weight.shape != (outputs.size, width):
            found = "none" if outputs.source is None else "x".join(map(str, outputs.source.weight.shape))
            raise ValueError(
                f"tie = 'all' needs one vocabulary for both sides (text.joint = true) and equal embedding widths: "
                f"the source table is {found}, the target's {outputs.size}x{width}"
            )
        self.table.weight = outputs.source.weight

    def per_output(self) -> list[tuple[Tensor, tuple[int, ...]]]:
        """An embedding and a row of the last layer for each token."""
        return [(parameter, (0,)) for parameter in (self.table.weight, *self.output.parameters())]

    def begin(self, encoded: Encoded) -> tuple[Rows, Rows]:
        """Return memory and first state, one row a sentence."""
        attended = [encoded.layers[layer] for layer in self.layers]
        return self.decoder.begin(encoded, attended[0] if len(attended) == 1 else torch.cat(attended, dim=-1))

    def loss(self, encoded: Encoded, target: Tokens, lesson: Lesson | None = None) -> Loss:
        """Label-smoothed cross-entropy over the real target tokens after BOS; beside it, losses on the attention.

        From teachers it learns the distribution of each token, those before it given (Kim & Rush 2016, equation 4).
        """
        real = target.mask[:, 1:]
        vectors, attention = self._force(encoded, target, target.ids[:, :-1])
        gold, count = target.ids[:, 1:][real], real.sum()
        beside = self._beside(attention.float(), encoded, target, count)
        if lesson is None:
            total, likelihood = vocabulary_loss(
                vectors[real], self.output.weight, self.output.bias, gold, self.smoothing)
            return Loss(total, count, {"nll": likelihood.detach()}, beside)
        logits = self.output(vectors[real])
        total, likelihood = cross_entropy(logits, gold, self.smoothing)
        imitated = F.cross_entropy(logits.float() / lesson.temperature, lesson.soft[0], reduction="sum")
        return lesson.added_to(Loss(total, count, {"nll": likelihood.detach()}, beside), imitated)

    def soft(self, encoded: Encoded, target: Tokens, temperature: float) -> Soft:
        """Return the probabilities of each real target token after BOS, [N, V]."""
        vectors, _ = self._force(encoded, target, target.ids[:, :-1])
        return (F.softmax(self.output(vectors[target.mask[:, 1:]]).float() / temperature, dim=-1),)

    def _beside(self, attention: Tensor, encoded: Encoded, target: Tokens, count: Tensor) -> tuple[Beside, ...]:
        """Losses on the ``attention`` [B, S, T] of any decoder; as sums over the ``count`` of target tokens."""
        found, coverage = [], self.coverage_loss
        if coverage.loss != "none" and coverage.weight:
            total = coverage_loss(coverage.loss, attention, encoded.mask, target.mask[:, 1:])
            found.append(Beside("coverage", coverage.weight, total, count, coverage.from_step))
        if self.guided and target.alignment is not None:
            total = alignment_loss(attention, target.alignment[:, 1:])
            found.append(Beside("alignment", self.guided, total, count))
        return tuple(found)

    def scores(self, encoded: Encoded, target: Tokens) -> Tensor:
        """Return the log-probability of each target token after BOS, [B, S - 1], 0 at padding."""
        return self.forced(encoded, target)[0]

    def forced(self, encoded: Encoded, target: Tokens) -> tuple[Tensor, Tensor]:
        """Return :meth:`scores`, and the attention [B, S - 1, T] with which each was predicted."""
        # the last token too: S is a multiple of 16, as the bits of a row want
        vectors, attention = self._force(encoded, target, target.ids)
        log_probs = F.log_softmax(self.output(vectors).float(), dim=-1)[:, :-1]
        return log_probs.gather(2, target.ids[:, 1:, None])[..., 0] * target.mask[:, 1:], attention[:, :-1]

    def _force(self, encoded: Encoded, target: Tokens, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors [B, S, E] and attention [B, S, T] after each of the tokens ``ids`` [B, S] of the target."""
        most = self.decoder.most
        if most is not None and (longest := int(target.lengths.max()) - 1) > most:
            raise DataError(f"a target of {longest} tokens, the end symbol among them; the decoder's learned positions "
                            f"end at {most} (decoder.max_length)")
        memory, state = self.begin(encoded)
        vectors, attention, _ = self.decoder.advance(memory, state, self.table(ids))
        return vectors, attention

    def step(self, memory: Rows, state: Rows, tokens: Tensor) -> tuple[Tensor, Tensor | None, Rows]:
        """One search step, as :data:`seq2x.search.Step` describes it."""
        vectors, attention, state = self.decoder.advance(memory, state, self.table(tokens)[:, None])
        return F.log_softmax(self.output(vectors[:, 0]).float(), dim=-1), attention[:, 0], state

    def predict(
        self,
        encoded: Encoded,
        config: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
        *,
        n_best: int = 1,
        attention: bool = False,
    ) -> list[list[Hypothesis]]:
        """Return the ``n_best`` hypotheses of each row, best first; each row's length limit is its own source's."""
        memory, state = self.begin(encoded)
        return find(self.step, memory, state, encoded.mask, config, never=self.never, most=self.decoder.most,
                    n_best=n_best, attention=attention)


def _attended(config: TranslateHeadConfig, layers: int) -> tuple[int, ...]:
    """The encoder layers attended to; ValueError for one that is not there, or there twice."""
    chosen = (config.layer, *config.also_layers)
    if wrong := [layer for layer in config.also_layers if not -layers <= layer < layers]:
        raise ValueError(f"found also_layers = {wrong[0]}; the encoder has the layers 0 (embeddings) to {layers - 1}, "
                         "or -1 for the last")
    if len({layer % layers for layer in chosen}) < len(chosen):
        raise ValueError(f"layer = {config.layer} and also_layers = {list(config.also_layers)} name a layer twice, of "
                         f"0 (embeddings) to {layers - 1}")
    return chosen
