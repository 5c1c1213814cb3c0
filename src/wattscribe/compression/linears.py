"""The linear maps of a graph, however they are stored: each can be read as a float matrix, changed, and stored another way.

Forms: `float` (MatMul or Gemm with a constant), `dynamic8` (DynamicQuantizeLinear → MatMulInteger → scales, as
onnxruntime's quantiser writes it), `nbits` (MatMulNBits). A map keeps its name through every change: that of the value it makes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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


class Index:
    """Who makes and who uses each value of a graph, and its constants."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.constants = {each.name: each for each in model.graph.initializer}
        self.maker: dict[str, Any] = {}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.output:
                self.maker[name] = node
            for name in node.input:
                self.users[name].append(node)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self.constants[node.output[0]] = attribute.t

    def array(self, name: str) -> NDArray[Any] | None:
        """A constant's values."""
        from onnx import numpy_helper

        found = self.constants.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def only_user(self, name: str, kind: str) -> Any | None:
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and users[0].op_type == kind else None


def linears(model: Any) -> dict[str, Linear]:
    """All linear maps with constant weights, by name, in the order of the graph."""
    index = Index(model)
    found: dict[str, Linear] = {}
    for node in model.graph.node:
        reader = _READERS.get(node.op_type)
        made = None if reader is None else reader(index, node)
        if made is not None:
            found[made.name] = made
    return found


def _bytes(index: Index, *names: str) -> int:
    return sum(len(index.constants[name].raw_data) or 4 for name in names if name in index.constants)


def _matmul(index: Index, node: Any) -> Linear | None:
    weight = index.array(node.input[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return None
    return Linear(
        name=node.output[0].removesuffix(PRODUCT), form="float", source=node.input[0], output=node.output[0],
        weight=weight, bias=None, nodes=(node,), stored_bytes=_bytes(index, node.input[1]),
    )  # fmt: skip


def _gemm(index: Index, node: Any) -> Linear | None:
    weight = index.array(node.input[1])
    options = {each.name: each for each in node.attribute}
    plain = all(name not in options or options[name].f == 1.0 for name in ("alpha", "beta"))
    if weight is None or not plain or ("transA" in options and options["transA"].i):
        return None
    if "transB" in options and options["transB"].i:
        weight = weight.T
    bias = index.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is not None and bias.ndim != 1:
        return None
    return Linear(
        name=node.output[0], form="float", source=node.input[0], output=node.output[0],
        weight=np.ascontiguousarray(weight, dtype=np.float32), bias=bias, nodes=(node,),
        stored_bytes=_bytes(index, node.input[1]),
    )  # fmt: skip


def _integer(index: Index, node: Any) -> Linear | None:
    codes = index.array(node.input[1])
    quantiser = index.maker.get(node.input[0])
    if codes is None or codes.ndim != 2 or quantiser is None or quantiser.op_type != "DynamicQuantizeLinear":
        return None
    cast = index.only_user(node.output[0], "Cast")
    scaled = None if cast is None else index.only_user(cast.output[0], "Mul")
    if cast is None or scaled is None:
        return None
    other = next(name for name in scaled.input if name != cast.output[0])
    product = index.maker.get(other)
    scale_name = None if product is None else next((n for n in product.input if index.array(n) is not None), None)
    if product is None or product.op_type != "Mul" or scale_name is None:
        return None
    scale = index.array(scale_name)
    zero = index.array(node.input[3]) if len(node.input) > 3 and node.input[3] else np.int8(0)
    if scale is None or zero is None:
        return None
    weight = (codes.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
    return Linear(
        name=scaled.output[0].removesuffix(PRODUCT), form="dynamic8", source=quantiser.input[0],
        output=scaled.output[0], weight=weight, bias=None, nodes=(node, cast, product, scaled),
        stored_bytes=_bytes(index, node.input[1], scale_name),
    )  # fmt: skip


def _nbits(index: Index, node: Any) -> Linear | None:
    options = {each.name: each.i for each in node.attribute}
    packed, scales = index.array(node.input[1]), index.array(node.input[2])
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
    for each in chosen:
        product = each.output if each.bias is None else each.output + PRODUCT
        node = helper.make_node("MatMul", [each.source, f"{each.name}.weight"], [product], name=f"{each.name}/MatMul")
        nodes = [node]
        add_constant(model, f"{each.name}.weight", each.weight)
        if each.bias is not None:
            add_constant(model, f"{each.name}.bias", each.bias)
            nodes.append(
                helper.make_node("Add", [product, f"{each.name}.bias"], [each.output], name=f"{each.name}/Add")
            )
        groups.append((each.nodes, nodes))
        names[each.name] = node.name
    replace_nodes(model, groups)
    sweep(model)
    return names


def add_constant(model: Any, name: str, values: NDArray[Any]) -> None:
    """A new weight, or another value of one that is there."""
    from onnx import numpy_helper

    made = numpy_helper.from_array(np.ascontiguousarray(values), name)
    for each in model.graph.initializer:
        if each.name == name:
            each.CopyFrom(made)
            return
    model.graph.initializer.append(made)


def replace_nodes(model: Any, groups: Iterable[tuple[Iterable[Any], Iterable[Any]]]) -> None:
    """For each (old nodes, new nodes): put the new ones where the last old one stands and take the old ones out."""
    new: list[list[Any]] = []
    group_of: dict[str, int] = {}
    for old, made in groups:
        group_of.update({name: len(new) for node in old for name in node.output})
        new.append(list(made))
    last: dict[int, int] = {}
    for place, node in enumerate(model.graph.node):
        for name in node.output:
            if name in group_of:
                last[group_of[name]] = place
    kept: list[Any] = []
    for place, node in enumerate(model.graph.node):
        group = next((group_of[name] for name in node.output if name in group_of), None)
        if group is None:
            kept.append(_copy(node))
        elif last[group] == place:
            kept.extend(new[group])
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _copy(node: Any) -> Any:
    from onnx import NodeProto

    made = NodeProto()
    made.CopyFrom(node)
    return made


def remove(model: Any, names: Iterable[str]) -> None:
    """Note maps that are no more: later steps of a recipe may name them still."""
    all_names = [*removed(model), *names]
    for each in model.metadata_props:
        if each.key == _REMOVED:
            each.value = json.dumps(all_names)
            return
    made = model.metadata_props.add()
    made.key, made.value = _REMOVED, json.dumps(all_names)


def removed(model: Any) -> list[str]:
    """What `remove` noted."""
    found: list[str] = json.loads(next((each.value for each in model.metadata_props if each.key == _REMOVED), "[]"))
    return found


def sweep(model: Any) -> None:
    """Drop nodes and weights that no output needs."""
    needed = {each.name for each in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(_copy(node))
            needed.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    used = [each for each in model.graph.initializer if each.name in needed]
    if len(used) < len(model.graph.initializer):
        copies = [type(each).FromString(each.SerializeToString()) for each in used]
        del model.graph.initializer[:]
        model.graph.initializer.extend(copies)
    shapes = [each for each in model.graph.value_info if each.name in needed]
    if len(shapes) < len(model.graph.value_info):
        copies = [type(each).FromString(each.SerializeToString()) for each in shapes]
        del model.graph.value_info[:]
        model.graph.value_info.extend(copies)
