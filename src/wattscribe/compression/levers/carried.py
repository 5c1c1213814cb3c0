"""What an encoder hands from one segment to the next, recognised by its numbers: two runs, the second with what the first left.

A state of all layers is taken apart again at the next call; where the piece that a layer finds is, bit for bit, a value that the
same layer computed at the call before, the second copy of an unrolled graph can take that value directly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.linears import Index, copied
from wattscribe.graph.inner_values import InnerValues
from wattscribe.graph.read import parse_model
from wattscribe.graph.session import open_session
from wattscribe.streaming.encoder import EncoderLayout, read_layout

Array = NDArray[Any]
MOVES = frozenset(("Identity", "Slice", "Concat", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Pad"))
"""Operators that only move values."""
_READERS = frozenset(("MatMul", "Gemm", "MatMulNBits", "MatMulInteger", "Conv", "QLinearConv", "DynamicQuantizeLinear"))
_STREAMS = 5
"""Rows of the trial runs where the batch is free: a size by which its axis is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """An encoder's graph and what two trial runs say about it."""

    model: Any
    nodes: tuple[Any, ...]
    audio: str
    inputs: frozenset[str]
    outputs: tuple[str, ...]
    states: Mapping[str, str]
    """State input → the output that replaces it."""
    clocks: Mapping[str, str]
    """Inputs that count the feature frames before, with their types."""
    constants: frozenset[str]
    values: Mapping[str, Array]
    """Of constants."""
    shapes: Mapping[str, tuple[int, ...]]
    prologue: frozenset[str]
    """Values that are pieces of states alone."""
    epilogue: frozenset[str]
    """Values that are on the way into a state and only moved there."""
    stands_for: Mapping[str, str]
    """Piece of a state → the value of the call before that it equals."""
    opset: int

    def reads_weights(self, node: Any) -> bool:
        """Whether stacking this operator's inputs saves the reading of weights."""
        weights = node.op_type == "DynamicQuantizeLinear" or any(
            name in self.values and self.values[name].ndim > 1 for name in node.input[1:]
        )
        return node.op_type in _READERS and weights


def carried(model: Any) -> Graph:
    """Look at the graph and run it twice. Raises ModelError for a graph that is no streaming encoder."""
    index, path = Index(model), Path("encoder.onnx")
    data = model.SerializeToString()
    layout = read_layout(open_session(path, model=data), path)
    states = {state.name: state.output for state in layout.states}
    values, constants = _constants(index)
    feeds = _noise(layout, 0)
    trial = InnerValues(parse_model(data, path), feeds)
    first = {name: value for name, value in trial.values.items() if name not in constants}
    second = trial.run(_noise(layout, 1, [first[output] for output in states.values()]))
    epilogue = _epilogue(index, states)
    prologue = _prologue(model, index, states, constants) - set(states.values())
    left = {name: first[name] for name in epilogue}
    return Graph(
        model=model, nodes=tuple(copied(model.graph.node)), audio=layout.audio.name,
        inputs=frozenset(value.name for value in model.graph.input), outputs=tuple(value.name for value in model.graph.output),
        states=states, clocks={} if layout.clock is None else {layout.clock.name: layout.clock.dtype},
        constants=frozenset(constants), values=values,
        shapes={**{name: value.shape for name, value in first.items()}, **{name: value.shape for name, value in values.items()}},
        prologue=frozenset(prologue), epilogue=frozenset(epilogue),
        stands_for={name: same for name in prologue if (same := _same(second[name], left)) is not None},
        opset=next(imported.version for imported in model.opset_import if imported.domain in ("", "ai.onnx")),
    )  # fmt: skip


def _constants(index: Index) -> tuple[dict[str, Array], set[str]]:
    """Values of constants, and the names of all that depends on constants alone."""
    values = {name: value for name in index.constants if (value := index.constant(name)) is not None}
    names = set(values)
    for node in index.nodes:
        if all(name in names for name in node.input if name):
            names.update(node.output)
    return values, names


def _noise(layout: EncoderLayout, seed: int, states: Sequence[Array] | None = None) -> dict[str, Array]:
    """The inputs of one call of several streams, where the graph takes several; states are noise too, where none are given."""
    generator = np.random.default_rng(seed)
    streams = _STREAMS if layout.batchable else 1
    features = generator.standard_normal((streams, layout.segment_frames, layout.feature_dim)).astype(np.float32)
    if states is None:
        zeros = [spec.zeros(streams) for spec in layout.states]
        states = [generator.standard_normal(array.shape).astype(array.dtype) for array in zeros]
    return layout.feeds(features, [0] * streams, states)


def _prologue(model: Any, index: Index, states: Mapping[str, str], constants: set[str]) -> set[str]:
    names: set[str] = set()
    for node in model.graph.node:
        given = [name for name in node.input if name and name not in constants]
        if node.op_type in (*MOVES, "Split") and given and all(name in names or name in states for name in given):
            names.update(node.output)
    return names


def _epilogue(index: Index, states: Mapping[str, str]) -> set[str]:
    names: set[str] = set()
    waiting = list(states.values())
    while waiting:
        name = waiting.pop()
        node = index.maker(name)
        if node is None or name in names:
            continue
        if node.op_type in MOVES:
            waiting.extend(source for source in node.input if index.maker(source) is not None)
        if node.op_type in MOVES or name in states.values():
            names.add(name)
    return names


def _same(value: Array, left: Mapping[str, Array]) -> str | None:
    return next(
        (name for name, array in left.items() if array.shape == value.shape and np.array_equal(array, value)), None
    )
