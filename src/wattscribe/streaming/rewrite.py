"""Rewrite an exported encoder so that onnxruntime runs it faster; the arithmetic stays the same up to the last bits.

Each rule is an identity of real numbers, applied only where its whole pattern is found. What a rule saves is measured by
benchmarks/streaming.py; that the text stays the same is tested on real speech.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wattscribe.streaming.editing import Editor, node
from wattscribe.streaming.onnxfile import Node, OnnxFile

OPSET = 13
"""The rules write operators of this opset or later; older models run as they are."""


def rewrite(model: OnnxFile, rules: tuple[str, ...] | None = None) -> tuple[bytes, dict[str, int]]:
    """The rewritten model's bytes and how often each rule was applied."""
    editor = Editor(model)
    applied: dict[str, int] = {}
    if model.opsets.get("", 0) >= OPSET:
        for name, rule in RULES.items():
            if rules is None or name in rules:
                applied[name] = sum(rule(editor, each) for each in editor.nodes())
    return editor.to_bytes(), applied


_CEILING = 80.0
"""exp of it is finite in float32, and beside it any floor vanishes."""


# --- Swoosh ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Swoosh:
    """log(1 + exp(x − shift)) − slope·x − offset, as found: its input, constants and last node."""

    x: str
    shift: float
    slope: float
    offset: float
    last: Node


def swoosh(editor: Editor, log: Node) -> int:
    """Zipformer's SwooshL and SwooshR: nine or twelve nodes become seven.

    With s = (shift + offset) / (1 − slope) and z = x − s the function is log(exp(−offset − slope·s) + exp(z)) − slope·z; s moves into
    the bias before it where there is one. exp is taken of min(z, 80), and the logarithm is never below z: right for every z.
    """
    if log.op_type != "Log":
        return 0
    found = _stable_swoosh(editor, log) or _plain_swoosh(editor, log)
    if found is None or found.slope >= 1:
        return 0
    s = (found.shift + found.offset) / (1 - found.slope)
    floor = math.exp(-found.offset - found.slope * s)
    base = found.last.outputs[0]
    add = editor.add_constant(base, np.array(floor, np.float32))
    slope = editor.add_constant(base, np.array(found.slope, np.float32))
    ceiling = editor.add_constant(base, np.array(_CEILING, np.float32))
    names = [f"{base}/{part}" for part in ("z", "exp", "sum", "log", "line", "min", "max")]
    z, nodes = names[0], []
    if not _shift_bias(editor, found.x, s):
        shift = editor.add_constant(base, np.array(s, np.float32))
        nodes.append(node("Sub", [found.x, shift], z))
    else:
        z = found.x
    nodes += [
        node("Min", [z, ceiling], names[5]),
        node("Exp", [names[5]], names[1]),
        node("Add", [names[1], add], names[2]),
        node("Log", [names[2]], names[3]),
        node("Max", [names[3], z], names[6]),
        node("Mul", [z, slope], names[4]),
        node("Sub", [names[6], names[4]], base),
    ]
    editor.replace(found.last, nodes)
    return 1


def _plain_swoosh(editor: Editor, log: Node) -> _Swoosh | None:
    """Exp, Add 1, Log, then `where(log == inf, x − shift, log)`."""
    total = editor.maker(log.inputs[0], "Add")
    exp = None if total is None else _other(editor, total, 1.0, "Exp")
    shifted = None if exp is None else editor.maker(exp.inputs[0], "Sub")
    if shifted is None:
        return None
    where = next((user for user in editor.users[log.outputs[0]] if user.op_type == "Where"), None)
    if where is None or where.inputs[1:] != (shifted.outputs[0], log.outputs[0]):
        return None
    equal = editor.maker(where.inputs[0], "Equal")
    if equal is None or log.outputs[0] not in equal.inputs:
        return None
    if not any(editor.scalar(name) == math.inf for name in equal.inputs):
        return None
    return _line(editor, shifted, where.outputs[0])


def _stable_swoosh(editor: Editor, log: Node) -> _Swoosh | None:
    """max(0, d) + log(1 + exp(−|0 − d|)), d = x − shift: numpy's logaddexp spelled out."""
    total = editor.maker(log.inputs[0], "Add")
    exp = None if total is None else _other(editor, total, 1.0, "Exp")
    chain = exp
    for kind in ("Neg", "Abs"):
        chain = None if chain is None else editor.maker(chain.inputs[0], kind)
    difference = None if chain is None else editor.maker(chain.inputs[0], "Sub")
    if difference is None or editor.scalar(difference.inputs[0]) != 0.0:
        return None
    shifted = editor.maker(difference.inputs[1], "Sub")
    end = editor.only_user(log.outputs[0], "Add")
    if shifted is None or end is None:
        return None
    top = editor.maker(end.inputs[1] if end.inputs[0] == log.outputs[0] else end.inputs[0], "Max")
    if top is None or shifted.outputs[0] not in top.inputs or not any(editor.scalar(n) == 0.0 for n in top.inputs):
        return None
    return _line(editor, shifted, end.outputs[0])


