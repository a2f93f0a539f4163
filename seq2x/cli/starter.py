"""Chooses settings for the data that a survey found, and writes them as TOML that explains itself. Knows no model.

The numbers are what works on data of such a size on a laptop's processor; each is a place to start from.
"""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import tomli_w

from seq2x.cli.survey import Survey


class Setting(NamedTuple):
    """One line."""

    key: str
    value: Any
    """None: the line is a comment that shows what could be set."""
    why: str
    example: str = ""
    """Of the value, where there is none."""


class Table(NamedTuple):
    """One [table]; the name "" is the top."""

    name: str
    why: str
    settings: list[Setting]


class Plan(NamedTuple):
    """What the size of the data decides."""

    max_tokens: int
    on_long: str
    long: int
    """Examples of the survey that are longer."""
    batch_tokens: int
    updates: int
    """An epoch."""
    epochs: int
    every: int
    """Updates between evaluations; 0 = an epoch."""
    hold_out: float | int


LONGEST = {"tag": 100_000, "classify": 4000, "translate": 256}
"""What a limit may grow to; beyond it, texts are cut and pairs left out. Tags are never cut."""
BATCHES = {"tag": 2048, "classify": 4096, "translate": 4096}
"""Tokens of a batch at most."""
UPDATES = {"tag": 4000, "classify": 3000, "translate": 6000}
"""Of a whole training, where an epoch is short enough."""
EPOCHS = {"tag": (5, 40), "classify": (5, 30), "translate": (8, 60)}
"""At least, at most."""

WIDE = 50
"""Characters of a line that has its comment beside it, not above."""


