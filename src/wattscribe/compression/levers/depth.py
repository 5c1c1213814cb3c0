"""Fewer layers: two maps and the non-linearity between them become the one map that comes nearest to them on real inputs.

A feed-forward block reads its weights for every frame; the linear map that fits its output best, by least squares on
calibration audio, needs an eighth of them where the block is four times as wide inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wattscribe.compression.calibrate import Calibration, Crossed
from wattscribe.compression.levers.choose import chosen
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.linears import linears, make_float, remove, sweep
from wattscribe.compression.rounding import Weights
from wattscribe.errors import InputError

_DAMPING = 1e-5
"""Part of the mean diagonal that is added to it: inputs are nearly collinear (stacked frames), rows are many."""


def blocks(model: Any) -> dict[str, str]:
    """The map that ends a block → the one that begins it: where one map between the two ends takes fewer weights."""
    maps = linears(model)
    return {
        last: first
        for first, last in pairs(model).items()
        if maps[first].shape[0] * maps[last].shape[1] < maps[first].weight.size + maps[last].weight.size
    }


def linearise(
    model: Any, component: str, tensors: Sequence[str], options: Mapping[str, Any], calibration: Calibration
) -> None:
    """The remaining map bears the name of the last one."""
    found = blocks(model)
    names = chosen(found, tensors, component)
    if not names:
        raise InputError(
            f"the {component} has no block of two maps that one could stand for", fix="Leave this step away"
        )
    maps = linears(model)
    for name in names:
        first, last = maps[found[name]], maps[name]
        weight, bias = fitted(calibration.crossed(component, first.source, last.output))
        make_float(model, [replace(last, source=first.source, weight=weight, bias=bias)])
    sweep(model)
    remove(model, [found[name] for name in names])


def fitted(seen: Crossed) -> tuple[Weights, Weights]:
    """argmin ‖Y − X·W − b‖, lightly damped: (W [K, M], b [M])."""
    mean_x, mean_y = seen.sum_x / seen.rows, seen.sum_y / seen.rows
    gram = seen.gram - seen.rows * np.outer(mean_x, mean_x)
    gram[np.diag_indices_from(gram)] += _DAMPING * max(float(np.diag(gram).mean()), 1e-30)
    weight = np.linalg.solve(gram, seen.cross - seen.rows * np.outer(mean_x, mean_y))
    return weight.astype(np.float32), (mean_y - mean_x @ weight).astype(np.float32)
