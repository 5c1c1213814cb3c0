"""What onnxruntime is given to run: every node with a name of its own, so that a profile can be read back, and shapes inside.

Exporters name nodes; graphs written by hand often do not, and two branches may use one name twice. Only then is the file
rewritten: protobuf lets a later value of a field win, so a name is appended to each node's bytes and nothing is copied
apart. The path is the name: `3` is the fourth node, `3/else_branch/0` the first node of its else branch.

torch's exporter puts even small constants into the file beside the model; onnxruntime refuses a graph whose shapes it cannot
read at once, so that these go inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wattscribe.onnxfile import Graph, Model, Node
from wattscribe.protobuf import field, fields, text, view

_NODE, _ATTRIBUTE, _NAME, _SUBGRAPH, _SUBGRAPHS, _GRAPH, _INITIALIZER = 1, 5, 3, 6, 11, 7, 5
_GRAPH_NAME = 2
_RAW, _EXTERNAL, _LOCATION, _TENSOR_NAME = 9, 13, 14, 8
"""Of TensorProto."""
_SHAPE_BYTES = 4096
"""Larger constants are weights, not shapes."""


def nodes(graph: Graph, path: str = "") -> Iterator[tuple[str, Node]]:
    """(path, node) of the graph and of every graph inside it."""
    for index, node in enumerate(graph.nodes):
        here = f"{path}{index}"
        yield here, node
        for name, inner in node.subgraphs():
            yield from nodes(inner, f"{here}/{name}/")


def is_named(model: Model) -> bool:
    """Whether every node has a name that no other node has, and every graph one (onnxruntime saves inner ones without)."""
    names = [node.name for _, node in nodes(model.graph)]
    return all(names) and all(graph.name for graph in model.graph.walk()) and len(set(names)) == len(names)


def by_name(model: Model) -> dict[str, Node]:
    """Nodes by the name under which `executable` lets them run."""
    if is_named(model):
        return {node.name: node for _, node in nodes(model.graph)}
    return dict(nodes(model.graph))


def executable(model: Model) -> str | bytes:
    """What onnxruntime shall load: the model's own path, or the bytes of a copy in which every node has its name."""
    inside = {
        name: tensor.array().tobytes()
        for name, tensor in model.graph.initializers.items()
        if tensor.is_external and tensor.nbytes <= _SHAPE_BYTES
    }
    if is_named(model):
        return b"".join(_model(model, inside, None)) if inside else str(model.path)
    return b"".join(_model(model, inside, ""))


# Fixed-width fields would be written back with another wire type: none of the messages rewritten here holds one.
def _model(model: Model, inside: Mapping[str, bytes], path: str | None) -> Iterator[bytes]:
    """The file's fields; `path` None: the nodes keep their names."""
    for number, _, value in fields(memoryview(model.path.read_bytes())):
        yield field(number, _graph(view(value), path, inside) if number == _GRAPH else value)


def _with_bytes(tensor: memoryview, inside: Mapping[str, bytes]) -> bytes | memoryview:
    """The tensor with its bytes in it, where `inside` has them."""
    parts = [(number, value) for number, _, value in fields(tensor)]
    name = next((text(value) for number, value in parts if number == _TENSOR_NAME), "")
    if name not in inside:
        return tensor
    kept = [field(number, value) for number, value in parts if number not in (_EXTERNAL, _LOCATION)]
    return b"".join([*kept, field(_RAW, inside[name])])


def _graph(data: memoryview, path: str | None, inside: Mapping[str, bytes] | None = None) -> bytes:
    parts: list[bytes] = []
    index = 0
    for number, _, value in fields(data):
        if number == _INITIALIZER and inside:
            value = memoryview(_with_bytes(view(value), inside))
        if number == _NODE and path is not None:
            here = f"{path}{index}"
            value = memoryview(_node(view(value), here) + field(_NAME, here))
            index += 1
        parts.append(field(number, value))
    if path is not None:
        parts.append(field(_GRAPH_NAME, path or "graph"))
    return b"".join(parts)


def _node(data: memoryview, path: str) -> bytes:
    return b"".join(
        field(number, _attribute(view(value), path) if number == _ATTRIBUTE else value)
        for number, _, value in fields(data)
    )


def _attribute(data: memoryview, path: str) -> bytes | memoryview:
    parts = [(number, value) for number, _, value in fields(data)]
    if not any(number in (_SUBGRAPH, _SUBGRAPHS) for number, _ in parts):
        return data
    name = next((text(value) for number, value in parts if number == 1), "")
    return b"".join(
        field(number, _graph(view(value), f"{path}/{name}/") if number in (_SUBGRAPH, _SUBGRAPHS) else value)
        for number, value in parts
    )
