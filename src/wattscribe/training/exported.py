"""An exported directory → the weights it was made of, by the names that training gives them.

`training.export` keeps the names of vectors and embeddings; a matrix that is read transposed loses its own, and is found by the
bias added to its product. Mean and scale of the input are folded into the first layer, so they come back as 0 and 1: the function
is the same. The CTC head is never exported, and 8-bit weights are refused: they would start a training from rounded values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wattscribe.errors import InputError
from wattscribe.graph import model as onnx_model
from wattscribe.graph.model import Graph, Node
from wattscribe.graph.read import read_model
from wattscribe.models.directory import TRANSDUCER, find_model
from wattscribe.training.features import MELS

_PROJECTIONS = {"encoder": "joiner.from_encoder", "decoder": "joiner.from_predictor"}
"""What the export calls `project`: the joiner's projection that runs with this network."""
_PARTS = ("encoder.", "predictor.", "joiner.")
_FLOATS = ("float32", "float16")
_QUANTISED = ("int8", "uint8", "int4", "uint4")
_GATES = (0, 2, 3, 1)
"""Of ONNX's input, output, forget, cell to torch's input, forget, cell, output."""
_FIX = "Give an export with fp32 or fp16 files, or the folder that `wattscribe train` wrote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Weights by their names in training, float32, and what shapes do not tell of the encoder."""

    weights: Mapping[str, Tensor]
    facts: Mapping[str, object] = field(default_factory=dict)
    """`segment`, `left_context`, `right_context` in encoder frames and `heads` of each layer."""


def read_export(folder: Path) -> Exported:
    """The widest precision of a directory that `training.export` wrote. Raises InputError and ModelError in one line."""
    files = find_model(folder, "fp32")
    if files.layout != "transducer" or files.is_ort:
        raise InputError("a training starts from a transducer's .onnx files, these are not", where=folder, fix=_FIX)
    weights: dict[str, Tensor] = {}
    facts: dict[str, object] = {}
    for network in TRANSDUCER:
        model = read_model(files.parts[network])
        if model.metadata.get("model_author") != "wattscribe":
            raise InputError(
                "this was not written by `wattscribe export`: its weights cannot be told apart by name",
                where=files.parts[network], fix=_FIX,
            )  # fmt: skip
        weights |= _weights(model.graph, network, files.parts[network])
        if network == "encoder":
            facts = _facts(model.metadata, model.graph)
    return Exported(weights=weights, facts=facts)


def _weights(graph: Graph, network: str, path: Path) -> dict[str, Tensor]:
    if any(tensor.dtype in _QUANTISED and len(tensor.shape) > 1 for tensor in graph.initializers.values()):
        raise InputError("its weights are in 8 bits or fewer", where=path, fix=_FIX)
    arrays = {name: tensor for name, tensor in graph.initializers.items() if tensor.dtype in _FLOATS}
    by_name = {name: _values(tensor) for name, tensor in arrays.items() if _named(name)}
    producers = {output: node for node in graph.nodes for output in node.outputs}
    # Equal vectors are written once: one that several nodes read names none of their matrices.
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    named = {name for name in arrays if _named(name) and reads[name] == 1}
    for node in graph.nodes:
        if node.op_type == "Add":
            by_name |= _matrix(node, producers, arrays, named)
        elif node.op_type == "Conv":
            by_name |= _taps(node, arrays, named)
        elif node.op_type == "LSTM":
            by_name |= _recurrent(node, arrays, sum(".weight_ih" in name for name in by_name))
    if network == "decoder" and "project.weight" not in by_name:
        by_name |= _last(graph, producers, arrays)
    weights = {_renamed(name, network): torch.from_numpy(values) for name, values in by_name.items()}
    if network == "encoder":
        weights |= {"encoder.mean": torch.zeros(MELS), "encoder.scale": torch.ones(MELS)}
    return weights


def _named(name: str) -> bool:
    return name.startswith((*_PARTS, "project."))


def _values(tensor: onnx_model.Tensor) -> np.ndarray:
    return np.array(tensor.array(), dtype=np.float32)


def _renamed(name: str, network: str) -> str:
    return name.replace("project.", f"{_PROJECTIONS[network]}.", 1) if name.startswith("project.") else name


def _matrix(
    node: Node, producers: Mapping[str, Node], arrays: Mapping[str, onnx_model.Tensor], named: Collection[str]
) -> dict[str, np.ndarray]:
    """`x @ W + name.bias` → name.weight, which lies transposed under a name of the exporter's."""
    for bias, product in (node.inputs, node.inputs[::-1]):
        producer = producers.get(product)
        if bias in named and bias.endswith(".bias") and producer is not None and producer.op_type == "MatMul":
            weight = arrays.get(producer.inputs[1])
            if weight is not None and len(weight.shape) == 2:
                return {f"{bias.removesuffix('.bias')}.weight": np.ascontiguousarray(_values(weight).T)}
    return {}


def _last(
    graph: Graph, producers: Mapping[str, Node], arrays: Mapping[str, onnx_model.Tensor]
) -> dict[str, np.ndarray]:
    """The decoder's projection, which has no bias: the product that is the first output."""
    node = producers.get(graph.outputs[0].name)
    while node is not None and node.op_type == "Cast":
        node = producers.get(node.inputs[0])
    if node is None or node.op_type != "MatMul" or node.inputs[1] not in arrays:
        return {}
    return {"project.weight": np.ascontiguousarray(_values(arrays[node.inputs[1]]).T)}


def _taps(node: Node, arrays: Mapping[str, onnx_model.Tensor], named: Collection[str]) -> dict[str, np.ndarray]:
    """A depthwise convolution (width, 1, kernel) → the taps (kernel, width) beside its bias."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else ""
    if weight not in arrays or bias not in named:
        return {}
    return {f"{bias.removesuffix('.bias')}.taps": np.ascontiguousarray(_values(arrays[weight])[:, 0].T)}


def _recurrent(node: Node, arrays: Mapping[str, onnx_model.Tensor], layer: int) -> dict[str, np.ndarray]:
    """One layer of an LSTM, its gates in torch's order; ONNX's two biases stay two."""
    if any(name not in arrays for name in node.inputs[1:4]):
        return {}
    inward, inner, biases = (_values(arrays[name])[0] for name in node.inputs[1:4])
    of_input, of_state = np.split(biases, 2)
    parts = {"weight_ih": inward, "weight_hh": inner, "bias_ih": of_input, "bias_hh": of_state}
    return {
        f"predictor.lstm.{name}_l{layer}": np.concatenate([np.split(values, 4)[gate] for gate in _GATES])
        for name, values in parts.items()
    }


def _facts(metadata: Mapping[str, str], graph: Graph) -> dict[str, object]:
    facts: dict[str, object] = {
        name: int(metadata[f"wattscribe_{name}"])
        for name in ("segment", "left_context", "right_context")
        if metadata.get(f"wattscribe_{name}", "").isdigit()
    }
    shapes = {
        name: tensor for name, tensor in graph.initializers.items() if tensor.dtype == "int64" and tensor.shape == (4,)
    }
    producers = {output: node for node in graph.nodes for output in node.outputs}
    heads = []
    for node in graph.nodes:  # a softmax's scores come of queries that a Reshape to (N, frames, heads, width) parted
        source: Node | None = node if node.op_type == "Softmax" else None
        while source is not None and source.op_type != "Reshape":
            source = producers.get(source.inputs[0])
        if source is not None and source.inputs[1] in shapes:
            heads.append(int(shapes[source.inputs[1]].array()[2]))
    return facts | ({"heads": heads} if heads else {})
