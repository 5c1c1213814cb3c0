"""onnxruntime sessions as this runtime opens them, and its exceptions as one line that names the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wattscribe.errors import ModelError


def open_session(path: Path, *, threads: int = 1, model: bytes | None = None) -> Any:
    """An InferenceSession for the file, or for `model`, its rewritten bytes.

    One thread per operator unless told otherwise; idle threads do not spin, so that a stream that waits for audio costs
    nothing; denormals count as zero (they slow recurrent states in silence). Raises ModelError.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    source: bytes | str = str(path) if model is None else model
    with reported(path, "cannot be executed"):
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@contextmanager
def reported(path: Path, what: str) -> Iterator[None]:
    """Turn onnxruntime's exceptions into a ModelError with the node and the reason in one line."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = tuple(
        getattr(state, name)
        for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "NoSuchFile",
                     "NoModel", "RuntimeException", "EPFail", "EngineError", "NotFound")
        if hasattr(state, name)
    )  # fmt: skip
    try:
        yield
    except kinds as error:
        raise ModelError(f"{what}: {_one_line(str(error))}", where=path, fix=_remedy(str(error))) from None


def _one_line(message: str) -> str:
    """onnxruntime's message without its prefix, build paths and line breaks."""
    message = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", message)
    message = re.sub(r"\S*/onnxruntime/\S+\.(cc|h):\d+ ", "", message)
    message = re.sub(r"(onnxruntime::|\(anonymous namespace\)::)?\S*\(.*?\) ?(?=\S+ was false)", "", message)
    return " ".join(message.split()).rstrip(". ")[:400]


def _remedy(message: str) -> str:
    if "Could not find an implementation" in message or "No Op registered" in message or "not a registered" in message:
        return "Export it with operators of the standard ONNX opset, or install a newer onnxruntime"
    if "opset" in message or "IR version" in message:
        return "Install a newer onnxruntime, or export with an older opset"
    return "Export the model again and check it with onnx.checker"


def run(session: Any, path: Path, outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
    """`session.run` with its failures reported for `path`."""
    with reported(path, "failed while running"):
        return list(session.run(list(outputs), dict(feeds)))


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
