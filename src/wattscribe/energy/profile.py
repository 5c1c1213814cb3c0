"""A whole profile: breakdown, placement and its moves, sensitivities, order, curves, guidelines; and its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wattscribe.energy import curves, guidelines, placement, rates, sensitivity
from wattscribe.energy.accuracy import AccuracyLaw
from wattscribe.energy.breakdown import Breakdown, ComponentPower, Figure, analyse
from wattscribe.energy.curves import Point
from wattscribe.energy.devices import Device
from wattscribe.energy.observed import Counted, Observed
from wattscribe.energy.options import Activations, Unit
from wattscribe.energy.placement import Move
from wattscribe.energy.rates import Rates
from wattscribe.energy.sensitivity import PowerSensitivity, Step
from wattscribe.energy.workload import Workload
from wattscribe.errors import InputError
from wattscribe.records import to_json
from wattscribe.shown import Shown
from wattscribe.units import J_PER_WH

SCHEMA = 1
LARGEST_BATTERY_WH = 1e9
_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
_BEAMS = (1, 2, 4, 8, 16)
_UTTERANCES_S = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_TOKENS_PER_S = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_VOCABULARIES = (128, 256, 500, 1000, 2000, 4000, 8000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Shown):
    """Everything that `wattscribe profile` says."""

    breakdown: Breakdown
    moves: tuple[Move, ...]
    sensitivities: Mapping[str, PowerSensitivity]
    steps: tuple[Step, ...]
    order: tuple[str, ...]
    laws: Mapping[str, AccuracyLaw] | None
    guidelines: tuple[str, ...]
    curves: Mapping[str, Sequence[Point]]
    battery_wh: float | None = None
    observed: Observed | None = None
    """What a simulator of caches saw, where that was asked for."""
    counted: Counted | None = None
    """What a machine's own counters say, where they were given."""

    @property
    def battery_hours(self) -> float | None:
        """Hours of continuous listening on the recognizer's modelled power alone."""
        power_w = self.breakdown.total_w.value
        return None if self.battery_wh is None or not power_w else self.battery_wh * J_PER_WH / power_w / 3600

    def to_json(self) -> dict[str, Any]:
        """The contract of `profile --json`, schema 1 (docs/energy-model.md)."""
        breakdown = self.breakdown
        return {
            "schema": SCHEMA,
            "model": breakdown.workload.name,
            "kind": breakdown.workload.kind,
            "device": breakdown.device.name,
            "evidence": breakdown.evidence,
            "components": {power.name: self._component(power) for power in breakdown.components},
            "total_mw": 1e3 * breakdown.total_w.value,
            "total_ci95_mw": _mw_interval(breakdown.total_w),
            "mj_per_audio_s": 1e3 * breakdown.total_w.value,
            "mj_per_word": None if breakdown.per_word_j is None else 1e3 * breakdown.per_word_j,
            "busy_s_per_audio_s": breakdown.busy,
            "battery_hours": self.battery_hours,
            "order": list(self.order),
            "steps": [to_json(step) for step in self.steps],
            "placement": {**to_json(breakdown.placement), "moves": [to_json(move) for move in self.moves]},
            "rates": to_json(breakdown.rates),
            "sensitivity": {name: to_json(slope) for name, slope in self.sensitivities.items()},
            "accuracy": None if self.laws is None else {name: to_json(law) for name, law in self.laws.items()},
            "guidelines": list(self.guidelines),
            "curves": {name: [to_json(point) for point in points] for name, points in self.curves.items()},
            "observed": None if self.observed is None else to_json(self.observed),
            "counted": None if self.counted is None else to_json(self.counted),
            "activations": breakdown.activations,
            "seed": breakdown.seed,
            "notes": list(breakdown.workload.notes),
        }

    def _component(self, power: ComponentPower) -> dict[str, Any]:
        breakdown = self.breakdown
        counted = breakdown.workload.component(power.name)
        total_w, size = breakdown.total_w.value, breakdown.workload.size_bytes
        return {
            "size_bytes": power.size_bytes,
            "size_share": power.size_bytes / size if size else 0.0,
            "parameters": counted.parameters,
            "bytes_by_dtype": counted.bytes_by_dtype,
            "invocations_per_s": power.calls_per_s,
            "rows_per_s": power.rows_per_s,
            "weight_bytes_per_invocation": counted.call_bytes,
            "weight_bytes_per_row": counted.row_bytes,
            "macs_per_row": dict(counted.macs),
            "activation_bytes_per_row": counted.activation_bytes,
            "state_bytes": counted.state_bytes,
            "power_mw": 1e3 * power.total_w.value,
            "power_ci95_mw": _mw_interval(power.total_w),
            "power_share": power.total_w.value / total_w if total_w else 0.0,
            "uj_per_invocation": 1e6 * power.per_call_j,
            "parts": {
                "weight_reads": {tier: _mw(figure) for tier, figure in power.weight_reads_w.items()},
                "activations": _mw(power.activations_w),
                "arithmetic": _mw(power.arithmetic_w),
                "idle": _mw(power.idle_w),
            },
            "counted": counted.source,
        }


