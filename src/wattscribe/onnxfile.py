"""Read an ONNX file without the onnx package: nodes, attributes, initializers, metadata; weights stay on disk.

The runtime needs states, shapes and metadata, the energy model needs every weight tensor and node, and neither should
cost an install. The file is mapped into memory: a tensor's bytes are touched only by `Tensor.array()`. Field numbers are
those of onnx.proto (onnx 1.19); unknown fields are skipped, as protobuf demands.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe import as_file, protobuf
from wattscribe.errors import ModelError
from wattscribe.text_files import whole

# TensorProto.DataType → (name, bits per element); names are numpy's where numpy has the type.
_NAMES = (
    "float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128 bfloat16 "
    "float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz uint4 int4 float4e2m1 float8e8m0 uint2 int2"
)
_BITS = (32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2)
DTYPES: Mapping[int, tuple[str, int]] = dict(enumerate(zip(_NAMES.split(), _BITS, strict=True), start=1))
BITS: Mapping[str, int] = dict(DTYPES.values())
"""Bits per element by dtype name."""

ORT_MARK = b"ORTM"
"""Bytes 4 to 7 of a file in onnxruntime's own format (a FlatBuffer with this identifier, core/flatbuffers/schema/ort.fbs)."""

_MOST_DIMENSIONS = 32
"""numpy 1.26's own."""
_MOST_ELEMENTS = 1 << 40

_TYPED_FIELDS = {4: "<f4", 10: "<f8"}  # float_data, double_data: packed little-endian


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A constant of the graph. `nbytes` is the size of its elements, sub-byte types packed, wherever they lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    _raw: memoryview | None = field(default=None, repr=False)
    _typed: tuple[Any, ...] = field(default=(), repr=False)
    _external: tuple[Path, int, int | None] | None = field(default=None, repr=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return (self.elements * BITS[self.dtype] + 7) // 8

    @property
    def is_external(self) -> bool:
        """Whether the bytes lie in a file beside the model."""
        return self._external is not None

    def array(self) -> NDArray[Any]:
        """The values, read-only where they lie in the file. Raises ModelError for missing or short data and for
        types that numpy does not have (bfloat16, float8, 4 bit)."""
        try:
            dtype = np.dtype(self.dtype).newbyteorder("<")
        except TypeError as error:
            raise ModelError(f"tensor {self.name!r} is {self.dtype}, which cannot be read as an array") from error
        if self._typed:
            if len(self._typed) != self.elements:
                raise ModelError(
                    f"tensor {self.name!r} holds {len(self._typed)} values, {self.elements} expected",
                    fix="Export the model again",
                )
            return np.asarray(self._typed).astype(dtype).reshape(self.shape)
        data = self._raw if self._external is None else self._read_external(*self._external)
        if data is None or len(data) != self.nbytes:
            found = 0 if data is None else len(data)
            raise ModelError(
                f"tensor {self.name!r} holds {found} bytes, {self.nbytes} expected", fix="Export the model again"
            )
        return np.frombuffer(data, dtype=dtype).reshape(self.shape)

    def _read_external(self, path: Path, offset: int, length: int | None) -> memoryview:
        try:
            with as_file.open_bytes(path) as file:
                file.seek(offset)
                return memoryview(file.read(self.nbytes if length is None else length))
        except (OSError, ValueError, OverflowError) as error:  # a NUL in the name, an offset below 0 or beyond any file
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"the weights of {self.name!r} cannot be read: {reason}", where=path) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A named value with its declared type; `shape` None: not declared; a dimension is a size, a name or None."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator. Attribute values: int, float, str, Tensor, Graph, or a tuple of one of these."""

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def subgraphs(self) -> Iterator[tuple[str, Graph]]:
        """The graphs that this node (If, Loop, Scan) holds, with their attribute names."""
        for name, value in self.attributes.items():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Graph):
                    yield name, item


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph or subgraph. `inputs` leaves out those that are only defaults of initializers (IR version 3)."""

    name: str
    nodes: tuple[Node, ...]
    initializers: Mapping[str, Tensor]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    values: Mapping[str, Value]

    def walk(self) -> Iterator[Graph]:
        """This graph and every graph inside it."""
        yield self
        for node in self.nodes:
            for _, inner in node.subgraphs():
                yield from inner.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A whole file."""

    path: Path
    ir_version: int
    producer: str
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    graph: Graph
    functions: tuple[str, ...]
    """Names of model-local functions, whose bodies are not read."""


