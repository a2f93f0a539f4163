"""All settings of a run in one class, where the unions meet, and the model that they describe. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from torch import nn

from seq2x.config import Config
from seq2x.data.batching import MixingConfig
from seq2x.data.coding import Limit
from seq2x.data.readers import PairFormat, PlainFormat, TaggedFormat, TextFormat
from seq2x.encoders import EncoderConfig, PretrainedEncoderConfig, PrivateEncoderConfig
from seq2x.encoders.recurrent import RecurrentEncoderConfig
from seq2x.encoders.transformer import TransformerEncoderConfig
from seq2x.heads import (
    AuxiliaryConfig,
    ClassifyHeadConfig,
    LanguageModelHeadConfig,
    SearchConfig,
    TagHeadConfig,
    TranslateHeadConfig,
)
from seq2x.heads.recurrent_decoder import RecurrentDecoderConfig
from seq2x.heads.transformer_decoder import TransformerDecoderConfig
from seq2x.text import PretrainedTextConfig, SubwordsConfig, TextConfig, WordsConfig
from seq2x.training.optimisers import AdamConfig, OptimiserConfig
from seq2x.training.progress import FitConfig
from seq2x.training.schedules import CosineConfig, ScheduleConfig

HOLD_OUT = Field(0.1, gt=0, description="where there is no dev: this share (0.1) or number (1000) of train is held out")

Files = str | tuple[str, ...]
"""A file, a pattern that matches several (``train.*.gz``), or a list of those."""


class AnyTask(Config):
    """What every task has."""

    weight: float = Field(1.0, gt=0, description="how often its examples come in an epoch")
    loss_weight: float = Field(1.0, gt=0, description="factor on its loss, the mean over the units of an update")
    dev_weight: float = Field(1.0, ge=0, description="of its dev score in the mean that chooses the best weights")


class SharingTask(AnyTask):
    """What a task may have of its own beside the shared encoder."""

    auxiliary: AuxiliaryConfig | None = Field(None, description="a language model on its own sentences")
    private: PrivateEncoderConfig | None = Field(
        None, description="an encoder of its own: its top states, beside those of the shared one, are what the head "
                          "reads (Liu et al. 2017)")
    orthogonality: float = Field(
        0.0, ge=0, description="weight of ||S' P||_F^2, the mean over sentences: shared and private states should not "
                               "hold the same (Liu et al. 2017); it grows with widths and lengths: begin with 1e-5")

    @model_validator(mode="after")
    def _orthogonal_to_something(self) -> SharingTask:
        if self.orthogonality and self.private is None:
            raise ValueError(f"orthogonality = {self.orthogonality:g} needs a private encoder; expected the table "
                             "'private', such as { kind = 'recurrent' }")
        return self


class ClassifyTask(SharingTask):
    """One label a text, or with data.separator several, or none."""

    kind: Literal["classify"] = "classify"
    train: Files = Field(description="file of labelled texts; a pattern (train.*.tsv.gz) or a list is read as one")
    dev: str | None = Field(None, description="file to choose the best model by")
    hold_out: int | float = HOLD_OUT
    data: TextFormat = TextFormat()
    limit: Limit = Limit()
    metric: Literal["accuracy", "macro_f1", "micro_f1"] = Field(
        "accuracy", description="that training maximises; of several labels a text, accuracy is the share of texts "
                                "with all of them right and no other")
    head: ClassifyHeadConfig = ClassifyHeadConfig()


class TagTask(SharingTask):
    """One tag a word."""

    kind: Literal["tag"] = "tag"
    train: Files = Field(description="file of tagged sentences; a pattern (train.*.gz) or a list is read as one")
    dev: str | None = Field(None, description="file to choose the best model by")
    hold_out: int | float = HOLD_OUT
    data: TaggedFormat
    scheme: Literal["BIO", "IOBES", "BILOU", "none"] | None = Field(
        None, description="what the model learns; left out: IOBES for spans (read in any scheme), none for plain tags"
    )
    limit: Limit = Limit()
    head: TagHeadConfig = TagHeadConfig()

    @property
    def model_scheme(self) -> Literal["BIO", "IOB1", "IOBES", "BILOU", "none"]:
        """The scheme that the model learns; the files' own scheme is converted to it and back."""
        if self.scheme is not None:
            return self.scheme
        return "none" if self.data.scheme == "none" else "IOBES"

    @model_validator(mode="after")
    def _schemes_agree(self) -> TagTask:
        if self.scheme is not None and (self.scheme == "none") != (self.data.scheme == "none"):
            raise ValueError(f"scheme = {self.scheme!r} cannot be learnt from data.scheme = {self.data.scheme!r}")
        if self.data.partial and self.model_scheme == "BIO" != self.data.scheme:
            raise ValueError(f"scheme = 'BIO' cannot be learnt from partial tags in {self.data.scheme!r}, which say "
                             "where spans end; expected 'IOBES' or 'BILOU'")
        return self