def plan(survey: Survey) -> Plan:
    """Choose what the size of the data decides."""
    most = min(max(100, math.ceil(survey.longest * 1.1 / 10) * 10), LONGEST[survey.kind])
    long = sum(length > most for length in survey.lengths)
    share = max(survey.total // 150, 128)  # 150 updates an epoch, where the data are small
    batch = max(min(2 ** int(math.log2(share)), BATCHES[survey.kind]), most)
    updates = math.ceil(survey.total / (0.9 * batch))  # a tenth of a batch is padding
    least, greatest = EPOCHS[survey.kind]
    every = 0 if updates <= 2000 else 2000
    amount = survey.examples
    return Plan(most, {"tag": "error", "classify": "truncate", "translate": "skip"}[survey.kind] if long else "error",
                long, batch, updates, min(max(round(UPDATES[survey.kind] / updates), least), greatest), every,
                0.1 if amount < 10_000 else 1000 if amount < 100_000 else 2000)


def starter(survey: Survey, command: str, out: str) -> str:
    """Return the TOML; ``command`` is what it was written by, ``out`` the file it is for."""
    chosen = plan(survey)
    tables = {"tag": _tag, "classify": _classify, "translate": _translate}[survey.kind](survey, chosen)
    file = shlex.quote(out)
    head = [
        f"Written by: {command}",
        *survey.lines,
        "",
        f"Train:       seq2x train {file}",
        f"Otherwise:   seq2x train {file} --set training.max_epochs=5",
        "Paths are seen from the folder where seq2x is started. What is left out has its default; after training, all",
        "settings stand in the run's config.toml.",
    ]
    return "\n".join(_comment(line) for line in head) + "\n" + "".join(_render(table) for table in tables)


def _tag(survey: Survey, chosen: Plan) -> list[Table]:
    small = survey.examples < 1000
    rare = survey.vocabulary > 50_000
    return [
        _top(),
        Table("text", "how sentences become tokens", [
            Setting("kind", "words", "a token is a word"),
            Setting("lowercase", True, "of the words; the characters keep their case"),
            Setting("digits", True, "every digit of a word is read as 0"),
            Setting("min_count", 2 if rare else 1, "rarer words are <unk>: only their characters are seen"),
            Setting("characters", True, "spell each word too: endings, capitals, unseen words"),
        ]),
        Table("encoder", "reads the sentence in both directions", [
            Setting("kind", "recurrent", "or convolution (faster), transformer (for much data)"),
            Setting("cell", "lstm", "or gru, rnn"),
            Setting("hidden", 100 if small else 200, "units of each direction"),
            Setting("layers", 1, "2 are slower and seldom better"),
            Setting("dropout", 0.3 if survey.total > 1_000_000 else 0.5, "share of states dropped in training"),
        ]),
        Table("encoder.embedding", "a word's vector", [
            Setting("width", 50 if small else 100, "numbers a word"),
            Setting("dropout", 0.25, "share of them dropped in training"),
            Setting("word_dropout", 0.1, "share of words read as <unk> in training, so that it is learnt"),
        ]),
        Table("encoder.embedding.characters", "a convolution over the characters of a word (Ma & Hovy 2016)", [
            Setting("width", 30, "numbers a character"),
            Setting("windows", [2, 3, 4], "characters seen at once"),
            Setting("maps", 40, "features of each window"),
        ]),
        _task(survey, chosen, []),
        _data(survey),
        Table("tasks.tag.head", "from states to tags", [
            Setting("decoder", "crf", "scores whole sequences, legal ones only; or softmax, faster"),
        ]),
        *_training(chosen, rate=2e-3, warmup=100, ema=0.998, clip=5.0),
    ]


def _classify(survey: Survey, chosen: Plan) -> list[Table]:
    small = survey.examples < 20_000
    return [
        _top(),
        Table("text", "how texts become tokens", [
            Setting("kind", "words", "a token is a word"),
            Setting("lowercase", True, "read Good and good as one word"),
            Setting("min_count", 1 if survey.vocabulary < 30_000 else 2, "rarer words are <unk>"),
        ]),
        Table("encoder", "looks for telling groups of words (Kim 2014)", [
            Setting("kind", "convolution", "or recurrent (slower, sees order), transformer (for much data)"),
            Setting("windows", [2, 3, 4], "words seen at once"),
            Setting("maps", 100 if small else 200, "features of each window"),
            Setting("dropout", 0.5, "share of features dropped in training"),
        ]),
        Table("encoder.embedding", "a word's vector", [
            Setting("width", 100 if small else 200, "numbers a word"),
            Setting("dropout", 0.3, "share of them dropped in training"),
            Setting("word_dropout", 0.1, "share of words read as <unk> in training, so that it is learnt"),
        ]),
        _task(survey, chosen, [
            Setting("metric", "micro_f1" if getattr(survey.format, "separator", "") else "accuracy",
                    "what the best model is chosen by; or macro_f1: all labels weigh the same"),
        ]),
        _data(survey),
        Table("tasks.classify.head", "from states to labels", [
            Setting("pooling", "max", "the strongest of each feature; or mean, attention, last"),
        ]),
        *_training(chosen, rate=2e-3, warmup=50, ema=0.995, clip=5.0),
    ]


def _translate(survey: Survey, chosen: Plan) -> list[Table]:
    much = survey.examples >= 500_000
    dropout = 0.3 if survey.examples < 100_000 else 0.2 if not much else 0.1
    width, hidden = (256, 512) if not much else (512, 1024)
    if survey.examples < 5000:
        width, hidden = 128, 256
    return [
        _top(),
        Table("text", "how sentences become tokens", _subwords(survey.vocabulary)),
        Table("encoder", "reads the source in both directions", [
            Setting("kind", "recurrent", "or transformer, convolution"),
            Setting("hidden", width, "units of each direction"),
            Setting("layers", 1, "more are slower"),
            Setting("dropout", dropout, "share of states dropped in training: less for more data"),
        ]),
        Table("encoder.embedding", "a token's vector", [
            Setting("width", width, "numbers a token"),
            Setting("scale", True, "times sqrt(width), with which it learns to attend sooner"),
            Setting("dropout", dropout, "share of them dropped in training"),
        ]),
        _task(survey, chosen, [
            Setting("metric", "bleu", "what the best model is chosen by; or chrf"),
            Setting("dev_beam_size", 1, "beam of the evaluations during training: 1 is the fastest"),
        ]),
        _data(survey),
        Table("tasks.translate.search", "how translations are found; each can be changed at translation", [
            Setting("beam_size", 5, "hypotheses followed at once: 10 is slower and a little better"),
            Setting("length_norm", "gnmt", "divides scores by ((5 + length) / 6) ^ length_penalty; or average, none"),
            Setting("length_penalty", 1.0, "more makes translations longer"),
        ]),
        Table("tasks.translate.head", "writes the translation", [
            Setting("tie", "all" if survey.vocabulary else "decoder", "which tables of vectors are one"),
            Setting("label_smoothing", 0.1, "keeps the model from being too sure"),
        ]),
        Table("tasks.translate.head.decoder", "an LSTM that attends to the source", [
            Setting("kind", "recurrent", "or transformer"),
            Setting("width", width, "numbers a target token"),
            Setting("scale_embeddings", True, "as the source's"),
            Setting("hidden", hidden, "units"),
            Setting("dropout", dropout, "share of them dropped in training"),
            Setting("attention", {"kind": "additive", "width": width}, "or multiplicative, dot"),
            Setting("coverage", {"kind": "sum", "loss": "min", "weight": 0.1}, "minds what has been translated"),
        ]),
        *_training(chosen, rate=1e-3, warmup=200, ema=0.999, clip=1.0),
    ]


def _subwords(size: int) -> list[Setting]:
    """How sentences become tokens; ``size`` 0: not as subwords."""
    if not size:
        return [Setting("kind", "characters", "a token is a character: the data are too few for subwords")]
    return [
        Setting("kind", "subwords", "pieces of words (BPE); bytes spell what they cannot, so nothing is unknown"),
        Setting("size", size, "pieces; what these data can give and fill with examples"),
        Setting("joint", True, "one vocabulary for both languages"),
        Setting("dropout", 0.0, "BPE-dropout: 0.1 often helps where data are few, and slows training"),
    ]


def _top() -> Table:
    return Table("", "", [
        Setting("seed", 1, "of all that is random: same seed, data and machine, same model"),
        Setting("threads", None, "processor threads; left out: torch's choice", "2"),
    ])


def _task(survey: Survey, chosen: Plan, more: Sequence[Setting]) -> Table:
    train, dev = ([*files] if len(files) == 2 else files[0] if files else None for files in (survey.train, survey.dev))
    settings = [Setting("kind", survey.kind, "what is learnt"), Setting("train", train, "what to learn from")]
    if dev is None:
        settings.append(Setting("hold_out", chosen.hold_out, "this share or number of train chooses the best model"))
    else:
        settings.append(Setting("dev", dev, "chooses the best model; never learnt from"))
    limit = {"max_tokens": chosen.max_tokens, "on_long": chosen.on_long}
    unit = "characters" if survey.kind == "translate" and not survey.vocabulary else (
        "pieces" if survey.kind == "translate" else "words")
    why = f"the longest here has {survey.longest - 1:,} {unit}; longer ones are refused"
    if chosen.long:
        done = "their ends are not learnt from" if survey.kind == "classify" else "they are left out, and counted"
        why = f"{chosen.long:,} here are longer: {done}"
    return Table(f"tasks.{survey.kind}", "", [*settings, *more, Setting("limit", limit, why)])


_FORMATS = {
    "conll": "a word a line, columns parted by blanks or TABs, an empty line between sentences",
    "conllu": "Universal Dependencies: ten columns",
    "jsonl": "one JSON object a line",
    "csv": "commas, with a header",
    "tsv": "columns parted by TABs",
    "lines": "two files, line by line translations of each other",
}
_WHY = {
    "scheme": "how tags write spans; none: each tag stands for itself",
    "word_column": "the words; counted from 0",
    "tag_column": "the tags; -1 is the last",
    "label_column": "position from 0, or name",
    "text_column": "position from 0, or name",
    "separator": "between the labels of a text, which may have several, or none",
    "source_column": "position from 0, or name",
    "target_column": "position from 0, or name",
    "skip_empty": "pairs with an empty side are left out, and counted",
}


def _data(survey: Survey) -> Table:
    """The format; what is left out or false is its default."""
    lines = [Setting(key, value, _FORMATS[value] if key == "format" else _WHY[key])
             for key, value in survey.format.model_dump().items() if str(value) not in ("None", "False", "")]
    return Table(f"tasks.{survey.kind}.data", "how the files are read", lines)


def _training(chosen: Plan, *, rate: float, warmup: int, ema: float, clip: float) -> list[Table]:
    total = chosen.updates * chosen.epochs
    patience = max(4, chosen.epochs // 3)
    per = "update" if chosen.every else "epoch"
    return [
        Table("optimiser", "", [
            Setting("kind", "adam", "or adamw, sgd"),
            Setting("rate", rate, "the greatest step; lower it if the loss jumps"),
        ]),
        Table("schedule", "", [
            Setting("kind", "cosine", "the rate falls to 0 by the last epoch; or plateau, constant, inverse_sqrt"),
            Setting("warmup", min(warmup, max(1, total // 10)), "updates in which the rate grows to its full size"),
        ]),
        Table("training", "", [
            Setting("batch_tokens", chosen.batch_tokens, f"tokens a batch: {chosen.updates:,} updates an epoch"),
            Setting("max_epochs", chosen.epochs, f"passes over train: {total:,} updates"),
            Setting("evaluate_every", chosen.every, "updates between evaluations; 0: once an epoch"),
            Setting("patience", patience, "evaluations without a better score before training stops; 0: never"),
            Setting("max_minutes", None, f"stop after so many minutes, with the best {per} so far", "30"),
            Setting("ema", ema if total >= 1000 else 0.9, "the model kept is an average of the latest updates"),
            Setting("clip", clip, "greatest norm of a gradient"),
        ]),
    ]


def _render(table: Table) -> str:
    title = f"\n[{table.name}]" + (f"  # {table.why}" if table.why else "") if table.name else ""
    entries = [(f"# {setting.key} = {setting.example}" if setting.value is None else
                f"{setting.key} = {_toml(setting.value)}", setting.why) for setting in table.settings]
    width = max((len(entry) for entry, _ in entries if len(entry) <= WIDE), default=0)
    return title + "\n" + "".join(
        f"{entry:<{width}}  # {why}\n" if len(entry) <= WIDE else f"# {why}\n{entry}\n" for entry, why in entries)


def _toml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")


def _comment(text: str) -> str:
    """The text as comment lines; a control character has no place in one."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    lines = textwrap.wrap(clean, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"# {line}".rstrip() for line in lines)