def read_model(path: Path) -> Model:
    """Parse `path`. Raises ModelError when it is missing, empty, cut short or not an ONNX model."""
    path = Path(path)
    try:
        with as_file.open_bytes(path) as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise ModelError("there is no such file", where=path) from error
    except (OSError, ValueError) as error:
        raise ModelError("the file is empty or cannot be read", where=path, fix="Copy the model again") from error
    if mapped[4:8] == ORT_MARK:
        raise not_onnx_but_ort(path)
    try:
        model = _model(mapped, path)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            "this is not a whole ONNX file", where=path, fix="Copy it again; a Git LFS pointer is not the model"
        ) from error
    return model


def not_onnx_but_ort(path: Path) -> ModelError:
    """What is said of an .ort file where its graph is to be read or changed."""
    return ModelError(
        "is in onnxruntime's own format (.ort): it runs, but its graph cannot be counted or changed",
        where=path,
        fix="Give the .onnx file that it was made of",
    )


def check_shape(dims: Sequence[int]) -> None:
    """Raises WireError for a weight whose shape no memory holds, or none can have."""
    if any(size < 0 for size in dims) or len(dims) > _MOST_DIMENSIONS or math.prod(dims) > _MOST_ELEMENTS:
        raise protobuf.WireError(f"a weight is of the shape {[*dims[:_MOST_DIMENSIONS]]}")