class TranslateTask(SharingTask):
    """A sentence out for a sentence in."""

    kind: Literal["translate"] = "translate"
    train: str | tuple[Files, Files] = Field(
        description="two aligned files [source, target], or one file with both; each may be a pattern (train.*.de.gz), "
        "a side also a list: shards are aligned in their order, those of patterns in sorted order")
    dev: str | tuple[str, str] | None = Field(None, description="the same, to choose the best model by")
    hold_out: int | float = HOLD_OUT
    data: PairFormat = PairFormat()
    alignments: Files | None = Field(
        None, description="word alignments of train for head.guided_attention: lines of pairs i-j of words, which are "
                          "what blanks part, counted from 0 (Pharaoh, fast_align); shards as those of train")
    decoder_from: str | None = Field(
        None, min_length=1, description="run of a language model of the target that layers and embeddings of the "
        "decoder start from: recurrent in one direction (Ramachandran et al. 2017), or a Transformer, causal or "
        "masked (Rothe et al. 2020); no resume needs it")
    limit: Limit = Limit()
    metric: Literal["bleu", "chrf"] = "bleu"
    search: SearchConfig = SearchConfig()
    dev_beam_size: int = Field(1, ge=1, description="beam of the evaluations during training; 1 is the fastest")
    head: TranslateHeadConfig = TranslateHeadConfig()

    @model_validator(mode="after")
    def _both_sides_are_there(self) -> TranslateTask:
        for key, files in (("train", self.train), ("dev", self.dev)):
            if self.data.format == "lines" and isinstance(files, str):
                raise ValueError(f"{key} is one file, {files!r}; data.format = 'lines' needs two: [source, target]")
        return self

    @model_validator(mode="after")
    def _attention_has_what_it_needs(self) -> TranslateTask:
        guided = self.head.guided_attention
        if guided and self.alignments is None:
            raise ValueError(f"head.guided_attention = {guided:g} needs the key 'alignments', a file of pairs i-j of "
                             "the words of train")
        if self.alignments is not None and not guided:
            raise ValueError("alignments are for head.guided_attention, which is 0; expected a weight such as 0.5, or "
                             "no alignments")
        attention = self.head.decoder.attention if isinstance(self.head.decoder, RecurrentDecoderConfig) else None
        if attention is not None and attention.kind == "location" and attention.length < self.limit.max_tokens:
            raise ValueError(f"head.decoder.attention.length = {attention.length} positions are fewer than "
                             f"limit.max_tokens = {self.limit.max_tokens}")
        return self


class LanguageModelTask(AnyTask):
    """The neighbours of each token of raw text. Its dev score is 100 / perplexity: the greater, the better."""

    kind: Literal["language_model"] = "language_model"
    train: Files = Field(description="file of texts, one a line; a pattern (train.*.gz) or a list is read as one")
    dev: str | None = Field(None, description="file to choose the best model by")
    hold_out: int | float = HOLD_OUT
    data: PlainFormat = PlainFormat()
    limit: Limit = Limit()
    bptt: int = Field(
        0, ge=0, description="the texts are one, in their order, read at batch_tokens // bptt places at once, so many "
        "tokens at a time; states are carried from batch to batch (Williams & Peng 1990); 0 = each text by itself")
    head: LanguageModelHeadConfig = LanguageModelHeadConfig()


