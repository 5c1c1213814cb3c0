"""The encoder: one segment of features and the states in, frames and the next states out.

States stay inside onnxruntime: each stream owns two sets of buffers, bound once, that change places at every segment, so
that no state is copied or allocated while a stream runs. Several streams share one call where the graph's batch is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.streaming import layout, session
from wattscribe.streaming.features import FRAME_SHIFT_S
from wattscribe.streaming.layout import Array, Port, StateSpec

Features = NDArray[np.float32]
States = tuple[Array, ...]

_KEPT_SLOTS = 4


_SHORTEST_TAIL_S = 0.8
"""What the published zipformers of 320 ms ask for (sherpa-onnx's examples pad as much)."""
_EMISSION_DELAY_S = 0.35
"""How late after its sound a token may be emitted: what 0.8 s leave over a zipformer's segment of 45 frames."""


def tail_for(segment_frames: int) -> float:
    """Seconds of silence after an utterance with which the last sound lies in a complete segment of so many feature frames,
    wherever in a segment it falls, and its token has time to be emitted."""
    return max(_SHORTEST_TAIL_S, segment_frames * FRAME_SHIFT_S + _EMISSION_DELAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLayout:
    """What the encoder's graph and metadata say."""

    audio: Port
    lengths: Port | None
    """An input for the number of feature frames in the segment, where the export has one."""
    clock: Port | None
    """An input for the number of feature frames before the segment, where the export has one (conformer)."""
    states: tuple[StateSpec, ...]
    output: str
    segment_frames: int
    """T: feature frames that one call takes."""
    shift_frames: int
    """decode_chunk_len: feature frames from one segment's start to the next one's."""
    feature_dim: int
    batchable: bool
    segments_per_call: int = 1
    """Segments of the model as it was trained that one call takes (`wattscribe compress` joins them)."""

    @property
    def trained_segment_frames(self) -> int:
        """T of the model as it was trained."""
        return self.segment_frames - self.shift_frames + self.shift_frames // self.segments_per_call

    @property
    def tail_s(self) -> float:
        """Silence after an utterance (`tail_for`)."""
        return tail_for(self.trained_segment_frames)

    def segments_of(self, feature_frames: int) -> int:
        """Segments of the model as it was trained in an utterance of so many feature frames."""
        shift = self.shift_frames // self.segments_per_call
        return max(0, -(-(feature_frames - self.trained_segment_frames) // shift))

    def missing_frames(self, feature_frames: int) -> int:
        """Feature frames of silence after which the last call of several segments is complete."""
        calls = -(-self.segments_of(feature_frames) // self.segments_per_call)
        if self.segments_per_call == 1 or not calls:
            return 0
        return max(0, (calls - 1) * self.shift_frames + self.segment_frames + 1 - feature_frames)


def read_layout(net: Any, path: Path) -> EncoderLayout:
    """Find the audio, the states and the segment length. Raises ModelError that names what is missing or contradicts."""
    metadata: Mapping[str, str] = net.get_modelmeta().custom_metadata_map
    inputs, outputs = layout.ports(net.get_inputs(), path), layout.ports(net.get_outputs(), path)
    audio = next((p for p in inputs if len(p.shape) == 3 and p.dtype == "float32"), None)
    if audio is None:
        raise ModelError("no input takes features [batch, frames, mels]", where=path, fix="Export a streaming encoder")
    if any(p.name == "cache_last_channel" for p in inputs):
        raise ModelError(
            "is in NeMo's cache-aware layout, which this runtime does not take",
            where=path,
            fix="Run it with sherpa:DIRECTORY",
        )
    rest = [p for p in inputs if p is not audio]
    names = {p.name for p in outputs}
    extra = {
        p.name: p for p in rest if p.dtype in ("int64", "int32") and len(p.shape) == 1 and f"new_{p.name}" not in names
    }
    lengths = extra.get("x_lens")
    clock = next((p for name, p in extra.items() if "processed" in name), None)
    if clock is not None and "conformer" not in metadata.get("model_type", "conformer"):
        raise ModelError(
            f"state input {clock.name!r} {list(clock.shape)} is fed by no output",
            where=path,
            fix=f"Export it with an output new_{clock.name} of the same shape",
        )
    states = [p for p in rest if p not in (lengths, clock)]
    if not states:
        raise ModelError(
            "the encoder carries no states: it is not a streaming export", where=path, fix="Use runtime sherpa:"
        )
    batch = audio.shape[0]
    specs = layout.match_states(
        states, [p for p in outputs[1:] if "lens" not in p.name or p.name.startswith("new_")],
        batch=batch, metadata=metadata, path=path,
    )  # fmt: skip
    segment, shift = _segment(audio, metadata, path)
    feature_dim = audio.shape[2] if isinstance(audio.shape[2], int) else 80
    if metadata.get("feature") == "whisper":
        raise ModelError("takes Whisper features, which this runtime does not compute", where=path, fix="Use sherpa:")
    return EncoderLayout(
        audio=audio,
        lengths=lengths,
        clock=clock,
        states=specs,
        output=outputs[0].name,
        segment_frames=segment,
        shift_frames=shift,
        feature_dim=feature_dim,
        batchable=isinstance(batch, str) and all(spec.batch_axis is not None for spec in specs),
        segments_per_call=_joined(metadata, shift, path),
    )


def _joined(metadata: Mapping[str, str], shift: int, path: Path) -> int:
    """`wattscribe_segments_per_call`, 1 where it is not stated. Raises ModelError where it does not divide the call."""
    found = layout.number(metadata, "wattscribe_segments_per_call", path) or 1
    if found < 1 or shift % found:
        raise ModelError(f"{found} segments do not make up {shift} frames", where=path, fix="Compress the model again")
    return found


def _segment(audio: Port, metadata: Mapping[str, str], path: Path) -> tuple[int, int]:
    """T and decode_chunk_len, checked against the graph's own size and against each other."""
    stated, fixed = layout.number(metadata, "T", path), audio.shape[1]
    if stated is None and isinstance(fixed, str):
        raise ModelError("metadata 'T' is missing", where=path, fix="Export it with sherpa-onnx's metadata (T=…)")
    if stated is not None and isinstance(fixed, int) and stated != fixed:
        raise ModelError(
            f"metadata says T={stated}, but its input {audio.name!r} takes {fixed} frames",
            where=path,
            fix="Export the model again: its metadata belong to another one",
        )
    segment = stated if stated is not None else int(fixed)
    shift = layout.required(metadata, "decode_chunk_len", path)
    if shift > segment:
        raise ModelError(
            f"metadata decode_chunk_len={shift} is more than T={segment}", where=path, fix="Export it again"
        )
    return segment, shift


class Encoder:
    """A loaded encoder. `frames` is what it emits per segment: what its graph states, or a trial run shows."""

    def __init__(self, net: Any, path: Path, *, streams_apart: bool = True) -> None:
        self.net = net
        self.path = path
        found = read_layout(net, path)
        self.layout = replace(found, batchable=found.batchable and streams_apart)
        self._free: list[Slot] = []
        self._names = [self.layout.output, *(spec.output for spec in self.layout.states)]
        self.frames, self.dim = self._stated() or self._tried()
        if self.layout.shift_frames % self.frames:
            raise ModelError(
                f"metadata decode_chunk_len={self.layout.shift_frames} is no multiple of the {self.frames} frames of a call",
                where=path,
                fix="Export it again: its metadata belong to another one",
            )
        self.release(Slot(self).settled())

    def _stated(self) -> tuple[int, int] | None:
        """Frames and width, where the graph states the shapes of all its outputs and they are those of its states."""
        shapes = {port.name: tuple(port.shape) for port in self.net.get_outputs()}
        first = shapes[self.layout.output]
        sizes = [size for size in first if isinstance(size, int)]
        same = all(shapes[spec.output] == spec.shape for spec in self.layout.states)
        return (sizes[1], sizes[2]) if same and len(first) == len(sizes) == 3 and sizes[0] == 1 else None

    def _tried(self) -> tuple[int, int]:
        """Frames and width of a trial run. Raises ModelError where a state changes its shape."""
        features = np.zeros((1, *self.segment_shape), np.float32)
        probe = session.run_first(self.net, self.path, self._names, self._feeds(features, [0], self.initial_states()))
        if probe[0].ndim != 3 or probe[0].shape[0] != 1:
            raise ModelError(f"output {self.layout.output!r} has shape {list(probe[0].shape)}", where=self.path)
        for spec, value in zip(self.layout.states, probe[1:], strict=True):
            if value.shape != spec.shape:
                raise ModelError(
                    f"state {spec.name!r} {list(spec.shape)} comes back as {list(value.shape)}",
                    where=self.path,
                    fix="Export the state with the same shape going in and out",
                )
        return int(probe[0].shape[1]), int(probe[0].shape[2])

    @property
    def segment_shape(self) -> tuple[int, int]:
        return self.layout.segment_frames, self.layout.feature_dim

    def initial_states(self) -> States:
        """Zeros, as every family of exports starts."""
        return tuple(spec.zeros() for spec in self.layout.states)

    def slot(self) -> Slot:
        """Bound buffers for one stream, states zero: those of a stream that is done, where there are some."""
        try:
            slot = self._free.pop()
        except IndexError:
            return Slot(self)
        slot.clear()
        return slot

    def release(self, slot: Slot) -> None:
        """Take back the buffers of a stream that is done; a few are kept."""
        if len(self._free) < _KEPT_SLOTS:
            self._free.append(slot)

    def run(self, features: Features, before: Sequence[int], states: Sequence[States]) -> tuple[Array, list[States]]:
        """One call for several streams: features [streams, T, mels] → frames [streams, F, D] and each stream's next states."""
        stacked = tuple(
            np.concatenate([each[i] for each in states], axis=spec.batch_axis)
            for i, spec in enumerate(self.layout.states)
            if spec.batch_axis is not None
        )
        outputs = session.run(self.net, self.path, self._names, self._feeds(features, before, stacked))
        session.require_numbers(outputs[0], self.path)
        apart = [
            np.split(value, len(states), axis=spec.batch_axis)
            for spec, value in zip(self.layout.states, outputs[1:], strict=True)
            if spec.batch_axis is not None
        ]
        return outputs[0], [tuple(np.ascontiguousarray(each[i]) for each in apart) for i in range(len(states))]

    def _feeds(self, features: Features, before: Sequence[int], states: States) -> dict[str, Array]:
        feeds: dict[str, Array] = {self.layout.audio.name: features}
        for port, values in ((self.layout.lengths, [features.shape[1]] * len(before)), (self.layout.clock, before)):
            if port is not None:
                feeds[port.name] = np.array(values, dtype=port.dtype)
        feeds.update({spec.name: value for spec, value in zip(self.layout.states, states, strict=True)})
        return feeds


class Slot:
    """One stream's place in the encoder: its feature buffer, its two sets of states, its frames."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._net = encoder.net
        shape = encoder.layout
        self.features: Features = np.zeros((1, *encoder.segment_shape), np.float32)
        self._frames = np.zeros((1, encoder.frames, encoder.dim), np.float32)
        self._clock = None if shape.clock is None else np.zeros(1, shape.clock.dtype)
        self._sets = (
            list(encoder.initial_states()),
            list(encoder.initial_states()),
        )
        self._now = 0
        self._bindings = self._bind()
        self._calls = [session.bound(self._net, binding) for binding in self._bindings]

    def _bind(self) -> tuple[Any, Any]:
        """Two bindings over the same buffers: from the first set of states into the second, and back."""
        import onnxruntime

        shape = self._encoder.layout
        fixed = {shape.audio.name: self.features}
        if shape.lengths is not None:
            fixed[shape.lengths.name] = np.full(1, shape.segment_frames, shape.lengths.dtype)
        if shape.clock is not None and self._clock is not None:
            fixed[shape.clock.name] = self._clock
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy
        inputs = {name: wrap(value) for name, value in fixed.items()}
        frames, sets = wrap(self._frames), [[wrap(value) for value in each] for each in self._sets]
        bindings = (self._net.io_binding(), self._net.io_binding())
        for now, binding in enumerate(bindings):
            for name, value in inputs.items():
                binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(shape.output, frames)
            for spec, source, target in zip(shape.states, sets[now], sets[1 - now], strict=True):
                binding.bind_ortvalue_input(spec.name, source)
                binding.bind_ortvalue_output(spec.output, target)
        return bindings

    def settled(self) -> Slot:
        """After one run that leaves the session no more memory than it needs."""
        session.run_and_shrink(self._net, self._bindings[self._now], self._encoder.path)
        return self

    def run(self, before: int) -> Array:
        """Encode what lies in `features`; `before` feature frames came earlier. Returns [F, D], valid until the next run."""
        if self._clock is not None:
            self._clock[0] = before
        with session.Running(self._encoder.path, "failed while running"):
            self._calls[self._now]()
        self._now = 1 - self._now
        frames: Array = self._frames[0]
        session.require_numbers(frames, self._encoder.path)
        return frames

    @property
    def states(self) -> States:
        """A copy of the states, as a value."""
        return tuple(value.copy() for value in self._sets[self._now])

    @states.setter
    def states(self, values: States) -> None:
        for buffer, value in zip(self._sets[self._now], values, strict=True):
            buffer[...] = value

    def clear(self) -> None:
        """Zeros, as every family of exports starts."""
        for buffer in self._sets[self._now]:
            buffer.fill(0)
