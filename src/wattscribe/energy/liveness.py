"""The most activation memory that is alive at one time: what local memory must keep free besides weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import prod

from wattscribe.energy.execute import Executed
from wattscribe.energy.operators import CONTROL, REDUCTIONS, VIEWS, is_matrix
from wattscribe.graph.model import BITS, Graph, Node


def peak_bytes(
    graph: Graph, executed: Sequence[Executed], nodes: Mapping[str, Node], constants: Collection[str]
) -> int:
    """Peak bytes over the top-level nodes in execution order: a value lives from its node to its last reader; views and
    element-wise operators share the bytes of what they change, since a compiled runtime fuses them. Inputs and outputs of
    the graph (audio, states) are counted elsewhere."""
    top = {id(node) for node in graph.nodes}
    steps = [(nodes[event.node], event) for event in executed if event.node in nodes and id(nodes[event.node]) in top]
    root: dict[str, str] = {}
    readers: Counter[str] = Counter()
    for node, event in steps:
        changed = _changed_in_place(node, event, constants)
        if changed is not None:
            root[node.outputs[0]] = root.get(changed, changed)
        for value in node.inputs:
            readers[root.get(value, value)] += 1
    alive: dict[str, int] = {}
    now = peak = 0
    for node, event in steps:
        now += _hold(node, event, root, readers, alive, constants)
        peak = max(peak, now)
        now -= _release(node, root, readers, alive)
    return peak


def _changed_in_place(node: Node, event: Executed, constants: Collection[str]) -> str | None:
    """The input whose bytes the only output can take over, or None where it needs its own."""
    if is_matrix(node.op_type) or node.op_type in REDUCTIONS or node.op_type in CONTROL or len(event.outputs) != 1:
        return None
    given = [value for value in node.inputs if value]
    if node.op_type in VIEWS:
        return given[0] if given else None
    size = prod(event.outputs[0][1])
    for value, (_, shape) in zip(given, event.inputs, strict=False):
        if value not in constants and prod(shape) == size:
            return value
    return None


def _hold(
    node: Node,
    event: Executed,
    root: Mapping[str, str],
    readers: Mapping[str, int],
    alive: dict[str, int],
    constants: Collection[str],
) -> int:
    added = 0
    names = [value for value in node.outputs if value]
    for value, (dtype, shape) in zip(names, event.outputs, strict=False):
        if value in root or value in constants or not readers[value]:
            continue
        alive[value] = prod(shape) * BITS.get(dtype, 32) // 8
        added += alive[value]
    return added


def _release(node: Node, root: Mapping[str, str], readers: Counter[str], alive: dict[str, int]) -> int:
    freed = 0
    for value in node.inputs:
        source = root.get(value, value)
        readers[source] -= 1
        if readers[source] <= 0:
            freed += alive.pop(source, 0)
    return freed
