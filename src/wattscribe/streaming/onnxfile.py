"""An ONNX file's weights, nodes, inputs and metadata, read without the `onnx` package; and written back after a change.

Message and field numbers: onnx/onnx.proto of the ONNX project. Weights are views into the file's bytes, never copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wattscribe import as_file, protobuf
from wattscribe.errors import ModelError
from wattscribe.onnxfile import DTYPES, ORT_MARK, check_order, check_shape, not_onnx_but_ort
from wattscribe.text_files import whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A weight or constant: `dtype` by its NumPy-like name, `data` its little-endian bytes (None: not readable here)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: int
    data: memoryview | None
    external: str | None = None
    """The file beside the model that holds the bytes."""

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as stored: 4-bit types take half a byte."""
        return (self.elements * self.bits + 7) // 8

    def array(self) -> NDArray[np.generic]:
        """The values; ModelError for types that NumPy has not."""
        if self.data is None or self.dtype == "string" or self.dtype not in np.sctypeDict:
            raise ModelError(f"the values of tensor {self.name!r} ({self.dtype}) cannot be read")
        if len(self.data) != self.nbytes:
            raise ModelError(
                f"tensor {self.name!r} holds {len(self.data)} bytes, {self.nbytes} expected",
                fix="Export the model again",
            )
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueInfo:
    """An input or output: a dimension is a number, a symbol, or None where the file says nothing."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]


Attribute: TypeAlias = "int | float | bytes | Tensor | Graph | tuple[int | float | bytes, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator. `raw` is its bytes in the file; a node made or changed here has none and is encoded when written."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    raw: memoryview | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes in their order, weights, inputs (without the weights) and outputs; `rest` is what is only carried through."""

    nodes: tuple[Node, ...]
    initializers: tuple[Tensor, ...]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    rest: tuple[tuple[int, memoryview], ...] = ()

    def walk(self) -> Iterator[Node]:
        """Every node, those in the bodies of If, Loop and Scan too."""
        for node in self.nodes:
            yield node
            for value in node.attributes.values():
                if isinstance(value, Graph):
                    yield from value.walk()

    def tensors(self) -> Iterator[Tensor]:
        """Every weight: initializers, and the values of Constant nodes, of inner graphs too."""
        yield from self.initializers
        for node in self.nodes:
            for value in node.attributes.values():
                if isinstance(value, Tensor):
                    yield value
                elif isinstance(value, Graph):
                    yield from value.tensors()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """One model file."""

    path: Path
    graph: Graph
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    rest: tuple[bytes, ...] = ()
    """The encoded fields of the model outside its graph."""

    def weight_bytes(self) -> dict[str, int]:
        """Bytes of weights by dtype; constants of up to 64 elements that only shape the graph are counted too."""
        found: Counter[str] = Counter()
        for tensor in self.graph.tensors():
            found[tensor.dtype] += tensor.nbytes
        return dict(found)

    def op_types(self) -> dict[str, int]:
        """Operator types → how often they stand in the graph; other domains as `domain.Type`."""
        found = Counter(f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in self.graph.walk())
        return dict(found)


def read_onnx(path: Path) -> OnnxFile:
    """Parse `path`. Raises ModelError when the file is missing, not ONNX, or its external weights are missing."""
    try:
        data = as_file.read_bytes(path)
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}", where=path, fix="Check the path and its permissions"
        ) from None
    return parse_onnx(data, path)


