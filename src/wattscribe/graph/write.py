"""Write a changed graph back to bytes; what was not changed is copied as it stood."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph import wire
from wattscribe.graph.model import (
    DTYPES,
    GRAPH,
    INITIALIZER,
    INPUT,
    NAME,
    NODE,
    OUTPUT,
    SHAPE,
    Attribute,
    Graph,
    Model,
    Node,
    Tensor,
)

_CODES = {name: code for code, (name, _) in DTYPES.items()}
_FLOAT, _INT, _STRING, _TENSOR, _GRAPH, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 5, 6, 7, 8
"""AttributeProto.AttributeType."""
_TENSOR_NAME = 8


def tensor(name: str, values: NDArray[np.generic]) -> Tensor:
    """A weight made of an array."""
    data = np.ascontiguousarray(values)
    return Tensor(name=name, dtype=str(data.dtype), shape=data.shape, raw=memoryview(data.tobytes()))


def to_bytes(
    model: Model,
    nodes: Iterable[Node],
    added: Iterable[Tensor] = (),
    dropped: Collection[str] = (),
    ports: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """The model with other nodes, some weights added and those named in `dropped` left out.

    Shapes that the file states of values stay where the value stays: some of onnxruntime's fusions, which change last bits, ask
    for them.

    `ports`: inputs and outputs to have instead of the model's own, as (INPUT or OUTPUT, ValueInfoProto).
    """
    kept = list(nodes)
    parts = [wire.field(NODE, encoded(node)) for node in kept]
    produced = {name for node in kept for name in node.outputs}
    for number, raw in model.graph.rest:
        if number == INITIALIZER and dropped and named(raw, _TENSOR_NAME) in dropped:
            continue
        stale = number in (INPUT, OUTPUT, SHAPE) if ports else number == SHAPE and named(raw) not in produced
        if not stale:
            parts.append(wire.field(number, raw))
    parts += [wire.field(INITIALIZER, encode_tensor(weight)) for weight in added]
    parts += [wire.field(number, message) for number, message in ports]
    return model_bytes(model, parts)


def model_bytes(model: Model, parts: Iterable[bytes]) -> bytes:
    """The model with the graph that these fields make up."""
    return b"".join((*model.rest, wire.field(GRAPH, b"".join(parts))))


def named(message: memoryview, field: int = 1) -> str:
    """The name in a ValueInfoProto, or in the field of another message."""
    return next((wire.text(value) for number, _, value in wire.fields(message) if number == field), "")


def encode_port(name: str, dtype: str = "", shape: Sequence[int | str] = ()) -> bytes:
    """ValueInfoProto; without a type for an output whose type the runtime infers."""
    if not dtype:
        return wire.field(1, name)
    sizes = [wire.field(1, wire.field(1 if isinstance(size, int) else 2, size)) for size in shape]
    kind = wire.field(1, _CODES[dtype]) + wire.field(2, b"".join(sizes))
    return wire.field(1, name) + wire.field(2, wire.field(1, kind))


def encoded(node: Node) -> memoryview | bytes:
    """NodeProto: as it stood, where it stays as it is."""
    return node.raw if node.raw is not None else encode_node(node)


def encode_node(node: Node) -> bytes:
    """NodeProto, made anew."""
    parts = [wire.field(1, name) for name in node.inputs]
    parts += [wire.field(2, name) for name in node.outputs]
    parts += [wire.field(3, node.name), wire.field(4, node.op_type)]
    parts += [wire.field(5, _attribute(name, value)) for name, value in node.attributes.items()]
    if node.domain:
        parts.append(wire.field(7, node.domain))
    return b"".join(parts)


def encode_tensor(value: Tensor) -> bytes:
    """TensorProto with its bytes inside."""
    data = value.data if value.data is not None or value.elements else b""
    if data is None:
        raise ValueError(f"tensor {value.name!r} has no bytes")
    dims = b"".join(wire.field(1, size) for size in value.shape)
    return dims + wire.field(2, _CODES[value.dtype]) + wire.field(_TENSOR_NAME, value.name) + wire.field(9, data)


def _attribute(name: str, value: Attribute) -> bytes:
    """AttributeProto."""
    head = wire.field(1, name)
    if isinstance(value, bool | int):
        return head + wire.field(3, int(value)) + wire.field(20, _INT)
    if isinstance(value, float):
        return head + wire.float_field(2, value) + wire.field(20, _FLOAT)
    if isinstance(value, bytes):
        return head + wire.field(4, value) + wire.field(20, _STRING)
    if isinstance(value, Tensor):
        return head + wire.field(5, encode_tensor(value)) + wire.field(20, _TENSOR)
    if isinstance(value, Graph):
        return head + wire.field(6, _graph(value)) + wire.field(20, _GRAPH)
    encoded_items, kind = [], _INTS
    for item in value:
        if isinstance(item, float):
            encoded_items.append(wire.float_field(7, item))
            kind = _FLOATS
        elif isinstance(item, bytes):
            encoded_items.append(wire.field(9, item))
            kind = _STRINGS
        elif isinstance(item, int):
            encoded_items.append(wire.field(8, int(item)))
        else:
            raise TypeError(f"attribute {name!r} holds a list of {type(item).__name__}")
    return head + b"".join(encoded_items) + wire.field(20, kind)


def _graph(graph: Graph) -> bytes:
    """GraphProto, under its own name."""
    rest = (wire.field(number, raw) for number, raw in graph.rest if number != NAME)
    return b"".join([*(wire.field(NODE, encoded(node)) for node in graph.nodes), wire.field(NAME, graph.name), *rest])
