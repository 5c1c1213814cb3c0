"""What a graph is run on to be counted: how much audio one invocation takes, how often it runs, the sizes of free dimensions.

Nothing of it is guessed in silence. A model's own chunk and hop come first (`decode_chunk_len`, `chunk_shift`,
`chunk_size`), then what the user states; where neither says it, the assumption is a note beside every figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError, ModelError
from wattscribe.graph.model import Model, Value
from wattscribe.units import FRAMES_PER_S, SAMPLE_RATE_HZ

DEFAULT_SEGMENT_S = 10.0
"""Audio per invocation of an encoder that takes any length, where nothing else is asked for."""
_BATCH = ("n", "b", "batch", "batch_size", "n_audio", "bs")
_MEL_BANDS = (80, 128)
_RENAMED = ("new_{}", "next_{}", "{}_out", "{}_next", "{}_new", "{}N", "{}n")
"""How an output that replaces a state is called: icefall, NeMo, GTCRN, Silero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one invocation of an encoder takes."""

    hop_s: float
    """Audio from one invocation's start to the next one's."""
    length: int | None
    """Frames or samples to bind the input's free length to; None where the graph fixes it."""
    note: str | None = None
    """What was assumed."""


def segment_of(model: Model, *, length_s: float | None = None, calls_per_s: float | None = None) -> Segment:
    """How much audio an invocation takes and how often it runs: from metadata, else as stated, else assumed with a note.

    `length_s` binds a free input; where the graph fixes the length it is the hop, as `1 / calls_per_s` is anywhere. Raises
    InputError where it contradicts the model's own chunk, and for values that are not above zero.
    """
    for option, value in (("`chunk_ms`", length_s), ("`calls_per_s`", calls_per_s)):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} must be above 0", where=model.path)
    if not model.graph.inputs or not model.graph.outputs:
        raise ModelError("has no inputs or no outputs", where=model.path, fix="Export it again")
    first = model.graph.inputs[0]
    stated_s = None if calls_per_s is None else 1 / calls_per_s
    chunk = _chunk(model.metadata)
    if chunk is not None:
        shift, window = chunk
        hop_s = shift / FRAMES_PER_S
        if any(value is not None and abs(value - hop_s) > 1e-6 * hop_s for value in (length_s, stated_s)):
            raise InputError(
                f"the graph fixes segments of {1000 * hop_s:g} ms",
                where=model.path,
                fix="Export it with another chunk length",
            )
        return Segment(hop_s=hop_s, length=window)
    axis = time_axis(first)
    size = None if axis is None or first.shape is None else first.shape[axis]
    rate = SAMPLE_RATE_HZ if len(first.shape or ()) <= 2 else FRAMES_PER_S
    if axis is not None and not isinstance(size, int):
        seconds = DEFAULT_SEGMENT_S if length_s is None else length_s
        note = (
            None
            if length_s is not None
            else f"takes any length of audio: {seconds:g} s a call are assumed (`chunk_ms`)"
        )
        return Segment(hop_s=stated_s or seconds, length=max(1, round(seconds * rate)), note=note)
    asked_s = stated_s or length_s
    if asked_s is not None:
        return Segment(hop_s=asked_s, length=None)
    shape = ", ".join(map(str, first.shape or ()))
    if isinstance(size, int):
        seconds, what = size / rate, f"{size} {'samples' if rate == SAMPLE_RATE_HZ else 'feature frames'}"
        note = f"takes {what}: calls without overlap are assumed, {1 / seconds:g} a second (`calls_per_s`)"
        return Segment(hop_s=seconds, length=None, note=note)
    note = (
        f"does not say how often it runs (input {first.name!r} [{shape}]): one call a second is assumed (`calls_per_s`)"
    )
    return Segment(hop_s=1.0, length=None, note=note)


