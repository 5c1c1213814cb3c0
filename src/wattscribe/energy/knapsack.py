"""The knapsack of whole and divisible items, solved exactly: Nemhauser and Ullmann's list of undominated states, cut by
the fractional bound.

States (bytes, value) of the whole items are kept as sorted arrays, so that adding an item is one merge. A state whose
value plus the fractional fill of what remains cannot beat the best complete solution is dropped; on real models, whose
many small tensors fill any gap, a handful of states survive. Divisible items need no states: whatever whole items are
inside, the best use of the rest is to fill it by value per byte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    divisible: bool = False
    """Whether any part of it may lie inside, for the same part of its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What lies inside; `upper_bound` is the value of the fractional relaxation."""

    items: tuple[Item, ...]
    """The whole ones."""
    parts: Mapping[str, int]
    """Bytes inside of each divisible item, by name."""
    size: int
    """Of whole items and parts together."""
    value: float
    upper_bound: float


def _ordered(items: Sequence[Item]) -> list[Item]:
    """Worth having, by value per byte; among equals the large first, so that small ones fill what is left."""
    useful = [item for item in items if item.value > 0]
    return sorted(useful, key=lambda item: (-_density(item), -item.size, item.name))


def _density(item: Item) -> float:
    return float("inf") if item.size == 0 else float(f"{item.value / item.size:.10g}")


def _packed(names: Collection[str], items: Sequence[Item], capacity: int, upper_bound: float) -> Packed:
    """The whole items of these names, and divisible ones in what they leave."""
    inside = tuple(item for item in items if not item.divisible and item.name in names)
    value, left = sum(item.value for item in inside), capacity - sum(item.size for item in inside)
    parts = {item.name: 0 for item in items if item.divisible}
    for item in _ordered([item for item in items if item.divisible]):
        part = min(item.size, left)
        parts[item.name] = part
        left -= part
        value += item.value * part / item.size if item.size else item.value
    return Packed(items=inside, parts=parts, size=capacity - left, value=value, upper_bound=max(upper_bound, value))


def greedy(items: Sequence[Item], capacity: int) -> Packed:
    """Fill by value per byte, passing over what does not fit; with the fractional bound on the optimum."""
    chosen, left = set(), capacity
    bound, room, broken = 0.0, capacity, False
    for item in _ordered(items):
        if item.divisible:
            left -= min(item.size, left)
        elif item.size <= left:
            chosen.add(item.name)
            left -= item.size
        if not broken:
            broken = item.size > room
            bound += item.value if not broken else item.value * room / item.size
            room -= min(item.size, room)
    return _packed(chosen, items, capacity, bound)


def solve(items: Sequence[Item], capacity: int) -> Packed:
    """The choice of greatest value whose bytes sum to at most `capacity`. Exact; items of no value stay out."""
    first = greedy(items, capacity)
    ordered = [item for item in _ordered(items) if item.size > 0 and (item.divisible or item.size <= capacity)]
    if first.value >= first.upper_bound * (1 - _TIE) or all(item.divisible for item in ordered):
        return first
    free = {item.name for item in items if item.size == 0 and item.value > 0}
    best = _search(ordered, capacity, first.value - sum(item.value for item in items if item.name in free))
    if best is None:
        return first
    return _packed(free | {ordered[index].name for index in best}, items, capacity, first.upper_bound)


def _search(ordered: Sequence[Item], capacity: int, incumbent: float) -> list[int] | None:
    """Indices of whole items of a choice better than `incumbent`, or None where there is none."""
    sizes, values = np.zeros(1), np.zeros(1)
    path: list[tuple[int, NDArray[np.int64], NDArray[np.bool_]]] = []
    best: list[int] | None = None
    for index, item in enumerate(ordered):
        if item.divisible:
            continue
        parent = np.tile(np.arange(len(sizes)), 2)
        take = np.repeat([False, True], len(sizes))
        sizes, values, keep = _undominated(sizes, values, item, capacity)
        parent, take = parent[keep], take[keep]
        rest = _Relaxation(ordered, index + 1)
        room = capacity - sizes
        complete = values + rest.whole(room)
        at = int(np.argmax(complete))
        if complete[at] > incumbent * (1 + _TIE):
            incumbent = float(complete[at])
            best = [*_trace(at, [*path, (index, parent, take)]), *rest.run(float(room[at]))]
        alive = np.flatnonzero(values + rest.fill(room) > incumbent * (1 + _TIE))
        if not len(alive):
            break
        sizes, values = sizes[alive], values[alive]
        path.append((index, parent[alive], take[alive]))
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


def _trace(at: int, path: Sequence[tuple[int, NDArray[np.int64], NDArray[np.bool_]]]) -> list[int]:
    """The items that were taken on the way to a state."""
    chosen = []
    for index, parent, take in reversed(path):
        if take[at]:
            chosen.append(index)
        at = int(parent[at])
    return chosen


class _Relaxation:
    """The best that whole items from an index on and all divisible ones can add to a rest of capacity."""

    def __init__(self, ordered: Sequence[Item], start: int) -> None:
        self._indices = [index for index, item in enumerate(ordered) if item.divisible or index >= start]
        items = [ordered[index] for index in self._indices]
        self._sizes, self._values = _sums(items)
        self._divisible = [item.divisible for item in items]
        self._before = np.concatenate([[0], np.cumsum(self._divisible)]).astype(np.int64)
        self._fluid_sizes, self._fluid_values = _sums([item for item in items if item.divisible])

    def _reach(self, room: Array) -> NDArray[np.int64]:
        """How many items, in order, the room holds."""
        return np.asarray(np.searchsorted(self._sizes, room, side="right") - 1, dtype=np.int64)

    def run(self, room: float) -> list[int]:
        """The whole items that the room holds before the first that it does not."""
        last = int(self._reach(np.array([room]))[0])
        held = zip(self._indices[:last], self._divisible[:last], strict=True)
        return [index for index, divisible in held if not divisible]

    def whole(self, room: Array) -> Array:
        """The value of that run, and of divisible items in what it leaves: what can be had."""
        last = self._reach(room)
        before = self._before[last]
        rest = self._fluid_sizes[before] + room - self._sizes[last]
        more = np.interp(rest, self._fluid_sizes, self._fluid_values) - self._fluid_values[before]
        return np.asarray(self._values[last] + more)

    def fill(self, room: Array) -> Array:
        """The value of the fractional fill: an upper bound."""
        return np.asarray(np.interp(room, self._sizes, self._values))


def _sums(items: Sequence[Item]) -> tuple[Array, Array]:
    """Running sums of sizes and values, from 0."""
    sizes = np.concatenate([[0.0], np.cumsum([float(item.size) for item in items])])
    return sizes, np.concatenate([[0.0], np.cumsum([item.value for item in items])])
