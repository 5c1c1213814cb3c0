"""Fewer layers: two maps and the non-linearity between them become the one map that comes nearest to them on real inputs.

A feed-forward block reads its weights for every frame; the linear map that fits its output best, by least squares on
calibration audio, needs an eighth of them where the block is four times as wide inside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wattscribe.compression.calibrate import Crossed
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.levers.width import pairs
from wattscribe.compression.linears import linears, make_float, remove, sweep
from wattscribe.compression.rounding import Weights

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


def linearise(asked: Asked) -> None:
    """The remaining map bears the name of the last one."""
    model, component = asked.model, asked.component
    first_of = blocks(model)
    names = asked.chosen(first_of, "has no block of two maps that one could stand for")
    maps = linears(model)
    for name in names:
        first, last = maps[first_of[name]], maps[name]
        weight, bias = fitted(asked.calibration.crossed(component, first.source, last.output))
        make_float(model, [replace(last, source=first.source, weight=weight, bias=bias)])
    sweep(model)
    remove(model, [first_of[name] for name in names])


def fitted(seen: Crossed) -> tuple[Weights, Weights]:
    """argmin ‖Y − X·W − b‖, lightly damped: (W [K, M], b [M])."""
    mean_x, mean_y = seen.sum_x / seen.rows, seen.sum_y / seen.rows
    gram = seen.gram - seen.rows * np.outer(mean_x, mean_x)
    gram[np.diag_indices_from(gram)] += _DAMPING * max(float(np.diag(gram).mean()), 1e-30)
    weight = np.linalg.solve(gram, seen.cross - seen.rows * np.outer(mean_x, mean_y))
    return weight.astype(np.float32), (mean_y - mean_x @ weight).astype(np.float32)
