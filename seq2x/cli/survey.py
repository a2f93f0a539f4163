"""Looks at data before anything is trained on them: how many, how long, which labels, which words. Knows no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from seq2x.data.examples import Pair, Tagged, Text
from seq2x.data.readers import PairFormat, TaggedFormat, TextFormat, read_pairs, read_tagged, read_texts
from seq2x.errors import ConfigError
from seq2x.text import SubwordsConfig, split
from seq2x.text.tags import spans

SAMPLE = 20_000
"""Pairs that subwords are tried on."""
SIZES = (32000, 16000, 8000, 6000, 4000, 3000, 2000, 1500, 1000, 800, 600, 500, 400, 350, 300)
"""Of subword vocabularies, the largest first."""
Format = TextFormat | TaggedFormat | PairFormat


@dataclass(frozen=True)
class Survey:
    """What was found in the training data, and in the dev data where there are some."""

    kind: Literal["tag", "classify", "translate"]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    format: Format
    examples: int
    lengths: list[int]
    """Tokens of each example (of a sample, for pairs: subwords of the longer side), the end symbol counted."""
    total: int
    """Tokens of all examples, for pairs estimated from the sample."""
    vocabulary: int
    """Distinct words in lower case; for pairs, the subwords that the data can give (0: too little for any)."""
    labels: Counter[str]
    lines: list[str]
    """What to tell the person."""

    @property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return max(self.lengths)


def survey_tagged(train: str, dev: str | None, format: TaggedFormat) -> Survey:
    """Read tagged sentences and count."""
    examples, held = read_tagged(train, format), [] if dev is None else read_tagged(dev, format)
    words = Counter(word.lower() for example in examples for word in example.words)
    labels = _tag_labels(examples, format)
    lengths = [len(example.words) + 1 for example in examples]
    what = "tags" if format.scheme == "none" else f"labels of spans ({format.scheme})"
    lines = [
        f"{train}: {len(examples):,} sentences, {words.total():,} words ({_lengths(lengths)}), {len(words):,} distinct",
        f"{what}: {_most(labels)}",
        *_dev_lines(examples, held, dev, set(labels), set(_tag_labels(held, format)), "label"),
    ]
    return Survey("tag", (train,), (dev,) if dev else (), format, len(examples), lengths, sum(lengths), len(words),
                  labels, lines)


def survey_texts(train: str, dev: str | None, format: TextFormat) -> Survey:
    """Read labelled texts and count."""
    examples, held = read_texts(train, format), [] if dev is None else read_texts(dev, format)
    words: Counter[str] = Counter()
    lengths = []
    for example in examples:
        found = [word.text.lower() for word in split(example.text)]
        words.update(found)
        lengths.append(len(found) + 1)
    labels = Counter(label for example in examples for label in example.labels)
    if len(labels) == 1 and not format.separator:
        raise ConfigError(f"{train}: every text has the label {next(iter(labels))!r}: there is nothing to learn; "
                          "--label-column says where the labels are")
    if len(labels) > max(50, len(examples) / 2):
        raise ConfigError(f"{train}: {len(labels):,} labels for {len(examples):,} texts, such as {_first(labels)!r}: "
                          "that looks like texts; --label-column and --text-column say which is which")
    lines = [
        f"{train}: {len(examples):,} texts, {words.total():,} words ({_lengths(lengths)}), {len(words):,} distinct",
        f"labels: {_most(labels)}",
        *_dev_lines(examples, held, dev, set(labels), {label for example in held for label in example.labels}, "label"),
    ]
    return Survey("classify", (train,), (dev,) if dev else (), format, len(examples), lengths, sum(lengths), len(words),
                  labels, lines)


def survey_pairs(train: tuple[str, ...], dev: tuple[str, ...], format: PairFormat, size: int | None = None) -> Survey:
    """Read pairs, count, and try how many subwords, ``size`` at most, can be learnt from them.

    Without ``size`` it is what so many pairs can fill with examples: 32,000 from 500,000 pairs on, less for fewer.
    """
    found = read_pairs(*_two(train), format=format.model_copy(update={"skip_empty": True}))
    if found.report:  # only where it is needed: elsewhere an empty line shall stay an error
        format = format.model_copy(update={"skip_empty": True})
    held = read_pairs(*_two(dev), format=format) if dev else []
    step = -(-len(found) // SAMPLE)
    longest = sorted(found, key=lambda pair: -max(len(pair.source), len(pair.target or "")))[:500]
    sample = found[::step]
    texts = [side for pair in sample for side in (pair.source, pair.target or "")]
    pieces, processor = largest_subwords(texts, size or _wanted(len(found)))

    def tokens(text: str) -> int:
        return len(processor.encode(text).ids) if processor else len(text) + 1

    lengths = [max(tokens(pair.source), tokens(pair.target or "") + 1) for pair in [*sample, *longest]]
    words = Counter(word for text in texts for word in text.split())
    total = round(sum(lengths[: len(sample)]) * len(found) / len(sample))
    unit = "pieces" if processor else "characters"
    lines = [
        f"{' and '.join(train)}: {len(found):,} pairs (on the longer side median "
        f"{median(lengths[: len(sample)]) - 1:g}, longest {max(lengths) - 1:,} {unit})",
        *([f"{found.report} (settings: skip_empty = true)"] if found.report else []),
        f"words: {len(words):,} distinct in {'the sample' if step > 1 else 'both sides'}; "
        + (f"{pieces:,} pieces for both sides" if processor else "too few for subwords: characters are the tokens"),
        *_dev_lines(found, held, " and ".join(dev), set(), set(), ""),
    ]
    return Survey("translate", train, dev, format, len(found), lengths, total, pieces, Counter(), lines)


def largest_subwords(texts: Sequence[str], most: int) -> tuple[int, Any]:
    """Return ``most`` or the largest of :data:`SIZES` below that ``texts`` can give, and its processor (or 0, None)."""
    for size in [most, *(size for size in SIZES if size < most)]:
        try:
            return size, SubwordsConfig(size=size).learn(texts)
        except ConfigError:
            continue  # the text is too small, or (at the end of the list) has too many characters
    return 0, None


def _wanted(pairs: int) -> int:
    """The size of a joint vocabulary: rare pieces are learnt from too few examples."""
    steps = ((500_000, 32000), (100_000, 16000), (50_000, 8000), (20_000, 6000), (5_000, 4000))
    return next((size for least, size in steps if pairs >= least), 2000)


def _two(paths: tuple[str, ...]) -> tuple[str, str | None]:
    return paths[0], paths[1] if len(paths) == 2 else None


def _tag_labels(examples: Iterable[Tagged], format: TaggedFormat) -> Counter[str]:
    """How often each label has a span, or each tag a word where there are no spans."""
    if format.scheme == "none":
        return Counter(tag for example in examples for tag in example.tags or ())
    return Counter(span.label for example in examples for span in spans(example.tags or (), format.scheme))


def _dev_lines(
    train: Sequence[Text | Tagged | Pair], held: Sequence[Text | Tagged | Pair], name: str | None, labels: set[str],
    dev_labels: set[str], what: str,
) -> list[str]:
    """What to say about the dev data: their number, what they share with train, and what train lacks."""
    if not held:
        return []
    known = {content for example in train for content in example.contents}
    shared = sum(example.contents[0] in known for example in held)
    lines = [f"{name}: {len(held):,} examples to choose the best model by"
             + (f"; {shared:,} of them in train too, which flatters the score" if shared else "")]
    if unseen := sorted(dev_labels - labels):
        names = f"{what}{'s' if len(unseen) > 1 else ''} {', '.join(map(repr, unseen[:10]))}"
        lines.append(f"warning: {name} has the {names}, which train has not: the training will refuse it")
    return lines


def _lengths(lengths: Sequence[int]) -> str:
    """In words, without the end symbol."""
    return f"median {median(lengths) - 1:g}, longest {max(lengths) - 1:,}"


def _most(counts: Counter[str]) -> str:
    """The number of labels, and the most frequent ones."""
    shown = " · ".join(f"{label} {count:,}" for label, count in counts.most_common(8))
    rare = sum(count < 5 for count in counts.values())
    return (f"{len(counts):,}: {shown}{' · ...' if len(counts) > 8 else ''}"
            + (f" ({rare:,} of them fewer than 5 times)" if rare else ""))


def _first(counts: Counter[str]) -> str:
    return next(iter(counts))[:40]