_NO_HEADS = nn.ModuleDict()
"""A head is an attribute of a model's ModuleDict, so its name must be none of those that are there already."""


class CorpusConfig(Config):
    """Where the training data lie while they are used."""

    memory: Literal["all", "cache"] = Field(
        "all", description="all: every example in memory; cache: on disk, for data of any size in constant memory")
    cache: str | None = Field(
        None, description="folder of the cache, which runs with the same data and vocabulary may share; left out: "
        "cache/ in the run directory")
    buffer: int = Field(
        100_000, ge=1, description="cache: examples that are shuffled, and put together by length, at once")
    workers: int = Field(
        0, ge=0, description="processes that tokenise ahead (the cache, BPE-dropout); 0 = none beside training")


TaskConfig = Annotated[
    ClassifyTask | TagTask | TranslateTask | LanguageModelTask, Field(discriminator="kind")
]


class StartConfig(Config):
    """An older run that training begins with: what fits is taken by name; the rest, as coverage, is new."""

    model_config = ConfigDict(populate_by_name=True)

    run: str = Field(alias="from", min_length=1, description="directory of the older run; no resume needs it")
    take: Literal["all", "encoder"] = Field("all", description="all: the heads of tasks of the same name too")
    vocabulary: Literal["keep", "grow", "new"] = Field(
        "keep", description="keep: the older run's; grow: and what the data have beyond (words, characters); new: "
                            "learnt from the data. Entries that both have keep their vectors"
    )
    labels: Literal["new", "grow"] = Field(
        "new", description="new: those of the data; grow: those of the older run too. Labels that both have keep "
                           "their weights"
    )
    freeze: bool = Field(False, description="do not train the encoder: new heads on one that is as it was")


class DistilConfig(Config):
    """Older runs that training learns from, their probabilities averaged (Hinton et al. 2015; Kuncoro et al. 2016)."""

    model_config = ConfigDict(populate_by_name=True)

    runs: Files = Field(alias="from", min_length=1, description="run directories, or folders of snapshots; needed by "
                                                                "a resume too, and by nothing else")
    task: str | None = Field(None, description="their task, where it is called otherwise than here")
    temperature: float = Field(2.0, gt=0, description="T: scores of both sides are divided by it")
    weight: float = Field(0.5, gt=0, le=1, description="of T^2 times what they teach; the rest is the target's")


