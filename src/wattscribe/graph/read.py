"""An ONNX file as a `Model`, read without the onnx package. The file is mapped into memory, so that weights stay on disk."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path

from wattscribe import as_file
from wattscribe.errors import ModelError
from wattscribe.graph import wire
from wattscribe.graph.index import in_order
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
    Dimension,
    External,
    Graph,
    Model,
    Node,
    Tensor,
    Value,
)
from wattscribe.text_files import whole

ORT_MARK = b"ORTM"
"""Bytes 4 to 7 of a file in onnxruntime's own format (a FlatBuffer with this identifier, core/flatbuffers/schema/ort.fbs)."""

_MOST_DIMENSIONS = 32
"""numpy 1.26's own."""
_MOST_ELEMENTS = 1 << 40
_NO_ATTRIBUTE: Mapping[int, Attribute] = {1: 0.0, 2: 0, 3: b""}
"""What stands for a value that was not written, by AttributeProto.AttributeType."""


def read_model(path: Path) -> Model:
    """Parse `path`. Raises ModelError when it is missing or not a whole ONNX model, or when weights beside it are not whole."""
    path = Path(path)
    data: mmap.mmap | bytes = b""
    try:
        with as_file.open_bytes(path) as file:
            if file.read(1):
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelError("there is no such file", where=path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"cannot be read: {reason}", where=path, fix="Check the path and its permissions") from None
    return parse_model(data, path)


def parse_model(data: bytes | mmap.mmap, path: Path) -> Model:
    """The model in `data`; `path` tells where external weights lie and is named in errors."""
    if data[4:8] == ORT_MARK:
        raise not_onnx_but_ort(path)
    try:
        model = _model(memoryview(data), path)
    except RecursionError:
        raise _not_onnx(path, "its graphs are nested too deeply") from None
    except ValueError as error:
        raise _not_onnx(path, str(error)) from None
    if model is None:
        raise _not_onnx(path, "it holds no graph")
    return model


def parse_node(message: bytes) -> Node:
    """One NodeProto by itself; its weights lie inside it."""
    return _node(memoryview(message), Path("node"))


def shapes(graph: Graph) -> dict[str, tuple[Dimension, ...]]:
    """The shapes that the file states, of inputs, outputs, weights and inner values; () where it states a value without one."""
    inner = (_value(raw) for number, raw in graph.rest if number == SHAPE)
    stated = {port.name: port.shape or () for port in (*inner, *graph.inputs, *graph.outputs)}
    return stated | {name: weight.shape for name, weight in graph.initializers.items()}


def not_onnx_but_ort(path: Path) -> ModelError:
    """What is said of an .ort file where its graph is to be read or changed."""
    return ModelError(
        "is in onnxruntime's own format (.ort): it runs, but its graph cannot be counted or changed",
        where=path,
        fix="Give the .onnx file that it was made of",
    )


def _not_onnx(path: Path, reason: str) -> ModelError:
    fix = "Export or download the file again; a Git LFS pointer is not the model"
    return ModelError(f"is not a whole ONNX model ({reason})", where=path, fix=fix)


def _check_shape(dims: Sequence[int]) -> None:
    """Raises WireError for a weight whose shape no memory holds, or none can have."""
    if any(size < 0 for size in dims) or len(dims) > _MOST_DIMENSIONS or prod(dims) > _MOST_ELEMENTS:
        raise wire.WireError(f"a weight is of the shape {[*dims[:_MOST_DIMENSIONS]]}")


def _check_order(nodes: Sequence[Node]) -> None:
    """Raises WireError where a value of a graph is made twice or out of itself: whoever follows it would never arrive."""
    maker: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.outputs:
            if name and maker.setdefault(name, index) != index:
                raise wire.WireError(f"two operators make the value {name[:40]!r}")
    if in_order(nodes) is None:
        raise wire.WireError("a value is made out of itself")


# --- messages -------------------------------------------------------------------------------------------------------
def _pair(message: memoryview) -> tuple[wire.Value | None, wire.Value | None]:
    values: dict[int, wire.Value] = {number: value for number, _, value in wire.fields(message)}
    return values.get(1), values.get(2)


