"""What is placed in local memory: weights, states and activations weighed against each other, the exact optimum.

Weights go in by whole component or tensor. States and activations are divisible to the byte: what is held in local memory
of a buffer saves its part of the buffer's traffic. Activations need one room, the largest `peak_activation_bytes` of a
component, as components run one at a time; the traffic of all of them is spread evenly over it. The states of a component
need their own bytes, read and written once per row. Each is worth its bytes moved per second × (far − near) J/byte, so a
weight read often may well displace activations, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wattscribe.energy.devices import Device
from wattscribe.energy.knapsack import Item, greedy, solve
from wattscribe.energy.options import Unit
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError

_ACTIVATIONS = "*activations"
_STATES = "*states of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where each weight lies. Names are `component` or `component/tensor`, by the unit."""

    unit: Unit
    capacity_bytes: int
    reserved_bytes: int
    """Bytes of local memory that hold states and activations."""
    local: tuple[str, ...]
    local_bytes: int
    saved_w: float
    """Power that all of local memory saves against having everything in the far tier."""
    greedy_saved_w: float
    """What filling by reads per byte would save: a lower bound of the optimum."""
    bound_saved_w: float
    """What splitting the last weight would save: an upper bound of it."""
    activations_local: float | None = None
    """Part of the activations' traffic that local memory serves; None: as far as the capacity holds `reserved_bytes`."""
    states_local: float | None = None
    """The same of the states' traffic."""

    def is_local(self, component: str, tensor: str) -> bool:
        return (component if self.unit == "component" else f"{component}/{tensor}") in self.local

    def local_shares(self) -> tuple[float, float]:
        """(activations, states): the parts of their traffic that local memory serves."""
        rest = min(1.0, self.capacity_bytes / self.reserved_bytes) if self.reserved_bytes else 1.0
        activations = rest if self.activations_local is None else self.activations_local
        return activations, rest if self.states_local is None else self.states_local


def reserved_bytes(workload: Workload) -> int:
    """Room that states (all at once) and activations (one component at a time) need to lie in local memory entirely."""
    states = sum(component.state_bytes for component in workload.components)
    return states + activation_room_bytes(workload)


def activation_room_bytes(workload: Workload) -> int:
    """The most that is alive at one time in any component."""
    return max((component.peak_activation_bytes for component in workload.components), default=0)


def rooms(workload: Workload, rates: Rates, device: Device) -> list[Item]:
    """Activations, then the states of each component, as divisible items. What needs no room is no item."""
    gain = device.main.read_j_per_byte - device.local.read_j_per_byte
    rows = {component.name: rates.components[component.name].rows_per_s for component in workload.components}
    moved = sum(component.activation_bytes * rows[component.name] for component in workload.components)
    candidates = [Item(name=_ACTIVATIONS, size=activation_room_bytes(workload), value=moved * gain, divisible=True)]
    candidates += [
        Item(
            name=f"{_STATES}{component.name}",
            size=component.state_bytes,
            value=2 * component.state_bytes * rows[component.name] * gain,
            divisible=True,
        )
        for component in workload.components
    ]
    return [item for item in candidates if item.size > 0]


def items(workload: Workload, rates: Rates, device: Device, unit: Unit) -> list[Item]:
    """One item per component or tensor: its bytes, and the watts that local memory saves for it."""
    gain = device.main.read_j_per_byte - device.local.read_j_per_byte
    choices: list[Item] = []
    for component in workload.components:
        rate = rates.components[component.name]
        read = [
            weight.call_bytes * rate.calls_per_s + weight.row_bytes * rate.rows_per_s for weight in component.weights
        ]
        if unit == "component":
            choices.append(Item(name=component.name, size=component.size_bytes, value=sum(read) * gain))
        else:
            for weight, bytes_per_s in zip(component.weights, read, strict=True):
                name = f"{component.name}/{weight.name}"
                choices.append(Item(name=name, size=weight.size_bytes, value=bytes_per_s * gain))
    return choices


def place(workload: Workload, rates: Rates, device: Device, *, unit: Unit = "component") -> Placement:
    """The placement that costs least. On a device of one tier everything must fit it: InputError otherwise."""
    choices = items(workload, rates, device, unit)
    if len(device.tiers) == 1:
        return _everything(workload, device, unit, choices, reserved_bytes(workload))
    return _placed(choices, rooms(workload, rates, device), device, unit)


def with_weights(placement: Placement, workload: Workload, rates: Rates, device: Device) -> Placement:
    """The weights where `placement` has them, whatever they weigh now; states and activations in what they leave."""
    if len(device.tiers) == 1:
        return placement
    kept = [item for item in items(workload, rates, device, placement.unit) if item.name in placement.local]
    return _placed(kept, rooms(workload, rates, device), device, placement.unit)


def _placed(weights: Sequence[Item], rest: Sequence[Item], device: Device, unit: Unit) -> Placement:
    capacity = device.local.capacity_bytes
    best, bound = solve([*weights, *rest], capacity), greedy([*weights, *rest], capacity)
    local_bytes = sum(item.size for item in best.items)
    return Placement(
        unit=unit,
        capacity_bytes=capacity,
        reserved_bytes=best.size - local_bytes,
        local=tuple(item.name for item in best.items),
        local_bytes=local_bytes,
        saved_w=best.value,
        greedy_saved_w=bound.value,
        bound_saved_w=bound.upper_bound,
        activations_local=_share([item for item in rest if item.name == _ACTIVATIONS], best.parts),
        states_local=_share([item for item in rest if item.name != _ACTIVATIONS], best.parts),
    )


def _share(rest: Sequence[Item], parts: Mapping[str, int]) -> float:
    """The part of the items' value, hence of their traffic, that lies inside; of their bytes where they have no value."""
    whole, size = sum(item.value for item in rest), sum(item.size for item in rest)
    if not size:
        return 1.0
    if not whole > 0:
        return sum(parts[item.name] for item in rest) / size
    return min(1.0, sum(item.value * (parts[item.name] / item.size) for item in rest) / whole)


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
        activations_local=1.0,
        states_local=1.0,
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
    changes: list[Move] = []
    before: set[str] = set()
    for capacity in sorted(capacities):
        best = place(workload, rates, device.with_local_memory(capacity), unit=unit)
        now = set(best.local)
        changes.append(
            Move(
                capacity_bytes=capacity,
                moved_in=tuple(sorted(now - before)),
                moved_out=tuple(sorted(before - now)),
                local_bytes=best.local_bytes,
                saved_w=best.saved_w,
            )
        )
        before = now
    return changes
