"""Least squares whose solution holds no negative number (Lawson and Hanson 1974, chapter 23): a few columns, no scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TOLERANCE = 1e-10


def nnls(matrix: Array, target: Array) -> Array:
    """argmin ‖matrix·x − target‖ with x ≥ 0. Columns are scaled to unit length first, since joules per byte and watts
    differ by twelve orders of magnitude."""
    lengths = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(lengths > 0, lengths, 1.0)
    count = matrix.shape[1]
    active = np.zeros(count, dtype=bool)
    solution = np.zeros(count)
    limit = _TOLERANCE * max(1.0, float(np.linalg.norm(target)))
    for _ in range(10 * count + 10):
        gradient = scaled.T @ (target - scaled @ solution)
        gradient[active | (lengths == 0)] = -np.inf
        if not len(gradient) or gradient.max() <= limit:
            break
        active[int(np.argmax(gradient))] = True
        solution = _feasible(scaled, target, active, solution)
    return np.asarray(solution / np.where(lengths > 0, lengths, 1.0))


def _feasible(matrix: Array, target: Array, active: NDArray[np.bool_], solution: Array) -> Array:
    """The unconstrained solution over the active columns, stepping back and dropping columns until none is negative."""
    while active.any():
        trial = np.zeros_like(solution)
        trial[active] = np.linalg.lstsq(matrix[:, active], target, rcond=None)[0]
        bad = active & (trial <= 0)
        if not bad.any():
            return trial
        steps = solution[bad] / (solution[bad] - trial[bad])
        solution = solution + float(steps.min()) * (trial - solution)
        active &= solution > _TOLERANCE * max(1.0, float(np.abs(solution).max()))
        solution[~active] = 0.0
    return np.zeros_like(solution)
