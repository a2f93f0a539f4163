"""A pretrained encoder: any text model of Hugging Face's ``transformers`` (extra ``pretrained``), fine-tuned or frozen.

Knows no tokenizer: which id of the model each token has, it is told. The model is read from a folder or the hub when a
training begins, from safetensors only; a run directory keeps its config and, among the run's own, its weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seq2x.batch import LENGTH_MULTIPLE, ROW_MULTIPLE, Encoded, Tokens, mask_of
from seq2x.config import Config
from seq2x.encoders.base import Encoder
from seq2x.errors import ConfigError, RunError
from seq2x.nn.scalar_mix import ScalarMix

CONFIG = "config.json"
_NUMBERED = re.compile(r"\.(?:layers?|blocks?|h)\.(\d+)\.")


class PretrainedEncoderConfig(Config):
    """A model by name; its rates are factors on the optimiser's, which is the rate of everything that is new."""

    kind: Literal["pretrained"] = "pretrained"
    model: str = Field(min_length=1, description="folder of a Hugging Face model, or its name on the hub")
    layers: int | None = Field(None, ge=1, description="how many of its layers are used, from below; left out: all")
    mix: Literal["last", "scalar"] = Field(
        "last", description="last: its top layer; scalar: a learnt mixture of all, embeddings too (Peters et al. 2018)"
    )
    freeze: int = Field(0, ge=-1, description="what is not trained, from below: 1 = the embeddings, 2 = the first "
                                              "layer too ...; 0 = nothing, -1 = all")
    dropout: float | None = Field(None, ge=0, lt=1, description="inside the model; left out: as it was made with")
    window: int | None = Field(
        None, ge=8, description="tokens that it reads at once, longer texts in overlapping windows; left out: as "
                                "many as it has positions")
    rate: float = Field(0.05, gt=0, description="factor on the optimiser's rate for its top layer")
    rate_decay: float = Field(0.9, gt=0, le=1, description="factor from layer to layer downward (Howard & Ruder 2018)")

    def build(
        self, size: int, characters: int | None, *,  # noqa: ARG002 - the contract; it reads no characters
        order: Sequence[int] | None = None, opens: bool = True, folder: Path | None = None,
    ) -> PretrainedEncoder:
        """``order``: the model's id of each of ``size`` tokens (None: the same); ``opens``: reads token 2 before all.

        Without ``folder`` it comes with the weights of ``model``; ConfigError where these cannot be had. ``folder`` is
        that of a run: as :meth:`PretrainedEncoder.save` left it, with no weights that count.
        """
        model = _weighted(self) if folder is None else _bare(self, folder)
        return PretrainedEncoder(self, model, range(size) if order is None else order, opens)


