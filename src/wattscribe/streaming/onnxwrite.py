"""Write a changed ONNX graph back to bytes; what was not changed is copied as it stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wattscribe import protobuf
from wattscribe.onnxfile import DTYPES
from wattscribe.streaming.onnxfile import Attribute, Node, OnnxFile, Tensor

_CODES = {name: code for code, (name, _) in DTYPES.items()}
NODE, INITIALIZER = 1, 5
INPUT, OUTPUT, SHAPE = 11, 12, 13
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 6, 7, 8
"""AttributeProto.AttributeType."""


def tensor(name: str, values: NDArray[np.generic]) -> Tensor:
    """A weight made of an array."""
    data = np.ascontiguousarray(values)
    return Tensor(
        name=name,
        dtype=str(data.dtype),
        shape=data.shape,
        bits=data.dtype.itemsize * 8,
        data=memoryview(data.tobytes()),
    )


def to_bytes(
    model: OnnxFile,
    nodes: Sequence[Node],
    added: Sequence[Tensor],
    dropped: frozenset[str],
    ports: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """The model with other nodes, some weights added and those named in `dropped` left out.

    Shapes that the file states of values stay where the value stays: some of onnxruntime's fusions, which change last bits, ask
    for them.

    `ports`: inputs and outputs to have instead of the model's own, as (INPUT or OUTPUT, ValueInfoProto).
    """
    parts = [protobuf.field(NODE, node.raw if node.raw is not None else encode_node(node)) for node in nodes]
    made = {name for node in nodes for name in node.outputs}
    weights = iter(model.graph.initializers)
    for number, raw in model.graph.rest:
        if number == INITIALIZER and next(weights).name in dropped:
            continue
        stale = number in (INPUT, OUTPUT, SHAPE) if ports else number == SHAPE and named(raw) not in made
        if not stale:
            parts.append(protobuf.field(number, raw))
    parts += [protobuf.field(INITIALIZER, encode_tensor(each)) for each in added]
    parts += [protobuf.field(number, each) for number, each in ports]
    return b"".join((*model.rest, protobuf.field(7, b"".join(parts))))


def named(message: memoryview) -> str:
    """The name in a ValueInfoProto."""
    return next((protobuf.text(value) for number, _, value in protobuf.fields(message) if number == 1), "")


def encode_port(name: str, dtype: str = "", shape: Sequence[int | str] = ()) -> bytes:
    """ValueInfoProto; without a type for an output whose type the runtime infers."""
    if not dtype:
        return protobuf.field(1, name)
    sizes = [protobuf.field(1, protobuf.field(1 if isinstance(size, int) else 2, size)) for size in shape]
    kind = protobuf.field(1, _CODES[dtype]) + protobuf.field(2, b"".join(sizes))
    return protobuf.field(1, name) + protobuf.field(2, protobuf.field(1, kind))


def encode_node(node: Node) -> bytes:
    """NodeProto."""
    parts = [protobuf.field(1, name) for name in node.inputs]
    parts += [protobuf.field(2, name) for name in node.outputs]
    parts += [protobuf.field(3, node.name), protobuf.field(4, node.op_type)]
    parts += [protobuf.field(5, _attribute(name, value)) for name, value in node.attributes.items()]
    if node.domain:
        parts.append(protobuf.field(7, node.domain))
    return b"".join(parts)


def encode_tensor(value: Tensor) -> bytes:
    """TensorProto with its bytes inside."""
    if value.data is None:
        raise ValueError(f"tensor {value.name!r} has no bytes")
    dims = b"".join(protobuf.field(1, size) for size in value.shape)
    return dims + protobuf.field(2, _CODES[value.dtype]) + protobuf.field(8, value.name) + protobuf.field(9, value.data)


def _attribute(name: str, value: Attribute) -> bytes:
    """AttributeProto; graphs are only ever copied, never encoded."""
    head = protobuf.field(1, name)
    if isinstance(value, bool | int):
        return head + protobuf.field(3, int(value)) + protobuf.field(20, _INT)
    if isinstance(value, float):
        return head + protobuf.float_field(2, value) + protobuf.field(20, _FLOAT)
    if isinstance(value, bytes):
        return head + protobuf.field(4, value) + protobuf.field(20, _STRING)
    if isinstance(value, Tensor):
        return head + protobuf.field(5, encode_tensor(value)) + protobuf.field(20, _TENSOR)
    if isinstance(value, tuple):
        return head + _list(value)
    raise TypeError(f"attribute {name!r} holds a graph")


def _list(values: tuple[int | float | bytes, ...]) -> bytes:
    encoded, kind = [], _INTS
    for value in values:
        if isinstance(value, float):
            encoded.append(protobuf.float_field(7, value))
            kind = _FLOATS
        elif isinstance(value, bytes):
            encoded.append(protobuf.field(9, value))
            kind = _STRINGS
        else:
            encoded.append(protobuf.field(8, int(value)))
    return b"".join(encoded) + protobuf.field(20, kind)


def rewired(node: Node, names: dict[str, str]) -> Node:
    """The node with inputs renamed; the same object where none is."""
    if not any(name in names for name in node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs), raw=None)
