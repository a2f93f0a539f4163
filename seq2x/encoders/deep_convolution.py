"""A deep convolution encoder: many narrow convolutions, fewer positions from stage to stage (Conneau et al. 2017).

Made for characters (``text.kind = "characters"``), out of which words and phrases are put together; it can read any
tokens. For heads of whole texts only.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field, model_validator
from torch import Tensor, nn

from seq2x.batch import Encoded, Tokens
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.nn.convolution import Windows, pool_over_time
from seq2x.nn.dropout import VariationalDropout
from seq2x.nn.embeddings import Embedding, EmbeddingConfig
from seq2x.nn.linear import FewOutputs

Count = Annotated[int, Field(ge=1)]


class DeepConvolutionEncoderConfig(Config):
    """Nine convolutions by default; blocks = [2, 2, 2, 2] makes 17, [5, 5, 2, 2] 29 (Conneau et al. 2017, table 2)."""

    kind: Literal["deep_convolution"] = "deep_convolution"
    embedding: EmbeddingConfig = EmbeddingConfig(width=16)
    maps: tuple[Count, ...] = Field((64, 128, 256, 512), min_length=1, description="feature maps of each stage")
    blocks: tuple[Count, ...] = Field((1, 1, 1, 1), description="of two convolutions each, in each stage")
    window: int = Field(3, ge=1, description="window width in tokens")
    shortcuts: bool = Field(False, description="add what a block reads to what it gives (He et al. 2016)")
    dropout: float = Field(0.0, ge=0, lt=1, description="of whole feature maps, after every stage")

    @model_validator(mode="after")
    def _stages_agree(self) -> DeepConvolutionEncoderConfig:
        if len(self.maps) != len(self.blocks):
            raise ValueError(f"maps has {len(self.maps)} stages and blocks {len(self.blocks)}; expected as many")
        return self

    def build(self, size: int, characters: int | None) -> DeepConvolutionEncoder:
        """``size`` tokens and ``characters`` in the vocabularies."""
        return DeepConvolutionEncoder(self, size, characters)


class DeepConvolutionEncoder(Encoder):
    """``layers`` = the top stage alone; ``summary`` = the highest of each of its maps.

    Between two stages, max-pooling of width 3 halves the positions. After each convolution the maps of a position are
    normalised (Ba et al. 2016), where the paper normalises each map over the batch: here no text depends on another.
    """

    def __init__(self, config: DeepConvolutionEncoderConfig, size: int, characters: int | None) -> None:
        super().__init__()
        self.embedding = Embedding(config.embedding, size, characters)
        self.first = Windows(self.embedding.width, config.maps[0], config.window)
        stages: list[nn.ModuleList] = []
        width = config.maps[0]
        for maps, blocks in zip(config.maps, config.blocks, strict=True):
            widths = [width, *[maps] * blocks]
            stages.append(nn.ModuleList(
                _Block(inputs, maps, config.window, config.shortcuts) for inputs in widths[:-1]))
            width = maps
        self.stages = nn.ModuleList(stages)
        self.dropout = VariationalDropout(config.dropout)
        self.dims = (width,)
        self.summary_width = width
        self.stride = 2 ** (len(config.maps) - 1)

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        mask = tokens.mask
        states = self.first(self.embedding(tokens), mask)
        for number, stage in enumerate(self.stages):
            if number:
                states, mask = pool_over_time(states, mask, 3, 2, exact=not self.training)
            for block in cast(nn.ModuleList, stage):
                states = block(states, mask)
            states = self.dropout(states) * mask[..., None]
        return Encoded((states,), mask, states.amax(1))  # no map is below 0, which padding is


class _Block(nn.Module):
    """Two convolutions, each normalised and rectified: [B, T, D] -> [B, T, maps]."""

    def __init__(self, inputs: int, maps: int, window: int, shortcut: bool) -> None:
        super().__init__()
        self.windows = nn.ModuleList(Windows(width, maps, window) for width in (inputs, maps))
        self.norms = nn.ModuleList(nn.LayerNorm(maps) for _ in range(2))
        self.shortcut: nn.Module | None = None
        if shortcut:
            self.shortcut = nn.Identity() if inputs == maps else FewOutputs(inputs, maps, bias=False)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        first: Tensor = self.norms[0](self.windows[0](states, mask)).relu()
        second: Tensor = self.norms[1](self.windows[1](first, mask))
        return (second if self.shortcut is None else second + self.shortcut(states)).relu()
