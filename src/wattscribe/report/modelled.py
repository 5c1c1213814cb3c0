"""Joules that no sensor gave: modelled, with a stated range, and marked so everywhere.

A transducer that counts its invocations is modelled from them on a device profile, so that noise which causes more tokens
and calls shows; any other recognizer from the CPU seconds of this machine. What each figure covers says which of both it is,
and figures that cover different things are not ranked together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wattscribe.records import Counts, Reading, TrialFacts

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device


DEFAULT_DEVICE = "phone"
"""The profile on which counted invocations are modelled where the user names none."""


def default_device() -> Device:
    """The shipped profile DEFAULT_DEVICE."""
    from wattscribe.energy import devices

    return devices.load(DEFAULT_DEVICE)


def counted(trial: TrialFacts) -> bool:
    """Has every utterance of the trial counted invocations, and is the cost of one invocation known?"""
    there = bool(trial.utterances) and all(result.counts is not None for result in trial.utterances)
    return there and trial.workload is not None


def modelled_reading(trial: TrialFacts, *, cpu_name: str | None) -> Reading:
    """CPU seconds × watts per core of the machine's CPU; `unavailable` where neither is known."""
    if trial.cpu_s is None or trial.window is None:
        return unavailable(trial, "no sensor could be read and no CPU seconds were recorded")
    if trial.trial.recognizer.device.startswith("cuda"):
        return unavailable(trial, "no sensor could be read, and CPU seconds say nothing about a GPU")
    from wattscribe.meters.modelled import cpu_reading, profile_for

    profile = profile_for(cpu_name)
    reading = cpu_reading(trial.cpu_s, trial.window.duration_s, profile=profile)
    return replace(
        reading, covers=f"{reading.covers} ({profile.name}, {profile.low_w:g} to {profile.high_w:g} W per core)"
    )


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
        return unavailable(trial, "no audio was heard"), {}
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


def unavailable(trial: TrialFacts, reason: str, *, covers: str = "") -> Reading:
    """A Reading that says why there is none."""
    return Reading(
        energy_j=None,
        energy_ci95_j=None,
        idle_j=None,
        net_j=None,
        evidence="unavailable",
        covers=covers,
        samples=0,
        window_s=0.0 if trial.window is None else trial.window.duration_s,
        reason=reason,
    )
