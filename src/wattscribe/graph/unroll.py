"""Rewrite an encoder so that one call takes several consecutive segments of a stream, with the very bits of one call each.

A file is all there, and a layer's memory of the past is made of its own inputs alone: so a layer can be computed for several
segments before the next layer begins. Values of the segments are stacked along an axis of size 1 and each operator runs once for
all of them. Two kinds of operators run once for each segment: those that take one scale over their input (dynamic quantisation),
and the few that carry a state from one segment to the next. An operator without a rule runs once for each segment too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattscribe.graph.editor import node
from wattscribe.graph.index import index_of, inner_names, live_nodes
from wattscribe.graph.inner_values import Array, InnerValues
from wattscribe.graph.model import INPUT, OPSET, OUTPUT, Model, Node, Tensor
from wattscribe.graph.rules import RULES, Operand, Shape
from wattscribe.graph.states import Cell, StateSpec, Wires, cells
from wattscribe.graph.write import encode_port, tensor, to_bytes

_SCALED = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulIntegerToFloat")
_DOMAINS = ("", "com.microsoft", "com.microsoft.nchwc")
"""Whose operators the rules know; the last two are those of onnxruntime's own optimisation."""
_SCALING = ("Cast", "Mul")
"""What follows a product of 8-bit values, and is fused with it as long as it stays apart."""


class CannotUnroll(Exception):
    """Why the graph takes one segment at a time."""


