"""What an encoder hands from one segment to the next, taken apart: a state that holds all layers is a cell for each layer.

Inside one call the next segment's cell is what the operators between the cell's two ends make of this one's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattscribe.graph.index import Index
from wattscribe.graph.inner_values import Array, InnerValues
from wattscribe.graph.model import Node, Tensor

_MOVES = ("Cast", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that only take a value apart or turn it; a Cast where it loses nothing, which is checked."""
_DIGIT = 1024
"""Places are numbered in two digits that a float16 can hold."""


Wires = Index[Node, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """One state: zeros of `shape` (batch 1) at the start; `batch_axis` None where the graph fixes the batch to one."""

    name: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int | None

    def zeros(self, streams: int = 1) -> Array:
        shape = (streams if axis == self.batch_axis else size for axis, size in enumerate(self.shape))
        return np.zeros(tuple(shape), dtype=self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """`start` as a segment finds it, `end` as it leaves it: the same values in the same order, perhaps in other shapes."""

    state: StateSpec
    start: str
    end: str


def cells(
    wires: Wires, trial: InnerValues, states: Sequence[StateSpec], feeds: Mapping[str, Array]
) -> list[Cell] | None:
    """The cells of all states; None where a state cannot be taken apart."""
    taken_apart: list[Cell] = []
    for spec in states:
        starts = _starts(wires, trial, spec.name)
        ends = _ends(wires, spec.output, len(starts))
        if len(starts) == 1 or ends is None:
            taken_apart.append(Cell(state=spec, start=spec.name, end=spec.output))
            continue
        pairs = _paired(trial, spec, starts, ends, feeds)
        if pairs is None:
            return None
        taken_apart += pairs
    return taken_apart


def parts(wires: Wires, name: str) -> int:
    """Into how many values an input is taken apart before anything is computed with it."""
    users = wires.users.get(name, [])
    if not users or any(node.op_type not in _MOVES or node.inputs[0] != name for node in users):
        return 1
    return sum(parts(wires, output) for node in users for output in node.outputs)


def _starts(wires: Wires, trial: InnerValues, name: str) -> list[str]:
    """Where the moving ends and the computing begins."""
    users = wires.users.get(name, [])
    moves = all(
        node.op_type in _MOVES
        and node.inputs[0] == name
        and all(setting in trial.constants for setting in node.inputs[1:])
        for node in users
    )
    if not users or not moves or trial.values[name].dtype.kind != "f":
        return [name]
    return [start for node in users for output in node.outputs for start in _starts(wires, trial, output)]


def _ends(wires: Wires, name: str, count: int) -> list[str] | None:
    """The values that are joined to make the next state, where there are as many as asked for."""
    while (node := wires.maker(name)) is not None:
        if node.op_type == "Concat" and len(node.inputs) == count:
            return list(node.inputs)
        if node.op_type not in _MOVES:
            return None
        name = node.inputs[0]
    return None


def _paired(
    trial: InnerValues, spec: StateSpec, starts: Sequence[str], ends: Sequence[str], feeds: Mapping[str, Array]
) -> list[Cell] | None:
    """Match starts and ends by the places of the state that they hold, seen in a run with numbered states."""
    size = int(np.prod(spec.shape))
    numbers = np.arange(size).reshape(spec.shape)
    low, high = (
        trial.run({**feeds, spec.name: digit.astype(spec.dtype)}) for digit in (numbers % _DIGIT, numbers // _DIGIT)
    )
    places = {
        start: low[start].astype(np.int64).ravel() + _DIGIT * high[start].astype(np.int64).ravel() for start in starts
    }
    after = trial.values[spec.output].ravel()
    if sorted(np.concatenate(list(places.values())).tolist()) != list(range(size)):
        return None
    pairs = []
    for start, where in places.items():
        end = next((name for name in ends if np.array_equal(after[where], trial.values[name].ravel())), None)
        if end is None or trial.values[end].dtype != trial.values[start].dtype:
            return None
        pairs.append(Cell(state=spec, start=start, end=end))
    return pairs
