"""Open the three networks, rewritten where that changes no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wattscribe.streaming.onnxfile import OnnxFile, read_onnx
from wattscribe.streaming.rewrite import rewrite
from wattscribe.streaming.rowwise import by_row
from wattscribe.streaming.session import open_session


def open_encoder(path: Path, *, threads: int, rewriting: bool) -> tuple[Any, bool]:
    """The encoder's session, and whether streams that share a call leave one another alone (no scale taken over all)."""
    model = read_onnx(path)
    apart = not _quantises(model)
    if rewriting and not _external(model):
        changed, applied = rewrite(model)
        if any(applied.values()):
            return open_session(path, threads=threads, model=changed), apart
    return open_session(path, threads=threads), apart


def open_rows(path: Path, *, threads: int) -> Any:
    """The session of a predictor or joiner; dynamic quantisation is done per row, so that rows can share a call."""
    model = read_onnx(path)
    changed = None if _external(model) else by_row(model)
    return open_session(path, threads=threads, model=changed)


def _quantises(model: OnnxFile) -> bool:
    return any(node.op_type.startswith("DynamicQuantize") for node in model.graph.walk())


def _external(model: OnnxFile) -> bool:
    """Weights in a file beside the model: it is opened by its path."""
    return any(tensor.external for tensor in model.graph.tensors())
