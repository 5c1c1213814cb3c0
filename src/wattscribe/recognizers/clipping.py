"""Whether 8-bit products clip on this processor: u8 × s8 without VNNI adds two products in 16 bits before it widens them.

255 · 64 · 2 still fits, 255 · 127 · 2 does not: weights of seven bits are safe, those of eight may give other scores here than
where VNNI or ARM computes them. Source: onnxruntime's documentation of quantisation, "When and why do I need to try U8U8?".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wattscribe.errors import ModelError
from wattscribe.graph.model import Tensor
from wattscribe.graph.read import read_model

CPU_INFO = Path("/proc/cpuinfo")
_PRODUCTS = {
    "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm",
}  # fmt: skip
_SAFE = 64
_WIDENING = ("avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8")


def clips_here(info: Path | None = None) -> bool:
    """An x86 processor with AVX2 that has no VNNI; False where nothing tells."""
    with contextlib.suppress(OSError):
        text = (info or CPU_INFO).read_text(encoding="utf-8", errors="replace")
        flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
        return "avx2" in flags and not any(flag in flags for flag in _WIDENING)
    return False


def clipping_note(files: Sequence[Path]) -> str | None:
    """What is to be said of these files on this processor; None where no sum can clip."""
    if not clips_here():
        return None
    count = sum(_is_wide(tensor) for path in files if path.suffix == ".onnx" for tensor in _weights(path))
    if not count:
        return None
    return (
        f"8 bits on this CPU clip sums: {count} weights of more than 7 bits are multiplied without VNNI (u8 × s8 in AVX2), "
        "so scores may differ from those of other processors"
    )


def _weights(path: Path) -> Iterator[Tensor]:
    """The constants that integer products read."""
    with contextlib.suppress(ModelError):
        graph = read_model(path).graph
        stored = graph.initializers
        names = {name for node in graph.nodes if node.op_type in _PRODUCTS for name in node.inputs if name in stored}
        yield from (stored[name] for name in names)


def _is_wide(tensor: Tensor) -> bool:
    """Signed weights beyond seven bits; scales and zero points have fewer dimensions."""
    if tensor.dtype != "int8" or len(tensor.shape) < 2:
        return False
    return bool(np.abs(tensor.array().astype(np.int16)).max(initial=0) > _SAFE)
