"""The linear maps of a graph, however they are stored: each can be read as a float matrix, changed, and stored another way.

Forms: `float` (MatMul or Gemm with a constant), `dynamic8` (DynamicQuantizeLinear → MatMulInteger → scales, as
onnxruntime's quantiser writes it), `nbits` (MatMulNBits). A map keeps its name through every change: that of the value it makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wattscribe.graph.index import Index as GraphIndex
from wattscribe.graph.index import inner_names, live_nodes

Weights = NDArray[np.float32]
Form = Literal["float", "dynamic8", "nbits"]
_REMOVED = "wattscribe.removed"
PRODUCT = "/product"
"""Ends the name of the value before a bias that a Gemm had inside."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """y = x · weight (+ bias); `weight` is [inputs, outputs], float whatever the file holds."""

    name: str
    form: Form
    source: str
    """The value x, before any quantisation of it."""
    output: str
    weight: Weights
    bias: Weights | None
    nodes: tuple[Any, ...]
    stored_bytes: int

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.weight.shape[0]), int(self.weight.shape[1])


class Index(GraphIndex[Any, Any]):
    """The index of an onnx.ModelProto."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                constants.update(
                    (node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value"
                )
        outputs = (output.name for output in model.graph.output)
        super().__init__(model.graph.node, constants, outputs, numpy_helper.to_array)
        self.model = model


def option(node: Any, name: str, default: Any) -> Any:
    """An attribute's value."""
    from onnx import helper

    return next(
        (helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name), default
    )


def linears(model: Any) -> dict[str, Linear]:
    """All linear maps with constant weights, by name, in the order of the graph."""
    index = Index(model)
    maps: dict[str, Linear] = {}
    for node in model.graph.node:
        reader = _READERS.get(node.op_type)
        linear = None if reader is None else reader(index, node)
        if linear is not None:
            maps[linear.name] = linear
    return maps


def _bytes(index: Index, *names: str) -> int:
    return sum(len(index.constants[name].raw_data) or 4 for name in names if name in index.constants)