def parse_onnx(data: bytes, path: Path) -> OnnxFile:
    """The model in `data`; `path` tells where external weights lie and is named in errors."""
    if data[4:8] == ORT_MARK:
        raise not_onnx_but_ort(path)
    graph: Graph | None = None
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    rest: list[bytes] = []
    try:
        for number, _, value in protobuf.fields(memoryview(data)):
            if number == 7:
                graph = _graph(protobuf.view(value), path)
                continue
            rest.append(protobuf.field(number, value))
            if number == 8:
                domain, version = _pair(protobuf.view(value))
                opsets[protobuf.text(domain) if domain is not None else ""] = protobuf.integer(version or 0)
            elif number == 14:
                key, entry = _pair(protobuf.view(value))
                if key is not None:
                    metadata[protobuf.text(key)] = protobuf.text(entry) if entry is not None else ""
    except RecursionError:
        raise _not_onnx(path, "its graphs are nested too deeply") from None
    except ValueError as error:
        raise _not_onnx(path, str(error)) from None
    if graph is None or not opsets:
        raise _not_onnx(path, "it holds no graph")
    return OnnxFile(path=path, graph=graph, opsets=opsets, metadata=metadata, rest=tuple(rest))


def shapes(model: OnnxFile) -> dict[str, tuple[int | str | None, ...]]:
    """The shapes that the file states: of inputs, outputs, weights and inner values; symbols and unknown sizes as they stand."""
    graph = model.graph
    stated = [_value_info(raw) for number, raw in graph.rest if number == 13]
    found = {each.name: each.shape for each in (*stated, *graph.inputs, *graph.outputs)}
    return found | {each.name: each.shape for each in graph.initializers}


def _not_onnx(path: Path, reason: str) -> ModelError:
    return ModelError(f"is not an ONNX model ({reason})", where=path, fix="Export or download the file again")


def _pair(message: memoryview) -> tuple[protobuf.Value | None, protobuf.Value | None]:
    found: dict[int, protobuf.Value] = {number: value for number, _, value in protobuf.fields(message)}
    return found.get(1), found.get(2)


def _graph(message: memoryview, path: Path) -> Graph:
    nodes: list[Node] = []
    initializers: list[Tensor] = []
    inputs: list[ValueInfo] = []
    outputs: list[ValueInfo] = []
    rest: list[tuple[int, memoryview]] = []
    for number, _, value in protobuf.fields(message):
        part = protobuf.view(value)
        if number == 1:
            nodes.append(_node(part, path))
            continue
        if number == 5:
            initializers.append(_tensor(part, path))
        elif number == 11:
            inputs.append(_value_info(part))
        elif number == 12:
            outputs.append(_value_info(part))
        rest.append((number, part))
    check_order([(node.inputs, node.outputs) for node in nodes])
    weights = {tensor.name for tensor in initializers}
    return Graph(
        nodes=tuple(nodes),
        initializers=tuple(initializers),
        inputs=tuple(item for item in inputs if item.name not in weights),
        outputs=tuple(outputs),
        rest=tuple(rest),
    )


def _node(message: memoryview, path: Path) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    texts = {3: "", 4: "", 7: ""}
    attributes: dict[str, Attribute] = {}
    for number, _, value in protobuf.fields(message):
        if number == 1:
            inputs.append(protobuf.text(value))
        elif number == 2:
            outputs.append(protobuf.text(value))
        elif number in texts:
            texts[number] = protobuf.text(value)
        elif number == 5:
            name, attribute = _attribute(protobuf.view(value), path)
            attributes[name] = attribute
    return Node(
        op_type=texts[4],
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        name=texts[3],
        domain="" if texts[7] == "ai.onnx" else texts[7],
        attributes=attributes,
        raw=message,
    )


def _attribute(message: memoryview, path: Path) -> tuple[str, Attribute]:
    name = ""
    attribute: Attribute = ()
    ints: list[int] = []
    numbers: list[float] = []
    strings: list[bytes] = []
    for number, _, value in protobuf.fields(message):
        if number == 1:
            name = protobuf.text(value)
        elif number == 2:
            attribute = protobuf.floats(value)[0]
        elif number == 3:
            attribute = protobuf.signed(value)
        elif number == 4:
            attribute = bytes(protobuf.view(value))
        elif number == 5:
            attribute = _tensor(protobuf.view(value), path)
        elif number == 6:
            attribute = _graph(protobuf.view(value), path)
        elif number == 7:
            numbers += protobuf.floats(value)
        elif number == 8:
            ints += protobuf.integers(value)
        elif number == 9:
            strings.append(bytes(protobuf.view(value)))
    repeated: list[int | float | bytes] = [*ints, *numbers, *strings]
    return name, tuple(repeated) if repeated else attribute


