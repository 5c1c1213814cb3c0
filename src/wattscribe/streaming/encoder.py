"""The encoder: one segment of features and the states in, frames and the next states out.

States stay inside onnxruntime: each stream owns two sets of buffers, bound once, that change places at every segment, so
that no state is copied or allocated while a stream runs. Several streams share one call where the graph's batch is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph import session
from wattscribe.streaming.encoder_layout import EncoderLayout as EncoderLayout
from wattscribe.streaming.encoder_layout import read_layout as read_layout
from wattscribe.streaming.encoder_layout import tail_for as tail_for
from wattscribe.streaming.layout import Array

Features = NDArray[np.float32]
States = tuple[Array, ...]

_KEPT_SLOTS = 4


class Encoder:
    """A loaded encoder. `frames` is what it emits per segment: what its graph states, or a trial run shows."""

    def __init__(self, net: Any, path: Path, *, streams_apart: bool = True) -> None:
        self.net = net
        self.path = path
        layout = read_layout(net, path)
        self.layout = replace(layout, batchable=layout.batchable and streams_apart)
        self._free: list[Slot] = []
        self._names = [self.layout.output, *(spec.output for spec in self.layout.states)]
        self.frames, self.dim = self._stated() or self._tried()
        overlapping = self.layout.nemo is not None  # exports that do not drop the frames that two calls share
        if self.layout.shift_frames % self.frames and not overlapping:
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
        if not same or not len(first) == len(sizes) == 3 or sizes[0] != 1:
            return None
        return (sizes[1], sizes[2]) if self.layout.nemo is None else (sizes[2], sizes[1])

    def _tried(self) -> tuple[int, int]:
        """Frames and width of a trial run. Raises ModelError where a state changes its shape."""
        features = np.zeros((1, *self.segment_shape), np.float32)
        probe = session.run_first(
            self.net, self.path, self._names, self.layout.feeds(features, [0], self.initial_states())
        )
        if probe[0].ndim != 3 or probe[0].shape[0] != 1:
            raise ModelError(f"output {self.layout.output!r} has shape {list(probe[0].shape)}", where=self.path)
        for spec, value in zip(self.layout.states, probe[1:], strict=True):
            if value.shape != spec.shape:
                raise ModelError(
                    f"state {spec.name!r} {list(spec.shape)} comes back as {list(value.shape)}",
                    where=self.path,
                    fix="Export the state with the same shape going in and out",
                )
        frames = self.layout.turned(probe[0])
        return int(frames.shape[1]), int(frames.shape[2])

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
            np.concatenate([stream[i] for stream in states], axis=spec.batch_axis)
            for i, spec in enumerate(self.layout.states)
            if spec.batch_axis is not None
        )
        outputs = session.run(self.net, self.path, self._names, self.layout.feeds(features, before, stacked))
        session.require_numbers(outputs[0], self.path)
        apart = [
            np.split(value, len(states), axis=spec.batch_axis)
            for spec, value in zip(self.layout.states, outputs[1:], strict=True)
            if spec.batch_axis is not None
        ]
        return self.layout.turned(outputs[0]), [
            tuple(np.ascontiguousarray(rows[i]) for rows in apart) for i in range(len(states))
        ]

    def noise(self, segments: int) -> tuple[Features, States]:
        """Features and states that make every path of the graph work."""
        noise = np.random.default_rng(0)
        features = noise.standard_normal((segments, *self.segment_shape)).astype(np.float32)
        states = (
            noise.standard_normal(spec.shape).astype(spec.dtype) if spec.dtype.startswith("float") else spec.zeros()
            for spec in self.layout.states
        )
        return features, tuple(states)


class Slot:
    """One stream's place in the encoder: its feature buffer, its two sets of states, its frames."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._net = encoder.net
        shape = encoder.layout
        self.features: Features = np.zeros((1, *encoder.segment_shape), np.float32)
        self._given: Array = shape.turned(self.features)
        """Features as the graph takes them, the same buffer where it takes them as they are."""
        self._frames: Array = shape.turned(np.zeros((1, encoder.frames, encoder.dim), np.float32))
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
        fixed = {shape.audio.name: self._given}
        if shape.lengths is not None:
            fixed[shape.lengths.name] = np.full(1, shape.segment_frames, shape.lengths.dtype)
        if shape.clock is not None and self._clock is not None:
            fixed[shape.clock.name] = self._clock
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy
        inputs = {name: wrap(value) for name, value in fixed.items()}
        frames, sets = wrap(self._frames), [[wrap(value) for value in states] for states in self._sets]
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
        if self._given is not self.features:
            self._given[...] = self.features.swapaxes(1, 2)
        with session.Running(self._encoder.path, "failed while running"):
            self._calls[self._now]()
        self._now = 1 - self._now
        frames: Array = self._encoder.layout.turned(self._frames)[0]
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
