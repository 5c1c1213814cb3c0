"""LSTMs in 8 bits: onnxruntime's DynamicQuantizeLSTM quantises inputs and states as they come and reads 8-bit weights."""

from __future__ import annotations

from typing import Any

from wattscribe.compression.levers.sharing import fold_constants
from wattscribe.compression.levers.tools import Asked, name_nodes, written_by_quantiser
from wattscribe.compression.linears import Index, sweep
from wattscribe.errors import InputError


def lstms(model: Any) -> dict[str, Any]:
    """LSTM nodes with constant float32 weights, by the first value they make. GRU and RNN have no 8-bit kernel in onnxruntime.

    Torch's newer exporter turns the order of the gates by operators on constants: those are folded into `model` first.
    """
    index = Index(model)
    weights = [name for node in model.graph.node if node.op_type == "LSTM" for name in node.input[1:3]]
    if any(index.constant(name) is None for name in weights) and fold_constants(model):
        index = Index(model)
    return {
        next(name for name in node.output if name): node
        for node in model.graph.node
        if node.op_type == "LSTM" and _quantisable(index, node)
    }


def _quantisable(index: Index, node: Any) -> bool:
    """onnxruntime's quantiser drops `layout`, and its kernel knows the default alone."""
    if any(attribute.name == "layout" and attribute.i for attribute in node.attribute):
        return False
    weights = [index.constant(name) for name in node.input[1:3]]
    return all(weight is not None and str(weight.dtype) == "float32" and weight.ndim == 3 for weight in weights)


def dynamic_int8(asked: Asked) -> None:
    """LSTM → DynamicQuantizeLSTM, a scale per gate and cell. Weights take 7 bits, as in `weights.dynamic_int8`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = asked.model
    by_name = lstms(model)
    names = asked.chosen(by_name, "has no float LSTM")
    name_nodes(model)
    nodes = [by_name[name].name for name in names]
    with written_by_quantiser(asked) as path:
        quantize_dynamic(
            model, path, op_types_to_quantize=["LSTM"], per_channel=True, weight_type=QuantType.QInt8,
            reduce_range=True, nodes_to_quantize=nodes, extra_options={"WeightSymmetric": True},
        )  # fmt: skip
    left = lstms(model)
    kept = [name for name in names if name in left]
    if kept:
        raise InputError(f"onnxruntime's quantiser left {kept[0]!r} as it was", fix="Leave this step away")
    sweep(model)


__all__ = ["dynamic_int8", "lstms"]
