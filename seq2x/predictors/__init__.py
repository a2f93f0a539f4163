"""A trained run at work: text in; tags, labels, translations, probabilities out. All that a user of a model needs."""

from __future__ import annotations

from seq2x.predictors.classifier import Classified, Classifier
from seq2x.predictors.constraints import Constraints, Gazetteer
from seq2x.predictors.language_model import LanguageModel, Scored
from seq2x.predictors.tagged import Reading, Tagged, TextSpan
from seq2x.predictors.tagger import Tagger
from seq2x.predictors.translated import Alternative, Attention, Translation
from seq2x.predictors.translator import Translator
from seq2x.predictors.wording import Request

__all__ = [
    "Alternative", "Attention", "Classified", "Classifier", "Constraints", "Gazetteer", "LanguageModel", "Reading",
    "Request", "Scored", "Tagged", "Tagger", "TextSpan", "Translation", "Translator",
]
