"""An ONNX file's structure without its weights in memory: what a directory holds must be told before, not by, loading it."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import cast

from wattscribe import as_file
from wattscribe.errors import ModelError
from wattscribe.streaming.onnxfile import OnnxFile, parse_onnx


def read_header(path: Path) -> OnnxFile:
    """The parsed file, its weights mapped from disk and not read. Raises ModelError when it is missing or not ONNX."""
    try:
        with as_file.open_bytes(path) as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise ModelError(f"cannot be read ({error})", where=path, fix="Export or download the file again") from None
    return parse_onnx(cast(bytes, data), path)
