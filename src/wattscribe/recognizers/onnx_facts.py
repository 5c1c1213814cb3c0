"""Weights by dtype and the operators that multiply with them, counted in ONNX files as the runtime will execute them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from wattscribe.energy.ort_format import as_onnx
from wattscribe.errors import ModelError
from wattscribe.graph.index import constants_of
from wattscribe.graph.model import BITS, DTYPES, Graph, Node, Tensor
from wattscribe.graph.read import read_model
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.clipping import clipping_note
from wattscribe.records import PrecisionAudit, ProviderShare, RecognizerSpec

_PRODUCTS = {
    "MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "Gather", "FusedMatMul", "FusedConv", "FusedGemm",
    "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM", "MatMulNBits", "QGemm", "EmbedLayerNormalization", "Attention", "QAttention",
}  # fmt: skip
"""Operators that read weight matrices (ONNX, and the com.microsoft domain of onnxruntime)."""

_PASSING = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Slice", "Concat", "Cast", "DequantizeLinear"}
"""Operators that hand a weight on; the last two change its type."""


_NOT_WEIGHTS = {"int64", "uint64", "bool", "string"}
"""Shapes, indices and masks: no runtime keeps weights in these."""
_AT_ONCE = 1 << 22
"""Values looked at together, so that the weights are never all in memory."""


@dataclass(slots=True, kw_only=True)
class _Scope:
    """One graph's names, the outer graph's behind them."""

    tensors: dict[str, Tensor]
    producers: dict[str, Node]
    outer: _Scope | None = None

    def tensor(self, name: str) -> Tensor | None:
        return self.tensors.get(name) or (self.outer.tensor(name) if self.outer else None)

    def producer(self, name: str) -> Node | None:
        return self.producers.get(name) or (self.outer.producer(name) if self.outer else None)


@dataclass(slots=True, kw_only=True)
class _Count:
    weight_bytes: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    dequantised: dict[int, int] = field(default_factory=dict)
    """id of a tensor that is dequantised before a float product → its bytes."""
    integer: set[int] = field(default_factory=set)
    """ids of tensors that an integer product reads."""
    parameters: int = 0


def audit_onnx(
    spec: RecognizerSpec,
    files: Sequence[Path],
    *,
    device: str,
    executed_on: tuple[ProviderShare, ...] = (),
    said: str | None = None,
) -> PrecisionAudit:
    """The audit of a model made of these files; .ort files of onnxruntime's own format as the graphs that they hold.

    `said`: what the runtime told of itself, which explains a mismatch. Raises ModelError for weights that are no numbers:
    runtimes go on with them in silence.
    """
    count = _Count()
    with as_onnx({str(path): path for path in files}) as graphs:
        for name, path in graphs.items():
            graph = read_model(path).graph
            _require_numbers(graph, Path(name))
            _count(graph, count, None)
    only = sum(size for key, size in count.dequantised.items() if key not in count.integer)
    facts = Facts(
        requested=spec.precision,
        requested_device=spec.device,
        device=device,
        weight_bytes=dict(count.weight_bytes),
        operators=dict(sorted(count.operators.items())),
        dequantised_bytes=only,
        parameters=count.parameters,
        note="; ".join(filter(None, (said, "files: " + ", ".join(path.name for path in files)))),
        executed_on=executed_on,
    )
    audit = judge(facts)
    clips = clipping_note(files) if device == "cpu" else None
    return replace(audit, note="; ".join(filter(None, (audit.note, clips))) or None)


def _require_numbers(graph: Graph, path: Path) -> None:
    """Infinities may stand for what can never be said; NaN stands for nothing."""
    for tensor in graph.tensors():
        if tensor.dtype in ("float32", "float16") and tensor.data is not None and len(tensor.data) == tensor.nbytes:
            values = np.frombuffer(tensor.data, dtype=tensor.dtype)
            if any(np.isnan(values[at : at + _AT_ONCE]).any() for at in range(0, len(values), _AT_ONCE)):
                raise ModelError(
                    f"its weights {tensor.name} are not numbers (NaN)", where=path, fix="Copy or export the model again"
                )


def _count(graph: Graph, count: _Count, outer: _Scope | None) -> None:
    scope = _scope(graph, outer)
    for tensor in scope.tensors.values():
        if tensor.dtype in _NOT_WEIGHTS:
            continue
        count.weight_bytes[tensor.dtype] += tensor.nbytes
        count.parameters += tensor.elements
    for node in graph.nodes:
        weights = list(_weights(node, scope)) if node.op_type in _PRODUCTS else []
        name = node.op_type if node.domain in ("", "com.microsoft") else f"{node.domain}.{node.op_type}"
        count.operators[f"{name}:{weights[0].computed_in}" if weights else name] += 1
        for weight in weights:
            if weight.dequantised and not _integer_pattern(node, scope):
                count.dequantised[id(weight.tensor)] = weight.tensor.nbytes
            elif BITS.get(weight.tensor.dtype, 64) <= 8:
                count.integer.add(id(weight.tensor))
        for value in node.attributes.values():
            if isinstance(value, Graph):
                _count(value, count, scope)


def _scope(graph: Graph, outer: _Scope | None) -> _Scope:
    producers = {output: node for node in graph.nodes for output in node.outputs}
    return _Scope(tensors=constants_of(graph), producers=producers, outer=outer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weight:
    tensor: Tensor
    dequantised: bool
    computed_in: str


def _weights(node: Node, scope: _Scope) -> Iterator[_Weight]:
    """The matrices that the operator reads (vectors are biases, scales and zero points), the largest first."""
    weights = [weight for name in node.inputs if (weight := _trace(name, scope)) and len(weight.tensor.shape) >= 2]
    yield from sorted(weights, key=lambda weight: -weight.tensor.nbytes)


def _trace(name: str, scope: _Scope) -> _Weight | None:
    """Follow an input back to a stored tensor, through the operators that only hand it on."""
    dequantised, computed_in = False, None
    while (tensor := scope.tensor(name)) is None:
        node = scope.producer(name)
        if node is None or node.op_type not in _PASSING or not node.inputs:
            return None
        if node.op_type == "DequantizeLinear":
            dequantised = True
            computed_in = computed_in or _dtype_of(node.inputs[1], scope)
        elif node.op_type == "Cast":
            computed_in = computed_in or DTYPES.get(int(str(node.attributes.get("to", 1))), ("float32", 32))[0]
        name = node.inputs[0]
    return _Weight(tensor=tensor, dequantised=dequantised, computed_in=computed_in or tensor.dtype)


def _dtype_of(name: str, scope: _Scope) -> str:
    tensor = scope.tensor(name)
    return tensor.dtype if tensor is not None else "float32"


def _integer_pattern(node: Node, scope: _Scope) -> bool:
    """Whether the activation is dequantised too: onnxruntime fuses that pair into an integer product.

    Source: onnxruntime's documentation of quantised (QDQ) models. A dequantised weight beside a float activation stays float.
    """
    producer = scope.producer(node.inputs[0]) if node.inputs else None
    if producer is None or producer.op_type != "DequantizeLinear" or scope.tensor(producer.inputs[0]) is not None:
        return False
    before: Mapping[str, str] | Node | None = scope.producer(producer.inputs[0])
    return isinstance(before, Node) and before.op_type == "QuantizeLinear"