@dataclass(slots=True)
class Copies:
    """A value for several segments. `shared`: one name for all. Else `parts`, `whole` (stacked along `axis`), or both."""

    shape: Shape
    """Of one segment."""
    shared: str | None = None
    parts: tuple[str, ...] | None = None
    whole: str | None = None
    axis: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that carry states through the segments, one segment after the other."""

    nodes: tuple[Node, ...]
    cells: tuple[Cell, ...]


def unroll(
    model: Model,
    feeds: Mapping[str, Array],
    states: Sequence[StateSpec],
    output: str,
    segments: int,
    *,
    at_most: float = 1.0,
) -> bytes:
    """The model for `segments` segments: inputs that are no states, and `output`, get a first axis of that size.

    `feeds` are the inputs of one segment; `at_most` is the share of the operators that may carry states. Raises CannotUnroll.
    """
    if model.opset < OPSET:
        raise CannotUnroll(f"it is of opset {model.opset}, older than {OPSET}")
    if inner_names(model.graph.nodes):
        raise CannotUnroll("it holds If, Loop or Scan")
    trial = InnerValues(model, feeds)
    wires = index_of(model.graph)
    state_cells = cells(wires, trial, states, feeds)
    if state_cells is None:
        raise CannotUnroll("a state cannot be taken apart into what each layer keeps")
    unroller = _Unroller(model, trial, wires, state_cells, segments)
    if len(set[int]().union(*unroller.groups)) > at_most * len(wires.nodes):
        raise CannotUnroll("most of its operators take one segment after the other")
    return unroller.written({state.name for state in states}, states, output)


class _Unroller:
    """Builds the new graph in order; `_values` says what each value of the old one has become."""

    def __init__(
        self, model: Model, trial: InnerValues, wires: Wires, state_cells: Sequence[Cell], segments: int
    ) -> None:
        self._model, self._trial, self._wires, self._segments = model, trial, wires, segments
        self._cells = state_cells
        self._makers = wires.places()
        self._nodes: list[Node] = []
        self._added: dict[str, Tensor] = {}
        self._values: dict[str, Copies] = {}
        self._scaled: set[str] = set()
        self.groups = self._groups()
        self._last: dict[str, str] = {}
        """The end of each cell after the last segment."""

    def written(self, states: set[str], specs: Sequence[StateSpec], output: str) -> bytes:
        for port in self._model.graph.inputs:
            shape = self._trial.shape(port.name)
            if port.name in states:
                self._values[port.name] = Copies(shape, shared=port.name)
            elif shape[:1] == (1,):
                self._values[port.name] = Copies(shape, whole=port.name, axis=0)
            else:
                raise CannotUnroll(f"input {port.name!r} has no axis for the segments")
        for step in self._steps():
            if isinstance(step, Group):
                self._carry(step)
            else:
                self._run(step)
        self._finish(specs, output)
        return self._bytes(states, specs, output)

    # --- order ------------------------------------------------------------------------------------------------------
    def _steps(self) -> list[Node | Group]:
        """Nodes and groups, each after everything that it needs."""
        taken = self.groups
        of = {index: group for group in taken for index in group}
        units: list[frozenset[int]] = list(
            dict.fromkeys(of.get(i, frozenset([i])) for i in range(len(self._wires.nodes)))
        )
        number = {index: place for place, unit in enumerate(units) for index in unit}
        maker = self._makers | {cell.start: self._makers[cell.end] for cell in self._cells}
        needs = [
            {number[maker[name]] for i in unit for name in self._wires.nodes[i].inputs if name in maker} - {place}
            for place, unit in enumerate(units)
        ]
        for cell in self._cells:
            if cell.start in self._makers:
                needs[number[self._makers[cell.end]]].add(number[self._makers[cell.start]])
        order, done, waiting = [], set[int](), list(range(len(units)))
        while waiting:
            ready = [place for place in waiting if needs[place] <= done]
            if not ready:
                raise CannotUnroll("two states wait for each other within a segment")
            for place in waiting:
                if needs[place] <= done:
                    order.append(place)
                    done.add(place)
            waiting = [place for place in waiting if place not in done]
        return [self._unit(units[place], units[place] in taken) for place in order]

    def _unit(self, unit: frozenset[int], group: bool) -> Node | Group:
        nodes = tuple(self._wires.nodes[i] for i in sorted(unit))
        if not group:
            return nodes[0]
        outputs = {name for op in nodes for name in op.outputs}
        return Group(nodes, tuple(cell for cell in self._cells if cell.end in outputs))

    def _groups(self) -> set[frozenset[int]]:
        """For each cell the nodes between its ends; those that share a node are one group."""
        groups: list[set[int]] = []
        for cell in self._cells:
            new = self._wires.between(cell.start, cell.end) | {self._makers[cell.end]}
            for old in [group for group in groups if group & new]:
                groups.remove(old)
                new |= old
            groups.append(new)
        return {frozenset(group) for group in groups}

    # --- values -----------------------------------------------------------------------------------------------------
    def _value(self, name: str) -> Copies:
        if name in self._values:
            return self._values[name]
        if not name:
            return Copies((), shared="")
        if name not in self._trial.constants:
            raise CannotUnroll(f"{name!r} is used before it is made")
        return Copies(self._trial.constants[name].shape, shared=self._constant(name))

    def _constant(self, name: str) -> str:
        """A value that never changes, as a weight."""
        if name in self._makers and name not in self._added:
            self._added[name] = tensor(name, self._trial.constants[name])
        return name

    def _number(self, values: Sequence[int], name: str) -> str:
        name = f"{name}/ahead/sizes"
        self._added[name] = tensor(name, np.array(values, np.int64))
        return name

    def parts(self, value: Copies) -> tuple[str, ...]:
        """The value of each segment under a name of its own."""
        if value.parts is None and value.shared is not None:
            return (value.shared,) * self._segments
        if value.parts is None:
            value.parts = tuple(f"{value.whole}/ahead/{k}" for k in range(self._segments))
            sizes = self._number([1] * self._segments, f"{value.whole}")
            split = node("Split", [f"{value.whole}", sizes], value.parts[0], axis=value.axis or 0)
            self._nodes.append(replace(split, outputs=value.parts))
        return value.parts

    def stacked(self, value: Copies, near: int | None) -> bool:
        """Stack the parts along an axis of size 1, counted from the right `near` where that is one; False: there is none."""
        if value.whole is not None or value.shared is not None:
            return True
        rank, places = len(value.shape), [i for i, size in enumerate(value.shape) if size == 1]
        if not places or value.parts is None:
            return False
        value.axis = near + rank if near is not None and near + rank in places else places[0]
        value.whole = f"{value.parts[0]}/stacked"
        self._nodes.append(node("Concat", list(value.parts), value.whole, axis=value.axis))
        return True

    # --- operators --------------------------------------------------------------------------------------------------
    def _run(self, op: Node) -> None:
        if all(name in self._trial.constants for name in op.outputs if name):
            return
        values = [self._value(name) for name in op.inputs]
        if all(value.shared is not None for value in values):
            self._nodes.append(op)
            for name in op.outputs:
                self._values[name] = Copies(self._trial.shape(name), shared=name)
        elif self._stays_apart(op, values) or not self._together(op, values):
            self._apart(op, values)

    def _stays_apart(self, op: Node, values: Sequence[Copies]) -> bool:
        """Is it part of a dynamically quantised product? Its scale is one segment's."""
        fed = [name in self._scaled for name in op.inputs]
        constant = [name in self._trial.constants or not name for name in op.inputs]
        product = all(a or b for a, b in zip(fed, constant, strict=True)) and any(fed)
        if op.op_type in _SCALED or (product and op.op_type in _SCALING):
            self._scaled.update(op.outputs)
            return True
        return product and op.op_type == "Add"

    def _together(self, op: Node, values: Sequence[Copies]) -> bool:
        """One operator for all segments, where a rule allows it."""
        rule = RULES.get(op.op_type) if op.domain in _DOMAINS else None
        outputs = [name for name in op.outputs if name]
        shapes = [self._trial.shape(name) for name in outputs]
        near = next((v.axis - len(v.shape) for v in values if v.axis is not None and v.whole is not None), None)
        if rule is None or not all(self.stacked(value, near) for value in values):
            return False
        operands = [
            Operand(v.shape, None if v.shared is not None else v.axis, self._trial.constants.get(name))
            for name, v in zip(op.inputs, values, strict=True)
        ]
        axis = rule(op, operands, shapes[0])
        if axis is None or any(shape[axis] != 1 for shape in shapes):
            return False
        names = [v.whole if v.shared is None else v.shared for v in values]
        inputs = tuple("" if name is None else name for name in names)
        if op.op_type == "Reshape":
            size = (*shapes[0][:axis], self._segments, *shapes[0][axis + 1 :])
            inputs = (inputs[0], self._number(size, f"{op.outputs[0]}/shape"))
        self._nodes.append(replace(op, inputs=inputs, raw=None))
        for name, shape in zip(outputs, shapes, strict=True):
            self._values[name] = Copies(shape, whole=name, axis=axis)
        return True

    def _apart(self, op: Node, values: Sequence[Copies]) -> None:
        """The operator once for each segment."""
        inputs = [self.parts(value) for value in values]
        for k in range(self._segments):
            self._copy(op, k, [of_segments[k] for of_segments in inputs])
        for name in op.outputs:
            if name:
                parts = tuple(f"{name}/{k}" for k in range(self._segments))
                self._values[name] = Copies(self._trial.shape(name), parts=parts)

    def _copy(self, op: Node, k: int, inputs: Sequence[str]) -> None:
        outputs = tuple(f"{name}/{k}" if name else "" for name in op.outputs)
        self._nodes.append(replace(op, inputs=tuple(inputs), outputs=outputs, name=outputs[0], raw=None))

    # --- states -----------------------------------------------------------------------------------------------------
    def _carry(self, group: Group) -> None:
        """One segment after the other: each finds what the one before has left."""
        inner = {name for op in group.nodes for name in op.outputs}
        starts = {cell.start: cell for cell in group.cells}
        before: dict[str, list[str]] = {name: [self._shared(name)] for name in starts}
        given = {
            name: self.parts(self._value(name))
            for op in group.nodes
            for name in op.inputs
            if name not in inner | set(starts)
        }
        for k in range(self._segments):
            for op in group.nodes:
                inputs = [
                    f"{name}/{k}" if name in inner else before[name][k] if name in starts else given[name][k]
                    for name in op.inputs
                ]
                self._copy(op, k, inputs)
            for name, cell in starts.items():
                before[name].append(self._turned(cell, f"{cell.end}/{k}"))
        for name in inner:
            parts = tuple(f"{name}/{k}" for k in range(self._segments))
            self._values[name] = Copies(self._trial.shape(name), parts=parts)
        for name, cell in starts.items():
            self._values[name] = Copies(self._trial.shape(name), parts=tuple(before[name][: self._segments]))
            self._last[cell.end] = f"{cell.end}/{self._segments - 1}"

    def _shared(self, name: str) -> str:
        value = self._value(name)
        if value.shared is None:
            raise CannotUnroll(f"the state {name!r} depends on the segment")
        return value.shared

    def _turned(self, cell: Cell, end: str) -> str:
        """What a segment has left, in the shape in which the next one finds it."""
        shape = self._trial.shape(cell.start)
        if shape == self._trial.shape(cell.end):
            return end
        self._nodes.append(node("Reshape", [end, self._number(shape, f"{cell.start}/shape")], f"{end}/turned"))
        return f"{end}/turned"

    def _finish(self, states: Sequence[StateSpec], output: str) -> None:
        """Outputs under their names: the frames stacked along the first axis, the states after the last segment."""
        value = self._value(output)
        if not self.stacked(value, -len(value.shape)) or value.axis != 0:
            raise CannotUnroll(f"output {output!r} is not stacked along its first axis")
        self._nodes.append(node("Identity", [f"{value.whole}"], f"{output}/out"))
        whole = {cell.end for cell in self._cells}
        for spec in states:
            if spec.output in whole:
                self._nodes.append(node("Identity", [self._last[spec.output]], f"{spec.output}/out"))
                continue
            tail = [self._wires.nodes[i] for i in sorted(self._wires.before(spec.output))]
            self._joined(live_nodes([op for op in tail if not set(op.outputs) & whole], {spec.output}))

    def _joined(self, tail: Sequence[Node]) -> None:
        """The operators that join the cells of a state, after the last segment."""
        for op in tail:
            inputs = [
                self._last.get(name, self._constant(name) if name in self._trial.constants else f"{name}/out")
                for name in op.inputs
            ]
            outputs = tuple(f"{name}/out" for name in op.outputs)
            self._nodes.append(replace(op, inputs=tuple(inputs), outputs=outputs, name=outputs[0], raw=None))

    def _bytes(self, states: set[str], specs: Sequence[StateSpec], output: str) -> bytes:
        """Outputs are `…/out`; inputs that are no states lose their sizes, which were those of one segment."""
        outputs = [f"{name}/out" for name in (output, *(spec.output for spec in specs))]
        kept = live_nodes(self._nodes, set(outputs))
        used = {name for op in kept for name in op.inputs}
        dropped = self._model.graph.initializers.keys() - used
        added = [weight for name, weight in self._added.items() if name in used]
        sizes = {name: self._trial.values[name] for name in (port.name for port in self._model.graph.inputs)}
        ports = [
            (INPUT, encode_port(name, str(v.dtype), v.shape if name in states else (self._segments, *v.shape[1:])))
            for name, v in sizes.items()
        ]
        ports += [(OUTPUT, encode_port(name)) for name in outputs]
        return to_bytes(self._model, kept, added, dropped, ports)
