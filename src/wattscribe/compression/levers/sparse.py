"""Single weights set to zero, unstructured or N of M. The runtimes here have no sparse kernel, so no saving is claimed:
what a sparse store would hold, its indices included, is reported beside what is stored now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, comb, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.compression.levers.tools import Asked, chosen
from wattscribe.compression.linears import linears, make_float, sweep
from wattscribe.errors import InputError

Weights = NDArray[np.float32]


def sparsify(asked: Asked) -> None:
    """Options: keep (part of weights that stays) or n and m; threshold (one magnitude for all tensors)."""
    model, options = asked.model, asked.options
    maps = linears(model)
    names = asked.chosen(maps, "has no linear map")
    changed = []
    for name in names:
        linear = maps[name]
        if "m" in options:
            mask = n_of_m(linear.weight, int(options.get("n", 2)), int(options["m"]))
        elif "threshold" in options:
            mask = np.abs(linear.weight) > float(options["threshold"])
        else:
            mask = largest(linear.weight, float(options.get("keep", 0.5)))
        changed.append((linear, (linear.weight * mask).astype(np.float32)))
    from dataclasses import replace

    make_float(model, [replace(linear, weight=weight) for linear, weight in changed])
    sweep(model)


def largest(weight: Weights, keep: float) -> NDArray[np.bool_]:
    """True for the `keep` part of largest magnitude. Raises InputError outside (0, 1]."""
    if not 0 < keep <= 1:
        raise InputError(f"keep is {keep}", fix="It must lie above 0, up to 1")
    count = max(1, round(keep * weight.size))
    threshold = np.partition(np.abs(weight).ravel(), weight.size - count)[weight.size - count]
    mask: NDArray[np.bool_] = np.abs(weight) >= threshold
    return mask


def n_of_m(weight: Weights, n: int, m: int) -> NDArray[np.bool_]:
    """In each group of m inputs of an output the n largest stay. Raises InputError where m does not divide the inputs."""
    if not 0 < n < m or weight.shape[0] % m:
        raise InputError(f"{n} of {m} does not fit {weight.shape[0]} inputs", fix="Use 2 of 4")
    groups = np.abs(weight).reshape(-1, m, weight.shape[1])
    order = np.argsort(np.argsort(-groups, axis=1, kind="stable"), axis=1)
    mask: NDArray[np.bool_] = (order < n).reshape(weight.shape)
    return mask


def stores(before: Any, after: Any, tensors: Sequence[str], options: Mapping[str, Any]) -> Mapping[str, int]:
    """Bytes of the step's maps: as they were, as they are now (float32, whatever they were), and in a sparse store."""
    old, new = linears(before), linears(after)
    n, m = (options.get("n", 2), options["m"]) if "m" in options else (None, None)
    names = chosen(old, tensors, "model")
    kept = [(new[name].weight.size, np.count_nonzero(new[name].weight)) for name in names]
    return {
        "maps_before_bytes": sum(old[name].stored_bytes for name in names),
        "maps_after_bytes": sum(new[name].stored_bytes for name in names),
        "sparse_store_bytes": sum(stored_bytes(size, int(count), 32, n=n, m=m) for size, count in kept),
    }


def stored_bytes(weights: int, kept: int, bits: int, *, n: int | None = None, m: int | None = None) -> int:
    """Bytes of a sparse store: kept values, and one bit a weight (unstructured) or the index of each group's pattern."""
    index_bits = weights if n is None or m is None else weights // m * ceil(log2(comb(m, n)))
    return ceil((kept * bits + index_bits) / 8)