def _mw(figure: Figure) -> dict[str, Any]:
    return {"mw": 1e3 * figure.value, "ci95_mw": _mw_interval(figure)}


def _mw_interval(figure: Figure) -> list[float]:
    return [1e3 * figure.ci95[0], 1e3 * figure.ci95[1]]


def build(
    workload: Workload,
    at: Rates,
    device: Device,
    *,
    unit: Unit = "component",
    activations: Activations = "fused",
    laws: Mapping[str, AccuracyLaw] | None = None,
    battery_wh: float | None = None,
    seed: int = 0,
) -> Profile:
    """Profile a workload at its rates on a device. Raises InputError when it cannot run there."""
    if battery_wh is not None and not 0 < battery_wh <= LARGEST_BATTERY_WH:
        raise InputError(
            f"a battery cannot hold {battery_wh:g} Wh", fix=f"Give `battery_wh` above 0, at most {LARGEST_BATTERY_WH:g}"
        )
    breakdown = analyse(workload, at, device, unit=unit, activations=activations, seed=seed)
    capacities = sweep(workload, device)
    sensitivities = {
        component.name: sensitivity.of_component(workload, component.name, at, device)
        for component in workload.components
    }
    steps = tuple(sensitivity.order(workload, at, device, laws=laws))
    return Profile(
        breakdown=breakdown,
        moves=_moves(workload, at, device, capacities, unit),
        sensitivities=sensitivities,
        steps=steps,
        order=tuple(sensitivity.first_mentions(list(steps), workload)),
        laws=laws,
        guidelines=tuple(guidelines.sentences(breakdown, sensitivities, steps, laws)),
        curves=_curves(workload, at, device, capacities),
        battery_wh=battery_wh,
    )


def sweep(workload: Workload, device: Device) -> list[int]:
    """Capacities worth looking at: none, doubling up to all weights with their room, and the device's own."""
    if len(device.tiers) == 1:
        return []
    everything = workload.size_bytes + placement.reserved_bytes(workload)
    capacities = {0, device.local.capacity_bytes, everything}
    capacity = 1 << 16
    while capacity < everything:
        capacities.update((capacity, capacity * 3 // 2))
        capacity *= 2
    return sorted(capacity for capacity in capacities if capacity <= max(everything, device.local.capacity_bytes))


def _moves(workload: Workload, at: Rates, device: Device, capacities: Sequence[int], unit: Unit) -> tuple[Move, ...]:
    """Only the capacities at which something moves."""
    if not capacities:
        return ()
    changes = placement.moves(workload, at, device, capacities, unit=unit)
    return tuple(move for move in changes if move.moved_in or move.moved_out)


def _curves(workload: Workload, at: Rates, device: Device, capacities: Sequence[int]) -> dict[str, list[Point]]:
    whole = sensitivity.merged(workload)
    points = {
        "local_memory_bytes": curves.local_memory(whole, at, device, capacities),
        "segment_s": _possible(lambda: curves.segment_length(whole, at, device, _FACTORS)),
        "vocabulary": _possible(lambda: curves.vocabulary(workload, at, device, _VOCABULARIES)),
    }
    if workload.kind == "encoder-decoder":
        points["utterance_s"] = curves.utterance_length(workload, at, device, _UTTERANCES_S)
        points["tokens_per_s"] = curves.talkativeness(workload, at, device, _TOKENS_PER_S)
    if workload.kind == "transducer" and at.tokens_per_s is not None and at.frames_per_s and workload.segment_s:
        points["beam"] = _possible(
            lambda: curves.beam(whole, device, lambda width: _stated(workload, at, width), _BEAMS)
        )
    return points


def _possible(make: Any) -> list[Point]:
    """A curve that leaves what the device can hold has no points: on one tier, growth may not fit."""
    try:
        points: list[Point] = make()
    except InputError:
        return []
    return points


def _stated(workload: Workload, at: Rates, width: int) -> Rates:
    return rates.stated(
        workload,
        tokens_per_s=at.tokens_per_s or 0.0,
        frames_per_s=at.frames_per_s,
        beam=width,
        decoding=at.decoding or "batched",
    )
