"""Heads: Encoded in; a loss, scores or predictions out. The union below is the whole list of choices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seq2x.heads.base import Head, Outputs
from seq2x.heads.classify import ClassifyHeadConfig
from seq2x.heads.language_model import AuxiliaryConfig, LanguageModelHeadConfig
from seq2x.heads.outputs import SamplingConfig, SearchConfig
from seq2x.heads.tag import TagHeadConfig
from seq2x.heads.translate import TranslateHeadConfig

HeadConfig = Annotated[
    ClassifyHeadConfig | TagHeadConfig | TranslateHeadConfig | LanguageModelHeadConfig, Field(discriminator="kind")
]

__all__ = [
    "AuxiliaryConfig", "ClassifyHeadConfig", "Head", "HeadConfig", "LanguageModelHeadConfig", "Outputs",
    "SamplingConfig", "SearchConfig", "TagHeadConfig", "TranslateHeadConfig",
]
