"""Which weights lie in local memory: the exact optimum under its capacity, room for states and activations kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wattscribe.energy.devices import Device
from wattscribe.energy.knapsack import Item, greedy, solve
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError

Unit = Literal["component", "tensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where each weight lies. Names are `component` or `component/tensor`, by the unit."""

    unit: Unit
    capacity_bytes: int
    reserved_bytes: int
    """Kept for the states of all components and the largest activations of one."""
    local: tuple[str, ...]
    local_bytes: int
    saved_w: float
    """Power that the local weights save against reading them from the far tier."""
    greedy_saved_w: float
    """What filling by reads per byte would save: a lower bound of the optimum."""
    bound_saved_w: float
    """What splitting the last weight would save: an upper bound of it."""

    def is_local(self, component: str, tensor: str) -> bool:
        return (component if self.unit == "component" else f"{component}/{tensor}") in self.local


def reserved_bytes(workload: Workload) -> int:
    """Room that states (all at once) and activations (one component at a time) need."""
    states = sum(component.state_bytes for component in workload.components)
    return states + max((component.peak_activation_bytes for component in workload.components), default=0)


def items(workload: Workload, rates: Rates, device: Device, unit: Unit) -> list[Item]:
    """One item per component or tensor: its bytes, and the watts that local memory saves for it."""
    gain = device.main.read_j_per_byte - device.local.read_j_per_byte
    found: list[Item] = []
    for component in workload.components:
        rate = rates.components[component.name]
        read = [
            weight.call_bytes * rate.calls_per_s + weight.row_bytes * rate.rows_per_s for weight in component.weights
        ]
        if unit == "component":
            found.append(Item(name=component.name, size=component.size_bytes, value=sum(read) * gain))
        else:
            for weight, bytes_per_s in zip(component.weights, read, strict=True):
                name = f"{component.name}/{weight.name}"
                found.append(Item(name=name, size=weight.size_bytes, value=bytes_per_s * gain))
    return found


def place(workload: Workload, rates: Rates, device: Device, *, unit: Unit = "component") -> Placement:
    """The placement that costs least. On a device of one tier everything must fit it: InputError otherwise."""
    reserve = reserved_bytes(workload)
    capacity = device.local.capacity_bytes
    choices = items(workload, rates, device, unit)
    if len(device.tiers) == 1:
        return _everything(workload, device, unit, choices, reserve)
    room = max(0, capacity - reserve)
    best = solve(choices, room)
    bound = greedy(choices, room)
    return Placement(
        unit=unit,
        capacity_bytes=capacity,
        reserved_bytes=reserve,
        local=tuple(item.name for item in best.items),
        local_bytes=best.size,
        saved_w=best.value,
        greedy_saved_w=bound.value,
        bound_saved_w=bound.upper_bound,
    )


def _everything(workload: Workload, device: Device, unit: Unit, choices: Sequence[Item], reserve: int) -> Placement:
    total = workload.size_bytes
    capacity = device.local.capacity_bytes
    if total + reserve > capacity:
        over = total + reserve - capacity
        raise InputError(
            f"{workload.name} does not fit {device.name}: {total} bytes of weights and {reserve} of states and "
            f"activations are {over} bytes more than its only memory of {capacity}",
            fix="Compress the model, or choose a device with more memory",
        )
    return Placement(
        unit=unit,
        capacity_bytes=capacity,
        reserved_bytes=reserve,
        local=tuple(item.name for item in choices),
        local_bytes=total,
        saved_w=0.0,
        greedy_saved_w=0.0,
        bound_saved_w=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The change of the best placement from one capacity to the next."""

    capacity_bytes: int
    moved_in: tuple[str, ...]
    moved_out: tuple[str, ...]
    local_bytes: int
    saved_w: float


def moves(
    workload: Workload, rates: Rates, device: Device, capacities: Sequence[int], *, unit: Unit = "component"
) -> list[Move]:
    """What enters and leaves local memory as its capacity grows; an optimum may put a small weight out for a large one."""
    found: list[Move] = []
    before: set[str] = set()
    for capacity in sorted(capacities):
        best = place(workload, rates, device.with_local_memory(capacity), unit=unit)
        now = set(best.local)
        found.append(
            Move(
                capacity_bytes=capacity,
                moved_in=tuple(sorted(now - before)),
                moved_out=tuple(sorted(before - now)),
                local_bytes=best.local_bytes,
                saved_w=best.saved_w,
            )
        )
        before = now
    return found
