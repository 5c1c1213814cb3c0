"""Where onnxruntime lays the values of a run: which take over a buffer, and which share one block at different times.

Its rules (core/framework/allocation_planner.cc, mem_pattern_planner.h of onnxruntime 1.31), for one thread:
- a change of shape alone is the same buffer; an activation function takes over an input that nobody else reads; else a value
  takes a buffer of the same shape and size of elements that was given up, the last one first;
- all other values lie in one block, each in the smallest gap that holds it while it is needed.
Weights, inputs and outputs of the graph are never taken over.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from wattscribe.graph.model import BITS

Typed = tuple[str, tuple[int, ...]]
"""dtype and shape."""

ALIASES = frozenset(("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"))
_OVERWRITING = frozenset(
    [
        "Sigmoid", "Tanh", "Relu", "Softplus", "Softsign", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Selu", "Celu",
        "Softmax", "LogSoftmax", "Clip", "Cast",
    ]
)  # fmt: skip
"""Kernels that may write over their input (`MayInplace(0, 0)`). Tried on onnxruntime 1.31: of a chain Expand, operator, ReduceMax
on 32 MiB these keep one buffer; Add, Mul, Exp, Neg, Erf, QuickGelu, LayerNormalization and the others keep two or three."""
ALIGNED_BYTES = 64


class Operation(Protocol):
    """A node, or one execution of it."""

    @property
    def op_type(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Values that a run makes and forgets: value → place in the block, and the block's size."""

    places: Mapping[str, int]
    size: int


def buffers(
    steps: Sequence[Operation], typed: Mapping[str, Typed], fixed: Collection[str], outputs: Collection[str]
) -> dict[str, str]:
    """Value → the value whose buffer it lies in. `fixed` are weights and inputs."""
    readers = Counter(name for node in steps for name in node.inputs if name)
    readers.update(fixed)
    readers.update(outputs)
    home: dict[str, str] = {name: name for name in fixed}
    left: Counter[str] = Counter({name: readers[name] for name in fixed})
    free: list[str] = []
    for node in steps:
        for place, name in enumerate(node.outputs):
            if name:
                taken = None if name in outputs else _taken(node, place, typed, home, left, free)
                home[name] = name if taken is None else taken
                left[home[name]] += readers[name]
        for name in [*node.inputs, *(name for name in node.outputs if name and not readers[name])]:
            if name:
                left[home[name]] -= 1 if readers[name] else 0
                if left[home[name]] == 0:
                    free.append(home[name])
                    left[home[name]] = -1
    return home


def _taken(
    node: Operation,
    place: int,
    typed: Mapping[str, Typed],
    home: Mapping[str, str],
    left: Counter[str],
    free: list[str],
) -> str | None:
    """The buffer that an output takes over; None where it needs its own."""
    name = node.outputs[place]
    if place == 0 and node.op_type in ALIASES:
        return home[node.inputs[0]]
    if place == 0 and node.op_type in _OVERWRITING:
        given = node.inputs[0]
        if left[home[given]] == 1 and _same(typed[given], typed[name]):
            return home[given]
    if not typed[name][1]:
        return None
    for other in reversed(free):
        if _same(typed[other], typed[name]):
            free.remove(other)
            left[other] = 0
            return other
    return None


def _same(one: Typed, other: Typed) -> bool:
    return one[1] == other[1] and BITS.get(one[0], 32) == BITS.get(other[0], 32)


def size_of(typed: Typed) -> int:
    """Bytes of a value."""
    return (prod(typed[1]) * BITS.get(typed[0], 32) + 7) // 8


def block(
    steps: Sequence[Operation], typed: Mapping[str, Typed], home: Mapping[str, str], elsewhere: Collection[str]
) -> Block:
    """One block for the buffers that do not lie `elsewhere`, each where it fits best from its first writer to its last user."""
    last = {home[name]: place for place, node in enumerate(steps) for name in (*node.inputs, *node.outputs) if name}
    places: dict[str, int] = {}
    alive: list[tuple[int, int, str]] = []
    size = 0
    for place, node in enumerate(steps):
        for name in node.outputs:
            if not name or home[name] != name or name in elsewhere:
                continue
            own = -(-size_of(typed[name]) // ALIGNED_BYTES) * ALIGNED_BYTES
            places[name] = _gap(alive, own)
            insort(alive, (places[name], own, name))
            size = max(size, places[name] + own)
        alive = [each for each in alive if last[each[2]] > place]
    return Block(places=places, size=size)


def _gap(alive: Sequence[tuple[int, int, str]], size: int) -> int:
    """The smallest gap that holds so much; behind everything where none does."""
    best, least, end = None, None, 0
    for start, length, _ in alive:
        if start - end >= size and (least is None or start - end - size < least):
            best, least = end, start - end - size
        end = max(end, start + length)
    return end if best is None else best
