"""NeMo's cache-aware streaming transducers, as its exporter and sherpa-onnx's scripts write them.

Inputs and outputs are told by their places, since names change from one exporter to the next (sherpa-onnx's
online-transducer-nemo-model.cc goes by places too). Against icefall's layout: time is the last axis, the blank is the last
token, a frame may give several tokens, and what the predictor and the joiner need is told by the encoder's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import ModelError
from wattscribe.streaming import layout
from wattscribe.streaming.layout import Port, StateSpec

SYMBOLS_PER_FRAME = 10
"""NeMo's default (GreedyRNNTInfer, max_symbols) and sherpa-onnx's constant: then the next frame is heard, whatever is left."""
_CACHES = ("cache_last_channel", "cache_last_time", "cache_last_channel_len")
"""Audio and its length come before them, frames and their number before what replaces them."""
_BEFORE = 2
_FIX = "Run it with sherpa:DIRECTORY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nemo:
    """What the encoder's metadata tell of the other two networks."""

    blank: int
    """NeMo's `vocab_size` leaves the blank out, which comes after it."""
    layers: int
    hidden: int


def is_cache_aware(inputs: Iterable[str]) -> bool:
    """Whether an encoder of these inputs is in this layout, or in one that is built on it."""
    return _CACHES[0] in set(inputs)


def is_supported(inputs: Sequence[str]) -> bool:
    """Whether this runtime takes it: nothing else is asked for, such as the language of a multilingual model."""
    return is_cache_aware(inputs) and len(inputs) == _BEFORE + len(_CACHES)


def read(metadata: Mapping[str, str], path: Path) -> Nemo:
    """Raises ModelError for an entry that is missing."""
    return Nemo(
        blank=layout.required(metadata, "vocab_size", path),
        layers=layout.required(metadata, "pred_rnn_layers", path),
        hidden=layout.required(metadata, "pred_hidden", path),
    )


def encoder_states(
    inputs: Sequence[Port], outputs: Sequence[Port], metadata: Mapping[str, str], path: Path
) -> tuple[StateSpec, ...]:
    """The three caches, their sizes as the metadata state them. Raises ModelError for another layout."""
    names = [port.name for port in inputs]
    if not is_supported(names) or len(outputs) != len(inputs) or inputs[1].dtype not in ("int64", "int32"):
        raise ModelError(f"takes {', '.join(names)}, not NeMo's audio, length and three caches", where=path, fix=_FIX)
    shapes = [
        (1, *(layout.required(metadata, f"{cache}_dim{axis}", path) for axis in (1, 2, 3))) for cache in _CACHES[:2]
    ]
    return tuple(
        _spec(port, output, shape, 0, path)
        for port, output, shape in zip(inputs[_BEFORE:], outputs[_BEFORE:], [*shapes, (1,)], strict=True)
    )


def predictor_states(
    inputs: Sequence[Port], outputs: Sequence[Port], facts: Nemo, path: Path
) -> tuple[Port, tuple[StateSpec, ...]]:
    """The input that wants the number of tokens, and the LSTM's two states. Raises ModelError for another layout."""
    if len(inputs) != _BEFORE + 2 or len(outputs) != _BEFORE + 2 or inputs[1].dtype not in ("int64", "int32"):
        names = ", ".join(port.name for port in inputs)
        raise ModelError(f"takes {names}, not NeMo's targets, their length and two states", where=path, fix=_FIX)
    shape = (facts.layers, 1, facts.hidden)
    return inputs[1], tuple(
        _spec(port, output, shape, 1, path) for port, output in zip(inputs[_BEFORE:], outputs[_BEFORE:], strict=True)
    )


def _spec(port: Port, output: Port, shape: tuple[int, ...], batch: int, path: Path) -> StateSpec:
    """A state of a stated shape. Raises ModelError where the graph contradicts it."""
    fits = len(port.shape) == len(shape) and all(
        isinstance(own, str) or own == stated for own, stated in zip(port.shape, shape, strict=True)
    )
    if not fits or port.dtype != output.dtype:
        raise ModelError(
            f"metadata say that state {port.name!r} is {list(shape)}, its input takes {list(port.shape)}",
            where=path,
            fix="Export the model again: its metadata belong to another one",
        )
    free = isinstance(port.shape[batch], str)
    return StateSpec(
        name=port.name, output=output.name, dtype=port.dtype, shape=shape, batch_axis=batch if free else None
    )
