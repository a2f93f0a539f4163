"""The work of ``seq2x translate``: numbered lines to records, here or in processes. Imports nothing heavy at first."""

from __future__ import annotations

import json
import random
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from seq2x.cli.options import search, set_threads
from seq2x.cli.streams import STDIN, Output, in_parts
from seq2x.errors import ConfigError, DataError, Seq2xError

if TYPE_CHECKING:
    from seq2x.heads import SamplingConfig
    from seq2x.predictors import Alternative, Request, Translation, Translator

PICTURES = (".png", ".svg", ".pdf")
DRAWN = 20
"""Lines in a picture at most."""
SHARE = 32
"""Lines that a process gets at once, at least."""


class Item(NamedTuple):
    """A line, and what stands beside it in other files."""

    number: int
    text: str
    beside: dict[str, str]


class Record(NamedTuple):
    """What is written for one line, and beside it."""

    text: str
    notices: tuple[str, ...] = ()
    attention: tuple[Any, ...] = ()


class Items:
    """The lines with those of the files beside them; ends early, with an error, where one of these does."""

    def __init__(self, arguments: Namespace) -> None:
        """DataError where a file cannot be read."""
        self.lines: Iterator[str] = iter(())
        self.error: DataError | None = None
        self._count = 0
        self._name = arguments.input or STDIN
        self._files = {name: getattr(arguments, name) for name in ("prefix", "constraints", "score")
                       if getattr(arguments, name) is not None}
        self._beside = {name: _opened(path) for name, path in self._files.items()}

    def __iter__(self) -> Iterator[Item]:
        for text in self.lines:
            self._count += 1
            found: dict[str, str] = {}
            for name, lines in self._beside.items():
                for line in islice(lines, 1):
                    found[name] = line
            missing = [name for name in self._beside if name not in found]
            if missing:
                self.error = DataError(f"has {self._count - 1:,} lines; {self._name} has more",
                                       self._files[missing[0]])
                return
            yield Item(self._count, text, found)
        for name, lines in self._beside.items():
            if any(True for _ in islice(lines, 1)):
                self.error = DataError(f"has more lines than {self._name}, which has {self._count:,}",
                                       self._files[name])


def _opened(path: str) -> Iterator[str]:
    from seq2x.data.files import lines

    found = lines(path)
    return chain(list(islice(found, 1)), found)  # a file that is not there is an error now


