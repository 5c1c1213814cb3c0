"""Open the three networks, rewritten where that changes no answer."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from wattscribe.streaming.onnxfile import OnnxFile, read_onnx
from wattscribe.streaming.rewrite import rewrite
from wattscribe.streaming.rowwise import by_row
from wattscribe.streaming.session import open_session


def open_encoder(path: Path, *, threads: int, rewriting: bool, saved: Path | None = None) -> tuple[Any, bool]:
    """The encoder's session, and whether streams that share a call leave one another alone (no scale taken over all).

    `saved`: where to write the graph as onnxruntime runs it.
    """
    changed, apart = _rewritten(path, rewriting)
    give_back()
    net = open_session(path, threads=threads, model=changed, saved=saved)
    del changed
    give_back()
    return net, apart


def _rewritten(path: Path, rewriting: bool) -> tuple[bytes | None, bool]:
    model = read_onnx(path)
    apart = not _quantises(model)
    if rewriting and not external(model):
        changed, applied = rewrite(model)
        if any(applied.values()):
            return changed, apart
    return None, apart


def open_rows(path: Path, *, threads: int) -> Any:
    """The session of a predictor or joiner; dynamic quantisation is done per row, so that rows can share a call."""
    model = read_onnx(path)
    changed = None if external(model) else by_row(model)
    return open_session(path, threads=threads, model=changed)


def give_back() -> None:
    """Return what parsing and loading freed to the system: glibc keeps it otherwise, several times the model's size."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """glibc's malloc_trim; None where the C library is another one."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def _quantises(model: OnnxFile) -> bool:
    return any(node.op_type.startswith("DynamicQuantize") for node in model.graph.walk())


def external(model: OnnxFile) -> bool:
    """Weights in a file beside the model: it is opened by its path."""
    return any(tensor.external for tensor in model.graph.tensors())
