"""Linear maps in 8 and 4 bits: onnxruntime's quantisers lay the graph out, GPTQ on calibration audio chooses the codes. The
embedding table in 8 bits, and whatever is still float32 in 16."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.levers.tools import Asked, name_nodes, quiet, written_by_quantiser
from wattscribe.compression.linears import Index, Linear, add_constant, linears, make_float, pack, put, sweep
from wattscribe.compression.rounding import Weights, best_scale, descended, gptq, nearest
from wattscribe.errors import InputError

BLOCKS = (16, 32, 64, 128, 256)
SEVEN_BITS = 64
"""Largest code of a weight that is multiplied in 8 bits: 255 · 64 · 2 fits the 16 bits in which CPUs without VNNI add pairs of
products, and onnxruntime's `reduce_range` gives this range. Measured in docs/compress.md, 8 bits on x86."""
SMALLEST_TABLE_BYTES = 4096
"""Shorter constants that a Gather reads are no embedding tables."""
SMALLEST_BYTES = 256
"""Smaller ones cost more in operators than they save."""
LARGEST = 65504.0
"""Of float16."""
_NEED_CONSTANTS = (
    "MatMulNBits", "DequantizeLinear", "QuantizeLinear", "QLinearConv", "MatMulInteger", "DynamicQuantizeLSTM",
)  # fmt: skip


def dynamic_int8(asked: Asked) -> None:
    """DynamicQuantizeLinear → MatMulInteger, a scale per output. Option: rounding = gptq | nearest.

    Weights take 7 of the 8 bits, so that no CPU clips sums: the bit costs less than clipping does, and little where none clips.
    Behind onnxruntime's own operators (attention), whose outputs onnx knows no type of, values are float as everywhere.
    """
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model, component = asked.model, asked.component
    maps = linears(model)
    names = [name for name in asked.meant(maps) if maps[name].form == "float"]
    if not names:
        raise asked.nothing("has no float linear map left")
    nodes = make_float(model, [maps[name] for name in names])
    with written_by_quantiser(asked) as path:
        quantize_dynamic(
            model, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8,
            reduce_range=True, nodes_to_quantize=list(nodes.values()),
            extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True, "DefaultTensorType": TensorProto.FLOAT},
        )  # fmt: skip
    if rounding_of(asked.options) == "gptq":
        for name in names:
            _refit_int8(model, maps[name], component, asked.calibration)
    sweep(model)


def rounding_of(options: Mapping[str, Any]) -> str:
    """Of a step. Raises InputError for one that there is not."""
    rounding = str(options.get("rounding", "gptq"))
    if rounding not in ("gptq", "nearest"):
        raise InputError(f"there is no rounding {rounding!r}", fix="Use gptq or nearest")
    return rounding


def _refit_int8(model: Any, before: Linear, component: str, calibration: Calibration) -> None:
    index = Index(model)
    integer = next(node for node in linears(model)[before.name].nodes if node.op_type == "MatMulInteger")
    product = next(node for node in linears(model)[before.name].nodes if node.op_type == "Mul")
    scale_name = next(name for name in product.input if index.constant(name) is not None)
    scale = index.constant(scale_name)
    if scale is None:
        raise InputError(f"{before.name!r} has no constant scale")
    gram = known_gram(before, component, calibration)
    if gram is not None:
        steps = scale.reshape(1, -1).astype(np.float32)
        key = (component, before.name, 8, hashlib.sha256(before.weight.tobytes() + steps.tobytes()).digest())
        codes = calibration.kept(key, lambda: gptq(before.weight, steps, gram, -SEVEN_BITS, SEVEN_BITS))
        add_constant(model, integer.input[1], codes.astype(np.int8))


def known_gram(linear: Linear, component: str, calibration: Calibration) -> NDArray[np.float64] | None:
    """XᵀX of the map's inputs; None for maps whose inputs the original does not have (pruned or factorised ones)."""
    return known_moments(component, linear.source, linear.shape[0], calibration)


def known_moments(component: str, source: str, inputs: int, calibration: Calibration) -> NDArray[np.float64] | None:
    """XᵀX of a value of so many columns; None where the original has no such value."""
    moments = calibration.find(component, source)
    return moments.gram if moments is not None and len(moments.gram) == inputs else None


def blockwise(asked: Asked) -> None:
    """MatMulNBits. Options: bits 4 or 8, block, rounding, accuracy (onnxruntime's accuracy_level: 4 multiplies in int8)."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model, component, options = asked.model, asked.component, asked.options
    bits, block = int(options.get("bits", 4)), int(options.get("block", 32))
    if bits not in (4, 8) or block not in BLOCKS:
        raise InputError(f"{bits} bits in blocks of {block} cannot be run", fix=f"Bits 4 or 8, block one of {BLOCKS}")
    maps = linears(model)
    names = [name for name in asked.meant(maps) if maps[name].form != "nbits"]
    if not names:
        raise asked.nothing("has no linear map left for it")
    nodes = set(make_float(model, [maps[name] for name in names]).values())
    name_nodes(model)
    others = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in nodes]
    with quiet(component):
        quantiser = MatMulNBitsQuantizer(
            model, bits=bits, block_size=block, is_symmetric=True, accuracy_level=int(options.get("accuracy", 4)),
            nodes_to_exclude=others, op_types_to_quantize=("MatMul",),
        )  # fmt: skip
        quantiser.process()
    quantised = quantiser.model.model
    if quantised is not model:
        model.CopyFrom(quantised)
    _bias_names(model, names)
    for name in names:
        _refit_blocks(model, maps[name], component, bits, block, rounding_of(options), asked.calibration)
    sweep(model)


def _bias_names(model: Any, names: Sequence[str]) -> None:
    """The quantiser must have kept each map's output: later steps find it by that."""
    kept = linears(model)
    lost = [name for name in names if name not in kept or kept[name].form != "nbits"]
    if lost:
        raise InputError(f"onnxruntime's quantiser left {lost[0]!r} as it was", fix="Choose another block size")


