"""What a group of trials cost: joules with their evidence, time, memory. Derived from raw samples on every reading."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from wattscribe.errors import InputError
from wattscribe.metering import window as windows
from wattscribe.records import Evidence, Interval, PowerTrace, Reading, RunFacts, TrialFacts, UtteranceResult
from wattscribe.results.modelled import as_seen, counted, cpu_reading, default_device, device_reading, unavailable
from wattscribe.results.shards import Joined, summed, traces_of
from wattscribe.student import student_t

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device

STARVED_SHARE = 0.05
"""Whoever waited for a core for more than this share of the window has times and energies that are upper bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Joules for one pass over the corpus: the mean of the repeats that have a figure."""

    energy_j: float | None
    ci95_j: Interval | None
    idle_j: float | None
    net_j: float | None
    mean_power_w: float | None
    """Over the window; None where the joules are modelled on a device on which there was no window."""
    evidence: Evidence
    covers: str
    reason: str | None
    net_ci95_j: Interval | None = None
    """Of `net_j`: the energy's and the idle baseline's together."""
    readings: tuple[Reading, ...] = ()
    """One per finished trial."""
    rails: tuple[Energy, ...] = ()
    """Every other measured rail apart; never added up, because rails overlap."""
    per_utterance: Mapping[str, float] = field(default_factory=dict)
    """Where modelled: what each utterance adds, by id, in any unit; for intervals of a ratio, in which constants cancel."""

    @property
    def kind(self) -> tuple[str, str]:
        """Only figures of one kind may be ranked: same evidence, same thing covered."""
        return self.evidence, self.covers


NOTHING = Energy(
    energy_j=None,
    ci95_j=None,
    idle_j=None,
    net_j=None,
    mean_power_w=None,
    evidence="unavailable",
    covers="",
    reason="no finished trial",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRule:
    """How every trial of one run gets its joules: one channel per device, one CPU, one profile, so that rows compare."""

    channel_of_device: dict[str, str]
    cpu_name: str | None
    machine: str | None = None
    """Both as the machine record says; they choose the watts per core."""
    device: Device | None = None
    """The profile of the device column; None: the default one, for those that count their invocations."""
    whole_devices: frozenset[str] = frozenset()
    """Those whose channel shows all that a battery feeds, not only a processor."""


def energy_rule(facts: RunFacts, device: Device | None = None) -> EnergyRule:
    """Choose once per run and device, over all its trials together."""
    pooled: dict[str, dict[str, list[PowerTrace]]] = {}
    for trial in facts.trials:
        rails = pooled.setdefault(trial.trial.recognizer.device, {})
        for trace in traces_of(trial):
            rails.setdefault(trace.channel, []).append(trace)
    chosen = {
        device: windows.preferred([_together(parts) for parts in rails.values()], device)
        for device, rails in pooled.items()
    }
    cpu, machine = (value if isinstance(value := facts.machine.get(key), str) else None for key in ("cpu", "machine"))
    return EnergyRule(
        device=device,
        channel_of_device={device: trace.channel for device, trace in chosen.items() if trace is not None},
        cpu_name=cpu,
        machine=machine,
        whole_devices=frozenset(
            device for device, trace in chosen.items() if trace is not None and trace.total and not trace.processors
        ),
    )


def _together(parts: Sequence[PowerTrace]) -> PowerTrace:
    """All samples of one channel, described as the last trial describes it."""
    chain = itertools.chain.from_iterable
    powers, times = (tuple(chain(values)) for values in ([p.power_w for p in parts], [p.t_s for p in parts]))
    return replace(parts[-1], power_w=powers, t_s=times)


def energy_of(trials: Sequence[TrialFacts], rule: EnergyRule) -> Energy:
    """What finished trials of one group took on the machine of the run: measured, or from the seconds of its CPU."""
    if not trials:
        return NOTHING
    channel = rule.channel_of_device.get(trials[0].trial.recognizer.device)
    if channel is None:
        modelled = cpu_energy_of(trials, rule)
        lacking = f"no sensor could be read; {modelled.reason}" if modelled.energy_j is None else modelled.reason
        return replace(modelled, reason=lacking)
    others = sorted({trace.channel for trial in trials for trace in traces_of(trial) if trace.t_s} - {channel})
    rails = tuple(_combined([measured_reading(trial, name) for trial in trials]) for name in others)
    return replace(_combined([measured_reading(trial, channel) for trial in trials]), rails=rails)


def cpu_energy_of(trials: Sequence[TrialFacts], rule: EnergyRule) -> Energy:
    """CPU seconds × watts per core: the basis that all recognizers on one CPU share, whatever was measured besides."""
    if not trials:
        return NOTHING
    energy = _combined([cpu_reading(trial, cpu_name=rule.cpu_name, machine=rule.machine) for trial in trials])
    return replace(energy, per_utterance=_mean_of([_cpu_seconds(trial) for trial in trials]))


def device_energy_of(trials: Sequence[TrialFacts], rule: EnergyRule) -> Energy | None:
    """What the counted invocations would take on a device profile; None where nobody asked and nothing was counted."""
    if not trials or (rule.device is None and not all(counted(trial) for trial in trials)):
        return None if rule.device is None else NOTHING
    try:
        readings = [device_reading(trial, rule.device or default_device()) for trial in trials]
    except InputError as error:  # the model does not fit the device
        readings = [(unavailable(trial, str(error)), {}) for trial in trials]
    modelled = _combined([reading for reading, _ in readings])  # the window is this machine's, not the device's
    return replace(modelled, mean_power_w=None, per_utterance=_mean_of([seconds for _, seconds in readings]))


def _cpu_seconds(trial: TrialFacts) -> dict[str, float]:
    return {result.id: result.cpu_s for result in trial.utterances if result.cpu_s is not None}


def _mean_of(repeats: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per utterance the mean over the repeats that have it."""
    by_utterance: dict[str, list[float]] = {}
    for repeat in repeats:
        for key, value in repeat.items():
            by_utterance.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in by_utterance.items()}


