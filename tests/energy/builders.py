"""Toy graphs, workloads and devices whose every figure can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import DATA
from tests.shared import ZIPFORMER as ZIPFORMER
from wattscribe.energy.devices import Device
from wattscribe.energy.devices.profile import parse
from wattscribe.energy.rates import Rate, Rates
from wattscribe.energy.workload import Component, WeightTensor, Workload

CHAPTER = DATA / "librispeech" / "dev-clean"
needs_zipformer = pytest.mark.data


def constant(value: float, unit: str, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {
        "value": value,
        "low": value if low is None else low,
        "high": value if high is None else high,
        "unit": unit,
        "source": "made up for a test",
    }


def device_data(**changes: Any) -> dict[str, Any]:
    """A device of round numbers: 1 nJ/B near, 10 nJ/B far, 1 and 4 pJ per MAC, 1 mW idle, 1 MB/s … everywhere."""
    data: dict[str, Any] = {
        "name": "toy",
        "title": "a toy",
        "idle": constant(1, "mW"),
        "tiers": [
            {
                "name": "near",
                "capacity": constant(1000, "B"),
                "read": constant(1, "nJ/B"),
                "bandwidth": constant(2, "MB/s"),
            },
            {
                "name": "far",
                "capacity": constant(1, "GB"),
                "read": constant(10, "nJ/B"),
                "bandwidth": constant(1, "MB/s"),
            },
        ],
        "operations": {
            "int8": {"energy": constant(1, "pJ/MAC"), "peak": constant(4, "MMAC/s")},
            "float32": {"energy": constant(4, "pJ/MAC"), "peak": constant(1, "MMAC/s")},
        },
    }
    data.update(changes)
    return data


def device(**changes: Any) -> Device:
    return parse(device_data(**changes), where=Path("toy.toml"))


def component(name: str, sizes: Sequence[int], *, macs: float = 0.0, dtype: str = "float32", **more: Any) -> Component:
    weights = tuple(
        WeightTensor(name=f"w{index}", dtype=dtype, shape=(size,), size_bytes=size, call_bytes=float(size))
        for index, size in enumerate(sizes)
    )
    settings: dict[str, Any] = {"activation_bytes": 0.0, "activation_bytes_unfused": 0.0, **more}
    return Component(name=name, weights=weights, macs={dtype: macs}, **settings)


def workload(*components: Component, **more: Any) -> Workload:
    return Workload(name="toy", kind="transducer", components=components, **more)


def rates(**per_s: tuple[float, float]) -> Rates:
    found = {name: Rate(calls_per_s=calls, rows_per_s=rows) for name, (calls, rows) in per_s.items()}
    return Rates(components=found, source="stated", words_per_s=2.0)


# --- ONNX -----------------------------------------------------------------------------------------------------------
def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, int, Sequence[Any]]],
    weights: dict[str, np.ndarray],
    *,
    metadata: dict[str, str] | None = None,
    external: bool = False,
) -> Path:
    """Write a graph with the onnx package, the independent writer."""
    import onnx
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    helper.set_model_props(model, metadata or {})
    extra = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0} if external else {}
    onnx.save(model, str(path), **extra)
    return path