def _refit_blocks(
    model: Any, before: Linear, component: str, bits: int, block: int, rounding: str, calibration: Calibration
) -> None:
    node = linears(model)[before.name].nodes[0]
    gram = known_gram(before, component, calibration)
    key = (component, before.name, bits, block, rounding, hashlib.sha256(before.weight.tobytes()).digest())
    codes, scales = calibration.kept(key, lambda: block_codes(before.weight, gram, bits, block, rounding)[:2])
    add_constant(model, node.input[1], pack(codes + (1 << (bits - 1)), bits, block))
    stored = Index(model).constant(node.input[2])
    shape = scales.T.shape if stored is None else stored.shape
    add_constant(model, node.input[2], np.ascontiguousarray(scales.T).reshape(shape).astype(np.float32))


def block_codes(
    weight: Weights, gram: NDArray[np.float64] | None, bits: int, block: int, rounding: str
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Scales with the least weighted error per block, codes by GPTQ (or nearest): (codes [K, N], scales [blocks, N], the scale
    of each code [K, N])."""
    half = 1 << (bits - 1)
    inputs, outputs = weight.shape
    blocks = -(-inputs // block)
    padded = np.zeros((blocks * block, outputs), np.float32)
    padded[:inputs] = weight
    importance = np.zeros(blocks * block)
    importance[:inputs] = 1.0 if gram is None else np.diag(gram)
    cut = padded.reshape(blocks, block, outputs)
    scales = np.concatenate(
        [best_scale(cut[i], importance[i * block : (i + 1) * block] + 1e-12, -half, half - 1) for i in range(blocks)]
    )
    spread = np.repeat(scales, block, axis=0)[:inputs]
    if rounding == "gptq" and gram is not None:
        codes = gptq(weight, spread, gram, -half, half - 1)
        return descended(weight, codes, spread, gram, -half, half - 1), scales, spread
    return nearest(weight, spread, -half, half - 1), scales, spread


# --- the embedding table -----------------------------------------------------------------------------------------------
def lookup_int8(asked: Asked) -> None:
    """Gather of a float table → Gather of uint8 rows → DequantizeLinear."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = asked.model
    index = Index(model)
    name_nodes(model)
    nodes = [node.name for node in model.graph.node if node.op_type == "Gather" and _is_looked_up(index, node.input[0])]
    if not nodes:
        raise asked.nothing("looks nothing up in a float table")
    with written_by_quantiser(asked) as path:
        quantize_dynamic(
            model, path, op_types_to_quantize=["Gather"], weight_type=QuantType.QUInt8, nodes_to_quantize=nodes
        )
    sweep(model)


def _is_looked_up(index: Index, name: str) -> bool:
    table = index.constant(name)
    return (
        table is not None and str(table.dtype) == "float32" and table.ndim == 2 and table.nbytes >= SMALLEST_TABLE_BYTES
    )


# --- what is left --------------------------------------------------------------------------------------------------------
def fp16(asked: Asked) -> None:
    """Weight → Cast to float32 → its readers. A CPU unpacks once at load; a device with 16-bit units reads half the bytes."""
    index = Index(asked.model)
    candidates = [tensor.name for tensor in asked.model.graph.initializer if _fits(index, tensor.name)]
    in_sixteen_bits(asked.model, asked.chosen(candidates, f"has no float32 weights of {SMALLEST_BYTES} bytes left"))


def in_sixteen_bits(model: Any, names: Iterable[str]) -> None:
    """Store these float32 weights in 16 bits, and lift them for their readers.

    A table of which rows alone are read is lifted row by row: as a whole it would stand in memory in 32 bits.
    """
    from onnx import helper

    index = Index(model)
    casts: list[Any] = []
    looked_up: dict[str, str] = {}
    for name in names:
        values = index.constant(name)
        if values is None:
            continue
        half = f"{name}/half"
        for tensor in list(model.graph.initializer):
            if tensor.name == name:
                model.graph.initializer.remove(tensor)
        add_constant(model, half, values.astype(np.float16))
        if all(user.op_type == "Gather" and user.input[0] == name for user in index.users[name]):
            looked_up[name] = half
        else:
            casts.append(helper.make_node("Cast", [half], [name], name=f"{name}/lift", to=1))
    lifted = [made for node in model.graph.node for made in _lifted_rows(node, looked_up)]
    put(model.graph.node, [*casts, *lifted])


def _lifted_rows(node: Any, looked_up: Mapping[str, str]) -> list[Any]:
    """The node; where it looks rows up in one of these tables, those of the 16-bit one, and what lifts them."""
    from onnx import helper

    half = looked_up.get(node.input[0]) if node.op_type == "Gather" else None
    if half is None:
        return [node]
    rows = node.output[0]
    node.input[0], node.output[0] = half, f"{rows}/half"
    return [node, helper.make_node("Cast", [f"{rows}/half"], [rows], name=f"{rows}/lift", to=1)]


def _fits(index: Index, name: str) -> bool:
    values = index.constant(name)
    if values is None or values.dtype != np.float32 or values.nbytes < SMALLEST_BYTES:
        return False
    if any(user.op_type in _NEED_CONSTANTS for user in index.users[name]):
        return False
    return bool(np.abs(values).max() < LARGEST)