def measured_reading(trial: TrialFacts, channel: str) -> Reading:
    """Joules of one trial on one channel; `unavailable` with the reason where the samples do not answer."""
    if isinstance(trial, Joined):
        if trial.apart is not None:
            return unavailable(trial, trial.apart)
        return summed([measured_reading(shard, channel) for shard in trial.shards])
    trace = next((candidate for candidate in trial.traces if candidate.channel == channel), None)
    if trace is None or trial.window is None:
        missing = f"no samples of {channel}" if trace is None else "the trial has no window"
        return unavailable(trial, missing, covers=channel if trace is None else trace.covers)
    reading = windows.energy(trace, trial.window, idle_before=trial.idle_before, idle_after=trial.idle_after)
    return as_seen(trial, reading)


def _combined(readings: Sequence[Reading]) -> Energy:
    there = [reading for reading in readings if reading.energy_j is not None]
    reasons = list(dict.fromkeys(reading.reason for reading in readings if reading.reason))
    if there and len(there) < len(readings):
        reasons.insert(0, f"{len(readings) - len(there)} of {len(readings)} repeats have no figure")
    if not there:
        return replace(
            NOTHING, covers=readings[0].covers, reason="; ".join(reasons) or "no figure", readings=tuple(readings)
        )
    energies = [reading.energy_j for reading in there if reading.energy_j is not None]
    idle = [reading.idle_j for reading in there if reading.idle_j is not None]
    net = [(reading.net_j, reading.net_ci95_j) for reading in there if reading.net_j is not None]
    window_s = sum(reading.window_s for reading in there) / len(there)
    mean_j = sum(energies) / len(energies)
    return Energy(
        energy_j=mean_j,
        ci95_j=_not_negative(within_and_between(energies, [reading.energy_ci95_j for reading in there])),
        idle_j=sum(idle) / len(idle) if idle else None,
        net_j=sum(value for value, _ in net) / len(net) if net else None,
        net_ci95_j=within_and_between([value for value, _ in net], [interval for _, interval in net]) if net else None,
        mean_power_w=mean_j / window_s if window_s > 0 else None,
        evidence=there[0].evidence,
        covers=there[0].covers,
        reason="; ".join(reasons) or None,
        readings=tuple(readings),
    )


def _not_negative(interval: Interval | None) -> Interval | None:
    """Gross energy and time cannot be negative, however few repeats there are."""
    return None if interval is None else (max(0.0, interval[0]), interval[1])


