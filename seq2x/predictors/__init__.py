"""A trained run at work: text in, tags, labels or translations out. The only room that a user of a model needs."""

from __future__ import annotations

from seq2x.predictors.classifier import Classified, Classifier
from seq2x.predictors.tagger import Tagged, Tagger, TextSpan
from seq2x.predictors.translator import Alternative, Translation, Translator

__all__ = ["Alternative", "Classified", "Classifier", "Tagged", "Tagger", "TextSpan", "Translation", "Translator"]