def _tensor(message: memoryview, path: Path) -> Tensor:
    dims: list[int] = []
    name, kind = "", 0
    data: memoryview | None = None
    typed: dict[int, list[memoryview | int]] = {}
    external: dict[str, str] = {}
    for number, _, value in protobuf.fields(message):
        if number == 1:
            dims += protobuf.integers(value)
        elif number == 2:
            kind = protobuf.integer(value)
        elif number == 8:
            name = protobuf.text(value)
        elif number == 9:
            data = protobuf.view(value)
        elif number in (4, 5, 7, 10, 11):
            typed.setdefault(number, []).append(value)
        elif number == 13:
            key, entry = _pair(protobuf.view(value))
            if key is not None and entry is not None:
                external[protobuf.text(key)] = protobuf.text(entry)
    dtype, bits = DTYPES.get(kind, (f"type{kind}", 0))
    check_shape(dims)
    if external:
        data = _external(external, path, name)
    elif data is None and typed:
        data = _typed_data(typed, dtype)
    return Tensor(
        name=name, dtype=dtype, shape=tuple(dims), bits=bits, data=data, external=external.get("location") or None
    )


def _typed_data(typed: Mapping[int, Sequence[memoryview | int]], dtype: str) -> memoryview | None:
    number, parts = next(iter(typed.items()))
    if number in (4, 10):  # float_data, double_data: little-endian already, one element or a packed run each
        return memoryview(b"".join(bytes(protobuf.view(part)) for part in parts))
    if dtype == "string" or dtype not in np.sctypeDict:
        return None
    values = [value for part in parts for value in protobuf.integers(part)]
    if dtype == "float16":  # int32_data carries its bit pattern
        return memoryview(np.array(values).astype(np.uint16).tobytes())
    return memoryview(np.array(values).astype(dtype).tobytes())


def _external(entry: Mapping[str, str], path: Path, name: str) -> memoryview:
    location = entry.get("location", "")
    file = path.parent / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(
            f"weight {name!r} lies outside the model's directory ({location!r})",
            where=path,
            fix="Export the model again with its weights beside it",
        )
    if not file.is_file():
        raise ModelError(
            f"its weights {location!r} are missing",
            where=path,
            fix=f"Put {location} beside {path.name}, as it was exported",
        )
    offset = whole(entry.get("offset", "0"))
    if offset is None or (length := whole(entry.get("length", "0"))) is None:
        raise protobuf.WireError(f"weight {name!r} has no place in {location!r}")
    size = length if "length" in entry else file.stat().st_size - offset
    if size <= 0 or offset + size > file.stat().st_size:
        raise ModelError(f"its weights {location!r} are truncated", where=path, fix="Export or download the file again")
    return np.memmap(file, dtype=np.uint8, mode="r", offset=offset, shape=(size,)).data


def _value_info(message: memoryview) -> ValueInfo:
    name, dtype = "", ""
    shape: tuple[int | str | None, ...] = ()
    for number, _, value in protobuf.fields(message):
        if number == 1:
            name = protobuf.text(value)
        elif number == 2:
            for kind, _, body in protobuf.fields(protobuf.view(value)):
                if kind == 1:
                    dtype, shape = _tensor_type(protobuf.view(body))
    return ValueInfo(name=name, dtype=dtype, shape=shape)


def _tensor_type(message: memoryview) -> tuple[str, tuple[int | str | None, ...]]:
    dtype = ""
    shape: list[int | str | None] = []
    for number, _, value in protobuf.fields(message):
        if number == 1:
            dtype = DTYPES.get(protobuf.integer(value), ("?", 0))[0]
        elif number == 2:
            for _, _, dimension in protobuf.fields(protobuf.view(value)):
                size, symbol = _pair(protobuf.view(dimension))
                shape.append(protobuf.integer(size) if size is not None else protobuf.text(symbol) if symbol else None)
    return dtype, tuple(shape)
