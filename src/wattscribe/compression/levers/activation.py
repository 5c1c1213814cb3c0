"""Activations that an exporter spelled out in many operators, in fewer.

onnxruntime's own Softplus was tried first: on a CPU its kernel takes longer than Exp and Log, which are vectorised, together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.linears import Index, add_constant, replace_nodes, sweep

LARGEST = 80.0
"""e⁸⁰ is still a float32; above it log(1 + eᵈ) is taken as 80. Activations of speech models stay below 30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Softplus:
    """log(1 + eᵈ): the value d, the operator that makes the result, and where the two subtractions of a Swoosh follow, those."""

    value: str
    last: Any
    shift: Any | None = None
    minus: Any | None = None
    offset: Any | None = None


def short_softplus(asked: Asked) -> None:
    """log(1 + eᵈ) in its two spellings → Log(1 + Exp(Min(d, 80))):

    torch.logaddexp(0, d): max(0, d) + log(1 + exp(−|0 − d|)); and log(1 + exp d), d where that overflows. In a Swoosh,
    log(1 + e^(x−a)) − m − c, the last subtraction goes into the constants: log(e^−c + e^(x−a−c)) − m.
    """
    model = asked.model
    index = Index(model)
    groups = []
    for node in model.graph.node:
        if node.op_type == "Log":
            softplus = _guarded(index, node) or _logaddexp(index, node)
            if softplus is not None:
                groups.append(_shorter(model, index, _swoosh(index, softplus)))
    if not groups:
        raise asked.nothing("spells no softplus out")
    replace_nodes(model, groups)
    sweep(model)


def _shorter(model: Any, index: Index, softplus: _Softplus) -> tuple[list[Any], list[Any]]:
    from onnx import helper

    base = softplus.last.output[0]
    offset = 0.0
    nodes: list[Any] = []
    value = softplus.value
    if softplus.shift is not None and softplus.offset is not None:
        offset = index.scalar(softplus.offset.input[1]) or 0.0
        value = f"{base}/moved"
        moved = np.array((index.scalar(softplus.shift.input[1]) or 0.0) + offset, np.float32)
        add_constant(model, f"{base}/shift", moved)
        nodes.append(helper.make_node("Sub", [softplus.shift.input[0], f"{base}/shift"], [value]))
    add_constant(model, f"{base}/largest", np.array(LARGEST, np.float32))
    add_constant(model, f"{base}/one", np.array(math.exp(-offset), np.float32))
    nodes += [
        helper.make_node("Min", [value, f"{base}/largest"], [f"{base}/bounded"]),
        helper.make_node("Exp", [f"{base}/bounded"], [f"{base}/exp"]),
        helper.make_node("Add", [f"{base}/exp", f"{base}/one"], [f"{base}/sum"]),
        helper.make_node("Log", [f"{base}/sum"], [base]),
    ]
    if softplus.minus is None or softplus.offset is None:
        return [softplus.last], nodes
    nodes.append(helper.make_node("Sub", [base, softplus.minus.input[1]], [softplus.offset.output[0]]))
    return [softplus.last, softplus.minus, softplus.offset], nodes


def _swoosh(index: Index, softplus: _Softplus) -> _Softplus:
    """The same with its surroundings, where they are those of a Swoosh."""
    shift = index.maker(softplus.value)
    minus = index.only_user(softplus.last.output[0], "Sub")
    offset = None if minus is None else index.only_user(minus.output[0], "Sub")
    if shift is None or shift.op_type != "Sub" or minus is None or offset is None:
        return softplus
    constants = index.scalar(shift.input[1]), index.scalar(offset.input[1])
    if None in constants or minus.input[0] != softplus.last.output[0] or offset.input[0] != minus.output[0]:
        return softplus
    return _Softplus(value=softplus.value, last=softplus.last, shift=shift, minus=minus, offset=offset)


def _one_plus_exp(index: Index, log: Any) -> str | None:
    """The exponent of log(1 + exp(·))."""
    total = index.maker(log.input[0])
    if total is None or total.op_type != "Add" or 1.0 not in (index.scalar(name) for name in total.input):
        return None
    for name in total.input:
        node = index.maker(name)
        if node is not None and node.op_type == "Exp":
            return str(node.input[0])
    return None


def _guarded(index: Index, log: Any) -> _Softplus | None:
    """Where(log == ∞, d, log)."""
    value = _one_plus_exp(index, log)
    last = next((user for user in index.users[log.output[0]] if user.op_type == "Where"), None)
    if value is None or last is None or last.input[2] != log.output[0] or last.input[1] != value:
        return None
    test = index.maker(last.input[0])
    infinite = test is not None and test.op_type == "Equal" and np.inf in [index.scalar(n) for n in test.input]
    return _Softplus(value=value, last=last) if infinite else None


def _logaddexp(index: Index, log: Any) -> _Softplus | None:
    """max(0, d) + log(1 + exp(−|d|))."""
    exponent = _one_plus_exp(index, log)
    last = index.only_user(log.output[0], "Add")
    negative = None if exponent is None else index.maker(exponent)
    if last is None or negative is None or negative.op_type != "Neg":
        return None
    size = index.maker(negative.input[0])
    if size is None or size.op_type != "Abs":
        return None
    other = next(name for name in last.input if name != log.output[0])
    largest = index.maker(other)
    if largest is None or largest.op_type not in ("Max", "Relu"):
        return None
    values = [name for name in largest.input if index.scalar(name) != 0.0]
    if len(values) != 1:
        return None
    difference = index.maker(size.input[0])
    inner = size.input[0] == values[0] or (
        difference is not None
        and difference.op_type == "Sub"
        and list(difference.input)[1] == values[0]
        and index.scalar(difference.input[0]) == 0.0
    )
    return _Softplus(value=str(values[0]), last=last) if inner else None