@dataclass
class Work:
    """Translates lines as the options say; may be sent to another process before it has loaded anything."""

    arguments: Namespace
    translator: Translator | None = field(default=None, init=False)

    def __call__(self, items: list[Item]) -> list[Record]:
        """Do the share of a worker."""
        if self.translator is None:
            set_threads(1)
            self.load()
        return [record for _, record in self._here(items, len(items))]

    def load(self) -> Translator:
        """Read the runs."""
        if self.translator is None:
            from seq2x.predictors import Translator

            arguments = self.arguments
            if not arguments.workers:
                set_threads(arguments.threads)
            runs = arguments.model if arguments.directory is None else [arguments.directory]
            if arguments.device != "cpu":
                from seq2x.training.distributed import usable

                usable(arguments.device, "--device")
            self.translator = Translator.load(runs, arguments.task, arguments.device, precision=arguments.precision)
            how, wanted = search(arguments, self.translator.search), arguments.mbr or arguments.n_best or 1
            if not arguments.sample and wanted > how.beam_size:
                name = "--mbr" if arguments.mbr else "--n-best"
                raise ConfigError(f"{name} {wanted} needs a beam of {wanted} or more; it is {how.beam_size}: "
                                  f"set --beam-size {wanted}")
        return self.translator

    def records(self, items: Iterable[Item], window: int) -> Iterator[tuple[Item, Record]]:
        """Yield each line with its record, in order; in processes where the options say so."""
        if not self.arguments.workers:
            yield from self._here(items, window)
            return
        from seq2x.data.workers import Workers

        waiting: deque[Item] = deque()
        shares: deque[list[Item]] = deque()
        done: dict[int, Record] = {}

        def shared() -> Iterator[list[Item]]:
            """Lines of similar lengths together, so that little of a batch is padding."""
            source = iter(items)
            while some := list(islice(source, window)):
                waiting.extend(some)
                some.sort(key=lambda item: -len(item.text))
                size = max(SHARE, -(-len(some) // (8 * self.arguments.workers)))
                for start in range(0, len(some), size):
                    shares.append(some[start : start + size])
                    yield shares[-1]

        with Workers(self, self.arguments.workers) as workers:
            for records in workers.map(shared()):
                done.update(zip((item.number for item in shares.popleft()), records, strict=True))
                while waiting and waiting[0].number in done:
                    item = waiting.popleft()
                    yield item, done.pop(item.number)

    def _here(self, items: Iterable[Item], window: int) -> Iterator[tuple[Item, Record]]:
        translator, arguments = self.load(), self.arguments
        how, waiting = search(arguments, translator.search), deque[Item]()
        details = arguments.alignments or arguments.json or arguments.attention is not None

        def taken() -> Iterator[Item]:
            for item in items:
                waiting.append(item)
                yield item

        if arguments.score is not None:
            pairs = ((_request(item), item.beside["score"]) for item in taken())
            for found in translator.score(pairs, search=how, details=details, window=window,
                                          batch_tokens=arguments.batch_tokens):
                item = waiting.popleft()
                yield item, Record(_scored(found, item, arguments), (), found.attention)
            return
        for translation in translator.translate(
            map(_request, taken()), search=how, n_best=arguments.n_best or 1, sampling=_sampling(arguments),
            mbr=arguments.mbr or 0, details=details, batch_tokens=arguments.batch_tokens, window=window,
            on_long="split" if arguments.long_lines == "windows" else "error",
        ):
            item = waiting.popleft()
            notices = () if translation.windows < 2 else (
                in_parts(arguments, item.number, translator.limit, "translated", translation.windows),)
            yield item, Record(_record(translation, item, arguments), notices, translation.alternatives[0].attention)


def _request(item: Item) -> Request:
    from seq2x.predictors import Request

    terms = [term.strip() for term in item.beside.get("constraints", "").split("\t") if term.strip()]
    return Request(item.text, item.beside.get("prefix", ""),
                   tuple(term.removeprefix("+") for term in terms if not term.startswith("-")),
                   tuple(term[1:] for term in terms if term.startswith("-")), item.number)


def _sampling(arguments: Namespace) -> SamplingConfig | None:
    if not arguments.sample:
        return None
    from seq2x.cli.translate import SAMPLING
    from seq2x.heads import SamplingConfig

    given = {name: getattr(arguments, name) for name in SAMPLING}
    return SamplingConfig().model_copy(update={name: value for name, value in given.items() if value is not None})


def _record(translation: Translation, item: Item, arguments: Namespace) -> str:
    """What is written for one line."""
    if arguments.json:
        best = {"line": item.number, "source": item.text, **_object(translation.alternatives[0]),
                "windows": translation.windows}
        if arguments.n_best is not None:
            best["alternatives"] = [_object(other) for other in translation.alternatives]
        return json.dumps(best, ensure_ascii=False)
    if arguments.n_best is not None:
        found = [f"{item.number}\t{other.score:.4f}\t{_line(other, arguments)}" for other in translation.alternatives]
        empty = "\t" if arguments.alignments else ""
        return "\n".join([*found, *[f"{item.number}\t-inf\t{empty}"] * (arguments.n_best - len(found))])
    best_line = _line(translation.alternatives[0], arguments)
    return f"{translation.score:.4f}\t{best_line}" if arguments.scores else best_line


def _scored(found: Alternative, item: Item, arguments: Namespace) -> str:
    """What is written for a translation that was given."""
    if arguments.json:
        windows = int(found.log_prob < 0)  # of nothing, the translation is nothing, for certain
        return json.dumps({"line": item.number, "source": item.text, **_object(found), "windows": windows},
                          ensure_ascii=False)
    return f"{found.score:.4f}" + (f"\t{_pharaoh(found)}" if arguments.alignments else "")


def _line(found: Alternative, arguments: Namespace) -> str:
    """The text; where TABs part the fields of a line, it holds none."""
    parted = arguments.alignments or arguments.scores or arguments.n_best is not None
    text = found.text.replace("\t", " ") if parted else found.text
    return f"{text}\t{_pharaoh(found)}" if arguments.alignments else text


def _pharaoh(found: Alternative) -> str:
    return " ".join(f"{source}-{target}" for source, target in found.alignment)


def _object(found: Alternative) -> dict[str, Any]:
    utility = {} if found.utility is None else {"utility": found.utility}
    return {"text": found.text, "score": found.score, "log_prob": found.log_prob, **utility,
            "tokens": list(found.tokens), "alignment": [list(pair) for pair in found.alignment]}


class Verification:
    """Some of the lines, drawn at random, to be translated again, each alone."""

    def __init__(self, most: int | None) -> None:
        self._most, self._seen = most or 0, 0
        self._draw = random.Random(0)
        self._kept: list[tuple[Item, str]] = []

    def keep(self, item: Item, record: Record) -> None:
        """Take a line into the sample; every line is as likely to be in it (Vitter 1985, algorithm R)."""
        self._seen += 1
        place = len(self._kept) if len(self._kept) < self._most else self._draw.randrange(self._seen)
        if place < self._most:
            self._kept[place : place + 1] = [(item, record.text)]

    def run(self, work: Work) -> int:
        """Compare, say what came of it on standard error, and return the exit code."""
        if not self._most:
            return 0
        work = Work(Namespace(**{**vars(work.arguments), "workers": None})) if work.translator is None else work
        differ = []
        for item, before in sorted(self._kept, key=lambda pair: pair[0].number):
            ((_, record),) = work.records([item], 1)
            differ += [item.number] * (record.text != before)
        print(f"seq2x: verified: {len(self._kept) - len(differ):,} of {len(self._kept):,} lines come out the same "
              "alone" + (f"; not so line {', '.join(map(str, differ))}" if differ else ""), file=sys.stderr)
        return 1 if differ else 0


class Attentions:
    """Where attention is written to: a JSON object a line, or a picture of the first lines."""

    def __init__(self, arguments: Namespace) -> None:
        """ConfigError where a picture is asked for and matplotlib is not there."""
        self._path: str | None = arguments.attention
        self._drawn: list[tuple[Item, Sequence[Any]]] | None = None
        self._output: Output | None = None
        if self._path is None:
            return
        self._output = Output(self._path, arguments.overwrite, flush=False)
        if self._path.lower().endswith(PICTURES):
            from seq2x.reports.attention import require

            require()
            self._drawn, self._output = [], None

    def add(self, item: Item, record: Record) -> None:
        """Keep or write what belongs to a line."""
        if self._drawn is not None and len(self._drawn) < DRAWN:
            self._drawn.append((item, record.attention))
        if self._output is not None:
            parts = [part._asdict() for part in record.attention]
            self._output.write(json.dumps({"line": item.number, "parts": parts}, ensure_ascii=False))

    def __enter__(self) -> Self:
        if self._output is not None:
            self._output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._output is not None:
            self._output.__exit__(kind, error, trace)
        if self._drawn is not None and (kind is None or issubclass(kind, Seq2xError)):
            from seq2x.reports.attention import draw

            assert self._path is not None
            draw(self._path, [(f"line {item.number}", part) for item, parts in self._drawn for part in parts])
