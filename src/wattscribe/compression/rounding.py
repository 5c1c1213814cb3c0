"""Rounding weights to few bits so that the layer's output stays, not each weight: GPTQ (Frantar et al., arXiv 2210.17323).

Inputs are quantised one after another; the error of each is spread over those still to come, weighted by the inverse of XᵀX of
the calibration audio. Shapes: weight [K inputs, N outputs], gram [K, K].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
Gram = NDArray[np.float64]
_AT_ONCE = 64
"""Inputs between two products with the whole map: the same answer, by matrix products."""
DAMPING = 0.1
"""Part of the mean diagonal that is added to it. Ten times the paper's: what the calibration audio hardly asks of a map would
cost nothing to change, and other speech asks it (docs/decisions/067-rounding-is-judged-on-other-speech.md)."""


def nearest(weight: Weights, scale: NDArray[np.float32], low: int, high: int) -> NDArray[np.int32]:
    """Plain rounding; `scale` broadcasts against the weight."""
    codes: NDArray[np.int32] = np.clip(np.rint(weight / scale), low, high).astype(np.int32)
    return codes


def gptq(
    weight: Weights, scale: NDArray[np.float32], gram: Gram, low: int, high: int, *, damping: float = DAMPING
) -> NDArray[np.int32]:
    """Codes [K, N] in [low, high]; `scale` is [K, N] or broadcasts to it. Inputs of largest energy go first."""
    inputs = weight.shape[0]
    scales = np.broadcast_to(scale, weight.shape).astype(np.float64)
    order = np.argsort(-np.diag(gram), kind="stable")
    inverse = _inverse_factor(gram[np.ix_(order, order)], damping)
    work = weight.astype(np.float64)[order]
    steps = scales[order]
    codes = np.zeros(weight.shape, dtype=np.int32)
    for start in range(0, inputs, _AT_ONCE):
        end = min(start + _AT_ONCE, inputs)
        errors = np.zeros((end - start, weight.shape[1]))
        for row in range(start, end):
            chosen = np.clip(np.rint(work[row] / steps[row]), low, high)
            codes[order[row]] = chosen.astype(np.int32)
            errors[row - start] = (work[row] - chosen * steps[row]) / inverse[row, row]
            work[row + 1 : end] -= np.outer(inverse[row, row + 1 : end], errors[row - start])
        work[end:] -= inverse[start:end, end:].T @ errors
    return codes


def descended(
    weight: Weights,
    codes: NDArray[np.int32],
    scale: NDArray[np.float32],
    gram: Gram,
    low: int,
    high: int,
    *,
    passes: int = 2,
    damping: float = DAMPING,
) -> NDArray[np.int32]:
    """Codes with less error still: input after input, the best code while all others stay as they are.

    GPTQ never comes back to a code; two passes over its answer take 5 % off the error of 4-bit maps. Damped as GPTQ is: without
    it an input of little energy may take any code, and 8-bit encoders of Whisper then erred a hundred times more on other speech.
    """
    gram = _damped(gram, damping)
    energy = np.diag(gram)
    wanted = weight.astype(np.float64)
    now = codes.astype(np.float64) * scale
    improved = codes.copy()
    for start in [start for _ in range(passes) for start in range(0, len(weight), _AT_ONCE)]:
        rows = slice(start, start + _AT_ONCE)
        left = gram[rows] @ (wanted - now)
        for place, row in enumerate(range(start, min(start + _AT_ONCE, len(weight)))):
            better = np.clip(np.rint((now[row] + left[place] / energy[row]) / scale[row]), low, high)
            change = better * scale[row] - now[row]
            left -= np.outer(gram[rows, row], change)
            now[row] += change
            improved[row] = better
    return improved


def _inverse_factor(gram: Gram, damping: float) -> Gram:
    """Upper Cholesky factor of the inverse of the damped XᵀX."""
    inverse = np.linalg.inv(_damped(gram, damping))
    inverse = (inverse + inverse.T) / 2
    return np.ascontiguousarray(np.linalg.cholesky(inverse).T)


def _damped(gram: Gram, damping: float) -> Gram:
    """XᵀX and this part of its mean diagonal; inputs that are always zero get the mean."""
    diagonal = np.diag(gram)
    dead = diagonal <= 0
    mean = float(diagonal[~dead].mean()) if (~dead).any() else 1.0
    damped = gram.copy()
    damped[np.diag_indices_from(damped)] = np.where(dead, mean, diagonal + damping * mean)
    return damped


def output_error(weight: Weights, changed: Weights, gram: Gram) -> float:
    """‖X·W − X·W′‖² / ‖X·W‖² from XᵀX: what a change of a layer's weights does to its output."""
    difference = (changed - weight).astype(np.float64)
    whole = float(np.einsum("kn,kl,ln->", weight.astype(np.float64), gram, weight.astype(np.float64), optimize=True))
    part = float(np.einsum("kn,kl,ln->", difference, gram, difference, optimize=True))
    return part / whole if whole > 0 else 0.0


def best_scale(
    weight: Weights, importance: NDArray[np.float64], low: int, high: int, *, axis: int = 0
) -> NDArray[np.float32]:
    """Symmetric scale per slice along `axis` with the least squared rounding error weighted by `importance` (XᵀX's diagonal).

    Clipping the few largest weights often pays at 4 bits: factors 1.0 down to 0.6 of the largest weight are tried.
    """
    largest = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), 1e-12)
    weights = importance.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    best = np.full(largest.shape, np.inf)
    chosen = largest / min(-low, high)
    for factor in np.linspace(1.0, 0.6, 17):
        scale = (largest * factor / min(-low, high)).astype(np.float32)
        rounded = np.clip(np.rint(weight / scale), low, high) * scale
        error = (weights * (weight - rounded) ** 2).sum(axis=axis, keepdims=True)
        better = error < best
        best, chosen = np.where(better, error, best), np.where(better, scale, chosen)
    scales: NDArray[np.float32] = chosen.astype(np.float32)
    return scales
