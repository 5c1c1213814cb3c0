"""A half-precision export as float32: levers change float32 maps, and rounding from 16 bits first would round twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from wattscribe.compression.candidate import Candidate
from wattscribe.compression.linears import put


def lifted(candidate: Candidate) -> Candidate:
    """The same weights in float32; the candidate itself where no network computes in half precision."""
    changed = candidate
    for component in candidate.FILES:
        model = candidate.model(component)
        if _lift(model):
            changed = changed.with_model(component, model)
    return changed


def _lift(model: Any) -> bool:
    from onnx import TensorProto, numpy_helper

    half = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    for tensor in half:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    changed = bool(half)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.t.data_type == TensorProto.FLOAT16:
                values = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    if changed:
        _drop_casts(model)
    return changed


def _drop_casts(model: Any) -> None:
    """Casts from float32 to float32, which were the border between the two precisions."""
    from onnx import TensorProto, shape_inference

    del model.graph.value_info[:]
    typed = shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*typed.input, *typed.output, *typed.value_info)}
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    instead: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        same = node.op_type == "Cast" and all(
            kinds.get(name) == TensorProto.FLOAT for name in (*node.input, *node.output)
        )
        if same and node.output[0] not in outputs:
            instead[node.output[0]] = node.input[0]
            continue
        if same:
            node.op_type = "Identity"
            del node.attribute[:]
        kept.append(node)
    put(model.graph.node, kept)
