"""Run a graph once and learn the shapes that really occur in it, subgraphs and loop iterations included.

onnxruntime's profiler reports every executed node with the shapes of its inputs and outputs. That is exact where shape
inference guesses (data-dependent shapes, contrib operators, If and Loop), and it keeps no intermediate value alive.
Graph optimisation is off, so that nodes keep their names; weights are not pre-packed, so that they appear as inputs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy import renaming
from wattscribe.errors import ModelError
from wattscribe.onnxfile import Model, Value

_FROM_CPP = {"float": "float32", "double": "float64"}
_LOG_FATAL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One execution of one node; `inputs` and `outputs` are (dtype, shape) of those present, in order."""

    node: str
    op_type: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


def execute(model: Model, dims: Mapping[str, int]) -> list[Executed]:
    """Every node execution of one run over zeros, in order. `dims` binds the named dimensions of the inputs.

    Raises ModelError when a dimension has no size or onnxruntime cannot run the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False  # an arena grows by powers of two, far beyond the weights
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.path.parent))
    feeds = {value.name: _zeros(value, model, dims) for value in model.graph.inputs}
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        source = renaming.executable(model)
        try:
            session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            session.run(None, feeds)
        except Exception as error:
            reason = str(error).replace("\n", " ")[:300]
            raise ModelError(f"onnxruntime cannot execute the graph: {reason}", where=model.path) from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [_executed(event) for event in events if _is_node(event)]


def _zeros(value: Value, model: Model, dims: Mapping[str, int]) -> NDArray[Any]:
    if value.dtype is None or value.shape is None:
        raise ModelError(f"the input {value.name!r} declares no shape", where=model.path, fix="Export it with shapes")
    shape = tuple(_size(dim, value, model, dims) for dim in value.shape)
    dtype = np.dtype(np.float32 if value.dtype == "bfloat16" else value.dtype)
    lengths = value.dtype in ("int64", "int32") and "len" in value.name.lower() and "processed" not in value.name
    return np.full(shape, dims.get("*length", 0) if lengths else 0, dtype=dtype)


def _size(dim: int | str | None, value: Value, model: Model, dims: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    size = dims.get(str(dim))
    if size is None:
        raise ModelError(
            f"dimension {dim!r} of the input {value.name!r} has no size", where=model.path, fix="Bind it with --dim"
        )
    return size


def _is_node(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time")


def _executed(event: Mapping[str, Any]) -> Executed:
    arguments = event["args"]
    return Executed(
        node=str(event["name"]).removesuffix("_kernel_time"),
        op_type=str(arguments["op_name"]),
        inputs=_shapes(arguments.get("input_type_shape", ())),
        outputs=_shapes(arguments.get("output_type_shape", ())),
    )


def _shapes(items: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    found = []
    for item in items:
        for dtype, shape in item.items():
            found.append((_FROM_CPP.get(dtype, dtype), tuple(int(size) for size in shape)))
    return tuple(found)
