"""How much each word of a text spoke for a label: by the attention of the head, or by the gradient.

Knows no file. The gradient is that of the label's log-odds, times the vectors of the tokens (gradient x input: Denil
et al. 2014; Shrikumar et al. 2017, section 3): what a word adds to the log-odds, were the model linear in its words.
It may be negative. The vectors of n-grams (encoder.kind = "bag") are no single word's, and left out. The weights of an
attention say where a text was looked at, not for what; they sum to one over the tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from seq2x.batch import Multiples
from seq2x.checkpoint import Loaded
from seq2x.errors import ConfigError, nearest
from seq2x.heads.classify import ClassifyHead
from seq2x.predictors.base import batch_of
from seq2x.predictors.windows import cut_text
from seq2x.text import Encoding
from seq2x.text.words import split

Method = Literal["attention", "gradient"]


class Evidence(NamedTuple):
    """A word of a text, and how much it spoke for the label: ``text == whole[start:end]``."""

    text: str
    start: int
    end: int
    weight: float


class Explainer:
    """Explains what a classifier said of single texts."""

    def __init__(self, loaded: Loaded, name: str, head: ClassifyHead, limit: int, method: Method | None) -> None:
        """``method`` None: the attention where the head has one over tokens, else the gradient; ConfigError where the
        attention is wanted and there is none, and for a method that is none.
        """
        if method not in (None, *get_args(Method)):
            raise ConfigError(f"explain: found {method!r}{nearest(str(method), get_args(Method))}")
        attends = head.attention is not None and loaded.model.encoder.stride == 1
        if method == "attention" and not attends:
            raise ConfigError(f"explain = 'attention': the head {name!r} has none over tokens (pooling = "
                              f"{head.config.pooling!r}); expected 'gradient', or True for what there is")
        self.method: Method = method or ("attention" if attends else "gradient")
        self._loaded, self._name, self._head = loaded, name, head
        reach = loaded.model.encoder.reach
        self._limit = limit if self.method == "attention" or reach is None else min(limit, reach)

    def __call__(self, text: str, label: int) -> tuple[Evidence, ...]:
        """Return the words of ``text`` in their order; of several parts, each counts by its tokens."""
        source = self._loaded.source
        parts = cut_text(text, source, self._limit)
        total = sum(len(part.ids) for part in parts)
        words = split(text)
        starts, weights = [word.start for word in words], [0.0] * len(words)
        for part in parts:
            found = self._weights(part.encoding, label)
            for weight, start in zip(found, source.starts(part.text), strict=False):  # the end symbol begins nowhere
                number = bisect_right(starts, part.start + start) - 1
                if start >= 0 and number >= 0 and part.start + start < words[number].end:
                    weights[number] += weight * len(found) / total
        return tuple(Evidence(*word, weight) for word, weight in zip(words, weights, strict=True))

    def _weights(self, part: Encoding, label: int) -> list[float]:
        """One for each token of a part."""
        model, count = self._loaded.model, len(part.ids)
        training, device = model.training, next(model.parameters()).device
        batch = batch_of([part], Multiples(rows=1)).to(device)
        try:
            # cuDNN has no gradient of a recurrent network in evaluation
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _watched(self._vectors()) as seen:
                encoded = model.eval().encode(self._name, batch)
                if self.method == "attention":
                    attended = self._head.attended(encoded)
                    assert attended is not None
                    return list(attended[0, :count].tolist())
                odds = self._head.log_odds(encoded)[0, label]
                gradients = torch.autograd.grad(odds, [vectors for vectors, _ in seen])
                values = [(gradient * vectors).sum(-1)[0, before : before + count]
                          for gradient, (vectors, before) in zip(gradients, seen, strict=True)]
                return list(torch.stack(values).sum(0).tolist())
        finally:
            model.train(training)

    def _vectors(self) -> list[tuple[nn.Module, int]]:
        model = self._loaded.model
        private = model.own(self._name).private
        return [model.encoder.vectors(), *([] if private is None else [private.vectors()])]


def mean_evidence(each: Sequence[Sequence[Evidence]]) -> tuple[Evidence, ...]:
    """Return the words of a text with the means of what several explainers say of them."""
    return tuple(words[0]._replace(weight=sum(word.weight for word in words) / len(words))
                 for words in zip(*each, strict=True))


@contextmanager
def _watched(modules: Sequence[tuple[nn.Module, int]]) -> Iterator[list[tuple[Tensor, int]]]:
    """Inside, the vectors [B, N + T, D] that each module gives are kept, with its N, for a gradient."""
    seen: list[tuple[Tensor, int]] = []
    with ExitStack() as stack:
        for module, before in modules:

            def keep(_: nn.Module, inputs: object, output: Tensor, before: int = before) -> Tensor:  # noqa: ARG001
                seen.append((output.detach().requires_grad_(), before))
                return seen[-1][0]

            stack.callback(module.register_forward_hook(keep).remove)
        yield seen
