"""What a cache simulator saw cross the local memory, beside what the energy model says must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from wattscribe.energy.devices import Device
from wattscribe.energy.options import Activations
from wattscribe.energy.placement import Placement, place
from wattscribe.energy.rates import Rates
from wattscribe.energy.workload import Component, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelled:
    """Bytes per call past the local memory, as the energy model has them, by what they are."""

    weight_bytes: float
    state_bytes: float
    activation_bytes: float

    @property
    def total_bytes(self) -> float:
        return self.weight_bytes + self.state_bytes + self.activation_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AsExecuted:
    """Bytes per call past a cache of the local memory's size, modelled: each value that onnxruntime's optimised graph reads and
    writes, node by node, in a cache that keeps what was used last."""

    weight_bytes: float
    state_bytes: float
    activation_bytes: float
    runtime_bytes: float
    """onnxruntime's own account of its nodes and values."""

    @property
    def total_bytes(self) -> float:
        return self.weight_bytes + self.state_bytes + self.activation_bytes + self.runtime_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Bytes per call past a cache of the local memory's size, as they were simulated."""

    read_bytes: float
    written_bytes: float

    @property
    def total_bytes(self) -> float:
        return self.read_bytes + self.written_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCall:
    """One call of the sequence in which the components share the cache."""

    component: str
    rows: int
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTraffic:
    """One component's calls: the only user of the local memory, and among the others."""

    name: str
    rows_per_call: float
    """Of the calls that were simulated."""
    calls_per_s: float
    """Of the decode that the profile counted."""
    read: Modelled
    """Everything that a call reads and writes, wherever it lies."""
    alone: Modelled
    """The best placement of this component by itself."""
    alone_executed: AsExecuted
    """Its calls one after the other, as onnxruntime executes them, modelled."""
    alone_seen: Seen
    """The same, simulated."""
    placed: Modelled
    """The best placement of all components: a memory whose contents are chosen."""
    shared_executed: AsExecuted | None
    """The calls in the order of a decode: a cache, which keeps what was used last. None: it was not called in them."""
    shared_seen: Seen | None
    """The same, simulated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A few segments of a real decode, simulated."""

    local_memory_bytes: int
    simulated_bytes: int
    """The nearest size that a simulated cache can have."""
    components: tuple[ComponentTraffic, ...]
    calls: tuple[SeenCall, ...]
    interpreter_bytes: float
    """Per call of the sequence: what the calling program moved, in no other figure."""
    utterance: str
    evidence: Literal["simulated"] = "simulated"

    def component(self, name: str) -> ComponentTraffic:
        return next(each for each in self.components if each.name == name)

    @property
    def orders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The components by bytes per second of audio in a shared cache, the most first: as executed, and simulated."""
        executed = {each.name: each.shared_executed for each in self.components}
        seen = {each.name: each.shared_seen for each in self.components}
        return self._order(executed), self._order(seen)

    def _order(self, moved: Mapping[str, AsExecuted | Seen | None]) -> tuple[str, ...]:
        rates = {each.name: each.calls_per_s for each in self.components}
        per_s = {name: each.total_bytes * rates[name] for name, each in moved.items() if each is not None}
        return tuple(sorted(per_s, key=lambda name: -per_s[name]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a machine's own counters say, per second of audio: of a process, or of the whole machine. Missing is None."""

    audio_s: float
    last_level_miss_bytes_per_s: float | None
    memory_read_bytes_per_s: float | None
    memory_written_bytes_per_s: float | None
    dram_w: float | None
    """Watts of real-time decoding, as everywhere: joules per second of audio."""
    missing: tuple[str, ...]
    """Events that the machine does not count."""
    evidence: Literal["measured"] = "measured"


def per_call(component: Component, rows: float, activations: Activations) -> Modelled:
    """What a call of so many rows reads and writes."""
    moved = component.activation_bytes if activations == "fused" else component.activation_bytes_unfused
    return Modelled(
        weight_bytes=component.call_bytes + component.row_bytes * rows,
        state_bytes=2 * component.state_bytes * rows,
        activation_bytes=moved * rows,
    )


def past_local(component: Component, rows: float, placement: Placement, activations: Activations) -> Modelled:
    """What of it lies behind the local memory under a placement."""
    everything = per_call(component, rows, activations)
    of_activations, of_states = placement.local_shares()
    weights = sum(
        weight.call_bytes + weight.row_bytes * rows
        for weight in component.weights
        if not placement.is_local(component.name, weight.name)
    )
    return Modelled(
        weight_bytes=weights,
        state_bytes=everything.state_bytes * (1 - of_states),
        activation_bytes=everything.activation_bytes * (1 - of_activations),
    )


def compared(
    workload: Workload,
    rates: Rates,
    device: Device,
    placement: Placement,
    activations: Activations,
    *,
    rows: Mapping[str, float],
    alone: Mapping[str, tuple[AsExecuted, Seen]],
    shared: Mapping[str, tuple[AsExecuted, Seen] | None],
) -> tuple[ComponentTraffic, ...]:
    """Each component that was seen, beside the model."""
    traffic = []
    for component in workload.components:
        name = component.name
        if name not in alone or name not in shared:
            continue
        together = shared[name]
        itself = place(replace(workload, components=(component,)), rates, device, unit=placement.unit)
        traffic.append(
            ComponentTraffic(
                name=name,
                rows_per_call=rows[name],
                calls_per_s=rates.components[name].calls_per_s,
                read=per_call(component, rows[name], activations),
                alone=past_local(component, rows[name], itself, activations),
                alone_executed=alone[name][0],
                alone_seen=alone[name][1],
                placed=past_local(component, rows[name], placement, activations),
                shared_executed=None if together is None else together[0],
                shared_seen=None if together is None else together[1],
            )
        )
    return tuple(traffic)
