"""Joules that no sensor gave: modelled, with a stated range, and marked so everywhere.

Two bases that never stand in one column: CPU seconds × watts per core, what this machine's CPU took, for every recognizer that
computes on it; and, for a transducer that counts its invocations, what these would take on a device profile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wattscribe.records import Counts, Reading, TrialFacts

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device


CLIENT = "this side of a server"
DEFAULT_DEVICE = "phone"
"""The profile of the device column where the user names none."""


def default_device() -> Device:
    """The shipped profile DEFAULT_DEVICE."""
    from wattscribe.energy import devices

    return devices.load(DEFAULT_DEVICE)


def counted(trial: TrialFacts) -> bool:
    """Has every utterance of the trial counted invocations, and is the cost of one invocation known?"""
    there = bool(trial.utterances) and all(result.counts is not None for result in trial.utterances)
    return there and trial.workload is not None


def cpu_reading(trial: TrialFacts, *, cpu_name: str | None, machine: str | None) -> Reading:
    """CPU seconds × watts per core of the machine's CPU; `unavailable` where one of both is not known.

    The one figure that every recognizer has which computes on the machine's CPU, so it compares over all of them.
    """
    from wattscribe.metering.modelled import COVERS
    from wattscribe.metering.modelled import cpu_reading as of_cpu_seconds

    if trial.trial.recognizer.device.startswith("cuda"):
        return unavailable(trial, "it computes on a GPU, about which CPU seconds say nothing", covers=COVERS)
    if trial.cpu_s is None or trial.window is None:
        return unavailable(trial, "no CPU seconds were recorded", covers=COVERS)
    reading = of_cpu_seconds(trial.cpu_s, trial.window.duration_s, cpu_name=cpu_name, machine=machine)
    return as_seen(trial, reading)


def device_reading(trial: TrialFacts, device: Device) -> tuple[Reading, dict[str, float]]:
    """What the trial's counted invocations take on a device, and each utterance's joules under the same placement."""
    if trial.workload is None or not counted(trial):
        why = f"only a transducer with counted invocations can be modelled on {device.name}"
        return unavailable(trial, why), {}
    from wattscribe.energy.modelled import modelled_reading as on_device
    from wattscribe.energy.modelled import modelled_utterance_j, of_counts
    from wattscribe.energy.workload import as_workload

    done = {
        result.id: (result.counts, result.audio_s)
        for result in trial.utterances
        if result.counts is not None and result.audio_s > 0
    }
    if not done:
        return unavailable(trial, "no audio was transcribed"), {}
    workload = as_workload(trial.workload)
    total = sum((counts for counts, _ in done.values()), Counts())
    audio_s = sum(seconds for _, seconds in done.values())
    placement = of_counts(workload, total, audio_s, device, draws=0).placement
    reading = on_device(workload, total, audio_s, device, placement=placement)
    shares = {
        key: modelled_utterance_j(workload, counts, seconds, device, placement=placement)
        for key, (counts, seconds) in done.items()
    }
    return reading, shares


def as_seen(trial: TrialFacts, reading: Reading) -> Reading:
    """The reading of a recognizer that a server computes covers this side of it: a kind of its own, ranked with no other."""
    return replace(reading, covers=f"{CLIENT}: {reading.covers}") if trial.trial.recognizer.is_served else reading


def unavailable(trial: TrialFacts, reason: str, *, covers: str = "") -> Reading:
    """A Reading that says why there is none."""
    return Reading.unavailable(
        covers=covers, window_s=0.0 if trial.window is None else trial.window.duration_s, reason=reason
    )
