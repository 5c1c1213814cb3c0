"""The shape of a transducer as plain facts: every width of every layer can be set, so a pruned model is a config too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from wattscribe.errors import InputError
from wattscribe.records import from_json, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """One encoder block. `conv_kernel` 0 leaves the convolution module out (a plain Emformer block)."""

    heads: int = 4
    head_width: int = 64
    feed_forward: int = 1024
    conv_kernel: int = 9
    conv_width: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """An Emformer: frames below are encoder frames of `time_stack` × 10 ms."""

    mels: int = 80
    time_stack: int = 4
    width: int = 256
    segment: int = 8
    left_context: int = 32
    right_context: int = 0
    layers: tuple[LayerConfig, ...] = (LayerConfig(),) * 8
    dropout: float = 0.05

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
    embedding: int = 256
    context: int = 2
    hidden: int = 256
    layers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinerConfig:
    """Two projections to `width`, added, an activation, an output layer; `blank_width` > 0 gives blank its own small head."""

    width: int = 256
    activation: Literal["tanh", "relu"] = "tanh"
    blank_width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransducerConfig:
    """A whole transducer. Token 0 is blank."""

    vocabulary: int = 500
    encoder: EncoderConfig = EncoderConfig()
    predictor: PredictorConfig = PredictorConfig()
    joiner: JoinerConfig = JoinerConfig()

    def __post_init__(self) -> None:
        check(self)


def check(config: TransducerConfig) -> None:
    """Refuse shapes that cannot be built, naming the field. Raises InputError."""
    encoder = config.encoder
    positive = {
        "vocabulary": config.vocabulary - 1,
        "encoder.mels": encoder.mels,
        "encoder.width": encoder.width,
        "encoder.segment": encoder.segment,
        "encoder.layers": len(encoder.layers),
        "predictor.embedding": config.predictor.embedding,
        "predictor.context": config.predictor.context,
        "joiner.width": config.joiner.width,
    }
    for index, layer in enumerate(encoder.layers):
        place = f"encoder.layers[{index}]"
        positive |= {f"{place}.heads": layer.heads, f"{place}.head_width": layer.head_width}
        positive |= {f"{place}.feed_forward": layer.feed_forward}
        if layer.conv_kernel < 0 or layer.conv_kernel == 1 or (layer.conv_kernel and layer.conv_width < 1):
            raise InputError("the convolution needs a kernel of at least 2 and a width", where=place, fix="Or kernel 0")
    for name, value in positive.items():
        if value < 1:
            raise InputError(f"{name} is too small", fix="Give a positive number")
    if not 1 <= encoder.time_stack <= 8:
        raise InputError(f"encoder.time_stack is {encoder.time_stack}", fix="Give 1 to 8 frames of 10 ms")
    if encoder.left_context < 0 or encoder.right_context < 0:
        raise InputError("a context of the encoder is negative", fix="Give 0 or more frames")


def config_to_json(config: TransducerConfig) -> dict[str, Any]:
    """The config as plain data."""
    return dict(to_json(config))


def config_from_json(value: Mapping[str, Any]) -> TransducerConfig:
    """Plain data → config; `encoder.layers` may be a count with the layer's fields beside it (`layer = {...}`).

    Raises InputError on unknown fields and impossible values.
    """
    data = {key: dict(item) if isinstance(item, Mapping) else item for key, item in value.items()}
    encoder = data.get("encoder")
    if isinstance(encoder, dict) and isinstance(encoder.get("layers"), int):
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
    found = PRESETS[name]
    return found if vocabulary is None else replace(found, vocabulary=vocabulary)
