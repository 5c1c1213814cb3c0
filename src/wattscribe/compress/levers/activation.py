"""Activations that an exporter spelled out, put back into one operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wattscribe.compress.calibrate import Calibration
from wattscribe.compress.linears import Index, replace_nodes, sweep
from wattscribe.errors import InputError


def fuse_softplus(
    model: Any, component: str, tensors: Sequence[str], options: Mapping[str, Any], calibration: Calibration
) -> None:
    """log(1 + eᵈ) in its two spellings → Softplus(d):

    torch.logaddexp(0, d): max(0, d) + log(1 + exp(−|0 − d|)); and log(1 + exp d), d where that overflows.
    """
    from onnx import helper

    index = Index(model)
    groups = []
    for node in model.graph.node:
        if node.op_type != "Log":
            continue
        found = _guarded(index, node) or _logaddexp(index, node)
        if found is not None:
            value, last = found
            groups.append(([last], [helper.make_node("Softplus", [value], [last.output[0]], name=last.name)]))
    if not groups:
        raise InputError(f"the {component} spells no softplus out", fix="Leave this step away")
    replace_nodes(model, groups)
    sweep(model)


def _scalar(index: Index, name: str) -> float | None:
    value = index.array(name)
    return float(np.asarray(value).reshape(-1)[0]) if value is not None and value.size == 1 else None


def _one_plus_exp(index: Index, log: Any) -> str | None:
    """The exponent of log(1 + exp(·))."""
    total = index.maker.get(log.input[0])
    if total is None or total.op_type != "Add" or 1.0 not in (_scalar(index, name) for name in total.input):
        return None
    for name in total.input:
        made = index.maker.get(name)
        if made is not None and made.op_type == "Exp":
            return str(made.input[0])
    return None


def _guarded(index: Index, log: Any) -> tuple[str, Any] | None:
    """Where(log == ∞, d, log)."""
    value = _one_plus_exp(index, log)
    last = next((user for user in index.users[log.output[0]] if user.op_type == "Where"), None)
    if value is None or last is None or last.input[2] != log.output[0] or last.input[1] != value:
        return None
    test = index.maker.get(last.input[0])
    infinite = test is not None and test.op_type == "Equal" and np.inf in [_scalar(index, n) for n in test.input]
    return (value, last) if infinite else None


def _logaddexp(index: Index, log: Any) -> tuple[str, Any] | None:
    """max(0, d) + log(1 + exp(−|d|))."""
    exponent = _one_plus_exp(index, log)
    last = index.only_user(log.output[0], "Add")
    negative = None if exponent is None else index.maker.get(exponent)
    if last is None or negative is None or negative.op_type != "Neg":
        return None
    size = index.maker.get(negative.input[0])
    if size is None or size.op_type != "Abs":
        return None
    other = next(name for name in last.input if name != log.output[0])
    largest = index.maker.get(other)
    if largest is None or largest.op_type not in ("Max", "Relu"):
        return None
    values = [name for name in largest.input if _scalar(index, name) != 0.0]
    if len(values) != 1:
        return None
    difference = index.maker.get(size.input[0])
    inner = size.input[0] == values[0] or (
        difference is not None and difference.op_type == "Sub" and list(difference.input)[1] == values[0]
        and _scalar(index, difference.input[0]) == 0.0
    )  # fmt: skip
    return (str(values[0]), last) if inner else None
