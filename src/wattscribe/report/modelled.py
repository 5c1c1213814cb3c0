"""Joules where nothing can be measured: modelled, with a stated range, and marked so everywhere."""

from __future__ import annotations

from dataclasses import replace

from wattscribe.records import Reading, RunFacts, TrialFacts


def transducers_only(facts: RunFacts) -> bool:
    """Whether every finished trial is a transducer with a workload and counted invocations.

    Only then may the transducer model speak for the run: its joules and those from CPU seconds are not the same thing, and
    rows of one run should compare.
    """
    done = [trial for trial in facts.trials if trial.status == "done"]
    return bool(done) and all(
        trial.workload is not None and trial.utterances and all(each.counts is not None for each in trial.utterances)
        for trial in done
    )


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
