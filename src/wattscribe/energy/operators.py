"""Multiply-accumulates of one executed ONNX operator, from the shapes that really occurred.

Only operators that multiply matrices count; element-wise work is left out, as torch.utils.flop_counter leaves it out
(it is under 2 % of the operations of every model that we counted, and its energy lies in the activations' bytes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

Shape = tuple[int, ...]

INTEGER_OPS = frozenset(
    [
        "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm", "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat", "DynamicQuantizeLSTM", "QAttention",
    ]
)  # fmt: skip
RECURRENT_GATES = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}
ROW_LOOKUPS = frozenset(("Gather", "GatherElements", "GatherND", "GatherBlockQuantized"))
"""Read as many bytes as they deliver, not the whole table."""
VIEWS = frozenset(["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Size", "Dropout"])
"""Deliver the bytes they were given, without moving them."""
REDUCTIONS = frozenset(
    [
        "Softmax", "LogSoftmax", "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization",
        "BatchNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "ReduceMean",
        "ReduceSum", "ReduceMax", "ArgMax", "TopK", "MaxPool", "AveragePool", "GlobalAveragePool",
    ]
)  # fmt: skip
CONTROL = frozenset(("If", "Loop", "Scan"))


def is_matrix(op_type: str) -> bool:
    """Whether `macs` counts this operator."""
    return op_type in _COUNTERS


def macs(op_type: str, attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    """Multiply-accumulates of one execution; 0 for operators that multiply no matrices.

    `inputs` in the operator's own order, None where an optional input is absent.
    """
    counter = _COUNTERS.get(op_type)
    return 0 if counter is None or not outputs else counter(attributes, inputs, outputs)


def _shape(inputs: Sequence[Shape | None], index: int) -> Shape:
    return (inputs[index] or ()) if index < len(inputs) else ()


def _matmul(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    left = _shape(inputs, 0)
    inner = left[-2] if attributes.get("transA") and len(left) > 1 else left[-1]
    return prod(outputs[0]) * inner


def _gemm(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    left = _shape(inputs, 0)
    return prod(outputs[0]) * (left[0] if attributes.get("transA") else left[1])


def _nbits(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    return prod(outputs[0]) * int(attributes["K"])


def _conv(weight_index: int) -> Any:
    def count(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return prod(outputs[0]) * prod(_shape(inputs, weight_index)[1:])

    return count


def _conv_transpose(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    return prod(_shape(inputs, 0)) * prod(_shape(inputs, 1)[1:])


def _recurrent(gates: int, *, transposed: bool = False) -> Any:
    def count(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        steps_rows = prod(_shape(inputs, 0)[:2])
        width = _shape(inputs, 0)[2]
        weight = _shape(inputs, 1)
        directions, hidden = weight[0], int(attributes.get("hidden_size") or weight[2 if transposed else 1] // gates)
        return steps_rows * directions * gates * hidden * (width + hidden)

    return count


def _attention(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    """com.microsoft Attention: input (B, S, D), weights (D, 3·H): projection, scores and mix (past included)."""
    batch, steps, width = _shape(inputs, 0)
    columns = _shape(inputs, 1)[-1]
    hidden = outputs[0][-1]
    past = _shape(inputs, 4)
    total = steps + (past[-2] if past else 0)
    return batch * steps * (width * columns + 2 * total * hidden)


def _multi_head(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    """Attention without projections: query (B, S, D) or (B, H, S, d); keys (B, L, D) or (B, H, L, d)."""
    query, key = _shape(inputs, 0), _shape(inputs, 1) or _shape(inputs, 0)
    return prod(query) * key[-2] + prod(outputs[0]) * key[-2]


def _einsum(attributes: Mapping[str, Any], inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
    if sum(shape is not None for shape in inputs) < 2:
        return 0
    sizes: dict[str, int] = {}
    terms = attributes["equation"].decode().replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, inputs, strict=False):
        sizes.update(zip(term.replace("...", ""), (shape or ())[-len(term.replace("...", "")) :], strict=False))
    extra = max((len(shape or ()) - len(term.replace("...", "")) for term, shape in zip(terms, inputs, strict=False)))
    broadcast = prod(outputs[0][:extra]) if extra > 0 else 1
    return prod(sizes.values()) * broadcast


_COUNTERS: Mapping[str, Any] = {
    **dict.fromkeys(
        [
            "MatMul",
            "MatMulInteger",
            "FusedMatMul",
            "TransposeMatMul",
            "DynamicQuantizeMatMul",
            "MatMulIntegerToFloat",
            "QLinearMatMul",
        ],
        _matmul,
    ),
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "QGemm": _gemm,
    "MatMulNBits": _nbits,
    "MatMulBnb4": _nbits,
    **dict.fromkeys(("Conv", "ConvInteger", "FusedConv", "NhwcFusedConv"), _conv(1)),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    **{name: _recurrent(gates, transposed=name.startswith("Dynamic")) for name, gates in RECURRENT_GATES.items()},
    "Attention": _attention,
    "QAttention": _attention,
    "MultiHeadAttention": _multi_head,
    "Einsum": _einsum,
}
