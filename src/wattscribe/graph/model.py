"""What an ONNX file holds: nodes, attributes, weights, declared types, metadata. `read` makes it of a file, `write` a file of it.

A weight's bytes are touched only by `Tensor.data` and `Tensor.array()`. What is not understood is carried through as bytes, so
that a changed graph can be written again. Field numbers are those of onnx.proto (onnx 1.19).
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

from wattscribe.errors import ModelError
from wattscribe.graph import wire

# TensorProto.DataType → (name, bits per element); names are numpy's where numpy has the type.
_NAMES = (
    "float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128 bfloat16 "
    "float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz uint4 int4 float4e2m1 float8e8m0 uint2 int2"
)
_BITS = (32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2)
DTYPES: Mapping[int, tuple[str, int]] = dict(enumerate(zip(_NAMES.split(), _BITS, strict=True), start=1))
BITS: Mapping[str, int] = dict(DTYPES.values())
"""Bits per element by dtype name."""

NODE, NAME, INITIALIZER, INPUT, OUTPUT, SHAPE, SPARSE = 1, 2, 5, 11, 12, 13, 15
"""Fields of GraphProto."""
GRAPH = 7
"""Of ModelProto."""
OPSET = 13
"""Operators are written as from this opset on, where axes of Squeeze and Unsqueeze are inputs; older models stay as they are."""


Dimension: TypeAlias = "int | str | None"
Attribute: TypeAlias = (
    "int | float | bytes | Tensor | Graph | tuple[int | float | bytes, ...] | tuple[Tensor, ...] | tuple[Graph, ...]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """Where the bytes of a weight lie outside the model's file."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A weight or constant. `raw` and `typed` are its bytes as the file has them: at once, or value by value."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: memoryview | None = field(default=None, repr=False)
    typed: tuple[tuple[int, wire.Value], ...] = field(default=(), repr=False)
    external: External | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of its elements, wherever they lie; sub-byte types are packed."""
        return (self.elements * BITS[self.dtype] + 7) // 8

    @property
    def data(self) -> memoryview | None:
        """Its little-endian bytes; None where they are not readable here. Raises ModelError for a file that cannot be read."""
        if self.external is not None:
            return self._outside(self.external)
        return self.raw if self.raw is not None or not self.typed else _typed_data(self.typed, self.dtype)

    def array(self) -> NDArray[np.generic]:
        """The values, read-only. Raises ModelError for missing or short data, and for types that numpy has not."""
        data = None if _numpy(self.dtype) is None else self.data
        if data is None and (self.raw is not None or self.typed or _numpy(self.dtype) is None):
            raise ModelError(f"the values of tensor {self.name!r} ({self.dtype}) cannot be read")
        if len(data or b"") != self.nbytes:
            raise ModelError(
                f"tensor {self.name!r} holds {len(data or b'')} bytes, {self.nbytes} expected",
                fix="Export the model again",
            )
        return np.frombuffer(data or b"", dtype=_numpy(self.dtype)).reshape(self.shape)

    def _outside(self, place: External) -> memoryview:
        try:
            return np.memmap(place.path, dtype=np.uint8, mode="r", offset=place.offset, shape=(place.size,)).data
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"the weights of {self.name!r} cannot be read: {reason}", where=place.path) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A named value with its declared type; `shape` None: not declared; a dimension is a size, a name or None."""

    name: str
    dtype: str | None
    shape: tuple[Dimension, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator. `raw` is its bytes in the file; a node made or changed here has none and is encoded when written."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    raw: memoryview | None = field(default=None, repr=False)

    @property
    def input(self) -> tuple[str, ...]:
        """As onnx.NodeProto calls them, so that one `Index` serves both."""
        return self.inputs

    @property
    def output(self) -> tuple[str, ...]:
        return self.outputs

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that lists whole numbers; None where there is none."""
        value = self.attributes.get(name)
        return tuple(number for number in value if isinstance(number, int)) if isinstance(value, tuple) else None

    def subgraphs(self) -> Iterator[tuple[str, Graph]]:
        """The graphs that this node (If, Loop, Scan) holds, with their attribute names."""
        for name, value in self.attributes.items():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Graph):
                    yield name, item


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph or subgraph. `inputs` leaves out those that are only defaults of weights (IR version 3).

    `rest` holds all fields but the nodes, encoded, in their order.
    """

    name: str
    nodes: tuple[Node, ...]
    initializers: Mapping[str, Tensor]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    rest: tuple[tuple[int, memoryview], ...] = field(default=(), repr=False)

    def graphs(self) -> Iterator[Graph]:
        """This graph and every graph inside it."""
        yield self
        for node in self.nodes:
            for _, inner in node.subgraphs():
                yield from inner.graphs()

    def all_nodes(self) -> Iterator[Node]:
        """Those of inner graphs too."""
        return (node for graph in self.graphs() for node in graph.nodes)

    def tensors(self) -> Iterator[Tensor]:
        """Every weight: initializers, and the values of Constant nodes, of inner graphs too."""
        for graph in self.graphs():
            yield from graph.initializers.values()
            for node in graph.nodes:
                yield from (value for value in node.attributes.values() if isinstance(value, Tensor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model file. `rest` holds its fields but the graph, encoded."""

    path: Path
    graph: Graph
    ir_version: int
    opsets: Mapping[str, int]
    metadata: Mapping[str, str]
    functions: tuple[str, ...] = ()
    """Names of model-local functions, whose bodies are not read."""
    rest: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def opset(self) -> int:
        """Of ONNX's own operators; 0 where the file names none."""
        return self.opsets.get("", 0)

    def weight_bytes(self) -> dict[str, int]:
        """Bytes of weights by dtype; constants of up to 64 elements that only shape the graph are counted too."""
        bytes_by_dtype: Counter[str] = Counter()
        for tensor in self.graph.tensors():
            bytes_by_dtype[tensor.dtype] += tensor.nbytes
        return dict(bytes_by_dtype)


def _numpy(dtype: str) -> np.dtype[np.generic] | None:
    return None if dtype == "string" or dtype not in np.sctypeDict else np.dtype(dtype).newbyteorder("<")


def _typed_data(typed: Sequence[tuple[int, wire.Value]], dtype: str) -> memoryview | None:
    number, parts = typed[0][0], [value for field_number, value in typed if field_number == typed[0][0]]
    if number in (4, 10):  # float_data, double_data: little-endian already, one element or a packed run each
        return memoryview(b"".join(bytes(wire.view(part)) for part in parts))
    kind = _numpy(dtype)
    if kind is None:
        return None
    values = np.array([value for part in parts for value in wire.integers(part)])
    if dtype == "float16":  # int32_data carries its bit pattern
        return memoryview(values.astype(np.uint16).tobytes())
    return memoryview(values.astype(kind).tobytes())