def _matmul(index: Index, node: Any) -> Linear | None:
    weight = index.constant(node.input[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    return Linear(
        name=node.output[0].removesuffix(PRODUCT), form="float", source=node.input[0], output=node.output[0],
        weight=weight, bias=None, nodes=(node,), stored_bytes=_bytes(index, node.input[1]),
    )  # fmt: skip


def _gemm(index: Index, node: Any) -> Linear | None:
    weight = index.constant(node.input[1])
    options = {attribute.name: attribute for attribute in node.attribute}
    plain = all(name not in options or options[name].f == 1.0 for name in ("alpha", "beta"))
    if weight is None or not plain or ("transA" in options and options["transA"].i):
        return None
    if "transB" in options and options["transB"].i:
        weight = weight.T
    bias = index.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is not None and bias.ndim != 1:
        return None
    return Linear(
        name=node.output[0], form="float", source=node.input[0], output=node.output[0],
        weight=np.ascontiguousarray(weight, dtype=np.float32), bias=bias, nodes=(node,),
        stored_bytes=_bytes(index, node.input[1]),
    )  # fmt: skip


def _integer(index: Index, node: Any) -> Linear | None:
    codes = index.constant(node.input[1])
    quantiser = index.maker(node.input[0])
    if codes is None or codes.ndim != 2 or quantiser is None or quantiser.op_type != "DynamicQuantizeLinear":
        return None
    cast = index.only_user(node.output[0], "Cast")
    scaled = None if cast is None else index.only_user(cast.output[0], "Mul")
    if cast is None or scaled is None:
        return None
    other = next(name for name in scaled.input if name != cast.output[0])
    product = index.maker(other)
    scale_name = None if product is None else next((n for n in product.input if index.constant(n) is not None), None)
    if product is None or product.op_type != "Mul" or scale_name is None:
        return None
    scale = index.constant(scale_name)
    zero = index.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else np.int8(0)
    if scale is None or zero is None:
        return None
    weight = (codes.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
    return Linear(
        name=scaled.output[0].removesuffix(PRODUCT), form="dynamic8", source=quantiser.input[0],
        output=scaled.output[0], weight=weight, bias=None, nodes=(node, cast, product, scaled),
        stored_bytes=_bytes(index, node.input[1], scale_name),
    )  # fmt: skip


def _nbits(index: Index, node: Any) -> Linear | None:
    options = {attribute.name: attribute.i for attribute in node.attribute}
    packed, scales = index.constant(node.input[1]), index.constant(node.input[2])
    if packed is None or scales is None or (len(node.input) > 3 and node.input[3]):
        return None
    weight = unpack(packed, scales, options["K"], options["N"], options.get("bits", 4), options["block_size"])
    return Linear(
        name=node.output[0].removesuffix(PRODUCT), form="nbits", source=node.input[0], output=node.output[0],
        weight=weight, bias=None, nodes=(node,), stored_bytes=_bytes(index, node.input[1], node.input[2]),
    )  # fmt: skip


_READERS = {"MatMul": _matmul, "Gemm": _gemm, "MatMulInteger": _integer, "MatMulNBits": _nbits}


# --- MatMulNBits' layout (onnxruntime, ContribOperators.md) ---------------------------------------------------------------
def unpack(
    packed: NDArray[np.uint8], scales: NDArray[np.float32], inputs: int, outputs: int, bits: int, block: int
) -> Weights:
    """[N, blocks, block·bits/8] codes and [N·blocks] scales → [K, N] floats; the zero point is half of the range."""
    codes = packed.reshape(outputs, -1).astype(np.int32)
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(outputs, -1)
    steps = (codes - (1 << (bits - 1))).reshape(outputs, -1, block) * scales.reshape(outputs, -1, 1)
    return np.ascontiguousarray(steps.reshape(outputs, -1)[:, :inputs].T, dtype=np.float32)


def pack(codes: NDArray[np.int32], bits: int, block: int) -> NDArray[np.uint8]:
    """[K, N] codes, zero at half of the range → [N, blocks, block·bits/8] bytes, low nibble first."""
    inputs, outputs = codes.shape
    padded = np.full((outputs, -(-inputs // block) * block), 1 << (bits - 1), dtype=np.uint8)
    padded[:, :inputs] = codes.T
    if bits == 4:
        padded = (padded[:, 0::2] | (padded[:, 1::2] << 4)).astype(np.uint8)
    return padded.reshape(outputs, -1, block * bits // 8)


# --- changing ----------------------------------------------------------------------------------------------------------
def make_float(model: Any, chosen: Iterable[Linear]) -> dict[str, str]:
    """Store these maps as MatMul (+ Add) of float32. Returns the name of each map's MatMul node."""
    from onnx import helper

    names: dict[str, str] = {}
    groups = []
    for linear in chosen:
        product = linear.output if linear.bias is None else linear.output + PRODUCT
        node = helper.make_node(
            "MatMul", [linear.source, f"{linear.name}.weight"], [product], name=f"{linear.name}/MatMul"
        )
        nodes = [node]
        add_constant(model, f"{linear.name}.weight", linear.weight)
        if linear.bias is not None:
            add_constant(model, f"{linear.name}.bias", linear.bias)
            nodes.append(
                helper.make_node("Add", [product, f"{linear.name}.bias"], [linear.output], name=f"{linear.name}/Add")
            )
        groups.append((linear.nodes, nodes))
        names[linear.name] = node.name
    replace_nodes(model, groups)
    sweep(model)
    return names


def add_constant(model: Any, name: str, values: NDArray[Any]) -> None:
    """A new weight, or another value of one that is there."""
    from onnx import numpy_helper

    tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
    for existing in model.graph.initializer:
        if existing.name == name:
            existing.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def replace_nodes(model: Any, groups: Iterable[tuple[Iterable[Any], Iterable[Any]]]) -> None:
    """For each (old nodes, new nodes): put the new ones where the last old one stands and take the old ones out."""
    new: list[list[Any]] = []
    group_of: dict[str, int] = {}
    for old, replacement in groups:
        group_of.update({name: len(new) for node in old for name in node.output})
        new.append(list(replacement))
    last: dict[int, int] = {}
    for place, node in enumerate(model.graph.node):
        for name in node.output:
            if name in group_of:
                last[group_of[name]] = place
    kept: list[Any] = []
    for place, node in enumerate(model.graph.node):
        group = next((group_of[name] for name in node.output if name in group_of), None)
        if group is None:
            kept.append(node)
        elif last[group] == place:
            kept.extend(new[group])
    put(model.graph.node, kept)


def remove(model: Any, names: Iterable[str]) -> None:
    """Note maps that are no more: later steps of a recipe may name them still."""
    all_names = [*removed(model), *names]
    for entry in model.metadata_props:
        if entry.key == _REMOVED:
            entry.value = json.dumps(all_names)
            return
    entry = model.metadata_props.add()
    entry.key, entry.value = _REMOVED, json.dumps(all_names)


def removed(model: Any) -> list[str]:
    """What `remove` noted."""
    names: list[str] = json.loads(next((entry.value for entry in model.metadata_props if entry.key == _REMOVED), "[]"))
    return names


def sweep(model: Any) -> None:
    """Drop nodes, weights and declared shapes that no output needs."""
    graph = model.graph
    outputs = {output.name for output in graph.output}
    kept = live_nodes(graph.node, outputs)
    needed = outputs.union(inner_names(kept), *(node.input for node in kept))
    put(graph.node, kept)
    for field in (graph.initializer, graph.value_info):
        put(field, [item for item in field if item.name in needed])


def put(field: Any, values: Iterable[Any]) -> None:
    """Have a repeated field of a model hold these, some of which it may hold already."""
    copies = copied(values)
    del field[:]
    field.extend(copies)


def copied(values: Iterable[Any]) -> list[Any]:
    """Messages of their own: those in a repeated field go with it."""
    copies = []
    for message in values:
        copies.append(type(message)())
        copies[-1].CopyFrom(message)
    return copies
