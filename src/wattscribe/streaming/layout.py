"""What an exported network takes and gives: which input is the audio, which are states, and which output feeds each.

sherpa-onnx has one class per model family for this. Here it is read off the graph: a state is an input that an output of the
same meaning replaces, by name (`new_x`, `next_x`, `x_out`) or, where names say nothing, by order, type and shape. Unnamed
dimensions are written `?0`, `?1`…; in a state the first of them is the batch where the main input's batch has no name either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from wattscribe.errors import ModelError
from wattscribe.graph.states import StateSpec as StateSpec
from wattscribe.text_files import whole

MOST = 1 << 20
"""Of anything that metadata count: tokens of a vocabulary, frames of a segment, values of a vector."""
MOST_VALUES = 1 << 28
"""Of a state, of a segment's features: a gibibyte of float32, hundreds of times the largest published."""

Array = NDArray[Any]
_TYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
}
_RENAMED = ("new_{}", "next_{}", "{}_out", "{}_next", "{}_new", "new_{}_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output: a dimension is a number or a symbol."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


def ports(values: Sequence[Any], path: Path) -> tuple[Port, ...]:
    """onnxruntime's NodeArgs as ports; unnamed dimensions become `?0`, `?1`… Raises ModelError for unusual types."""
    described = []
    for value in values:
        if value.type not in _TYPES:
            raise ModelError(f"{value.name!r} is a {value.type}, which the runtime cannot feed", where=path)
        shape = tuple(
            size if isinstance(size, int) or (isinstance(size, str) and size) else f"?{axis}"
            for axis, size in enumerate(value.shape)
        )
        if any(isinstance(size, int) and not 0 <= size <= MOST_VALUES for size in shape):
            raise ModelError(
                f"{value.name!r} is of the shape {[*shape]}, which nothing can be",
                where=path,
                fix="Export the model again",
            )
        described.append(Port(name=value.name, dtype=_TYPES[value.type], shape=shape))
    return tuple(described)


def match_states(
    inputs: Sequence[Port], outputs: Sequence[Port], *, batch: int | str, metadata: Mapping[str, str], path: Path
) -> tuple[StateSpec, ...]:
    """Pair each state input with the output that feeds it.

    `batch` is the batch dimension as the network's main input writes it. Raises ModelError for a state that nothing feeds, an
    output that is left over, and a dimension that neither graph nor metadata gives.
    """
    free = {port.name: port for port in outputs}
    pairs: dict[str, Port] = {}
    for port in inputs:
        names = [
            pattern.format(base) for base in (port.name, port.name.removeprefix("cached_")) for pattern in _RENAMED
        ]
        name = next((name for name in names if name in free), None)
        if name is not None:
            pairs[port.name] = free.pop(name)
    rest = [port for port in inputs if port.name not in pairs]
    for port in rest:
        partner = next((other for other in free.values() if _alike(port, other)), None)
        if partner is None:
            raise ModelError(
                f"state input {port.name!r} {list(port.shape)} is fed by no output",
                where=path,
                fix=f"Export it with an output new_{port.name} of the same shape",
            )
        pairs[port.name] = free.pop(partner.name)
    specs = []
    for port in inputs:
        if not _alike(port, pairs[port.name]):
            raise ModelError(
                f"state {port.name!r} {port.dtype}{list(port.shape)} comes back as {pairs[port.name].name!r} "
                f"{pairs[port.name].dtype}{list(pairs[port.name].shape)}",
                where=path,
                fix="Export the state with the same type and shape going in and out",
            )
        specs.append(_spec(port, pairs[port.name], batch, metadata, path))
    return tuple(specs)


def _alike(one: Port, other: Port) -> bool:
    """Same type and rank, and no dimension that contradicts."""
    return (
        one.dtype == other.dtype
        and len(one.shape) == len(other.shape)
        and all(a == b or isinstance(a, str) or isinstance(b, str) for a, b in zip(one.shape, other.shape, strict=True))
    )


def _spec(port: Port, output: Port, batch: int | str, metadata: Mapping[str, str], path: Path) -> StateSpec:
    shape: list[int] = []
    axis: int | None = None
    for index, size in enumerate(port.shape):
        if isinstance(size, int):
            shape.append(size)
        elif axis is None and isinstance(batch, str) and (size == batch or (size[0] == "?" == batch[0])):
            axis = index
            shape.append(1)
        elif isinstance(output.shape[index], int):
            shape.append(int(output.shape[index]))
        elif (stated := number(metadata, size, path)) is not None:
            shape.append(stated)
        else:
            raise ModelError(
                f"state {port.name!r} has the dimension {size!r}, which neither graph nor metadata gives",
                where=path,
                fix=f"Export it with a fixed size, or with metadata {size}=SIZE",
            )
    if prod(shape) > MOST_VALUES:
        raise ModelError(
            f"state {port.name!r} is of the shape {shape}, which no memory holds",
            where=path,
            fix="Export the model again",
        )
    return StateSpec(name=port.name, output=output.name, dtype=port.dtype, shape=tuple(shape), batch_axis=axis)


def number(metadata: Mapping[str, str], key: str, path: Path) -> int | None:
    """A metadata entry as a positive whole number, None where it is missing. Raises ModelError."""
    text = metadata.get(key)
    if text is None:
        return None
    value = whole(text.strip())
    if value is None or not 1 <= value <= MOST:
        raise ModelError(
            f"metadata {key}={text[:40]!r} is not a positive whole number, {MOST} at most",
            where=path,
            fix="Export the model again",
        )
    return value


def required(metadata: Mapping[str, str], key: str, path: Path) -> int:
    """`number`, raising ModelError where the entry is missing."""
    value = number(metadata, key, path)
    if value is None:
        raise ModelError(
            f"metadata {key!r} is missing", where=path, fix=f"Export it with sherpa-onnx's metadata ({key}=…)"
        )
    return value
