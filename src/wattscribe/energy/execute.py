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
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe import first_run
from wattscribe.energy import binding
from wattscribe.errors import ModelError
from wattscribe.graph.model import Model, Value
from wattscribe.graph.names import executable
from wattscribe.graph.session import source_of
from wattscribe.units import SAMPLE_RATE_HZ

_FROM_CPP = {"float": "float32", "double": "float64"}
_LOG_FATAL = 4
_MOST_VALUES = 1 << 30
"""Of one input: hours of samples."""
LENGTH = "*length"
"""Among the dimensions: what inputs that hold lengths are filled with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One execution of one node; `inputs` and `outputs` are (dtype, shape) of those present, in order."""

    node: str
    op_type: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


_WELL_KNOWN = {
    "use_cache_branch": 1,
    "sr": SAMPLE_RATE_HZ,
    "sample_rate": SAMPLE_RATE_HZ,
    "sampling_rate": SAMPLE_RATE_HZ,
}
"""Scalars whose zero would run another branch than speech does: optimum's merged decoders, Silero's voice gate."""


def execute(model: Model, dims: Mapping[str, int], inputs: Mapping[str, float] | None = None) -> list[Executed]:
    """Every node execution of one run, in order. `dims` binds the free dimensions of the inputs (`binding.dimension`).

    Inputs are zeros, lengths full, and what `inputs` names filled with the value given there.

    Raises ModelError when a dimension has no size or onnxruntime cannot run the graph.
    """
    states = {value.name for value, _ in binding.states(model, dims)}
    filled = {**_WELL_KNOWN, **(inputs or {})}
    return execute_on(
        model,
        {value.name: _fed(value, model, dims, filled, state=value.name in states) for value in model.graph.inputs},
    )


def execute_on(model: Model, feeds: Mapping[str, NDArray[Any]], *, by_priority: bool = False) -> list[Executed]:
    """As `execute`, on these inputs; `by_priority`: in the order in which the streaming runtime runs nodes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if by_priority:
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.intra_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False  # an arena grows by powers of two, far beyond the weights
    options.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        source = source_of(options, model.path, executable(model))
        try:
            session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            with first_run.limited(run_options := onnxruntime.RunOptions()):
                session.run(None, dict(feeds), run_options)
        except Exception as error:
            reason = str(error).replace("\n", " ")[:300]
            if first_run.ENDED in reason:
                raise ModelError(first_run.endless(), where=model.path, fix="Export it again") from error
            raise ModelError(
                f"onnxruntime cannot execute the graph: {reason}",
                where=model.path,
                fix="Where it takes other lengths or values of its inputs, state them: `chunk_ms`, `dims`, `inputs`",
            ) from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [_executed(event) for event in events if _is_node(event)]


def _fed(
    value: Value, model: Model, dims: Mapping[str, int], filled: Mapping[str, float], *, state: bool
) -> NDArray[Any]:
    if value.dtype is None or value.shape is None:
        raise ModelError(f"the input {value.name!r} declares no shape", where=model.path, fix="Export it with shapes")
    shape = tuple(_size(axis, value, model, dims) for axis in range(len(value.shape)))
    if any(size < 0 for size in shape) or prod(shape) > _MOST_VALUES:
        raise ModelError(
            f"the input {value.name!r} is of the shape {[*shape]}, which no memory holds",
            where=model.path,
            fix="State other sizes: `chunk_ms`, `dims`",
        )
    try:
        dtype = np.dtype(np.float32 if value.dtype == "bfloat16" else value.dtype)
    except TypeError:
        raise ModelError(
            f"the input {value.name!r} is {value.dtype}, which cannot be fed", where=model.path, fix="Export it again"
        ) from None
    if value.name in filled:
        return np.full(shape, filled[value.name]).astype(dtype)
    lengths = value.dtype in ("int64", "int32") and "len" in value.name.lower() and "processed" not in value.name
    return np.full(shape, dims.get(LENGTH, 0) if lengths and not state else 0, dtype=dtype)


def _size(axis: int, value: Value, model: Model, dims: Mapping[str, int]) -> int:
    dim = (value.shape or ())[axis]
    if isinstance(dim, int):
        return dim
    name = binding.dimension(value, axis)
    size = dims.get(binding.own_dimension(value, axis), dims.get(name))
    if size is None:
        raise ModelError(
            f"dimension {name!r} of the input {value.name!r} has no size",
            where=model.path,
            fix=f"Give `dims` {name}=SIZE",
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
    shapes = []
    for item in items:
        for dtype, shape in item.items():
            shapes.append((_FROM_CPP.get(dtype, dtype), tuple(int(size) for size in shape)))
    return tuple(shapes)
