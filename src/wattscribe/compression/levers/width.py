"""Structured pruning: inner channels leave two neighbouring maps, and the second is re-fitted on calibration audio.

A channel may go where one map makes it, element-wise operators alone lie between, and one other map reads it. Where a whole
width goes through the joiner, encoder and predictor projections lose the same outputs, and the joiner's map the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers.tools import chosen
from wattscribe.compression.linears import Index, Linear, add_constant, linears, make_float, removed, sweep
from wattscribe.compression.rounding import DAMPING
from wattscribe.compression.step import Step
from wattscribe.errors import InputError

Weights = NDArray[np.float32]
_ELEMENTWISE = frozenset(
    ("Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Sigmoid", "Exp", "Log", "Max", "Min", "Abs", "Neg", "Where", "Equal",
     "Softplus", "Cast", "DynamicQuantizeLinear", "Identity", "Pow", "Sqrt", "Erf", "Clip", "HardSigmoid", "LeakyRelu")
)  # fmt: skip
_MULTIPLE = 8
"""Widths stay divisible by this: kernels work on whole vectors."""


def prune(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    """Options: keep (0 to 1), refit (least squares, else plain). Component `joiner` prunes the joint width."""
    keep = float(step.options.get("keep", 0.75))
    if not 0 < keep < 1:
        raise InputError(f"keep is {keep}", fix="It must lie between 0 and 1")
    refit = bool(step.options.get("refit", True))
    if step.component == "joiner":
        return _joint(candidate, keep, refit, calibration)
    model = candidate.model(step.component)
    inner = pairs(model)
    names = chosen(inner, step.tensors, step.component, removed(model))
    if not names:
        raise InputError(f"the {step.component} has no inner width that could be pruned", fix="Leave this step away")
    for name in names:
        _prune_pair(model, step.component, name, keep, refit, calibration)
    return candidate.with_model(step.component, model)


# --- an inner width ----------------------------------------------------------------------------------------------------
def pairs(model: Any) -> dict[str, str]:
    """Map that makes an inner width → map that alone reads it."""
    index = Index(model)
    maps = linears(model)
    readers = {}
    for linear in maps.values():
        reader = _sole_reader(index, linear, maps)
        if reader is not None:
            readers[linear.name] = reader
    return readers


def _sole_reader(index: Index, linear: Linear, maps: dict[str, Linear]) -> str | None:
    """The one map that everything computed from `linear` by element-wise operators flows into, else None."""
    by_value = {name: linear.name for linear in maps.values() for node in linear.nodes for name in node.output}
    readers: set[str] = set()
    seen: set[str] = set()
    between: list[Any] = []
    waiting = [linear.output]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in index.outputs:
            return None
        for user in index.users[name]:
            owner = by_value.get(user.output[0])
            if owner is not None and owner != linear.name:
                readers.add(owner)
            elif user.op_type in _ELEMENTWISE:
                between.append(user)
                waiting.extend(user.output)
            else:
                return None
    width = linear.shape[1]
    if len(readers) != 1 or not all(_nothing_beside(index, user, seen, width) for user in between):
        return None
    (reader,) = readers
    return reader if maps[reader].shape[0] == width else None


def _nothing_beside(index: Index, user: Any, seen: set[str], width: int) -> bool:
    """Inputs are constants of one element or of the width (a bias), or flow from the same map."""
    for name in user.input:
        value = index.constant(name) if name else None
        if name and name not in seen and (value is None or value.size not in (1, width)):
            return False
    return True


def _prune_pair(model: Any, component: str, name: str, keep: float, refit: bool, calibration: Calibration) -> None:
    maps = linears(model)
    first, second = maps[name], maps[pairs(model)[name]]
    gram = calibration.moments(component, second.source).gram
    kept = select(second.weight, gram, keep)
    narrower = replace(first, weight=first.weight[:, kept], bias=None if first.bias is None else first.bias[kept])
    following = replace(second, weight=repaired(second.weight, gram, kept, refit))
    _cut_biases(model, first, first.shape[1], kept)
    make_float(model, [narrower, following])
    sweep(model)


def _cut_biases(model: Any, first: Linear, width: int, kept: NDArray[np.intp]) -> None:
    """Constants of the width on the way from the pruned map lose the same channels; shared ones get a copy."""
    index = Index(model)
    waiting, seen = [first.output], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for user in index.users[name]:
            if user.op_type not in _ELEMENTWISE or user.op_type == "DynamicQuantizeLinear":
                continue
            for place, other in enumerate(user.input):
                value = index.constant(other)
                if value is not None and value.size == width and value.size > 1:
                    cut = f"{other}/{first.name}/kept"
                    add_constant(model, cut, np.take(value, kept, axis=value.ndim - 1))
                    user.input[place] = cut
            waiting.extend(user.output)


# --- the joint width ---------------------------------------------------------------------------------------------------
def _joint(candidate: Candidate, keep: float, refit: bool, calibration: Calibration) -> Candidate:
    """The width at which encoder frame and predictor vector meet: three networks change together."""
    joiner = candidate.model("joiner")
    maps = linears(joiner)
    if len(maps) != 1:
        raise InputError(f"the joiner has {len(maps)} linear maps, one is expected", fix="Leave this step away")
    (scores,) = maps.values()
    inputs = {value.name for value in joiner.graph.input}
    ends = {part: _projection(candidate.model(part), part) for part in ("encoder", "predictor")}
    if not _meets(Index(joiner), scores.source, inputs):
        raise InputError("the joiner does more than add and squash its inputs", fix="Leave this step away")
    gram = calibration.moments("joiner", scores.source).gram
    kept = select(scores.weight, gram, keep)
    make_float(joiner, [replace(scores, weight=repaired(scores.weight, gram, kept, refit))])
    _set_width(joiner, len(scores.weight), len(kept))
    candidate = candidate.with_model("joiner", joiner)
    for part, name in ends.items():
        model = candidate.model(part)
        last = linears(model)[name]
        _cut_biases(model, last, last.shape[1], kept)
        bias = None if last.bias is None else last.bias[kept]
        make_float(model, [replace(last, weight=last.weight[:, kept], bias=bias)])
        _set_width(model, last.shape[1], len(kept))
        sweep(model)
        candidate = candidate.with_model(part, model)
    return candidate


def _projection(model: Any, part: str) -> str:
    """The linear map that makes the first output, a bias aside."""
    index = Index(model)
    by_output = {linear.output: linear.name for linear in linears(model).values()}
    name = model.graph.output[0].name
    while name not in by_output:
        node = index.maker(name)
        moving = [] if node is None else [given for given in node.input if index.constant(given) is None]
        if node is not None and node.op_type in ("Concat", "Split"):  # segments joined in one call
            moving = moving[:1]
        if node is None or node.op_type not in ("Add", "Identity", "Concat", "Split") or len(moving) != 1:
            raise InputError(f"the {part} does not end in a linear map", fix="Leave the joint width as it is")
        name = moving[0]
    return by_output[name]


def _meets(index: Index, source: str, inputs: set[str]) -> bool:
    """Whether the value is made from the two inputs by element-wise operators alone."""
    waiting, reached = [source], set()
    while waiting:
        name = waiting.pop()
        if name in inputs:
            reached.add(name)
            continue
        node = index.maker(name)
        if node is None or node.op_type not in _ELEMENTWISE:
            return False
        waiting.extend(given for given in node.input if index.constant(given) is None)
    return reached == inputs


def _set_width(model: Any, before: int, after: int) -> None:
    """Declared shapes and metadata that state the old width."""
    for value in [*model.graph.input, *model.graph.output][: len(model.graph.input) + 1]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) and value.name in ("encoder_out", "decoder_out") and dims[-1].dim_value == before:
            dims[-1].dim_value = after
    for entry in model.metadata_props:
        if entry.key == "joiner_dim":
            entry.value = str(after)


# --- which, and the repair ---------------------------------------------------------------------------------------------
def select(weight: Weights, gram: NDArray[np.float64], keep: float) -> NDArray[np.intp]:
    """Channels to keep: largest energy of input × weights read from it, ‖x_k‖·‖W_k‖."""
    width = weight.shape[0]
    count = min(width - 1, max(_MULTIPLE, round(keep * width / _MULTIPLE) * _MULTIPLE))
    score = np.sqrt(np.maximum(np.diag(gram), 0)) * np.linalg.norm(weight.astype(np.float64), axis=1)
    return np.sort(np.argsort(-score, kind="stable")[:count])


def repaired(weight: Weights, gram: NDArray[np.float64], kept: NDArray[np.intp], refit: bool) -> Weights:
    """The rows of the kept channels, re-fitted so that the output stays: argmin ‖X·W − X_kept·W′‖, lightly damped."""
    if not refit:
        return np.ascontiguousarray(weight[kept])
    inner = gram[np.ix_(kept, kept)].copy()
    damping = DAMPING * 0.1 * float(np.diag(inner).mean())
    inner[np.diag_indices_from(inner)] += damping
    wanted = gram[kept] @ weight.astype(np.float64) + damping * weight[kept]
    return np.linalg.solve(inner, wanted).astype(np.float32)


__all__: Sequence[str] = ("pairs", "prune", "repaired", "select")
