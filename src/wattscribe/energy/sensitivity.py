"""What a smaller component saves: milliwatts per megabyte, the jump where it comes to fit local memory, and the order of
compression that follows, re-evaluated after each step because every step moves the ratios."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.breakdown import analyse, power_w
from wattscribe.energy.devices import Device
from wattscribe.energy.knapsack import Item, solve
from wattscribe.energy.placement import Placement, items, place, rooms, with_weights
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import Component, WeightTensor, Workload
from wattscribe.errors import InputError

MB = 1e6
PROBE = 0.02
"""The part of a component that is removed to see its slope."""
NO_JUMP = 1e-6
"""Of the total power; sizes are whole bytes, so that a jump of 0 comes out as a few millionths of a milliwatt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSensitivity:
    """What the whole recognizer saves when one component shrinks."""

    component: str
    size_bytes: int
    mw_per_mb: float
    """Milliwatts saved per megabyte removed, at the present size."""
    fits_at_bytes: int | None
    """The largest size at which the best placement holds it; None: it does already, or never will."""
    is_local: bool
    jump_mw: float | None
    """Milliwatts saved at that size by the move alone, nothing removed. 0 where it enters as states and activations give
    way to it: there its place is worth as much to them, and only what is removed beyond saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the suggested order."""

    component: str
    from_bytes: int
    to_bytes: int
    saved_mw: float
    saved_mw_per_mb: float
    wer_increase: float | None
    ratio: float
    """Milliwatts saved per megabyte, or per point of WER where the accuracy laws are known."""
    fits: bool
    """Whether this step brings the component into local memory."""


def merged(workload: Workload) -> Workload:
    """The same workload with one tensor per component: what placement by component sees, and quick to scale."""
    return dataclasses.replace(workload, components=tuple(_one_tensor(component) for component in workload.components))


def _one_tensor(component: Component) -> Component:
    weight = WeightTensor(
        name="weights",
        dtype="mixed",
        shape=(component.size_bytes,),
        size_bytes=component.size_bytes,
        call_bytes=component.call_bytes,
        row_bytes=component.row_bytes,
    )
    return dataclasses.replace(component, weights=(weight,))


def total_mw(workload: Workload, rates: Rates, device: Device) -> float:
    """Milliwatts at the stated constants, weights placed by component."""
    return 1e3 * sum(power_w(workload, rates, device).values())


def of_component(workload: Workload, name: str, rates: Rates, device: Device) -> PowerSensitivity:
    """Slope and jump of one component. The slope keeps the weights' places, so that it is not taken across the jump; what
    a local component leaves is filled with states and activations that had no room."""
    workload = merged(workload)
    component = workload.component(name)
    here = place(workload, rates, device)
    smaller = workload.replace(component.scaled(1 - PROBE))
    saved = _kept_mw(workload, rates, device, here) - _kept_mw(smaller, rates, device, here)
    slope = saved / (PROBE * component.size_bytes / MB)
    fits_at = None if name in here.local else fitting_bytes(workload, component, rates, device)
    jump = None
    if fits_at is not None:
        shrunk = workload.replace(component.scaled(fits_at / component.size_bytes))
        best = total_mw(shrunk, rates, device)
        jump = _kept_mw(shrunk, rates, device, here) - best
        jump = jump if jump > NO_JUMP * best else 0.0
    return PowerSensitivity(
        component=name,
        size_bytes=component.size_bytes,
        mw_per_mb=slope,
        fits_at_bytes=fits_at,
        is_local=name in here.local,
        jump_mw=jump,
    )


def _kept_mw(workload: Workload, rates: Rates, device: Device, here: Placement) -> float:
    """Milliwatts with the components of `here` in local memory, whatever else would be best."""
    kept = with_weights(here, workload, rates, device)
    return 1e3 * analyse(workload, rates, device, placement=kept, draws=0).total_w.value


def fitting_bytes(workload: Workload, component: Component, rates: Rates, device: Device) -> int | None:
    """The largest size below its own at which the best placement holds the component, in whatever company; None: at none.

    With a given set of other components inside, what the component adds is concave in its size (states and activations
    give way by value per byte, the least worth first), so one search per set finds where it stops to pay.
    """
    others = [item for item in items(workload, rates, device, "component") if item.name != component.name]
    rest = rooms(workload, rates, device)
    own = next(item for item in items(workload, rates, device, "component") if item.name == component.name)
    capacity = device.local.capacity_bytes
    without = solve([*others, *rest], capacity).value
    sizes = []
    for count in range(len(others) + 1):
        for beside in itertools.combinations(others, count):
            room = capacity - sum(item.size for item in beside)
            most = min(room, own.size - 1)
            if own.value > 0 and most > 0:
                floor = without - sum(item.value for item in beside)
                sizes.append(_largest_that_pays(own.value / own.size, rest, room, most, floor))
    return max(sizes, default=0) or None


