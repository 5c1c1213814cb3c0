"""Give each layer's memory an input and an output of its own, for one stream.

An export for any number of streams joins the memories of all layers in one state: every segment cuts it apart, turns each part,
turns them back and joins them. States that stay bound inside the runtime need none of that: only copies go, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wattscribe.graph.editor import Editor, node
from wattscribe.graph.index import index_of, inner_names
from wattscribe.graph.inner_values import Array, InnerValues
from wattscribe.graph.model import INPUT, OPSET, OUTPUT, SHAPE, Model, Node
from wattscribe.graph.states import Cell, StateSpec, cells
from wattscribe.graph.write import encode_port, named

_RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
"""Operators that move no value."""


def for_one_stream(model: Model, feeds: Mapping[str, Array], states: Sequence[StateSpec]) -> bytes | None:
    """The model for one stream; None where no state is taken apart, or the graph is too old or holds inner graphs.

    `feeds` are the inputs of one segment. A state's cells are called `STATE/0`, `STATE/1`…, and `new_STATE/0`… when they leave.
    """
    if model.opset < OPSET or inner_names(model.graph.nodes):
        return None
    trial = InnerValues(model, feeds)
    state_cells = cells(index_of(model.graph), trial, states, feeds)
    if state_cells is None or all(cell.start == cell.state.name for cell in state_cells):
        return None
    return _Single(model, trial, states).written(state_cells)


class _Single:
    def __init__(self, model: Model, trial: InnerValues, specs: Sequence[StateSpec]) -> None:
        self._model, self._trial, self._specs = model, trial, specs
        self._editor = Editor(model)
        self._states: list[tuple[str, str, str]] = []
        """Name going in, name coming out, and the value that has its type and shape."""

    def written(self, state_cells: Sequence[Cell]) -> bytes:
        for name in dict.fromkeys(cell.state.name for cell in state_cells):
            own = [cell for cell in state_cells if cell.state.name == name]
            for index, cell in enumerate(own):
                self._cell(cell, index if len(own) > 1 or cell.start != name else None)
        self._editor.outputs -= {spec.output for spec in self._specs}
        self._editor.outputs |= {name for _, name, _ in self._states}
        return self._editor.to_bytes(self._ports())

    def _cell(self, cell: Cell, index: int | None) -> None:
        """One layer's memory as an input and an output."""
        if index is None:
            self._states.append((cell.state.name, cell.state.output, cell.state.name))
            return
        before, after = f"{cell.state.name}/{index}", f"new_{cell.state.name}/{index}"
        self._editor.use_instead(cell.start, before)
        untouched = cell.end == cell.start  # a memory that the layer has no use for
        self._editor.append(node("Identity", [before], after) if untouched else self._leaving(cell, after))
        self._states.append((before, after, cell.start))

    def _leaving(self, cell: Cell, name: str) -> Node:
        """What the layer leaves, in the shape in which it finds it."""
        shape, source = self._trial.values[cell.start].shape, cell.end
        while self._trial.values[source].shape != shape:
            before = self._editor.maker(source, *_RESHAPING)
            if before is None:
                break
            source = before.inputs[0]
        if self._trial.values[source].shape == shape:
            return node("Identity", [source], name)
        size = self._editor.add_constant(name, np.array(shape, np.int64))
        return node("Reshape", [source, size], name)

    def _ports(self) -> list[tuple[int, bytes]]:
        """Inputs and outputs; what is no state keeps a batch without a size: a known one invites fusions that change bits."""
        joined = {spec.name for spec in self._specs} | {spec.output for spec in self._specs}
        produced = {name for op in self._editor.current() for name in op.outputs}
        ports = []
        for number, raw in self._model.graph.rest:
            name = named(raw) if number in (INPUT, OUTPUT, SHAPE) else None
            if name is not None and name not in joined and (number != SHAPE or name in produced):
                ports.append((number, bytes(raw)))
        ports += [(INPUT, self._port(name, like)) for name, _, like in self._states]
        return ports + [(OUTPUT, self._port(name, like)) for _, name, like in self._states]

    def _port(self, name: str, like: str) -> bytes:
        value = self._trial.values[like]
        return encode_port(name, str(value.dtype), value.shape)