def _entry(message: memoryview) -> tuple[str, str]:
    """StringStringEntryProto."""
    key, text = (None if value is None else wire.text(value) for value in _pair(message))
    return key or "", text or ""


def _model(data: memoryview, path: Path) -> Model | None:
    graph: Graph | None = None
    ir_version = 0
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    functions: list[str] = []
    rest: list[bytes] = []
    for number, _, value in wire.fields(data):
        if number == GRAPH:
            graph = _graph(wire.view(value), path)
            continue
        rest.append(wire.field(number, value))
        if number == 1:
            ir_version = wire.integer(value)
        elif number == 8:
            domain, version = _pair(wire.view(value))
            opsets[wire.text(domain) if domain is not None else ""] = wire.integer(version or 0)
        elif number == 14:
            key, text = _entry(wire.view(value))
            metadata[key] = text
        elif number == 25:
            functions.append(_entry(wire.view(value))[0])
    if graph is None or not opsets:
        return None
    return Model(
        path=path, graph=graph, ir_version=ir_version, opsets=opsets, metadata=metadata, functions=tuple(functions),
        rest=tuple(rest),
    )  # fmt: skip


def _graph(message: memoryview, path: Path) -> Graph:
    name = ""
    nodes: list[Node] = []
    initializers: dict[str, Tensor] = {}
    inputs: list[Value] = []
    outputs: list[Value] = []
    rest: list[tuple[int, memoryview]] = []
    for number, _, value in wire.fields(message):
        part = wire.view(value)
        if number == NODE:
            nodes.append(_node(part, path))
            continue
        if number == NAME:
            name = wire.text(part)
        elif number == INITIALIZER:
            tensor = _tensor(part, path)
            initializers[tensor.name] = tensor
        elif number == INPUT:
            inputs.append(_value(part))
        elif number == OUTPUT:
            outputs.append(_value(part))
        rest.append((number, part))
    _check_order(nodes)
    return Graph(
        name=name, nodes=tuple(nodes), initializers=initializers, outputs=tuple(outputs), rest=tuple(rest),
        inputs=tuple(item for item in inputs if item.name not in initializers),
    )  # fmt: skip


def _node(message: memoryview, path: Path) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    texts = {3: "", 4: "", 7: ""}
    attributes: dict[str, Attribute] = {}
    for number, _, value in wire.fields(message):
        if number == 1:
            inputs.append(wire.text(value))
        elif number == 2:
            outputs.append(wire.text(value))
        elif number in texts:
            texts[number] = wire.text(value)
        elif number == 5:
            name, attribute = _attribute(wire.view(value), path)
            attributes[name] = attribute
    return Node(
        op_type=texts[4], inputs=tuple(inputs), outputs=tuple(outputs), name=texts[3], attributes=attributes, raw=message,
        domain="" if texts[7] == "ai.onnx" else texts[7],
    )  # fmt: skip


def _attribute(message: memoryview, path: Path) -> tuple[str, Attribute]:
    name, kind = "", 0
    single: Attribute | None = None
    many: dict[int, list[Attribute]] = {7: [], 8: [], 9: [], 10: [], 11: []}
    for number, _, value in wire.fields(message):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            single = wire.floats(value)[0]
        elif number == 3:
            single = wire.signed(value)
        elif number == 4:
            single = bytes(wire.view(value))
        elif number == 5:
            single = _tensor(wire.view(value), path)
        elif number == 6:
            single = _graph(wire.view(value), path)
        elif number == 7:
            many[7] += wire.floats(value) if value else []
        elif number == 8:
            many[8] += wire.integers(value)
        elif number == 9:
            many[9].append(bytes(wire.view(value)))
        elif number == 10:
            many[10].append(_tensor(wire.view(value), path))
        elif number == 11:
            many[11].append(_graph(wire.view(value), path))
        elif number == 20:
            kind = wire.integer(value)
    listed = next((tuple(values) for values in many.values() if values), None)
    if listed is not None:
        return name, listed  # type: ignore[return-value]
    return name, _NO_ATTRIBUTE.get(kind, ()) if single is None else single


