"""The shape of a transducer as plain facts: every width of every layer can be set, so a pruned model is a config too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from wattscribe.errors import InputError
from wattscribe.records import from_json, to_json
from wattscribe.training.fields import Share, Some, check

MOST_LAYERS = 1024
LARGEST_SIZE = 1 << 14
"""Of a width or a context: a matrix of two such takes a gigabyte."""
Size = Annotated[int, Ge(1), Le(LARGEST_SIZE)]
SizeOrNone = Annotated[int, Ge(0), Le(LARGEST_SIZE)]
"""0 leaves the part out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """One encoder block. `conv_kernel` 0 leaves the convolution module out (a plain Emformer block)."""

    heads: Size = 4
    head_width: Size = 64
    feed_forward: Size = 1024
    conv_kernel: SizeOrNone = 9
    conv_width: SizeOrNone = 256

    def __post_init__(self) -> None:
        check(self, "model.encoder.layers")
        if self.conv_kernel == 1 or (self.conv_kernel and not self.conv_width):
            raise InputError(
                f"model.encoder.layers: a convolution of kernel {self.conv_kernel} and width {self.conv_width}",
                fix="Give a kernel of at least 2 and a width, or kernel 0",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """An Emformer: frames below are encoder frames of `time_stack` × 10 ms."""

    mels: Size = 80
    time_stack: Annotated[int, Ge(1), Le(8)] = 4
    width: Size = 256
    segment: Size = 8
    left_context: SizeOrNone = 32
    right_context: SizeOrNone = 0
    layers: Annotated[tuple[LayerConfig, ...], Some] = (LayerConfig(),) * 8
    dropout: Share = 0.05

    def __post_init__(self) -> None:
        check(self, "model.encoder")

    @property
    def segment_frames(self) -> int:
        """Feature frames by which a segment advances."""
        return self.segment * self.time_stack

    @property
    def window_frames(self) -> int:
        """Feature frames that one segment sees: itself and its right context."""
        return (self.segment + self.right_context) * self.time_stack


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorConfig:
    """`stateless`: embedding and a causal convolution over `context` tokens. `lstm`: `layers` of `hidden` cells."""

    kind: Literal["stateless", "lstm"] = "stateless"
    embedding: Size = 256
    context: Size = 2
    hidden: Size = 256
    layers: Size = 1

    def __post_init__(self) -> None:
        check(self, "model.predictor")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinerConfig:
    """Two projections to `width`, added, an activation, an output layer; `blank_width` > 0 gives blank its own small head."""

    width: Size = 256
    activation: Literal["tanh", "relu"] = "tanh"
    blank_width: SizeOrNone = 0

    def __post_init__(self) -> None:
        check(self, "model.joiner")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransducerConfig:
    """A whole transducer. Token 0 is blank."""

    vocabulary: Annotated[int, Ge(2), Le(1 << 20)] = 500
    encoder: EncoderConfig = EncoderConfig()
    predictor: PredictorConfig = PredictorConfig()
    joiner: JoinerConfig = JoinerConfig()

    def __post_init__(self) -> None:
        check(self, "model")


def config_to_json(config: TransducerConfig) -> dict[str, Any]:
    """The config as plain data."""
    return dict(to_json(config))


def config_from_json(value: Mapping[str, Any]) -> TransducerConfig:
    """Plain data → config; `encoder.layers` may be a count with the layer's fields beside it (`layer = {...}`).

    Raises InputError on unknown fields and impossible values, naming them.
    """
    data = {key: dict(item) if isinstance(item, Mapping) else item for key, item in value.items()}
    encoder = data.get("encoder")
    if isinstance(encoder, dict) and type(encoder.get("layers")) is int:
        if not 0 < encoder["layers"] <= MOST_LAYERS:
            raise InputError(f"encoder.layers = {encoder['layers']}", fix=f"Give 1 to {MOST_LAYERS}")
        encoder["layers"] = [encoder.pop("layer", {})] * encoder["layers"]
    try:
        return from_json(TransducerConfig, data)
    except TypeError as error:
        raise InputError(
            f"the model's description does not fit: {error}", fix="See docs/training.md for its fields"
        ) from error


def _uniform(count: int, **fields: int) -> tuple[LayerConfig, ...]:
    return (LayerConfig(**fields),) * count


def _causal(width: int, count: int, feed_forward: int, heads: int = 4) -> tuple[LayerConfig, ...]:
    return _uniform(
        count, heads=heads, head_width=width // heads, feed_forward=feed_forward, conv_kernel=9, conv_width=width
    )


PRESETS: Mapping[str, TransducerConfig] = {
    # The reference: 80 ms frames, 320 ms segments, 2.56 s to the left, nothing to the right.
    "reference": TransducerConfig(
        encoder=EncoderConfig(time_stack=8, segment=4, left_context=32, layers=_causal(256, 8, 768), dropout=0.0),
    ),
    "emformer-3m": TransducerConfig(
        encoder=EncoderConfig(
            width=192, segment=8, left_context=32, right_context=2,
            layers=_uniform(6, heads=4, head_width=48, feed_forward=768, conv_kernel=0),
        ),
        predictor=PredictorConfig(embedding=192), joiner=JoinerConfig(width=192),
    ),
    "emformer-10m": TransducerConfig(
        encoder=EncoderConfig(
            width=256, segment=8, left_context=32, right_context=4,
            layers=_uniform(12, heads=4, head_width=64, feed_forward=1024, conv_kernel=0),
        ),
    ),
    "emformer-25m": TransducerConfig(
        encoder=EncoderConfig(
            width=384, segment=16, left_context=30, right_context=4,
            layers=_uniform(14, heads=6, head_width=64, feed_forward=1536, conv_kernel=0),
        ),
        predictor=PredictorConfig(embedding=384), joiner=JoinerConfig(width=384),
    ),
    # 80 mels, stack 4, 20 layers of 512, feed-forward 2048, 8 heads, left 30, segment 16, right 4; LSTM predictor
    # 3 × 512 and joiner 1024 as torchaudio's emformer_rnnt_base has them.
    "emformer-rnnt-base": TransducerConfig(
        vocabulary=4097,
        encoder=EncoderConfig(
            width=512, segment=16, left_context=30, right_context=4, dropout=0.1,
            layers=_uniform(20, heads=8, head_width=64, feed_forward=2048, conv_kernel=0),
        ),
        predictor=PredictorConfig(kind="lstm", embedding=512, hidden=512, layers=3),
        joiner=JoinerConfig(width=1024, activation="relu"),
    ),
}  # fmt: skip


def preset(name: str, *, vocabulary: int | None = None) -> TransducerConfig:
    """A named shape, with another vocabulary size if given. Raises InputError for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}", fix=f"Choose one of {', '.join(PRESETS)}")
    config = PRESETS[name]
    return config if vocabulary is None else replace(config, vocabulary=vocabulary)