def within_and_between(values: Sequence[float], intervals: Sequence[Interval | None]) -> Interval | None:
    """The interval of a mean of repeats.

    Within: the sides' root mean square; it does not shrink with repeats, because a sensor's error is the same in all of
    them. Between: Student's t over the repeats. Both are added as squares. None: one value without an interval.
    """
    mean = sum(values) / len(values)
    known = [
        (value - interval[0], interval[1] - value)
        for value, interval in zip(values, intervals, strict=True)
        if interval
    ]
    if not known and len(values) < 2:
        return None
    below, above = (math.sqrt(sum(side[i] ** 2 for side in known) / len(known)) if known else 0.0 for i in (0, 1))
    between = 0.0
    if len(values) > 1:
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        between = student_t(len(values) - 1, 0.975) * spread / math.sqrt(len(values))
    return mean - math.hypot(below, between), mean + math.hypot(above, between)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Times of finished trials: means over repeats, percentiles over all their utterances."""

    audio_s: float | None = None
    rtf: float | None = None
    rtf_ci95: Interval | None = None
    rtf_p99: float | None = None
    """Of single utterances: the slowest of a hundred, per second of its audio."""
    latency_p50_s: float | None = None
    latency_p90_s: float | None = None
    latency_p99_s: float | None = None
    load_s: float | None = None
    warmup_s: float | None = None
    prepare_s: float | None = None


def speed_of(trials: Sequence[TrialFacts]) -> Speed:
    """Time spent in the recognizer against the audio it answered; utterances of one batch share their time.

    Where speech arrived in real time an utterance's latency begins when its last sample has been spoken.
    """
    answered = [trial for trial in trials if trial.utterances]
    if not answered:
        return Speed()
    audio = [sum(utterance.audio_s for utterance in trial.utterances) for trial in answered]
    factors = [busy_s(trial) / seconds for trial, seconds in zip(answered, audio, strict=True) if seconds > 0]
    done = [utterance for trial in answered for utterance in trial.utterances if utterance.error is None]
    p50, p90, p99 = percentiles([latency_s(utterance) for utterance in done], 50, 90, 99)
    shares = [computed_s(utterance) / utterance.audio_s for utterance in done if utterance.audio_s > 0]
    return Speed(
        audio_s=sum(audio) / len(audio),
        rtf=sum(factors) / len(factors) if factors else None,
        rtf_ci95=_not_negative(within_and_between(factors, [None] * len(factors))) if factors else None,
        rtf_p99=percentiles(shares, 99)[0],
        latency_p50_s=p50,
        latency_p90_s=p90,
        latency_p99_s=p99,
        load_s=mean([trial.load_s for trial in trials]),
        warmup_s=mean([trial.warmup_s for trial in trials]),
        prepare_s=max((trial.prepare_s for trial in trials if trial.prepare_s is not None), default=None),
    )


def starved_s(trials: Sequence[TrialFacts]) -> float | None:
    """Mean seconds per pass that recognizers were ready and waited for a core that other work had; None: not recorded."""
    return mean([trial.starved_s for trial in trials])


def starved_share(trials: Sequence[TrialFacts]) -> float | None:
    """The same as a share of the window of all its threads, in the worst repeat.

    At most 1: a runtime may keep more threads than it was asked for, and each of them may wait.
    """
    shares = [
        min(1.0, trial.starved_s / (trial.window.duration_s * trial.trial.recognizer.threads))
        for trial in trials
        if trial.starved_s is not None and trial.window is not None and trial.window.duration_s > 0
    ]
    return max(shares, default=None)


def latency_s(utterance: UtteranceResult) -> float:
    """How long one waits for the text once the audio is there."""
    since_s = utterance.start_s if utterance.paced is None else utterance.paced.spoken_to_s
    return utterance.end_s - since_s


def computed_s(utterance: UtteranceResult) -> float:
    """Seconds in the recognizer; those of a batch are shared."""
    return utterance.end_s - utterance.start_s if utterance.paced is None else utterance.paced.compute_s


def busy_s(trial: TrialFacts) -> float:
    """Seconds in which at least one utterance was being transcribed; waiting for speech is none of them."""
    if trial.trial.duty is not None:
        return sum(computed_s(utterance) for utterance in trial.utterances)
    total, reached = 0.0, -math.inf
    for start_s, end_s in sorted((utterance.start_s, utterance.end_s) for utterance in trial.utterances):
        total += max(0.0, end_s - max(start_s, reached))
        reached = max(reached, end_s)
    return total


def mean(values: Sequence[float | None]) -> float | None:
    """Of the values that are there; None when none is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def percentiles(values: Sequence[float], *points: float) -> tuple[float | None, ...]:
    """Linear percentiles, or None for each point when there is no value."""
    if not values:
        return (None,) * len(points)
    return tuple(float(value) for value in np.percentile(np.asarray(values, dtype=np.float64), points))
