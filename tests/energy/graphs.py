"""Small graphs, and what is counted of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.energy import counting
from wattscribe.energy.workload import Component
from wattscribe.graph.read import read_model

onnx = pytest.importorskip("onnx")
helper = onnx.helper
F, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def node(*arguments: Any, **more: Any) -> Any:
    return helper.make_node(*arguments, **more)


def f32(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def count(path: Path, rows: int = 1, **dims: int) -> Component:
    return counting.component(read_model(path), "encoder", dims={"N": rows, **dims}, rows=rows)


def by_name(found: Component) -> dict[str, tuple[float, float]]:
    return {weight.name: (weight.call_bytes, weight.row_bytes) for weight in found.weights}
