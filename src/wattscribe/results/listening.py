"""What listening takes where speech arrived in real time: watts with intervals, hours of a battery, the wait for the text.

Derived from the trace of the one rail that stands for the device, over the whole window (speech and pauses), over the time in
which an utterance was spoken or worked on, over the pauses, and over the idle windows around the trial. What the sensor cannot
answer has no figure and a reason. Nothing here is modelled: a table of watts per core says nothing about waiting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.metering import window as windows
from wattscribe.records import Interval, PowerTrace, TrialFacts, Window
from wattscribe.results.cost import EnergyRule, percentiles, within_and_between
from wattscribe.results.groups import Group, on_common_utterances
from wattscribe.results.row import Listening
from wattscribe.scoring import FEWEST_SPEAKERS, paired_bootstrap
from wattscribe.units import S_PER_H

LEAST_ANSWERED = 0.5
"""Share of the time of several windows that must be in windows which the sensor can answer for; as `window` has it for gaps."""

Windows = Sequence[Window]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watts:
    """Mean power over some windows of the trials; `reason` says why there is none."""

    value: float | None = None
    ci95: Interval | None = None
    reason: str | None = None


def check_battery(battery_wh: float | None) -> None:
    """Raises InputError for a capacity that no battery has; None: nothing is said about a battery."""
    if battery_wh is not None and not (math.isfinite(battery_wh) and battery_wh > 0):
        raise InputError(
            f"a battery cannot hold {battery_wh:g} Wh", fix="Give more than 0, for instance `battery_wh` 20"
        )


def listening_columns(group: Group, rule: EnergyRule, battery_wh: float | None, *, seed: int = 0) -> Listening:
    """All figures of one row; a row that was not paced has none."""
    paced = [trial for trial in group.done if trial.trial.duty is not None]
    if not paced:
        return Listening()
    listening = _watts(paced, rule, _whole)
    speech, pause, idle = (_watts(paced, rule, part) for part in (_speech, _pauses, _idle))
    waits_s = [
        u.end_s - u.paced.spoken_to_s for trial in paced for u in trial.utterances if u.paced and u.error is None
    ]
    tail_p50_s, tail_p90_s, tail_p99_s = percentiles(waits_s, 50, 90, 99)
    hours, hours_ci95, refused = _battery(listening, paced[0].trial.recognizer.device, rule, battery_wh)
    parts = {"listening": listening, "speech": speech, "pauses": pause, "idle": idle}
    reasons = [f"{name}: {part.reason}" for name, part in parts.items() if part.reason] + ([refused] if refused else [])
    change = _streamed_change(group, seed)
    return Listening(
        duty=paced[0].trial.duty,
        listening_w=listening.value,
        listening_w_ci95=listening.ci95,
        speech_w=speech.value,
        speech_w_ci95=speech.ci95,
        pause_w=pause.value,
        pause_w_ci95=pause.ci95,
        idle_w=idle.value,
        idle_w_ci95=idle.ci95,
        j_per_listening_h=None if listening.value is None else S_PER_H * listening.value,
        j_per_listening_h_ci95=None if listening.ci95 is None else _scaled(listening.ci95, S_PER_H),
        battery_wh=battery_wh,
        battery_h=hours,
        battery_h_ci95=hours_ci95,
        listening_reason="; ".join(dict.fromkeys(reasons)) or None,
        tail_p50_s=tail_p50_s,
        tail_p90_s=tail_p90_s,
        tail_p99_s=tail_p99_s,
        whole_wer=None if group.whole is None else group.whole.interval.rate,
        streamed_wer_change=None if change is None else change[0],
        streamed_wer_change_ci95=None if change is None else change[1],
    )


# --- watts -----------------------------------------------------------------------------------------------------------
def _watts(trials: Sequence[TrialFacts], rule: EnergyRule, part: Callable[[TrialFacts], Windows]) -> Watts:
    """The mean of the repeats that have a figure, as everywhere."""
    channel = rule.channel_of_device.get(trials[0].trial.recognizer.device)
    if channel is None:
        return Watts(reason="no sensor could be read, and waiting is not modelled")
    found = [_of_trial(trial, channel, part(trial)) for trial in trials]
    there = [(watts.value, watts.ci95) for watts in found if watts.value is not None]
    reasons = "; ".join(dict.fromkeys(watts.reason for watts in found if watts.reason)) or None
    if not there:
        return Watts(reason=reasons)
    mean_w = sum(value for value, _ in there) / len(there)
    interval = within_and_between([value for value, _ in there], [interval for _, interval in there])
    return Watts(value=mean_w, ci95=None if interval is None else (max(0.0, interval[0]), interval[1]), reason=reasons)


def _of_trial(trial: TrialFacts, channel: str, parts: Windows) -> Watts:
    """Joules of the windows that can be answered, over their time. The sensor's own error is the same in all of them, so the
    interval is no narrower, as a share, than that of the whole window."""
    trace = next((trace for trace in trial.traces if trace.channel == channel), None)
    if trace is None or trial.window is None:
        return Watts(reason=f"no samples of {channel}" if trace is None else "the trial has no window")
    asked_s = sum(part.duration_s for part in parts)
    if not parts or asked_s <= 0:
        return Watts()
    readings = [(windows.energy(trace, part), part.duration_s) for part in parts]
    answered = [(r.energy_j, r.energy_ci95_j, s) for r, s in readings if r.energy_j is not None and r.energy_ci95_j]
    answered_s = sum(duration_s for *_, duration_s in answered)
    if answered_s < LEAST_ANSWERED * asked_s:
        why = next((reading.reason for reading, _ in readings if reading.energy_j is None), None)
        return Watts(reason=f"{len(parts) - len(answered)} of {len(parts)} pieces cannot be answered: {why}")
    joules = sum(energy_j for energy_j, _, _ in answered)
    apart_j = math.sqrt(sum(((high - low) / 2) ** 2 for _, (low, high), _ in answered))
    half_j = max(apart_j, joules * _common_share(trace, trial.window) if len(answered) > 1 else 0.0)
    return Watts(value=joules / answered_s, ci95=((joules - half_j) / answered_s, (joules + half_j) / answered_s))


def _common_share(trace: PowerTrace, window: Window) -> float:
    reading = windows.energy(trace, window)
    if not reading.energy_j or reading.energy_ci95_j is None:
        return 0.0
    return (reading.energy_ci95_j[1] - reading.energy_ci95_j[0]) / 2 / reading.energy_j


def _whole(trial: TrialFacts) -> Windows:
    return [trial.window] if trial.window is not None else []


def _speech(trial: TrialFacts) -> Windows:
    """From the first to the last moment at which an utterance is spoken or its text is still to come; overlapping ones as one."""
    spans: list[Window] = []
    ends = sorted(
        (u.paced.spoken_from_s, max(u.paced.spoken_to_s, u.end_s)) for u in trial.utterances if u.paced is not None
    )
    for start_s, end_s in ends:
        if spans and start_s <= spans[-1].end_s:
            spans[-1] = Window(start_s=spans[-1].start_s, end_s=max(spans[-1].end_s, end_s))
        else:
            spans.append(Window(start_s=start_s, end_s=end_s))
    return spans


def _pauses(trial: TrialFacts) -> Windows:
    """What of the window is not speech: the model is loaded and nothing arrives."""
    if trial.window is None:
        return []
    spans = _speech(trial)
    starts = [trial.window.start_s, *(span.end_s for span in spans)]
    ends = [*(span.start_s for span in spans), trial.window.end_s]
    return [Window(start_s=a, end_s=b) for a, b in zip(starts, ends, strict=True) if b - a > 1e-3]


def _idle(trial: TrialFacts) -> Windows:
    """Before the model was loaded and after it was gone."""
    return [window for window in (trial.idle_before, trial.idle_after) if window is not None]


# --- battery and text ------------------------------------------------------------------------------------------------
def _battery(
    listening: Watts, device: str, rule: EnergyRule, battery_wh: float | None
) -> tuple[float | None, Interval | None, str | None]:
    """Hours that the battery lasts while listening. Refused where the rail is a part of the device: a battery feeds all."""
    if battery_wh is None or listening.value is None or listening.value <= 0:
        return None, None, None
    if device not in rule.whole_devices:
        return None, None, "battery hours need the power of the whole device, and no meter of it was read"
    interval = None
    if listening.ci95 is not None and listening.ci95[0] > 0:
        interval = (battery_wh / listening.ci95[1], battery_wh / listening.ci95[0])
    return battery_wh / listening.value, interval, None


def _streamed_change(group: Group, seed: int) -> tuple[float, Interval] | None:
    """WER of the streamed text less that of whole files, on the same utterances, with its paired interval."""
    if group.scored is None or group.whole is None:
        return None
    common = on_common_utterances(group.whole, group.scored)
    if common is None or not common[0].words.sum():
        return None
    try:
        result = paired_bootstrap(*common, fewest_speakers=FEWEST_SPEAKERS, seed=seed)
    except InputError:  # a single utterance
        return None
    return result.difference, result.ci95


def _scaled(interval: Interval, factor: float) -> Interval:
    return interval[0] * factor, interval[1] * factor
