"""Workloads from a configuration's shapes alone: `arch:NAME`, no weights and no torch needed.

Each preset states where its numbers come from and the parameter count that its source gives; a test holds ours to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from wattscribe.energy.layers import Layer, attention_mix, component, conv2d, depthwise, embedding, linear, lstm, norm
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.text_files import whole
from wattscribe.units import FRAMES_PER_S

PREFIX = "arch:"
MOST_LAYERS = 1024
LONGEST_MS = 1e6
LARGEST_SIZE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Emformer:
    """torchaudio's Emformer RNN-T (Shi et al., arXiv 2010.10759): `emformer_rnnt_base`, whose LibriSpeech bundle
    (EMFORMER_RNNT_BASE_LIBRISPEECH, 4096 pieces and a blank) has 76.7 M parameters. Segment and right context count
    feature frames, the left context frames after the time reduction; the memory bank is off, as in the bundle."""

    vocab: int = 4097
    features: int = 80
    reduced: int = 128
    stride: int = 4
    layers: int = 20
    dim: int = 512
    heads: int = 8
    ffn: int = 2048
    left: int = 30
    segment: int = 16
    right: int = 4
    joiner_dim: int = 1024
    predictor_layers: int = 3
    predictor_dim: int = 512
    symbol_dim: int = 512

    def encoder(self) -> list[Layer]:
        frames_in = self.segment + self.right
        steps = ceil(frames_in / self.stride)
        layers = [linear("input", self.features, self.reduced, frames=frames_in, bias=False)]
        for index in range(self.layers):
            layers += self._block(f"layers.{index}", steps)
        return [
            *layers,
            linear("output", self.dim, self.joiner_dim, frames=steps),
            norm("norm", self.joiner_dim, frames=steps),
        ]

    def _block(self, name: str, steps: int) -> list[Layer]:
        keys = self.left + steps
        cache = Layer(weights={}, state=2 * self.left * self.dim)
        return [
            norm(f"{name}.norm_in", self.dim, frames=steps),
            linear(f"{name}.query", self.dim, self.dim, frames=steps),
            linear(f"{name}.key_value", self.dim, 2 * self.dim, frames=steps),
            attention_mix(heads_width=self.dim, queries=steps, keys=keys, heads=self.heads),
            linear(f"{name}.out", self.dim, self.dim, frames=steps),
            norm(f"{name}.ffn_norm", self.dim, frames=steps),
            linear(f"{name}.ffn_in", self.dim, self.ffn, frames=steps),
            linear(f"{name}.ffn_out", self.ffn, self.dim, frames=steps),
            norm(f"{name}.norm_out", self.dim, frames=steps),
            cache,
        ]

    def predictor(self) -> list[Layer]:
        layers = [embedding("embedding", self.vocab, self.symbol_dim), norm("norm_in", self.symbol_dim)]
        width = self.symbol_dim
        for index in range(self.predictor_layers):
            layers += lstm(f"lstm.{index}", width, self.predictor_dim, normed=True)
            width = self.predictor_dim
        return [*layers, linear("output", width, self.joiner_dim), norm("norm_out", self.joiner_dim)]

    def joiner(self) -> list[Layer]:
        return [linear("linear", self.joiner_dim, self.vocab)]

    @property
    def frames_per_segment(self) -> float:
        return self.segment / self.stride


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmTransducer:
    """The streaming LSTM RNN-T of He et al. (arXiv 1811.06621): 8 encoder layers of 2048 cells projected to 640, time
    halved after the second; predictor of 2 such layers; joint 640; 4096 word pieces. The paper gives "120 M"; ours
    counts 5 % more, because it does not say how wide its symbol embedding is. Features: 4 × 80 stacked at 30 ms."""

    vocab: int = 4097
    features: int = 320
    layers: int = 8
    hidden: int = 2048
    projection: int = 640
    reduction_after: int = 2
    segment: int = 6
    symbol_dim: int = 640
    predictor_layers: int = 2
    joiner_dim: int = 640

    def encoder(self) -> list[Layer]:
        steps, width = max(1, self.segment // 3), self.features
        layers: list[Layer] = []
        for index in range(self.layers):
            layers += lstm(f"layers.{index}", width, self.hidden, steps=steps, projection=self.projection)
            width = self.projection
            if index + 1 == self.reduction_after:
                width, steps = 2 * self.projection, max(1, steps // 2)
        return layers

    def predictor(self) -> list[Layer]:
        layers, width = [embedding("embedding", self.vocab, self.symbol_dim)], self.symbol_dim
        for index in range(self.predictor_layers):
            layers += lstm(f"lstm.{index}", width, self.hidden, projection=self.projection)
            width = self.projection
        return layers

    def joiner(self) -> list[Layer]:
        return [
            linear("encoder_projection", self.projection, self.joiner_dim),
            linear("predictor_projection", self.projection, self.joiner_dim, bias=False),
            linear("linear", self.joiner_dim, self.vocab),
        ]

    @property
    def frames_per_segment(self) -> float:
        return max(1.0, self.segment / 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformer:
    """The Conformer transducer of Gulati et al. (arXiv 2005.08100), table 1: S, 16 layers of 144, 4 heads, kernel 32, one
    LSTM of 320 in the decoder, 1000 word pieces; 10.3 M parameters in the paper. Run in segments of 32 feature frames with
    a left context of 64 frames, which changes no weight."""

    vocab: int = 1000
    features: int = 80
    layers: int = 16
    dim: int = 144
    heads: int = 4
    expansion: int = 4
    kernel: int = 32
    left: int = 64
    segment: int = 32
    symbol_dim: int = 320
    predictor_dim: int = 320
    predictor_layers: int = 1
    joiner_dim: int = 320

    def encoder(self) -> list[Layer]:
        steps, narrow = self.segment // 4, ceil(ceil(self.features / 2) / 2)
        layers = [
            conv2d("subsample.0", 1, self.dim, 3, (self.segment // 2, ceil(self.features / 2)), stride=2),
            conv2d("subsample.1", self.dim, self.dim, 3, (steps, narrow), stride=2),
            linear("subsample.out", self.dim * narrow, self.dim, frames=steps),
        ]
        for index in range(self.layers):
            layers += self._block(f"layers.{index}", steps)
        return layers

    def _block(self, name: str, steps: int) -> list[Layer]:
        keys = steps + self.left // 4
        layers: list[Layer] = []
        for part in ("ffn_first", "ffn_second"):
            layers += [
                norm(f"{name}.{part}.norm", self.dim, frames=steps),
                linear(f"{name}.{part}.in", self.dim, self.expansion * self.dim, frames=steps),
                linear(f"{name}.{part}.out", self.expansion * self.dim, self.dim, frames=steps),
            ]
        layers += [norm(f"{name}.attention.norm", self.dim, frames=steps)]
        layers += [
            linear(f"{name}.attention.{part}", self.dim, self.dim, frames=steps) for part in ("q", "k", "v", "out")
        ]
        layers += [
            linear(f"{name}.attention.position", self.dim, self.dim, frames=keys, bias=False),
            attention_mix(heads_width=self.dim, queries=steps, keys=keys, heads=self.heads),
            Layer(weights={}, state=2 * (self.left // 4) * self.dim),
            norm(f"{name}.conv.norm", self.dim, frames=steps),
            linear(f"{name}.conv.in", self.dim, 2 * self.dim, frames=steps),
            depthwise(f"{name}.conv.depthwise", self.dim, self.kernel, frames=steps),
            norm(f"{name}.conv.batch_norm", self.dim, frames=steps),
            linear(f"{name}.conv.out", self.dim, self.dim, frames=steps),
            norm(f"{name}.norm", self.dim, frames=steps),
        ]
        return layers

    def predictor(self) -> list[Layer]:
        layers, width = [embedding("embedding", self.vocab, self.symbol_dim)], self.symbol_dim
        for index in range(self.predictor_layers):
            layers += lstm(f"lstm.{index}", width, self.predictor_dim)
            width = self.predictor_dim
        return layers

    def joiner(self) -> list[Layer]:
        return [
            linear("encoder_projection", self.dim, self.joiner_dim),
            linear("predictor_projection", self.predictor_dim, self.joiner_dim, bias=False),
            linear("linear", self.joiner_dim, self.vocab),
        ]

    @property
    def frames_per_segment(self) -> float:
        return self.segment / 4


Architecture = Emformer | LstmTransducer | Conformer
PRESETS: Mapping[str, Callable[..., Architecture]] = {
    "emformer-rnnt-base": Emformer,
    "lstm-rnnt": LstmTransducer,
    "conformer-rnnt-small": Conformer,
}
_PRECISION = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


def of_arch(
    text: str, *, vocab: int | None = None, chunk_ms: float | None = None, precision: str | Mapping[str, str] = "fp32"
) -> Workload:
    """`arch:NAME` or `arch:NAME,key=value,…` → its Workload. `precision` for all components, or by component.

    Raises InputError for an unknown preset, key or precision, and for sizes below 1.
    """
    name, _, rest = text.removeprefix(PREFIX).partition(",")
    if name not in PRESETS:
        raise InputError(f"there is no architecture {name!r}", fix=f"One of: {', '.join(sorted(PRESETS))}")
    settings = _settings(name, rest)
    if vocab is not None:
        settings["vocab"] = vocab
    if chunk_ms is not None:
        if not 0 < chunk_ms <= LONGEST_MS:
            raise InputError(f"`chunk_ms` must be above 0, at most {LONGEST_MS:g}", where=f"{PREFIX}{name}")
        settings["segment"] = max(1, round(chunk_ms * FRAMES_PER_S / 1000))
    for key, value in settings.items():
        least, most = 0 if key in ("left", "right") else 1, MOST_LAYERS if "layers" in key else LARGEST_SIZE
        if not least <= value <= most:
            raise InputError(f"{key} cannot be {value}", where=f"{PREFIX}{name}", fix=f"Give {least} to {most}")
    built = PRESETS[name](**settings)
    parts = (("encoder", built.encoder()), ("predictor", built.predictor()), ("joiner", built.joiner()))
    components = tuple(
        component(part, layers, dtype=_dtype(precision, part), source=f"shapes of {PREFIX}{name}")
        for part, layers in parts
    )
    return Workload(
        name=f"{PREFIX}{name}",
        kind="transducer",
        components=components,
        segment_s=built.segment / FRAMES_PER_S,
        frames_per_segment=built.frames_per_segment,
        vocabulary=built.vocab,
        symbols_per_frame="many",
    )


def _dtype(precision: str | Mapping[str, str], part: str) -> str:
    wanted = precision if isinstance(precision, str) else precision.get(part, "fp32")
    if wanted not in _PRECISION:
        raise InputError(f"there is no precision {wanted!r}", fix=f"One of: {', '.join(_PRECISION)}")
    return _PRECISION[wanted]


def _settings(name: str, rest: str) -> dict[str, int]:
    known = {field.name for field in dataclasses.fields(PRESETS[name])}  # type: ignore[arg-type]
    settings: dict[str, int] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        number = whole(value)
        if key not in known or number is None:
            raise InputError(
                f"{item!r} is no setting of {name}", fix=f"Use key=number with one of: {', '.join(sorted(known))}"
            )
        settings[key] = number
    return settings