class PretrainedEncoder(Encoder):
    """``layers`` = embeddings, the model's layers and, if they are mixed, the mixture; ``summary`` = the opening token.

    A model without opening token has the mean of its states as summary. A text longer than the model's window is read
    in windows that overlap by half: each token's state is that of the window in which it has most context on its
    poorer side, the summary is the mean of the windows'.
    """

    order: Tensor

    def __init__(self, config: PretrainedEncoderConfig, model: nn.Module, order: Sequence[int], opens: bool) -> None:
        super().__init__()
        self.config, self.model, self.opens = config, model, opens
        settings = cast(Any, model.config)
        rows = self.table.num_embeddings
        if max(order) >= rows:
            raise ConfigError(f"encoder.model: its tokenizer knows {max(order) + 1:,} tokens, "
                              f"it has {rows:,} embeddings")
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)
        self.depth = int(settings.num_hidden_layers)
        self.dims = (int(settings.hidden_size),) * (self.depth + 1)
        self.mix: ScalarMix | None = None
        if config.mix == "scalar":
            self.mix = ScalarMix(self.depth + 1)
            self.dims += self.dims[:1]
        self.summary_width = self.dims[0]
        self.window = _window(model, config.window)
        self.reach = None if self.window is None else self.window - opens
        self._freeze(config.freeze)

    @property
    def table(self) -> nn.Embedding:
        """The embedding table, its rows numbered as by the model."""
        return cast(nn.Embedding, cast(Any, self.model).get_input_embeddings())

    def vectors(self) -> tuple[nn.Module, int]:
        """See :class:`seq2x.encoders.base.Encoder`."""
        return self.table, int(self.opens)

    def forward(self, tokens: Tokens) -> Encoded:
        """Encode a batch; see :class:`seq2x.batch.Encoded`."""
        lengths, size = tokens.lengths, tokens.ids.shape[1]
        longest = int(lengths.max())
        ids = self.order[tokens.ids[:, :longest]]
        if self.window is None or longest + self.opens <= self.window:
            layers = self._read(ids, lengths)
        else:
            layers = self._read_in_windows(ids, lengths, self.window - self.opens)
        if self.mix is not None:
            layers.append(self.mix(layers))
        real = tokens.mask[..., None]
        states = [F.pad(layer[:, self.opens :], (0, 0, 0, size - longest)) * real for layer in layers]
        summary = layers[-1][:, 0] if self.opens else states[-1].sum(1) / lengths[:, None]
        return Encoded(tuple(states), tokens.mask, summary)

    def rate_factors(self) -> dict[str, float]:
        """``rate`` for the top layer and ``rate_decay`` times that of the layer above for every other; none for new."""
        rate, decay = self.config.rate, self.config.rate_decay
        return {name: rate * decay ** (self.depth - layer) for name, layer in self._layers_of_parameters().items()}

    def save(self, folder: Path) -> None:
        """Write the model's config.json into ``folder``, from which the run makes it anew."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(cast(Any, self.model).config.to_json_string(), encoding="utf-8")

    def _layers_of_parameters(self) -> dict[str, int]:
        """The layer of each of the model's parameters: 0 = embeddings; what belongs to none stands above all."""
        names = [f"model.{name}" for name, _ in self.model.named_parameters()]
        numbers = {name: int(found[1]) + 1 for name in names if (found := _NUMBERED.search(name))}
        if len(set(numbers.values())) != self.depth:  # layers that share their weights
            numbers = {}
        return {name: numbers.get(name, 0 if "embed" in name or "wte" in name or "wpe" in name else self.depth)
                for name in names}

    def _freeze(self, lowest: int) -> None:
        if lowest > self.depth + 1:
            raise ConfigError(f"encoder.freeze: found {lowest}; the model has {self.depth} layers and its embeddings: "
                              f"{self.depth + 1} at most, or -1 for all")
        parameters = dict(self.named_parameters())
        for name, layer in self._layers_of_parameters().items():
            if lowest == -1 or layer < lowest:
                parameters[name].requires_grad_(False)

    def _read(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        """Every layer [N, O + T, D] of ``ids`` [N, T], O = 1 for the opening token, else 0."""
        lengths = lengths + self.opens
        if self.opens:
            ids = torch.cat([self.order[2].expand(len(ids), 1), ids], dim=1)
        size = ids.shape[1]
        if not self.training:  # no state may depend on how long the others are: see seq2x.batch
            ids = F.pad(ids, (0, -size % LENGTH_MULTIPLE), value=int(self.order[0]))
        mask = mask_of(lengths, ids.shape[1])
        ids = ids.masked_fill(~mask, int(self.order[0]))
        found = self.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        return [layer[:, :size] for layer in (*found.hidden_states[:-1], found.last_hidden_state)]

    def _read_in_windows(self, ids: Tensor, lengths: Tensor, room: int) -> list[Tensor]:
        """The same for rows of which some are longer than ``room`` tokens, which a window has."""
        plan = _Plan.of(lengths.tolist(), room)
        count = len(plan.rows)
        extra = 0 if self.training else -count % ROW_MULTIPLE
        rows = torch.tensor([*plan.rows, *plan.rows[:1] * extra], device=ids.device)
        inside = [*plan.columns, *plan.columns[:1] * extra]
        sizes = torch.tensor([len(row) for row in inside], device=ids.device)
        width = int(sizes.max())
        columns = torch.tensor([row + [0] * (width - len(row)) for row in inside], device=ids.device)
        layers = self._read(ids[rows[:, None], columns], sizes)
        size = width + self.opens
        places = torch.tensor([[window * size + self.opens + column for window, column in row]
                               + [0] * (ids.shape[1] - len(row)) for row in plan.places], device=ids.device)
        owners = rows[:count]
        windows = torch.bincount(owners, minlength=len(ids))[:, None, None]
        merged = []
        for layer in layers:
            states = layer.flatten(0, 1)[places]  # [B, T, D]
            if self.opens:
                opening = layer.new_zeros(len(ids), 1, layer.shape[2]).index_add(0, owners, layer[:count, :1]) / windows
                states = torch.cat([opening, states], dim=1)
            merged.append(states)
        return merged


class _Plan(NamedTuple):
    """How the rows of a batch are cut into windows, each with the end symbol of its row, and put together again."""

    rows: list[int]
    """The row of each window."""
    columns: list[list[int]]
    """The columns of that row which the window holds."""
    places: list[list[tuple[int, int]]]
    """Of each token of each row the window, and the column in it, that its state is taken from."""

    @staticmethod
    def of(lengths: Sequence[int], room: int) -> _Plan:
        """``lengths`` of the rows, end symbols counted, of which a window has ``room``."""
        plan = _Plan([], [], [])
        for row, length in enumerate(lengths):
            windows = cut(length - 1, room - 1)
            places: list[tuple[int, int]] = []
            for number, (start, stop) in enumerate(windows):
                # half-way through the overlap, a token has as much on its left in the next as on its right in this
                until = (windows[number + 1][0] + stop) // 2 if number + 1 < len(windows) else length
                places += [(len(plan.rows), column - start) for column in range(len(places), until)]
                plan.rows.append(row)
                plan.columns.append([*range(start, stop), length - 1])
            plan.places.append(places)
        return plan


def cut(length: int, room: int) -> list[tuple[int, int]]:
    """Return windows (start, stop) over ``length`` tokens, evenly spread, that overlap by half of ``room`` or more."""
    if length <= room:
        return [(0, length)]
    steps = -(-(length - room) // max(1, room // 2))
    return [(start, start + room) for start in (step * (length - room) // steps for step in range(steps + 1))]


def _window(model: nn.Module, wanted: int | None) -> int | None:
    """The tokens that the model reads at once, opening and end counted; None = any number."""
    found = [int(getattr(model.config, "max_position_embeddings", None) or 0)]
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name:  # those of RoBERTa begin behind that of padding
            found.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    most = min((number for number in found if number > 0), default=None)
    if wanted is not None and most is not None and wanted > most:
        raise ConfigError(f"encoder.window: found {wanted}; the model has {most} positions")
    size = wanted or most
    # so that a window of any size is padded to one that is in reach
    return size if size is None or size < LENGTH_MULTIPLE else size - size % LENGTH_MULTIPLE


def _weighted(config: PretrainedEncoderConfig) -> nn.Module:
    """The model with its weights, as ``config`` wants it; ConfigError where one is missing."""
    transformers = _library()
    try:
        settings = transformers.AutoConfig.from_pretrained(config.model)
        _adapt(settings, config)
        with _quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                config.model, config=settings, attn_implementation="eager", dtype=torch.float32, use_safetensors=True,
                output_loading_info=True, ignore_mismatched_sizes=True)  # in the report, and refused below
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(f"encoder.model: found {config.model!r}; expected the folder of a Hugging Face model with "
                          f"safetensors weights, or a name on the hub: {reason}") from None
    model = _encoder(model)
    names = [name for name, _ in model.named_parameters()]
    used = {*names, *[f"encoder.{name}" for name in names]}  # as the whole of an encoder-decoder calls them
    what = sorted(used & set(report["missing_keys"])) or [str(key[0]) for key in report["mismatched_keys"]]
    if what:
        raise ConfigError(f"encoder.model: the weights of {config.model!r} lack {what[0]} "
                          f"({len(what)} are missing or of another size)")
    return model


def _bare(config: PretrainedEncoderConfig, folder: Path) -> nn.Module:
    """The model of a run, without weights that count: nothing is drawn or read for them."""
    transformers = _library()
    from transformers.initialization import no_init_weights

    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder / CONFIG}: no such file; the config of a pretrained model was expected")
    try:
        settings = transformers.AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / CONFIG}: not the config of a Hugging Face model: {error}") from None
    _adapt(settings, config)
    with no_init_weights():
        return _encoder(transformers.AutoModel.from_config(settings, attn_implementation="eager", dtype=torch.float32))


def _adapt(settings: Any, config: PretrainedEncoderConfig) -> None:
    """Write what ``config`` wants otherwise into the model's own settings."""
    if config.layers is not None:
        if config.layers > settings.num_hidden_layers:
            raise ConfigError(f"encoder.layers: found {config.layers}; {config.model!r} has "
                              f"{settings.num_hidden_layers} layers")
        settings.num_hidden_layers = config.layers
        if getattr(settings, "layer_types", None):
            settings.layer_types = settings.layer_types[: config.layers]
    if config.dropout is not None:
        for name, value in settings.to_dict().items():
            if "drop" in name and isinstance(value, float):
                setattr(settings, name, config.dropout)
    settings.use_cache = False


def _encoder(model: Any) -> nn.Module:
    """What encodes: of an encoder-decoder the encoder; no pooler, whose weights no head would use."""
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return cast(nn.Module, model)


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise ConfigError("encoder.kind = 'pretrained' needs the library transformers: "
                          "pip install 'seq2x[pretrained]'") from None
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's progress bar and its report on weights of heads that are not ours: errors are raised."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
