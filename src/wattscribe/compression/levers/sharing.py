"""Constants that are stored twice, wider than needed, or computed anew at every call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.linears import Index, add_constant, sweep

_INDEX_INPUTS = {"Gather": 1, "GatherElements": 1}
"""Operators that take 32-bit indices as well as 64-bit ones, and where."""


def share_equal(asked: Asked) -> None:
    """Weights of equal type, shape and bytes become one: tied embeddings, repeated positions."""
    model = asked.model
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        key = hashlib.sha256(values.tobytes()).hexdigest() + f"{tensor.data_type}{list(tensor.dims)}"
        if key in first:
            renamed[tensor.name] = first[key]
        first.setdefault(key, tensor.name)
    if not renamed:
        raise asked.nothing("stores nothing twice")
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    sweep(model)


def narrow_indices(asked: Asked) -> None:
    """Constant int64 indices of lookups, all within 32 bits."""
    model = asked.model
    index = Index(model)
    changed: set[str] = set()
    for tensor in list(model.graph.initializer):
        values = index.constant(tensor.name)
        users = index.users[tensor.name]
        if values is None or values.dtype != np.int64 or values.size < 16 or not users:
            continue
        if any(
            user.op_type not in _INDEX_INPUTS or list(user.input).index(tensor.name) != _INDEX_INPUTS[user.op_type]
            for user in users
        ):
            continue
        if np.abs(values).max() < 2**31:
            add_constant(model, tensor.name, values.astype(np.int32))
            changed.add(tensor.name)
    if not changed:
        raise asked.nothing("has no 64-bit indices that could be 32-bit")
    for value in [info for info in model.graph.value_info if info.name in changed]:
        model.graph.value_info.remove(value)


def fold(asked: Asked) -> None:
    """Nodes whose inputs are all constant are computed here, where that stores no more bytes than it takes away."""
    if not fold_constants(asked.model):
        raise asked.nothing("computes nothing from constants alone")


def fold_constants(model: Any) -> bool:
    """Whether there was something to fold."""
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    before = len(model.graph.node)
    progress = True
    while progress:
        progress = False
        index = Index(model)
        for node in list(model.graph.node):
            given = [index.constant(name) for name in node.input if name]
            if node.op_type in _NOT_FOLDED or node.domain or not given or any(value is None for value in given):
                continue
            feeds = {name: index.constant(name) for name in node.input if name}
            graph = _one_node(model, node, feeds)
            values = ReferenceEvaluator(graph).run(None, feeds)
            if sum(np.asarray(value).nbytes for value in values) > sum(
                value.nbytes for value in given if value is not None
            ):
                continue
            for name, value in zip(node.output, values, strict=True):
                model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
            model.graph.node.remove(node)
            progress = True
        sweep(model)
    return len(model.graph.node) < before


_NOT_FOLDED = frozenset(("Constant", "DequantizeLinear", "If", "Loop", "Scan", "RandomNormal", "RandomUniform"))


def _one_node(model: Any, node: Any, feeds: Mapping[str, Any]) -> Any:
    from onnx import helper

    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "one", inputs, outputs)
    return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