def _line(editor: Editor, shifted: Node, softplus: str) -> _Swoosh | None:
    """… − slope·x − offset."""
    first = editor.only_user(softplus, "Sub")
    last = None if first is None else editor.only_user(first.outputs[0], "Sub")
    if first is None or last is None or first.inputs[0] != softplus or last.inputs[0] != first.outputs[0]:
        return None
    line, x = editor.maker(first.inputs[1], "Mul"), shifted.inputs[0]
    if line is None or x not in line.inputs:
        return None
    slope = editor.scalar(line.inputs[1] if line.inputs[0] == x else line.inputs[0])
    shift, offset = editor.scalar(shifted.inputs[1]), editor.scalar(last.inputs[1])
    if slope is None or shift is None or offset is None:
        return None
    return _Swoosh(x, shift, slope, offset, last)


def _other(editor: Editor, total: Node, constant: float, kind: str) -> Node | None:
    """The operand of `total` that is not the constant, where a node of that kind makes it."""
    for index in (0, 1):
        if editor.scalar(total.inputs[index]) == constant:
            return editor.maker(total.inputs[1 - index], kind)
    return None


def _shift_bias(editor: Editor, x: str, s: float) -> bool:
    """Take `s` off the bias of what makes `x`, where the Swoosh (two nodes of it) is its only user."""
    made = editor.maker(x, "Add", "Conv")
    if made is None or x in editor.outputs or sorted(u.op_type for u in editor.users[x]) != ["Mul", "Sub"]:
        return False
    inputs = list(made.inputs)
    at = 2 if made.op_type == "Conv" else next((i for i in (0, 1) if editor.constant(inputs[i]) is not None), -1)
    bias = editor.constant(inputs[at]) if 0 <= at < len(inputs) else None
    if bias is None or bias.dtype != np.float32 or bias.ndim != 1:
        return False
    inputs[at] = editor.add_constant(x, (bias.astype(np.float64) - s).astype(np.float32))
    editor.replace_same(made, _with(made, tuple(inputs)))
    return True


def _with(old: Node, inputs: tuple[str, ...], **attributes: tuple[int | float | bytes, ...]) -> Node:
    return Node(
        op_type=old.op_type,
        inputs=inputs,
        outputs=old.outputs,
        name=old.name,
        domain=old.domain,
        attributes={**old.attributes, **attributes},
    )


# --- depthwise convolution ------------------------------------------------------------------------------------------
def depthwise(editor: Editor, conv: Node) -> int:
    """A depthwise convolution over time becomes one over an image of height 1, for which onnxruntime has a fast kernel."""
    if conv.op_type != "Conv" or conv.domain or len(conv.inputs) < 2:
        return 0
    weight = editor.constant(conv.inputs[1])
    if weight is None or weight.ndim != 3 or weight.shape[1] != 1 or conv.attributes.get("group") != weight.shape[0]:
        return 0
    if conv.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return 0
    base = conv.outputs[0]
    axes = editor.add_constant(base, np.array([2], np.int64))
    image = editor.add_constant(base, np.ascontiguousarray(weight[:, :, None, :]))
    attributes = dict(conv.attributes)
    for name, flat in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        value = attributes.get(name)
        if isinstance(value, tuple):
            attributes[name] = (flat, *value)
    pads = attributes.get("pads")
    if isinstance(pads, tuple):
        attributes["pads"] = (0, pads[0], 0, pads[1])
    wide = Node(
        op_type="Conv",
        inputs=(f"{base}/image", image, *conv.inputs[2:]),
        outputs=(f"{base}/conv",),
        name=conv.name,
        attributes=attributes,
    )
    editor.replace(
        conv,
        [
            node("Unsqueeze", [conv.inputs[0], axes], f"{base}/image"),
            wide,
            node("Squeeze", [f"{base}/conv", axes], base),
        ],
    )
    return 1


RULES: dict[str, Callable[[Editor, Node], int]] = {"swoosh": swoosh, "depthwise": depthwise}