def _chunk(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """(feature frames from one call to the next, feature frames of a call), where the model states them.

    icefall: decode_chunk_len and T. NeMo: chunk_shift and window_size. WeNet: chunk_size encoder frames of
    subsampling_factor feature frames and the right context (sherpa-onnx's OnlineWenetCtcModel).
    """
    shift = _number(metadata, "decode_chunk_len") or _number(metadata, "chunk_shift")
    window = _number(metadata, "T") or _number(metadata, "window_size")
    if shift:
        return shift, window or shift
    size, factor = _number(metadata, "chunk_size"), _number(metadata, "subsampling_factor")
    if not size:
        return None
    if not factor:
        return size, size
    context = _number(metadata, "right_context")
    return size * factor, (size - 1) * factor + context + 1 if context else size * factor


def _number(metadata: Mapping[str, str], key: str) -> int:
    """0 where the entry is missing or no number."""
    text = metadata.get(key, "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def time_axis(value: Value) -> int | None:
    """Of an encoder's first input: frames (N, T, F) or (N, F, T), samples (N, T) or (T); None for other shapes."""
    shape = value.shape or ()
    if len(shape) in (1, 2):
        return len(shape) - 1
    if len(shape) != 3:
        return None
    last_is_time = not isinstance(shape[2], int) or shape[1] in _MEL_BANDS
    return 2 if last_is_time and isinstance(shape[1], int) else 1


def dimension(value: Value, axis: int) -> str:
    """The name under which a free dimension is bound: its own, else one that no other dimension has."""
    dim = (value.shape or ())[axis]
    return own_dimension(value, axis) if dim is None or dim == "" else str(dim)


def own_dimension(value: Value, axis: int) -> str:
    """A name for this input's dimension alone: it goes before the one that it may share."""
    return f"{value.name}[{axis}]"


def free_sizes(
    model: Model,
    length: int | None,
    *,
    encoder_frames: int | None = None,
    past_tokens: int = 1,
    given: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Free dimensions → sizes: one stream, the segment's length, metadata by name, `given` before all.

    `encoder_frames`: encoder frames that cross-attention looks at; `past_tokens`: tokens in a decoder's own cache. An unnamed
    dimension is one by itself.
    """
    given = given or {}
    sizes: dict[str, int] = {}
    inputs = model.graph.inputs
    axis = time_axis(inputs[0]) if inputs else None
    if inputs and axis is not None and length is not None and not isinstance((inputs[0].shape or ())[axis], int):
        sizes[dimension(inputs[0], axis)] = length
    for value in inputs:
        for index, dim in enumerate(value.shape or ()):
            name = dimension(value, index)
            if not isinstance(dim, int) and name not in sizes:
                sizes[name] = _size(model, value, index, encoder_frames, past_tokens)
    return {**sizes, **given}


def _size(model: Model, value: Value, axis: int, encoder_frames: int | None, past_tokens: int) -> int:
    name = dimension(value, axis)
    lowered = name.lower()
    if lowered in _BATCH or "batch" in lowered:
        return 1
    where = f"{value.name.lower()} {lowered}"
    if encoder_frames is not None and ("encoder" in where or "cross" in where):
        return encoder_frames
    if encoder_frames is not None and "past" in where:
        return past_tokens
    of_cache = f"{value.name}_dim{axis}"  # NeMo's caches, whose own names of dimensions say nothing
    return _number(model.metadata, of_cache) or _number(model.metadata, name) or 1


def states(model: Model, sizes: Mapping[str, int]) -> list[tuple[Value, tuple[int, ...]]]:
    """Inputs that an output of the same meaning replaces for the next invocation, with their bound shapes.

    By name where names say it, else by order, type and shape; an output whose dimensions are free contradicts nothing.
    """
    inputs, outputs = list(model.graph.inputs[1:]), list(model.graph.outputs[1:])
    bound: list[tuple[Value, tuple[int, ...]]] = []
    by_name = {value.name: value for value in outputs}
    pairs: list[tuple[Value, Value]] = []
    for value in inputs:
        names = [pattern.format(value.name) for pattern in _RENAMED] + [
            value.name.replace("past_key_values", "present")
        ]
        other = next((by_name[name] for name in names if name in by_name and name != value.name), None)
        if other is not None and _alike(value, other, sizes):
            pairs.append((value, other))
            del by_name[other.name]
    paired = {value.name for value, _ in pairs}
    rest = [value for value in outputs if value.name in by_name and "len" not in value.name.lower()]
    for value in inputs:
        if value.name in paired:
            continue
        other = next((candidate for candidate in rest if _alike(value, candidate, sizes)), None)
        if other is not None:
            rest.remove(other)
            pairs.append((value, other))
    for value, _ in pairs:
        shape = _bound(value, sizes)
        if None not in shape:
            bound.append((value, tuple(size for size in shape if size is not None)))
    return bound


def _alike(one: Value, other: Value, sizes: Mapping[str, int]) -> bool:
    """Same type and rank, and no known size that contradicts; a scalar is no state."""
    if one.dtype != other.dtype or not one.shape or other.shape is None or len(one.shape) != len(other.shape):
        return False
    return all(None in (a, b) or a == b for a, b in zip(_bound(one, sizes), _bound(other, sizes), strict=True))


def _bound(value: Value, sizes: Mapping[str, int]) -> Sequence[int | None]:
    return [
        dim if isinstance(dim, int) else sizes.get(dimension(value, axis)) for axis, dim in enumerate(value.shape or ())
    ]
