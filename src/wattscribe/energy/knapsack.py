"""The 0-1 knapsack, solved exactly: Nemhauser and Ullmann's list of undominated states, cut by the fractional bound.

States (bytes, value) are kept as sorted arrays, so that adding an item is one merge. A state whose value plus the
fractional fill of what remains cannot beat the best complete solution is dropped; on real models, whose many small
tensors fill any gap, a handful of states survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_TIE = 1e-12  # relative: values closer than this are equal to a float's precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to place: `size` in bytes, `value` in watts."""

    name: str
    size: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What lies inside; `upper_bound` is the value of the fractional relaxation."""

    items: tuple[Item, ...]
    size: int
    value: float
    upper_bound: float


def _ordered(items: Sequence[Item]) -> list[Item]:
    """Worth having, by value per byte; among equals the large first, so that small ones fill what is left."""
    useful = [item for item in items if item.value > 0]
    return sorted(useful, key=lambda item: (-_density(item), -item.size, item.name))


def _density(item: Item) -> float:
    return float("inf") if item.size == 0 else float(f"{item.value / item.size:.10g}")


def _packed(chosen: Sequence[Item], items: Sequence[Item], upper_bound: float) -> Packed:
    names = {item.name for item in chosen}
    inside = tuple(item for item in items if item.name in names)
    value = sum(item.value for item in inside)
    return Packed(
        items=inside, size=sum(item.size for item in inside), value=value, upper_bound=max(upper_bound, value)
    )


def greedy(items: Sequence[Item], capacity: int) -> Packed:
    """Fill by value per byte, passing over what does not fit; with the fractional bound on the optimum."""
    ordered = _ordered(items)
    chosen, left = [], capacity
    bound, room, broken = 0.0, capacity, False
    for item in ordered:
        if item.size <= left:
            chosen.append(item)
            left -= item.size
        if not broken:
            broken = item.size > room
            bound += item.value if not broken else item.value * room / item.size
            room -= min(item.size, room)
    return _packed(chosen, items, bound)


def solve(items: Sequence[Item], capacity: int) -> Packed:
    """The choice of greatest value whose sizes sum to at most `capacity`. Exact; items of no value stay out."""
    first = greedy(items, capacity)
    ordered = [item for item in _ordered(items) if item.size <= capacity]
    if first.value >= first.upper_bound * (1 - _TIE) or not ordered:
        return first
    best = _search(ordered, capacity, first.value)
    if best is None:
        return first
    return _packed([ordered[index] for index in best], items, first.upper_bound)


def _search(ordered: Sequence[Item], capacity: int, incumbent: float) -> list[int] | None:
    """Indices of a choice better than `incumbent`, or None where there is none."""
    relaxed = _Relaxation(ordered)
    sizes, values = np.zeros(1), np.zeros(1)
    parents: list[NDArray[np.int64]] = []
    takes: list[NDArray[np.bool_]] = []
    best: list[int] | None = None
    for index, item in enumerate(ordered):
        parent = np.tile(np.arange(len(sizes)), 2)
        take = np.repeat([False, True], len(sizes))
        sizes, values, keep = _undominated(sizes, values, item, capacity)
        parent, take = parent[keep], take[keep]
        room = capacity - sizes
        complete = values + relaxed.whole(index + 1, room)
        at = int(np.argmax(complete))
        if complete[at] > incumbent * (1 + _TIE):
            incumbent = float(complete[at])
            run = range(index + 1, relaxed.reach(index + 1, float(room[at])))
            best = [*_trace(at, [*parents, parent], [*takes, take]), *run]
        alive = np.flatnonzero(values + relaxed.fill(index + 1, room) > incumbent * (1 + _TIE))
        if not len(alive):
            break
        sizes, values = sizes[alive], values[alive]
        parents.append(parent[alive])
        takes.append(take[alive])
    return best


def _undominated(sizes: Array, values: Array, item: Item, capacity: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """The states with and without the item that fit and that no smaller state beats; with their places among all."""
    grown = np.concatenate([sizes, sizes + item.size])
    worth = np.concatenate([values, values + item.value])
    keep = np.flatnonzero(grown <= capacity)
    keep = keep[np.lexsort((-worth[keep], grown[keep]))]
    rising = np.maximum.accumulate(worth[keep])
    keep = keep[np.concatenate([[True], rising[1:] > rising[:-1]])]
    return grown[keep], worth[keep], keep


def _trace(at: int, parents: Sequence[NDArray[np.int64]], takes: Sequence[NDArray[np.bool_]]) -> list[int]:
    chosen = []
    for index in range(len(parents) - 1, -1, -1):
        if takes[index][at]:
            chosen.append(index)
        at = int(parents[index][at])
    return chosen


class _Relaxation:
    """The best that items from an index on can add to a rest of capacity: fractionally, and as a run of whole items."""

    def __init__(self, ordered: Sequence[Item]) -> None:
        self._sizes = np.concatenate([[0.0], np.cumsum([float(item.size) for item in ordered])])
        self._values = np.concatenate([[0.0], np.cumsum([item.value for item in ordered])])

    def _reach(self, start: int, room: Array) -> NDArray[np.int64]:
        limit = self._sizes[start] + room
        found = np.searchsorted(self._sizes, limit, side="right") - 1
        return np.asarray(np.clip(found, start, len(self._sizes) - 1), dtype=np.int64)

    def reach(self, start: int, room: float) -> int:
        """The first item from `start` on that a run of whole items does not hold."""
        return int(self._reach(start, np.array([room]))[0])

    def whole(self, start: int, room: Array) -> Array:
        return np.asarray(self._values[self._reach(start, room)] - self._values[start])

    def fill(self, start: int, room: Array) -> Array:
        last = self._reach(start, room)
        following = np.minimum(last + 1, len(self._sizes) - 1)
        step = self._sizes[following] - self._sizes[last]
        rest = self._sizes[start] + room - self._sizes[last]
        part = np.divide(rest, step, out=np.zeros_like(rest), where=step > 0)
        gain = np.clip(part, 0.0, 1.0) * (self._values[following] - self._values[last])
        return np.asarray(self._values[last] - self._values[start] + gain)
