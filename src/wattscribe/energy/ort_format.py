"""Models in onnxruntime's own format (.ort), written as ONNX again to be counted as they were optimised."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wattscribe.errors import ModelError

_LOG_FATAL = 4
NOTE = "counted as stored in onnxruntime's own format (.ort): optimised, with fused operators"


@contextmanager
def as_onnx(parts: Mapping[str, Path]) -> Iterator[Mapping[str, Path]]:
    """The parts themselves, or of .ort files the same written as ONNX for as long as the context lasts. Raises ModelError."""
    if not any(path.suffix == ".ort" for path in parts.values()):
        yield parts
        return
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as name:
        written = {part: Path(name) / f"{path.stem}.onnx" for part, path in parts.items()}
        for part, path in parts.items():
            _convert(path, written[part])
        yield written


def _convert(source: Path, target: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _LOG_FATAL
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        reason = str(error).replace("\n", " ")[:300]
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} does not open it: {reason}",
            where=source,
            fix="It may be of another version of onnxruntime: profile the .onnx file that it was made of",
        ) from error
