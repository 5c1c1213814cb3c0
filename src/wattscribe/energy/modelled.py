"""The modelled energy of what a transducer really did: its counts × its workload × a device's constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wattscribe.energy.breakdown import Breakdown, analyse
from wattscribe.energy.devices import Device
from wattscribe.energy.placement import Placement
from wattscribe.energy.rates import counted
from wattscribe.energy.workload import Workload, as_workload
from wattscribe.records import Counts, Reading


def of_counts(
    workload: Workload | Mapping[str, Any],
    counts: Counts,
    audio_s: float,
    device: Device,
    *,
    placement: Placement | None = None,
    draws: int = 200,
) -> Breakdown:
    """The power of one utterance or of a set. `placement` None: the best for these counts; give one placement to all
    utterances of a trial, since weights do not move between them."""
    workload = as_workload(workload)
    return analyse(workload, counted(workload, counts, audio_s), device, placement=placement, draws=draws)


def modelled_utterance_j(
    workload: Workload | Mapping[str, Any],
    counts: Counts,
    audio_s: float,
    device: Device,
    *,
    placement: Placement | None = None,
) -> float:
    """Joules that decoding one utterance takes on `device`. Additive: the counts of a set give the sum of its utterances'
    joules under one placement, whatever `audio_s` is, so tokens and calls that noise adds show up as energy."""
    return of_counts(workload, counts, audio_s, device, placement=placement, draws=0).total_w.value * audio_s


def modelled_reading(
    workload: Workload | Mapping[str, Any],
    counts: Counts,
    audio_s: float,
    device: Device,
    *,
    window_s: float | None = None,
    placement: Placement | None = None,
) -> Reading:
    """The same as a Reading with its interval; net, since idle power is charged only while a component is busy."""
    breakdown = of_counts(workload, counts, audio_s, device, placement=placement)
    low, high = breakdown.total_w.ci95
    energy_j = breakdown.total_w.value * audio_s
    return Reading(
        energy_j=energy_j,
        energy_ci95_j=(low * audio_s, high * audio_s),
        idle_j=None,
        net_j=energy_j,
        evidence=device.evidence,
        covers=f"neural network on {device.name}, from counted invocations",
        samples=0,
        window_s=audio_s if window_s is None else window_s,
    )
