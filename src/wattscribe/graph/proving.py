"""Whether onnxruntime survives opening a graph: found by a process of its own, once, since a crash cannot be caught.

Its optimiser has died of encoders with float16 LSTMs, which need casts on processors without such arithmetic. Only graphs with
recurrent operators and float16 are tried: for others the second that a new process takes would be paid for nothing.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from wattscribe.graph import cache
from wattscribe.graph.model import Model

_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import onnxruntime
onnxruntime.set_default_logger_severity(4)
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""
_LIMIT_S = 300.0
_FLOAT16 = 10
"""TensorProto.DataType."""
_RECURRENT = ("LSTM", "GRU", "RNN")
_LIVES, _DIES = "lives", "dies"


def dies(path: Path, model: Model, data: bytes | None) -> bool:
    """Whether onnxruntime dies of optimising the graph; `data` where its file does not hold all of it.

    The answer is kept beside the prepared graphs. An error that onnxruntime reports is no death: opening it here tells more.
    """
    if not _is_risky(model):
        return False
    known = cache.note_place(path, "optimising")
    with contextlib.suppress(OSError):
        if known is not None and (answer := known.read_text(encoding="ascii")) in (_LIVES, _DIES):
            return answer == _DIES
    dead = _dies(path, data)
    with contextlib.suppress(OSError):
        if known is not None:
            known.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            known.write_text(_DIES if dead else _LIVES, encoding="ascii")
    return dead


def note(path: Path) -> str:
    """What a user is told of such a graph."""
    return f"onnxruntime dies of optimising {path.name}, which was tried in another process: it runs as it was exported, slower"


def _is_risky(model: Model) -> bool:
    nodes = list(model.graph.all_nodes())
    casts = any(node.op_type == "Cast" and node.attributes.get("to") == _FLOAT16 for node in nodes)
    return any(node.op_type in _RECURRENT for node in nodes) and (
        casts or any(tensor.dtype == "float16" for tensor in model.graph.tensors())
    )


def _dies(path: Path, data: bytes | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
        tried = path
        if data is not None:
            tried = Path(folder) / "model.onnx"
            tried.write_bytes(data)
        try:
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, str(tried)], stdin=subprocess.DEVNULL, capture_output=True,
                timeout=_LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return True
    return done.returncode < 0


__all__ = ["dies", "note"]
