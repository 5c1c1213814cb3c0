"""Model files that stand by themselves and that older runtimes load: weights inside, no newer format than needed.

onnxruntime 1.17 (January 2024, ONNX 1.15) takes IR version 9 and opset 20: the table of its page "ONNX Runtime compatibility",
checked with that release. Exporters and the onnx package stamp what they were built with, whether the graph needs it or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wattscribe.errors import ModelError
from wattscribe.graph.read import read_model
from wattscribe.graph.write import to_bytes

IR_VERSION, OPSET = 9, 20
"""The newest that onnxruntime 1.17 takes."""
_LARGEST_BYTES = (1 << 31) - 1
"""Of a protobuf message."""


def whole(path: Path) -> bytes:
    """The file's model with its weights inside. Raises ModelError for weights that are missing, elsewhere, or too many."""
    model = read_model(path)
    outside = [tensor for tensor in model.graph.tensors() if tensor.external is not None]
    if not outside:
        return path.read_bytes()
    if sum(tensor.nbytes for tensor in model.graph.tensors()) > _LARGEST_BYTES:
        raise ModelError("its weights are more than one ONNX file can hold (2 GiB)", where=path)
    moved = {name: weight for name, weight in model.graph.initializers.items() if weight.external is not None}
    if len(moved) < len(outside):
        raise ModelError(
            "keeps constants of single operators in a second file",
            where=model.path,
            fix="Save it again with its weights inside: onnx.save(onnx.load(FILE), FILE)",
        )
    return to_bytes(model, model.graph.nodes, moved.values(), moved)


def portable(model: Any) -> bool:
    """Stamp an onnx.ModelProto as old as its graph allows, in place; whether it was changed.

    A newer opset mostly lets operators take more types. Where the graph says the same in the older one, it is stamped so;
    else the newer one stays, and with it the need for a newer runtime.
    """
    from onnx import checker, shape_inference

    newer = next(
        (opset for opset in model.opset_import if opset.domain in ("", "ai.onnx") and opset.version > OPSET), None
    )
    if model.ir_version <= IR_VERSION and newer is None:
        return False
    before = model.ir_version, newer and newer.version
    model.ir_version = min(model.ir_version, IR_VERSION)
    if newer is not None:
        stamped, newer.version = newer.version, OPSET
        try:
            checker.check_model(model, full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError):
            newer.version = stamped
    return before != (model.ir_version, newer and newer.version)
