"""Several segments of a streaming encoder in one call: every weight is read once for all of them, each answer stays as it was.

The graph is unrolled: the second copy of it takes the states that the first one hands on. What treats each frame by itself
(linear maps, norms, element-wise operators), or each row of a batch by itself, is then done once for all copies, stacked along
the first axis; what joins states and segments stays apart. Only the latency changes: a call waits for all its audio.
Maps that quantise their input as it comes take one range for all copies: there the last bit may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wattscribe.compression.levers.agreement import agree
from wattscribe.compression.levers.carried import Graph, carried
from wattscribe.compression.levers.stacking import stackable
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.levers.windows import widen
from wattscribe.compression.linears import add_constant, copied, put, sweep
from wattscribe.errors import InputError
from wattscribe.graph.index import in_order

KEY = "wattscribe_segments_per_call"
"""Metadata: the runtime needs it to end an utterance where the original would have ended it."""


def join(asked: Asked) -> None:
    """Options: count, how many segments one call takes (2 or more); unroll, also where one long segment would do the same."""
    model, options = asked.model, asked.options
    count = int(options.get("count", 2))
    if count < 2 or asked.component != "encoder":
        raise InputError(
            f"{count} segments of the {asked.component} cannot be joined", fix="Join 2 or more of the encoder"
        )
    stated = {entry.key: entry for entry in model.metadata_props}
    if KEY in stated:
        raise InputError("the encoder's segments are joined already", fix="Start from the original")
    if not {"T", "decode_chunk_len"} <= set(stated):
        raise InputError("the encoder does not state T and decode_chunk_len", fix="Leave this step away")
    taken, shift = int(stated["T"].value), int(stated["decode_chunk_len"].value)
    if options.get("unroll") or not _widened(model, count, taken, shift):
        _Unrolled(graph=carried(model), count=count, taken=taken, shift=shift).write()
        _tell(model, count, taken, shift)


def _tell(model: Any, count: int, taken: int, shift: int) -> None:
    """State the longer segment in the metadata."""
    stated = {entry.key: entry for entry in model.metadata_props}
    stated["T"].value, stated["decode_chunk_len"].value = str(taken + (count - 1) * shift), str(count * shift)
    model.metadata_props.add(key=KEY, value=str(count))


def _widened(model: Any, count: int, taken: int, shift: int) -> bool:
    """Make one long segment of them, where that can be done and answers as the original does; else leave the model alone."""
    tried = type(model)()
    tried.CopyFrom(model)
    try:
        widen(carried(tried), count, taken, shift)
    except InputError:
        return False
    _tell(tried, count, taken, shift)
    if not agree(model, tried, count):
        return False
    model.CopyFrom(tried)
    return True


def joined(model: Any) -> int:
    """How many segments a call of this encoder takes."""
    return next((int(entry.value) for entry in model.metadata_props if entry.key == KEY), 1)


@dataclass(slots=True, kw_only=True)
class _Unrolled:
    """The copies of a graph while they are written. A value is stacked (its own name), apart (name@copy), or the same for all."""

    graph: Graph
    count: int
    taken: int
    shift: int
    nodes: list[Any] = field(default_factory=list)
    stacked: set[str] = field(default_factory=set)
    made_so: set[str] = field(default_factory=set)
    """Of the stacked values those that an operator made so: what is only joined for one reader is read apart by the others."""
    apart: dict[str, list[str]] = field(default_factory=dict)
    common: set[str] = field(default_factory=set)
    """Values that all copies share: constants, and the scale of a range taken over all."""

    def write(self) -> None:
        model = self.graph.model
        self.common |= self.graph.constants
        self._inputs()
        for node in self.graph.nodes:
            self._emit(node)
        for name in (*self.graph.states.values(), *self.graph.stands_for.values()):
            self.parts(name)
        for name in self.graph.outputs:
            parts = self.parts(name)
            if name == self.graph.outputs[0]:
                self._add("Concat", parts, [name], axis=1)
            else:
                self._add("Identity", [parts[-1]], [name])
        ordered = in_order(self.nodes)
        if ordered is None:
            raise InputError(
                "the encoder's states go round in a circle once segments are joined", fix="Leave this step away"
            )
        del model.graph.value_info[:]
        put(model.graph.node, ordered)
        dims = next(
            output for output in model.graph.output if output.name == self.graph.outputs[0]
        ).type.tensor_type.shape.dim
        if dims[1].dim_value:
            dims[1].dim_value *= self.count
        sweep(model)

    def _inputs(self) -> None:
        """Each copy's window of the audio and its clock; states of the later copies are what the earlier ones hand on."""
        audio = next(value for value in self.graph.model.graph.input if value.name == self.graph.audio)
        audio.type.tensor_type.shape.dim[1].dim_value = self.taken + (self.count - 1) * self.shift
        windows = []
        for copy in range(self.count):
            ends = [self.constant([copy * self.shift]), self.constant([copy * self.shift + self.taken])]
            windows.append(f"{audio.name}@{copy}")
            self._add("Slice", [audio.name, *ends, self.constant([1])], [windows[-1]])
        self.apart[audio.name] = windows
        for name, dtype in self.graph.clocks.items():
            moved = [f"{name}@{copy}" for copy in range(self.count)]
            for copy, clock in enumerate(moved):
                passed = self.constant(np.array(copy * self.shift, dtype))
                self._add("Add", [name, passed], [clock])
            self.apart[name] = moved
        for name in self.graph.states:
            self.apart[name] = [name, *(self.handed(self.graph.states[name], copy) for copy in range(1, self.count))]

    def handed(self, value: str, copy: int) -> str:
        """What the copy before hands on of `value`: written apart, since a later part of the same call needs it."""
        return f"{value}@{copy - 1}"

    # --- nodes -------------------------------------------------------------------------------------------------------
    def _emit(self, node: Any) -> None:
        given = [name for name in node.input if name]
        if all(name in self.common for name in given):
            self.common.update(node.output)
            self.nodes.append(node)
            return
        if all(name in self.graph.prologue for name in node.output):
            self._prologue(node)
            return
        if self._together(node):
            self._stacked(node)
        else:
            self._apart(node)

    def _together(self, node: Any) -> bool:
        """Stacked where the operator allows it and it either reads weights or has a stacked input already."""
        if any(name in self.graph.prologue or name in self.graph.states for name in node.input):
            return False
        if any(name in self.graph.epilogue for name in node.output):
            return False
        wanted = any(name in self.made_so for name in node.input) or self.graph.reads_weights(node)
        return wanted and stackable(node, self.graph, self.common)

    def _prologue(self, node: Any) -> None:
        """What only reads states: the first copy computes it, the later ones take the value that it stands for."""
        outputs = [f"{name}@0" for name in node.output]
        self.nodes.append(_like(node, [self._part(name, 0) for name in node.input], outputs))
        for name, first in zip(node.output, outputs, strict=True):
            later = self.graph.stands_for.get(name)
            self.apart[name] = [first, *(self.handed(later, copy) if later else f"{name}@{copy}"
                                         for copy in range(1, self.count))]  # fmt: skip
        if not all(name in self.graph.stands_for for name in node.output):
            for copy in range(1, self.count):
                self.nodes.append(
                    _like(node, [self._part(name, copy) for name in node.input], [f"{n}@{copy}" for n in node.output])
                )

    def _stacked(self, node: Any) -> None:
        self.nodes.append(
            _like(node, [self.whole(name) for name in node.input], [self.all(name) for name in node.output])
        )
        scales = node.output[1:] if node.op_type == "DynamicQuantizeLinear" else ()
        self.common.update(scales)
        for name in node.output:
            if name not in scales:
                self.stacked.add(name)
                self.made_so.add(name)

    def _apart(self, node: Any) -> None:
        for copy in range(self.count):
            outputs = [f"{name}@{copy}" if name else "" for name in node.output]
            self.nodes.append(_like(node, [self._part(name, copy) for name in node.input], outputs))
        for name in node.output:
            self.apart[name] = [f"{name}@{copy}" for copy in range(self.count)]

    # --- values ------------------------------------------------------------------------------------------------------
    def _part(self, name: str, copy: int) -> str:
        return name if not name or name in self.common else self.parts(name)[copy]

    def parts(self, name: str) -> list[str]:
        """The value of each copy; a stacked one is split at its first use."""
        if name not in self.apart:
            parts = [f"{name}@{copy}" for copy in range(self.count)]
            sizes = {"num_outputs": self.count} if self.graph.opset >= 18 else {}
            self._add("Split", [self.all(name)], parts, axis=0, **sizes)
            self.apart[name] = parts
        return self.apart[name]

    def whole(self, name: str) -> str:
        """The stacked value; copies that are apart are joined at its first use."""
        if name and name not in self.common and name not in self.stacked:
            self._add("Concat", self.apart[name], [self.all(name)], axis=0)
            self.stacked.add(name)
        return name if not name or name in self.common else self.all(name)

    def all(self, name: str) -> str:
        """The stacked value's name: its own, so that later steps find a map by it, but for what the graph takes and gives."""
        return f"{name}@all" if name in self.graph.inputs or name in self.graph.outputs else name

    def constant(self, value: Any) -> str:
        """An int64 list, or an array, as a weight of the graph."""
        array = np.asarray(value, np.int64) if isinstance(value, list) else value
        name = f"@{array.dtype}:{array.reshape(-1).tolist()}:{array.ndim}"
        add_constant(self.graph.model, name, array)
        return name

    def _add(self, kind: str, given: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(given), list(outputs), name=f"{outputs[0]}/{kind}", **attributes))


def _like(node: Any, given: Sequence[str], outputs: Sequence[str]) -> Any:
    (new,) = copied([node])
    del new.input[:], new.output[:]
    new.input.extend(given)
    new.output.extend(outputs)
    new.name = f"{outputs[0]}/{node.op_type}"
    return new