def check_order(nodes: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
    """Raises WireError where a value of a graph is made twice or out of itself: whoever follows it would never arrive.

    `nodes`: inputs and outputs of each.
    """
    maker: dict[str, int] = {}
    for index, (_, outputs) in enumerate(nodes):
        for name in outputs:
            if name and maker.setdefault(name, index) != index:
                raise protobuf.WireError(f"two operators make the value {name[:40]!r}")
    needed = [{maker[name] for name in inputs if name in maker} for inputs, _ in nodes]
    if all(max(each, default=-1) < index for index, each in enumerate(needed)):
        return  # in order, as ONNX asks for
    users: list[list[int]] = [[] for _ in nodes]
    for index, each in enumerate(needed):
        for other in each:
            users[other].append(index)
    left = [len(each) for each in needed]
    ready = [index for index, count in enumerate(left) if not count]
    for index in ready:
        for user in users[index]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    if len(ready) < len(nodes):
        raise protobuf.WireError("a value is made out of itself")


# --- messages -------------------------------------------------------------------------------------------------------
def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value) of one message: int for varints, memoryview for everything else."""
    return ((number, value) for number, _, value in protobuf.fields(data))


def _pair(data: memoryview) -> tuple[str, str]:
    found = {number: protobuf.text(value) for number, value in _fields(data) if number in (1, 2)}
    return found.get(1, ""), found.get(2, "")


def _model(data: memoryview, path: Path) -> Model:
    metadata: dict[str, str] = {}
    opsets: dict[str, int] = {}
    functions: list[str] = []
    ir_version, producer, graph = 0, "", None
    for number, value in _fields(data):
        if number == 1:
            ir_version = value
        elif number == 2:
            producer = protobuf.text(value)
        elif number == 7:
            graph = _graph(value, path.parent)
        elif number == 8:
            opset = dict(_fields(value))
            opsets[protobuf.text(opset[1]) if 1 in opset else ""] = opset.get(2, 0)
        elif number == 14:
            key, text = _pair(value)
            metadata[key] = text
        elif number == 25:
            functions.append(
                next((protobuf.text(item) for field_number, item in _fields(value) if field_number == 1), "")
            )
    if graph is None or not opsets:
        raise protobuf.WireError("it holds no graph")
    return Model(
        path=path,
        ir_version=ir_version,
        producer=producer,
        opsets=opsets,
        metadata=metadata,
        graph=graph,
        functions=tuple(functions),
    )


def _graph(data: memoryview, folder: Path) -> Graph:
    name = ""
    nodes: list[Node] = []
    initializers: dict[str, Tensor] = {}
    inputs: list[Value] = []
    outputs: list[Value] = []
    values: dict[str, Value] = {}
    for number, value in _fields(data):
        if number == 1:
            nodes.append(_node(value, folder))
        elif number == 2:
            name = protobuf.text(value)
        elif number == 5:
            tensor = _tensor(value, folder)
            initializers[tensor.name] = tensor
        elif number == 11:
            inputs.append(_value(value))
        elif number == 12:
            outputs.append(_value(value))
        elif number == 13:
            info = _value(value)
            values[info.name] = info
        elif number == 15:
            raise ModelError("sparse initializers are not supported", where=folder, fix="Export with dense weights")
    check_order([(node.inputs, node.outputs) for node in nodes])
    return Graph(
        name=name,
        nodes=tuple(nodes),
        initializers=initializers,
        inputs=tuple(value for value in inputs if value.name not in initializers),
        outputs=tuple(outputs),
        values=values,
    )


def _node(data: memoryview, folder: Path) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    texts = {3: "", 4: "", 7: ""}
    attributes: dict[str, Any] = {}
    for number, value in _fields(data):
        if number == 1:
            inputs.append(protobuf.text(value))
        elif number == 2:
            outputs.append(protobuf.text(value))
        elif number == 5:
            key, item = _attribute(value, folder)
            attributes[key] = item
        elif number in texts:
            texts[number] = protobuf.text(value)
    return Node(
        name=texts[3],
        op_type=texts[4],
        domain=texts[7],
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes=attributes,
    )


def _attribute(data: memoryview, folder: Path) -> tuple[str, Any]:
    name, kind = "", None
    single: Any = None
    many: list[Any] = []
    for number, value in _fields(data):
        if number == 1:
            name = protobuf.text(value)
        elif number == 20:
            kind = value
        elif number == 2:
            single = protobuf.floats(value)[0]
        elif number == 3:
            single = protobuf.signed(value)
        elif number == 4:
            single = bytes(value).decode("utf-8", errors="replace")
        elif number == 5:
            single = _tensor(value, folder)
        elif number == 6:
            single = _graph(value, folder)
        elif number == 7:
            many.extend(np.frombuffer(value, dtype="<f4").tolist())
        elif number == 8:
            many.extend(protobuf.integers(value))
        elif number == 9:
            many.append(bytes(value).decode("utf-8", errors="replace"))
        elif number == 10:
            many.append(_tensor(value, folder))
        elif number == 11:
            many.append(_graph(value, folder))
    is_list = bool(many) or (kind is not None and 6 <= kind <= 10)
    default = {1: 0.0, 2: 0, 3: ""}.get(kind or 0)
    return name, tuple(many) if is_list else default if single is None else single


def _tensor(data: memoryview, folder: Path) -> Tensor:
    dims: list[int] = []
    name, kind, raw = "", 1, None
    typed: list[Any] = []
    external: dict[str, str] = {}
    for number, value in _fields(data):
        if number == 1:
            dims.extend(protobuf.integers(value))
        elif number == 2:
            kind = value
        elif number in _TYPED_FIELDS:
            typed.extend(np.frombuffer(value, dtype=_TYPED_FIELDS[number]).tolist())
        elif number in (5, 7, 11):
            typed.extend(protobuf.integers(value))
        elif number == 8:
            name = protobuf.text(value)
        elif number == 9:
            raw = protobuf.view(value)
        elif number == 13:
            key, text = _pair(value)
            external[key] = text
    dtype = DTYPES[kind][0]
    check_shape(dims)
    if dtype == "float16" and typed:  # float16 values travel as their bit patterns
        typed = np.asarray(typed).astype(np.uint16).view(np.float16).tolist()
    return Tensor(
        name=name,
        dtype=dtype,
        shape=tuple(dims),
        _raw=raw if raw is not None or typed else memoryview(b""),
        _typed=tuple(typed),
        _external=_location(external, folder, name) if external else None,
    )


def _location(external: Mapping[str, str], folder: Path, tensor: str) -> tuple[Path, int, int | None]:
    """Where the bytes of a tensor lie. A path that leaves the model's folder is refused: models are untrusted."""
    relative = Path(external.get("location", ""))
    if not external.get("location") or relative.is_absolute() or ".." in relative.parts:
        raise ModelError(f"tensor {tensor!r} keeps its weights in {str(relative)!r}, outside the folder", where=folder)
    length = external.get("length")
    offset = whole(external.get("offset", "0"))
    size = None if length is None else whole(length)
    if offset is None or (length is not None and size is None):
        raise protobuf.WireError(f"tensor {tensor!r} has no place in {str(relative)!r}")
    return folder / relative, offset, size


def _value(data: memoryview) -> Value:
    name, dtype, shape = "", None, None
    for number, value in _fields(data):
        if number == 1:
            name = protobuf.text(value)
        elif number == 2:
            tensor_type = next((item for key, item in _fields(value) if key == 1), None)
            if tensor_type is not None:
                dtype, shape = _tensor_type(tensor_type)
    return Value(name=name, dtype=dtype, shape=shape)


def _tensor_type(data: memoryview) -> tuple[str | None, tuple[int | str | None, ...] | None]:
    dtype, shape = None, None
    for number, value in _fields(data):
        if number == 1 and value in DTYPES:
            dtype = DTYPES[value][0]
        elif number == 2:
            shape = tuple(_dimension(item) for key, item in _fields(value) if key == 1)
    return dtype, shape


def _dimension(data: memoryview) -> int | str | None:
    found = dict(_fields(data))
    if 1 in found:
        return protobuf.signed(found[1])
    return protobuf.text(found[2]) if 2 in found else None
