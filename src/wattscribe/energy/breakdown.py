"""Where the power goes: component × (weight reads per tier, activations, arithmetic, idle), each with an interval.

Per second of audio, for a component c with f_c calls and r_c rows (docs/energy-model.md):

    P_c = Σ_tier (call_bytes·f_c + row_bytes·r_c)·e_tier + Σ_tier (activations + 2·states)·r_c·share·e_tier
          + macs·r_c·e_op + P_idle·busy_c

    busy_c = Σ_tier bytes/bandwidth + Σ_dtype macs/peak, and no less than the work's joules / (limit − idle) where the device
             has a power limit

Intervals: every constant is drawn from a triangle over its range (mode: its value, on a logarithmic scale), once per draw
for the whole device, and the figures are recomputed; the placement stays that of the stated values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wattscribe.energy.constants import Draws, draw
from wattscribe.energy.devices import Device
from wattscribe.energy.options import Activations, Unit
from wattscribe.energy.placement import Placement, place
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import Component, Workload
from wattscribe.records import Interval

Array = NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A modelled figure and the interval that the ranges of the constants leave it."""

    value: float
    ci95: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentPower:
    """One component's power in watts of real-time decoding, by what it is spent on."""

    name: str
    size_bytes: int
    calls_per_s: float
    rows_per_s: float
    weight_reads_w: Mapping[str, Figure]
    """By tier."""
    activations_w: Figure
    arithmetic_w: Figure
    idle_w: Figure
    total_w: Figure
    per_call_j: float
    bytes_per_s: float
    """Weight bytes read per second, over all tiers."""
    busy: float
    """Seconds busy per second of audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The whole recognizer on one device. Watts of real-time decoding are joules per second of audio."""

    workload: Workload
    device: Device
    rates: Rates
    placement: Placement
    components: tuple[ComponentPower, ...]
    total_w: Figure
    busy: float
    seed: int
    activations: Activations

    @property
    def evidence(self) -> str:
        return self.device.evidence

    def component(self, name: str) -> ComponentPower:
        return next(component for component in self.components if component.name == name)

    @property
    def per_word_j(self) -> float | None:
        words = self.rates.words_per_s
        return self.total_w.value / words if words else None


def analyse(
    workload: Workload,
    rates: Rates,
    device: Device,
    *,
    unit: Unit = "component",
    activations: Activations = "fused",
    placement: Placement | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Breakdown:
    """The power of each component on `device`. `placement` None: the best one. Raises InputError when nothing fits."""
    placement = place(workload, rates, device, unit=unit) if placement is None else placement
    constants = draw(device, draws, seed)
    parts = [
        _component(component, rates, device, placement, activations, constants) for component in workload.components
    ]
    total = np.sum([watts for _, watts in parts], axis=0)
    return Breakdown(
        workload=workload,
        device=device,
        rates=rates,
        placement=placement,
        components=tuple(power for power, _ in parts),
        total_w=figure(total),
        busy=sum(power.busy for power, _ in parts),
        seed=seed,
        activations=activations,
    )


def power_w(workload: Workload, rates: Rates, device: Device, *, unit: Unit = "component") -> dict[str, float]:
    """Watts by component at the stated constants, without intervals: for sweeps and searches."""
    breakdown = analyse(workload, rates, device, unit=unit, draws=0)
    return {component.name: component.total_w.value for component in breakdown.components}


def figure(values: Array) -> Figure:
    """Element 0 is the figure at the stated constants; the others are draws. The interval always holds the figure."""
    value = float(values[0])
    if len(values) == 1:
        return Figure(value=value, ci95=(value, value))
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Figure(value=value, ci95=(min(value, float(low)), max(value, float(high))))


def _component(
    component: Component,
    rates: Rates,
    device: Device,
    placement: Placement,
    activations: Activations,
    constants: Draws,
) -> tuple[ComponentPower, Array]:
    rate = rates.components[component.name]
    read = _bytes_by_tier(component, rate.calls_per_s, rate.rows_per_s, device, placement)
    reads_w = {tier: count * constants.read_j_per_byte[tier] for tier, count in read.items()}
    per_row = component.activation_bytes if activations == "fused" else component.activation_bytes_unfused
    moved = _spill(per_row * rate.rows_per_s, 2 * component.state_bytes * rate.rows_per_s, device, placement)
    activations_w = sum((count * constants.read_j_per_byte[tier] for tier, count in moved.items()), constants.zero)
    arithmetic_w, busy = constants.zero, constants.zero
    for dtype, macs in component.macs.items():
        charged, _ = device.operation(dtype)
        arithmetic_w = arithmetic_w + macs * rate.rows_per_s * constants.mac_j[charged]
        busy = busy + macs * rate.rows_per_s / constants.mac_per_s[charged]
    for tier in read:
        busy = busy + (read[tier] + moved.get(tier, 0.0)) / constants.bytes_per_s[tier]
    work_w = sum(reads_w.values(), constants.zero) + activations_w + arithmetic_w
    if constants.limit_w is not None:  # a device that would draw more is slowed down until it does not
        busy = np.maximum(busy, work_w / (constants.limit_w - constants.idle_w))
    idle_w = busy * constants.idle_w
    total = work_w + idle_w
    power = ComponentPower(
        name=component.name,
        size_bytes=component.size_bytes,
        calls_per_s=rate.calls_per_s,
        rows_per_s=rate.rows_per_s,
        weight_reads_w={tier: figure(values) for tier, values in reads_w.items()},
        activations_w=figure(activations_w),
        arithmetic_w=figure(arithmetic_w),
        idle_w=figure(idle_w),
        total_w=figure(total),
        per_call_j=float(total[0]) / rate.calls_per_s if rate.calls_per_s else 0.0,
        bytes_per_s=sum(read.values()),
        busy=float(busy[0]),
    )
    return power, total


def _bytes_by_tier(
    component: Component, calls_per_s: float, rows_per_s: float, device: Device, placement: Placement
) -> dict[str, float]:
    """Weight bytes read per second from each tier."""
    bytes_by_tier = {tier.name: 0.0 for tier in device.tiers}
    for weight in component.weights:
        tier = device.local if placement.is_local(component.name, weight.name) else device.main
        bytes_by_tier[tier.name] += weight.call_bytes * calls_per_s + weight.row_bytes * rows_per_s
    return bytes_by_tier


def _spill(activations: float, states: float, device: Device, placement: Placement) -> dict[str, float]:
    """Bytes per second of activations and states by tier: local memory serves its shares, the far tier the rest."""
    if len(device.tiers) == 1:
        return {device.local.name: activations + states}
    of_activations, of_states = placement.local_shares()
    near = activations * of_activations + states * of_states
    far = activations * (1 - of_activations) + states * (1 - of_states)
    return {device.local.name: near, device.main.name: far}