def _largest_that_pays(density: float, rest: Sequence[Item], room: int, most: int, floor: float) -> int:
    """The largest size up to `most` whose value, with states and activations in what it leaves of `room`, is above
    `floor`; 0 where there is none."""

    def pays(size: int) -> bool:
        return density * size + solve(rest, room - size).value > floor + 1e-9 * abs(floor)

    if pays(most):
        return most
    ends = itertools.accumulate(item.size for item in sorted(rest, key=lambda item: -item.value / item.size))
    low = max((size for end in ends if 0 < (size := room - end) < most and pays(size)), default=0)
    high = most
    while low and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if pays(middle) else (low, middle)
    return low


# --- the order of compression ---------------------------------------------------------------------------------------
def order(
    workload: Workload,
    rates: Rates,
    device: Device,
    *,
    laws: Mapping[str, AccuracyLaw] | None = None,
    step: float = 0.1,
    floor: float = 0.2,
    most_steps: int = 40,
) -> list[Step]:
    """Shrink, step by step, the component that saves most power per megabyte (or per point of WER with `laws`).

    A step takes `step` of the component's original size, or goes to where it fits local memory if that pays more per
    unit of cost; a component stops at `floor` of its original size. Raises InputError when a component has no law.
    """
    workload = merged(workload)
    if laws is not None and (
        missing := [component.name for component in workload.components if component.name not in laws]
    ):
        raise InputError(f"there is no accuracy law for {', '.join(missing)}", fix="Give one for every component")
    original = {component.name: component.size_bytes for component in workload.components}
    taken: list[Step] = []
    now = workload
    while len(taken) < most_steps:
        choices = [
            candidate
            for component in now.components
            for target in _targets(now, component, original[component.name], rates, device, step, floor)
            if (candidate := _step(now, component, target, rates, device, laws)) is not None
        ]
        if not choices:
            break
        best = max(choices, key=lambda step: step.ratio)
        taken.append(best)
        shrunk = now.component(best.component)
        now = now.replace(shrunk.scaled(best.to_bytes / shrunk.size_bytes))
    return taken


def first_mentions(steps: list[Step], workload: Workload) -> list[str]:
    """Components in the order in which they first come up; those that never do, at the end."""
    mentioned = list(dict.fromkeys(step.component for step in steps))
    return mentioned + [component.name for component in workload.components if component.name not in mentioned]


def _targets(
    workload: Workload, component: Component, original: int, rates: Rates, device: Device, step: float, floor: float
) -> list[int]:
    least = max(1, round(original * floor))
    if component.size_bytes <= least:
        return []
    targets = [max(least, component.size_bytes - round(original * step))]
    fits = None
    if component.name not in place(workload, rates, device).local:
        fits = fitting_bytes(workload, component, rates, device)
    if fits is not None and fits >= least:
        targets.append(fits)
    return targets


def _step(
    workload: Workload,
    component: Component,
    to_bytes: int,
    rates: Rates,
    device: Device,
    laws: Mapping[str, AccuracyLaw] | None,
) -> Step | None:
    if to_bytes >= component.size_bytes:
        return None
    after = workload.replace(component.scaled(to_bytes / component.size_bytes))
    saved = total_mw(workload, rates, device) - total_mw(after, rates, device)
    per_mb = saved / ((component.size_bytes - to_bytes) / MB)
    increase = None
    ratio = per_mb
    if laws is not None:
        law = laws[component.name]
        increase = law.wer(to_bytes) - law.wer(component.size_bytes)
        ratio = saved / max(100 * increase, 1e-9)
    was_local = component.name in place(workload, rates, device).local
    return Step(
        component=component.name,
        from_bytes=component.size_bytes,
        to_bytes=to_bytes,
        saved_mw=saved,
        saved_mw_per_mb=per_mb,
        wer_increase=increase,
        ratio=ratio,
        fits=not was_local and component.name in place(after, rates, device).local,
    )