def _tensor(message: memoryview, path: Path) -> Tensor:
    dims: list[int] = []
    name, kind = "", 0
    raw: memoryview | None = None
    typed: list[tuple[int, wire.Value]] = []
    external: dict[str, str] = {}
    for number, _, value in wire.fields(message):
        if number == 1:
            dims += wire.integers(value)
        elif number == 2:
            kind = wire.integer(value)
        elif number == 8:
            name = wire.text(value)
        elif number == 9:
            raw = wire.view(value)
        elif number in (4, 5, 7, 10, 11):
            typed.append((number, value))
        elif number == 13:
            key, text = _entry(wire.view(value))
            external[key] = text
    if kind not in DTYPES:
        raise wire.WireError(f"weight {name[:40]!r} is of the unknown type {kind}")
    _check_shape(dims)
    return Tensor(
        name=name, dtype=DTYPES[kind][0], shape=tuple(dims), raw=raw, typed=tuple(typed),
        external=_external(external, path, name) if external else None,
    )  # fmt: skip


def _external(entry: Mapping[str, str], path: Path, name: str) -> External:
    """Where the bytes of a weight lie. A path that leaves the model's folder is refused: models are untrusted."""
    location = entry.get("location", "")
    file = path.parent / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(
            f"weight {name!r} lies outside the model's directory ({location!r})",
            where=path,
            fix="Export the model again with its weights beside it",
        )
    if (file.is_symlink() or file.parent != path.parent) and not _lies_with(file, path):
        raise ModelError(
            f"its weights {location!r} are a link that leads out of the model's directory",
            where=path,
            fix=f"Copy what it leads to beside {path.name}, if it is the model's",
        )
    if not file.is_file():
        raise ModelError(
            f"its weights {location!r} are missing",
            where=path,
            fix=f"Put {location} beside {path.name}, as it was exported",
        )
    offset = whole(entry.get("offset", "0"))
    if offset is None or (length := whole(entry.get("length", "0"))) is None:
        raise wire.WireError(f"weight {name!r} has no place in {location!r}")
    size = length if "length" in entry else file.stat().st_size - offset
    if size <= 0 or offset + size > file.stat().st_size:
        raise ModelError(f"its weights {location!r} are truncated", where=path, fix="Export or download the file again")
    return External(path=file, offset=offset, size=size)


def _lies_with(file: Path, graph: Path) -> bool:
    """Whether weights really lie in the graph's folder, beside the real graph, or in the store of the hub or of git-annex that
    holds it (decision 065)."""
    real, home = file.resolve(), graph.resolve()
    stores = (each for each in home.parents if each.name == "blobs" or each.parts[-2:] == ("annex", "objects"))
    return any(real.is_relative_to(each) for each in (graph.parent.resolve(), home.parent, *islice(stores, 1)))


def _value(message: memoryview) -> Value:
    name, dtype, shape = "", None, None
    for number, _, value in wire.fields(message):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            for kind, _, body in wire.fields(wire.view(value)):
                if kind == 1:
                    dtype, shape = _tensor_type(wire.view(body))
    return Value(name=name, dtype=dtype, shape=shape)


def _tensor_type(message: memoryview) -> tuple[str | None, tuple[Dimension, ...] | None]:
    dtype: str | None = None
    shape: tuple[Dimension, ...] | None = None
    for number, _, value in wire.fields(message):
        if number == 1:
            dtype = DTYPES.get(wire.integer(value), (None, 0))[0]
        elif number == 2:
            shape = tuple(_dimension(wire.view(dimension)) for _, _, dimension in wire.fields(wire.view(value)))
    return dtype, shape


def _dimension(message: memoryview) -> Dimension:
    size, symbol = _pair(message)
    return wire.signed(size) if size is not None else wire.text(symbol) if symbol is not None else None
