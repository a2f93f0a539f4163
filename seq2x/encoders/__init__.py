"""Encoders: Tokens in, Encoded out. The union below is the whole list of choices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seq2x.encoders.bag import BagEncoderConfig
from seq2x.encoders.base import Encoder
from seq2x.encoders.convolution import ConvolutionEncoderConfig
from seq2x.encoders.deep_convolution import DeepConvolutionEncoderConfig
from seq2x.encoders.pretrained import PretrainedEncoderConfig
from seq2x.encoders.recurrent import RecurrentEncoderConfig
from seq2x.encoders.transformer import TransformerEncoderConfig

EncoderConfig = Annotated[
    RecurrentEncoderConfig | ConvolutionEncoderConfig | DeepConvolutionEncoderConfig | TransformerEncoderConfig
    | PretrainedEncoderConfig | BagEncoderConfig,
    Field(discriminator="kind"),
]
PrivateEncoderConfig = Annotated[
    RecurrentEncoderConfig | ConvolutionEncoderConfig | TransformerEncoderConfig, Field(discriminator="kind")
]
"""Those that a task may have of its own: each is small, and learns all of what it knows."""

__all__ = [
    "BagEncoderConfig", "ConvolutionEncoderConfig", "DeepConvolutionEncoderConfig", "Encoder", "EncoderConfig",
    "PretrainedEncoderConfig", "PrivateEncoderConfig", "RecurrentEncoderConfig", "TransformerEncoderConfig",
]
