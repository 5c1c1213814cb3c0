"""The shipped model's graphs are written as they were: kept graphs of earlier days stay right.

Where one of these changes on purpose, `cache._VERSION` is to be raised. `benchmarks/graph_digests.py` does the same for all that
onnxruntime has a part in, on one machine.
"""

from __future__ import annotations

import hashlib

import pytest

from wattscribe.graph.read import read_model
from wattscribe.graph.row_scales import by_row
from wattscribe.graph.simplify import simplified
from wattscribe.models import REFERENCE


@pytest.mark.parametrize(("precision", "digest"), [("fp16", "f91da7f08590a353"), ("int8", "d6198ca7746fca3a")])
def test_the_encoder_is_simplified_as_it_was(precision: str, digest: str) -> None:
    changed, _ = simplified(read_model(REFERENCE / f"encoder.{precision}.onnx"), alone=precision == "int8")
    assert hashlib.sha256(changed).hexdigest()[:16] == digest


@pytest.mark.parametrize(("name", "digest"), [("decoder", "2f6ce78a431f2913"), ("joiner", "f135377fbed42890")])
def test_rows_are_quantised_apart_as_they_were(name: str, digest: str) -> None:
    changed = by_row(read_model(REFERENCE / f"{name}.int8.onnx"))
    assert changed is not None
    assert hashlib.sha256(changed).hexdigest()[:16] == digest
