"""Short names for a graph's inner values: onnxruntime keeps every name several times over, and exporters write long ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from wattscribe import protobuf
from wattscribe.streaming.editing import inner_names
from wattscribe.streaming.onnxfile import OnnxFile
from wattscribe.streaming.onnxwrite import INITIALIZER, INPUT, NODE, OUTPUT, SHAPE, encode_node, encode_tensor, named

_INPUT, _OUTPUT, _NAME = 1, 2, 3
"""NodeProto."""


def shortened(model: OnnxFile) -> bytes | None:
    """The same graph, inputs and outputs as they were called; None where it is broken or holds inner graphs, only ever copied."""
    graph = model.graph
    if any(inner_names([each]) for each in graph.nodes):
        return None
    fixed = {named(raw) for number, raw in graph.rest if number in (INPUT, OUTPUT)} | {""}
    inner = [each.name for each in graph.initializers] + [name for each in graph.nodes for name in each.outputs]
    free = (name for name in map("{:x}".format, count()) if name not in fixed)
    names = {name: name for name in fixed} | {name: next(free) for name in dict.fromkeys(inner) if name not in fixed}
    if any(name not in names for each in graph.nodes for name in each.inputs):
        return None  # a broken graph: onnxruntime says by its own names what is missing
    return b"".join((*model.rest, protobuf.field(7, b"".join(_fields(model, names)))))


def _fields(model: OnnxFile, names: dict[str, str]) -> Iterator[bytes]:
    """The encoded fields of the graph."""
    for each in model.graph.nodes:
        yield protobuf.field(NODE, _node(each.raw if each.raw is not None else memoryview(encode_node(each)), names))
    for weight in model.graph.initializers:
        yield protobuf.field(INITIALIZER, encode_tensor(replace(weight, name=names[weight.name])))
    for number, raw in model.graph.rest:
        if number in (INPUT, OUTPUT):
            yield protobuf.field(number, raw)
        elif number == SHAPE and named(raw) in names:
            yield protobuf.field(number, _renamed(raw, (1,), names))


def _node(message: memoryview, names: dict[str, str]) -> bytes:
    """A NodeProto without a name of its own."""
    return _renamed(message, (_INPUT, _OUTPUT), names, without=_NAME)


def _renamed(message: memoryview, places: tuple[int, ...], names: dict[str, str], without: int | None = None) -> bytes:
    """The message with other names in the fields `places`."""
    return b"".join(
        protobuf.field(number, names[protobuf.text(value)] if number in places else value)
        for number, _, value in protobuf.fields(message)
        if number != without
    )
