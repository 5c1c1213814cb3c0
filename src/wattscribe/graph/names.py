"""Other names in a graph that stays what it is: short ones for onnxruntime, unique ones for a profile that is read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from wattscribe.graph import wire
from wattscribe.graph.index import inner_names
from wattscribe.graph.model import INITIALIZER, INPUT, NAME, NODE, OUTPUT, SHAPE, Graph, Model, Node
from wattscribe.graph.write import encode_tensor, encoded, model_bytes, named, to_bytes

_INPUT, _OUTPUT, _NODE_NAME = 1, 2, 3
"""NodeProto."""
_SHAPE_BYTES = 4096
"""Larger constants are weights, not shapes."""


# --- short ----------------------------------------------------------------------------------------------------------
def shortened(model: Model) -> bytes | None:
    """Inner values under short names, since onnxruntime keeps every name several times over, and exporters write long ones.

    Inputs and outputs as they were called; None where it is broken or holds inner graphs, whose names are only ever copied.
    """
    graph = model.graph
    if inner_names(graph.nodes):
        return None
    fixed = {named(raw) for number, raw in graph.rest if number in (INPUT, OUTPUT)} | {""}
    inner = [*graph.initializers, *(name for node in graph.nodes for name in node.outputs)]
    free = (name for name in map("{:x}".format, count()) if name not in fixed)
    names = {name: name for name in fixed} | {name: next(free) for name in dict.fromkeys(inner) if name not in fixed}
    if any(name not in names for node in graph.nodes for name in node.inputs):
        return None  # a broken graph: onnxruntime says by its own names what is missing
    return model_bytes(model, _fields(graph, names))


def _fields(graph: Graph, names: dict[str, str]) -> Iterator[bytes]:
    """The encoded fields of the graph; nodes lose names of their own."""
    for node in graph.nodes:
        message = memoryview(encoded(node))
        yield wire.field(NODE, _renamed(message, (_INPUT, _OUTPUT), names, without=_NODE_NAME))
    for weight in graph.initializers.values():
        yield wire.field(INITIALIZER, encode_tensor(replace(weight, name=names[weight.name])))
    for number, raw in graph.rest:
        if number in (INPUT, OUTPUT):
            yield wire.field(number, raw)
        elif number == SHAPE and named(raw) in names:
            yield wire.field(number, _renamed(raw, (1,), names))


def _renamed(message: memoryview, places: tuple[int, ...], names: dict[str, str], without: int | None = None) -> bytes:
    """The message with other names in the fields `places`."""
    return b"".join(
        wire.field(number, names[wire.text(value)] if number in places else value)
        for number, _, value in wire.fields(message)
        if number != without
    )


# --- unique ---------------------------------------------------------------------------------------------------------
def by_name(model: Model) -> dict[str, Node]:
    """Nodes by the names under which `executable` lets them run.

    Exporters name nodes; graphs written by hand often do not, and two branches may use one name twice. Only then the place is
    the name: `3` is the fourth node, `3/else_branch/0` the first node of its else branch.
    """
    return {node.name: node for node in model.graph.all_nodes()} if _is_named(model) else dict(_placed(model.graph))


def executable(model: Model) -> bytes | None:
    """What onnxruntime shall load to be profiled: the bytes of a copy in which every node has its name; None: the file itself.

    torch's exporter puts even small constants into the file beside the model; onnxruntime refuses a graph whose shapes it cannot
    read at once, so that these go inside.
    """
    inside = {
        name: tensor
        for name, tensor in model.graph.initializers.items()
        if tensor.external is not None and tensor.nbytes <= _SHAPE_BYTES
    }
    if not _is_named(model):
        named_ = _with_names(model.graph, "")
        rest = (*model.graph.rest, (NAME, memoryview(named_.name.encode())))
        return to_bytes(replace(model, graph=replace(named_, rest=rest)), named_.nodes, inside.values(), inside)
    changed = any(node.raw is None for node in model.graph.nodes)
    return to_bytes(model, model.graph.nodes, inside.values(), inside) if inside or changed else None


def _placed(graph: Graph, path: str = "") -> Iterator[tuple[str, Node]]:
    """(place, node) of the graph and of every graph inside it."""
    for index, node in enumerate(graph.nodes):
        yield f"{path}{index}", node
        for name, inner in node.subgraphs():
            yield from _placed(inner, f"{path}{index}/{name}/")


def _is_named(model: Model) -> bool:
    """Whether every node has a name that no other node has, and every graph one (onnxruntime saves inner ones without)."""
    names = [node.name for node in model.graph.all_nodes()]
    return all(names) and all(graph.name for graph in model.graph.graphs()) and len(set(names)) == len(names)


def _with_names(graph: Graph, path: str) -> Graph:
    return replace(
        graph,
        name=path or "graph",
        nodes=tuple(_with_name(node, f"{path}{index}") for index, node in enumerate(graph.nodes)),
    )


def _with_name(node: Node, place: str) -> Node:
    """Protobuf lets a later value of a field win, so the name is appended to the node's bytes and nothing is copied apart."""
    inner = {
        name: _with_names(value, f"{place}/{name}/")
        for name, value in node.attributes.items()
        if isinstance(value, Graph)
    }
    if inner:
        return replace(node, name=place, attributes={**node.attributes, **inner}, raw=None)
    return replace(node, name=place, raw=memoryview(bytes(encoded(node)) + wire.field(_NODE_NAME, place)))
