"""Sequence labelling, classification and translation. The public names, each loaded when it is first used.

    from seq2x import Tagger
    tagger = Tagger.load("runs/ner")
    tagger.tag("John lives in Berlin.").spans

``import seq2x`` itself imports no torch: help, ``--version`` and a wrong path answer at once (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seq2x.errors import ConfigError, DataError, RunError, Seq2xError
from seq2x.version import __version__

if TYPE_CHECKING:
    from seq2x.evaluation import Evaluation, evaluate
    from seq2x.heads import SamplingConfig, SearchConfig
    from seq2x.predictors import (
        Classified,
        Classifier,
        Constraints,
        Gazetteer,
        LanguageModel,
        Request,
        Scored,
        Tagged,
        Tagger,
        TextSpan,
        Translation,
        Translator,
    )
    from seq2x.run import Trained, train
    from seq2x.settings import RunConfig
    from seq2x.start import extract

_ROOMS = {
    "Classified": "predictors", "Classifier": "predictors", "Tagged": "predictors", "Tagger": "predictors",
    "TextSpan": "predictors", "Translation": "predictors", "Translator": "predictors",
    "Constraints": "predictors", "Gazetteer": "predictors",
    "LanguageModel": "predictors", "Scored": "predictors", "Request": "predictors",
    "Evaluation": "evaluation", "evaluate": "evaluation",
    "Trained": "run", "train": "run", "extract": "start", "RunConfig": "settings", "SearchConfig": "heads",
    "SamplingConfig": "heads",
}

__all__ = [
    "Classified", "Classifier", "ConfigError", "Constraints", "DataError", "Evaluation", "Gazetteer", "LanguageModel",
    "Request", "RunConfig", "RunError", "SamplingConfig", "Scored", "SearchConfig", "Seq2xError", "Tagged", "Tagger",
    "TextSpan", "Trained", "Translation", "Translator",
    "__version__", "evaluate", "extract", "train",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the room it lives in."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'seq2x' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"seq2x.{_ROOMS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
