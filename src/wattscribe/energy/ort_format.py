"""Models in onnxruntime's own format (.ort), written as ONNX again to be counted as they were optimised."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattscribe.errors import ModelError

_LOG_FATAL = 4
NOTE = "counted as stored in onnxruntime's own format (.ort): optimised, with fused operators"


def is_only_ort(path: Path) -> bool:
    """An .ort file, or a directory that holds such files and no ONNX."""
    return path.suffix == ".ort" or (path.is_dir() and any(path.glob("*.ort")) and not any(path.glob("*.onnx")))


@contextmanager
def as_onnx(path: Path) -> Iterator[Path]:
    """The file, or a directory of the same names, as ONNX, for as long as the context lasts. Raises ModelError."""
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as name:
        folder = Path(name)
        for source in [path] if path.is_file() else sorted(path.glob("*.ort")):
            _convert(source, folder / f"{source.stem}.onnx")
        yield folder / f"{path.stem}.onnx" if path.is_file() else folder


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
