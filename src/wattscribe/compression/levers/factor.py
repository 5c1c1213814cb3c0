"""A linear map as two thin ones: the truncated SVD of what it does to real inputs, not of its weights alone.

With XᵀX = L·Lᵀ the best rank-r map for the inputs X is L⁻ᵀ·SVDᵣ(LᵀW) (as in ASVD and SVD-LLM, arXiv 2403.07378): least squares on
the layer's output at that rank, so nothing is left to be re-fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.linears import PRODUCT, add_constant, linears, replace_nodes, sweep
from wattscribe.compression.rounding import DAMPING
from wattscribe.errors import InputError

Weights = NDArray[np.float32]
INNER = "/thin"
"""Ends the name of the value between the two maps, which are linear maps of the graph themselves."""


def low_rank(asked: Asked) -> None:
    """Options: keep, the part of the map's weights that remains (0 to 1)."""
    from onnx import helper

    model = asked.model
    keep = float(asked.options.get("keep", 0.5))
    if not 0 < keep < 1:
        raise InputError(f"keep is {keep}", fix="It must lie between 0 and 1")
    maps = linears(model)
    names = [name for name in asked.meant(maps) if rank_for(maps[name].shape, keep) >= 1]
    if not names:
        raise asked.nothing("has no linear map that large")
    groups = []
    for name in names:
        linear = maps[name]
        gram = asked.calibration.moments(asked.component, linear.source).gram
        first, second = factorise(linear.weight, gram, rank_for(linear.shape, keep))
        inner = f"{linear.name}{INNER}"
        add_constant(model, f"{inner}.weight", first)
        add_constant(model, f"{linear.name}.thick.weight", second)
        product = linear.output if linear.bias is None else linear.output + PRODUCT
        nodes = [
            helper.make_node("MatMul", [linear.source, f"{inner}.weight"], [inner], name=f"{inner}/MatMul"),
            helper.make_node("MatMul", [inner, f"{linear.name}.thick.weight"], [product], name=f"{linear.name}/MatMul"),
        ]
        if linear.bias is not None:
            add_constant(model, f"{linear.name}.bias", linear.bias)
            nodes.append(helper.make_node("Add", [product, f"{linear.name}.bias"], [linear.output], name=f"{name}/Add"))
        groups.append((linear.nodes, nodes))
    replace_nodes(model, groups)
    sweep(model)


def rank_for(shape: tuple[int, int], keep: float) -> int:
    """The rank at which two factors hold `keep` of the weights of one map."""
    inputs, outputs = shape
    return int(keep * inputs * outputs / (inputs + outputs))


def factorise(weight: Weights, gram: NDArray[np.float64], rank: int) -> tuple[Weights, Weights]:
    """[K, N] → [K, r] and [r, N] with the least squared error of X·W."""
    damped = gram / max(float(np.diag(gram).mean()), 1e-30)
    damped[np.diag_indices_from(damped)] += DAMPING * 0.1
    lower = np.linalg.cholesky(damped)
    left, values, right = np.linalg.svd(lower.T @ weight.astype(np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    first = np.linalg.solve(lower.T, left[:, :rank] * root)
    second = root[:, None] * right[:rank]
    return first.astype(np.float32), second.astype(np.float32)