class RunConfig(Config):
    """Everything that ``seq2x train`` reads."""

    seed: int = Field(1, ge=0)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
                        description="where to train; auto: a CUDA device where there is one, else cpu")
    threads: int | None = Field(None, ge=1, description="processor threads; left out: torch's choice")
    start: StartConfig | None = Field(
        None, description="an older run to begin with; text, encoder and heads are as there where nothing else is said"
    )
    distil: DistilConfig | None = Field(None, description="older runs that this one learns from, beside its targets")
    text: TextConfig = SubwordsConfig()
    target_text: TextConfig | None = Field(None, description="translation: the target's; left out: as text")
    encoder: EncoderConfig = RecurrentEncoderConfig()
    tasks: dict[str, TaskConfig] = Field(min_length=1, description="by name; all share the encoder")
    optimiser: OptimiserConfig = AdamConfig()
    schedule: ScheduleConfig = CosineConfig()
    training: FitConfig = FitConfig()
    corpus: CorpusConfig = CorpusConfig()
    mixing: MixingConfig = MixingConfig()

    @model_validator(mode="after")
    def _tasks_fit(self) -> RunConfig:
        for name, task in self.tasks.items():
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"the task name {name!r} may hold letters, digits, - and _ only")
            if hasattr(_NO_HEADS, name):
                raise ValueError(f"the task name {name!r} is one that torch keeps for itself; choose another")
            if sum(other.lower() == name.lower() for other in self.tasks) > 1:  # labels.NAME.txt, on any file system
                raise ValueError(f"the task name {name!r} stands twice, but for upper and lower case; choose another")
            if task.limit.max_tokens > self.training.batch_tokens and not getattr(task, "bptt", 0):
                raise ValueError(
                    f"training.batch_tokens = {self.training.batch_tokens} is smaller than "
                    f"tasks.{name}.limit.max_tokens = {task.limit.max_tokens}: the longest example must fit"
                )
        return self

    @model_validator(mode="after")
    def _states_can_be_carried(self) -> RunConfig:
        body, drops, tokens = self.encoder, getattr(self.text, "dropout", 0.0), self.training.batch_tokens
        for name, task in self.tasks.items():
            if not isinstance(task, LanguageModelTask) or not task.bptt:
                continue
            for wrong, found, expected in (
                (len(self.tasks) > 1, f"{len(self.tasks)} tasks", "this one alone"),
                (body.kind != "recurrent", f"encoder.kind = {body.kind!r}", "'recurrent'"),
                (getattr(body, "bidirectional", False), "encoder.bidirectional = true", "false"),
                (getattr(body, "reversed", False), "encoder.reversed = true", "false"),
                (getattr(body, "front", None), "encoder.front", "none, as it sees what follows"),
                (task.head.objective != "neighbours", f"head.objective = {task.head.objective!r}", "'neighbours'"),
                (task.head.attention, "head.attention", "none, as its window would end where a batch begins"),
                (task.dev is None, "no dev", "a file, as texts held out at random do not follow on each other"),
                (task.weight != 1, f"weight = {task.weight:g}", "1"),
                (drops, f"text.dropout = {drops:g}", "0, as each epoch would have other tokens"),
                (self.distil, "distil", "none"),
                (task.bptt > tokens, f"training.batch_tokens = {tokens}", f"{task.bptt} or more"),
            ):
                if wrong:
                    raise ValueError(f"tasks.{name}.bptt = {task.bptt} carries states from batch to batch: found "
                                     f"{found}, expected {expected}")
        return self

    @model_validator(mode="after")
    def _some_score_decides(self) -> RunConfig:
        if not any(task.dev_weight for task in self.tasks.values()):
            raise ValueError("dev_weight is 0 in every task; expected a greater one in some, whose dev score chooses "
                             "the best weights")
        return self

    @model_validator(mode="after")
    def _a_target_has_a_task(self) -> RunConfig:
        if self.target_text is not None and not any(task.kind == "translate" for task in self.tasks.values()):
            kinds = ", ".join(f"{name} ({task.kind})" for name, task in self.tasks.items())
            raise ValueError(f"target_text is for translation, and none of the tasks translates: found {kinds}; "
                             "leave it out")
        return self

    @model_validator(mode="after")
    def _cached_tasks_have_dev(self) -> RunConfig:
        if self.corpus.cache is not None and self.corpus.memory != "cache":
            raise ValueError(f"corpus.cache needs corpus.memory = 'cache'; found memory = {self.corpus.memory!r}")
        for name, task in self.tasks.items():
            if self.corpus.memory == "cache" and task.dev is None:
                raise ValueError(f"tasks.{name}: the key 'dev' is missing, and corpus.memory = 'cache' can hold "
                                 "nothing out of train, as it never sees all of it at once; give a dev file")
        return self

    @model_validator(mode="after")
    def _positions_suffice(self) -> RunConfig:
        for where, encoder, names in self._encoders():
            if isinstance(encoder, TransformerEncoderConfig) and encoder.positions == "learned":
                for name in names:
                    if (most := self.tasks[name].limit.max_tokens) > encoder.max_length:
                        raise ValueError(f"{where}.max_length = {encoder.max_length} learned positions are fewer than "
                                         f"tasks.{name}.limit.max_tokens = {most}")
        for name, task in self.tasks.items():
            decoder = task.head.decoder if isinstance(task, TranslateTask) else None
            if isinstance(decoder, TransformerDecoderConfig) and decoder.positions == "learned" and (
                    task.limit.max_tokens > decoder.max_length):
                raise ValueError(f"tasks.{name}.head.decoder.max_length = {decoder.max_length} learned positions are "
                                 f"fewer than tasks.{name}.limit.max_tokens = {task.limit.max_tokens}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _name_a_pretrained_model_once(cls, data: Any) -> Any:
        """With a pretrained encoder, ``text`` is its tokenizer, and the name of the model is filled in."""
        encoder, text = (data.get(key) for key in ("encoder", "text"))
        encoder = encoder.model_dump() if isinstance(encoder, Config) else encoder
        if not isinstance(encoder, Mapping) or encoder.get("kind") != "pretrained" or "model" not in encoder:
            return data
        if text is None or (isinstance(text, Mapping) and text.get("kind") == "pretrained"):
            return {**data, "text": {"kind": "pretrained", "model": encoder["model"], **(text or {})}}
        return data

    @model_validator(mode="after")
    def _pretrained_parts_belong_together(self) -> RunConfig:
        encoder, text, target = self.encoder, self.text, self.target_text
        if isinstance(encoder, PretrainedEncoderConfig) != isinstance(text, PretrainedTextConfig):
            raise ValueError(f"text.kind = {text.kind!r} does not go with encoder.kind = {encoder.kind!r}: a "
                             "pretrained encoder reads what its own tokenizer gives (leave [text] out), others cannot")
        if isinstance(text, PretrainedTextConfig):
            if isinstance(encoder, PretrainedEncoderConfig) and encoder.model != text.model:
                raise ValueError(f"text.model = {text.model!r} is not encoder.model = {encoder.model!r}; "
                                 "leave text.model out")
            translates = [name for name, task in self.tasks.items() if task.kind == "translate"]
            if translates and target is None:
                raise ValueError(f"tasks.{translates[0]} translates: beside a pretrained encoder the target needs a "
                                 "[target_text] of its own, such as kind = 'subwords'")
        if isinstance(target, PretrainedTextConfig):
            raise ValueError("target_text.kind = 'pretrained': the pieces of a pretrained encoder are for the source")
        return self

    @model_validator(mode="after")
    def _the_text_gives_what_embeddings_need(self) -> RunConfig:
        for where, encoder, _ in self._encoders():
            embedding = getattr(encoder, "embedding", None)
            if getattr(embedding, "vectors", None) is not None and self.text.kind == "subwords":
                raise ValueError(f"{where}.embedding.vectors are of words; text.kind = 'subwords' learns its own "
                                 "pieces, expected text.kind = 'words' (or 'characters')")
            if getattr(embedding, "shape_width", 0) and not (isinstance(self.text, WordsConfig) and self.text.shapes):
                raise ValueError(f"{where}.embedding.shape_width needs text.kind = 'words' and text.shapes = true")
        return self

    @model_validator(mode="after")
    def _whole_texts_are_read_by_classifiers(self) -> RunConfig:
        text = self.text
        if not isinstance(text, WordsConfig) or (text.punctuation and text.keep_last is None):
            return self
        for name, task in self.tasks.items():
            if task.kind != "classify":
                raise ValueError(f"text.punctuation = false and text.keep_last leave words out; tasks.{name} is of the "
                                 f"kind {task.kind!r}, which needs all; expected tasks of the kind 'classify' alone")
            if text.keep_last is not None and task.limit.max_tokens <= text.keep_last:
                raise ValueError(f"tasks.{name}.limit.max_tokens = {task.limit.max_tokens} has no room for the "
                                 f"{text.keep_last} words of text.keep_last and the end symbol")
        return self

    def _encoders(self) -> Iterator[tuple[str, EncoderConfig, list[str]]]:
        """Every encoder: where it stands in the settings, what it is, and the tasks that it reads for."""
        yield "encoder", self.encoder, list(self.tasks)
        for name, task in self.tasks.items():
            if isinstance(task, SharingTask) and task.private is not None:
                yield f"tasks.{name}.private", task.private, [name]

    @property
    def labelled(self) -> list[str]:
        """The tasks that have a file of labels, or of tags."""
        return [name for name, task in self.tasks.items() if task.kind in ("classify", "tag")]

    @property
    def joint(self) -> bool:
        """Whether one text processor serves source and target."""
        return self.target_text is None and isinstance(self.text, SubwordsConfig) and self.text.joint
