"""Run an encoder once with every inner value shown: what shape each has for one segment, and which never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.streaming import session
from wattscribe.streaming.onnxfile import OnnxFile
from wattscribe.streaming.onnxwrite import INPUT, OUTPUT, encode_port, to_bytes

if TYPE_CHECKING:
    from wattscribe.streaming.encoder import Encoder, States

Array = NDArray[Any]
_RANDOM = ("RandomNormal", "RandomUniform", "Multinomial", "Bernoulli", "Dropout")


class Trial:
    """Values by name, of one run on one segment; `constants` are those that no input reaches."""

    def __init__(self, model: OnnxFile, feeds: Mapping[str, Array]) -> None:
        self._model = model
        graph = model.graph
        self._names = [name for node in graph.nodes for name in node.outputs if name]
        ports = [(INPUT, raw.tobytes()) for number, raw in graph.rest if number == INPUT]
        ports += [(OUTPUT, encode_port(name)) for name in self._names]
        plain = to_bytes(model, graph.nodes, (), frozenset(), ports)
        self._net = session.open_session(model.path, model=plain, optimised=False)
        self.values = self.run(feeds)
        self.values.update(feeds)
        self.constants = self._constants()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every inner value for these inputs."""
        found = session.run(self._net, self._model.path, self._names, feeds)
        return dict(zip(self._names, found, strict=True))

    def _constants(self) -> dict[str, Array]:
        graph = self._model.graph
        fixed: dict[str, Array] = {each.name: np.asarray(each.array()) for each in graph.initializers}
        for node in graph.nodes:
            reached = [name for name in node.inputs if name and name not in fixed]
            inner = any(hasattr(value, "nodes") for value in node.attributes.values())
            if node.op_type == "Shape" or not (reached or inner or node.op_type in _RANDOM):
                fixed.update({name: self.values[name] for name in node.outputs if name})
        self.values.update(fixed)
        return fixed


def feeds_of(encoder: Encoder, features: Array, first: int, states: Sequence[Array]) -> dict[str, Array]:
    """The encoder's inputs for features [N, T, mels] of the segments from `first` on."""
    shape, count = encoder.layout, len(features)
    feeds: dict[str, Array] = {shape.audio.name: shape.turned(features)}
    if shape.lengths is not None:
        feeds[shape.lengths.name] = np.full(count, shape.segment_frames, shape.lengths.dtype)
    if shape.clock is not None:
        feeds[shape.clock.name] = (np.arange(first, first + count) * shape.shift_frames).astype(shape.clock.dtype)
    feeds.update({spec.name: value for spec, value in zip(shape.states, states, strict=True)})
    return feeds


def noise(encoder: Encoder, segments: int) -> tuple[Array, States]:
    """Features and states that make every path of the graph work."""
    noise = np.random.default_rng(0)
    features = noise.standard_normal((segments, *encoder.segment_shape)).astype(np.float32)
    states = [
        noise.standard_normal(spec.shape).astype(spec.dtype) if spec.dtype.startswith("float") else spec.zeros()
        for spec in encoder.layout.states
    ]
    return features, tuple(states)
