"""What listening takes where speech arrived in real time: watts with intervals, hours of a battery, the wait for the text.

Derived from the trace of the one rail that stands for the device, over the whole window (speech and pauses), over the time in
which an utterance was spoken or worked on, over the pauses, and over the idle windows around the trial. What the sensor cannot
answer has no figure and a reason. Nothing here is modelled: a table of watts per core says nothing about waiting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wattscribe.errors import InputError
from wattscribe.metering import window as windows
from wattscribe.records import Interval, PowerTrace, Reading, TrialFacts, Window
from wattscribe.results.cost import EnergyRule, measured_reading, percentiles, within_and_between
from wattscribe.results.groups import Group, on_common_utterances
from wattscribe.results.row import Listening
from wattscribe.scoring import FEWEST_SPEAKERS, paired_bootstrap
from wattscribe.units import S_PER_H

LEAST_PAUSE_S = 1e-3
"""Less is the time between two lines of the program."""
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
    found = _parts(paced, rule)
    listening, speech, pause, idle = found.listening, found.speech, found.pauses, found.idle
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
@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One trial: the whole window, speech in it, pauses in it, and idle around it."""

    listening: Watts
    speech: Watts
    pauses: Watts
    idle: Watts

    @classmethod
    def none(cls, reason: str) -> Parts:
        empty = Watts(reason=reason)
        return cls(listening=empty, speech=empty, pauses=empty, idle=empty)


def _parts(trials: Sequence[TrialFacts], rule: EnergyRule) -> Parts:
    """Each the mean of the repeats that have a figure, as everywhere."""
    channel = rule.channel_of_device.get(trials[0].trial.recognizer.device)
    if channel is None:
        return Parts.none("no sensor could be read, and waiting is not modelled")
    each = [_parts_of(trial, channel) for trial in trials]
    return Parts(
        listening=_mean([parts.listening for parts in each]),
        speech=_mean([parts.speech for parts in each]),
        pauses=_mean([parts.pauses for parts in each]),
        idle=_mean([parts.idle for parts in each]),
    )


def _mean(repeats: Sequence[Watts]) -> Watts:
    there = [(watts.value, watts.ci95) for watts in repeats if watts.value is not None]
    reason = "; ".join(dict.fromkeys(watts.reason for watts in repeats if watts.reason)) or None
    if not there:
        return Watts(reason=reason)
    interval = within_and_between([value for value, _ in there], [interval for _, interval in there])
    return Watts(
        value=sum(value for value, _ in there) / len(there),
        ci95=None if interval is None else (max(0.0, interval[0]), interval[1]),
        reason=reason,
    )


def _parts_of(trial: TrialFacts, channel: str) -> Parts:
    trace = next((trace for trace in trial.traces if trace.channel == channel), None)
    if trace is None or trial.window is None:
        return Parts.none(f"no samples of {channel}" if trace is None else "the trial has no window")
    whole = measured_reading(trial, channel)
    spans, pauses = _speech(trial, trial.window), _pauses(trial, trial.window)
    listening = _watts([(whole, trial.window)])
    idle = _watts([(windows.energy(trace, w, edges="load"), w) for w in (trial.idle_before, trial.idle_after) if w])
    if not pauses:  # speech without an end, or a recognizer that is always behind
        return Parts(listening=listening, speech=listening, pauses=Watts(), idle=idle)
    readings = [_of_span(trace, span, trial, pauses) for span in spans]
    speech = _watts(list(zip(readings, spans, strict=True)), least_share=_half_share(whole))
    return Parts(listening=listening, speech=speech, pauses=_rest(listening, speech, trial.window, spans), idle=idle)


def _of_span(trace: PowerTrace, span: Window, trial: TrialFacts, pauses: Windows) -> Reading:
    """One stretch of speech, the quiet on either side taken for its idle: a sensor shows the first and the last of it late and
    smeared, always to its disadvantage, and only against a known quiet can that be put right."""
    before = next((pause for pause in pauses if pause.end_s == span.start_s), trial.idle_before)
    after = next((pause for pause in pauses if pause.start_s == span.end_s), trial.idle_after)
    reading = windows.energy(trace, span, idle_before=before, idle_after=after)
    lacking = [
        note for note in (reading.reason or "").split("; ") if note.startswith(("idle before", "idle after", "no idle"))
    ]
    if lacking and reading.energy_j is not None:
        why = f"the pauses beside it are too short for the sensor ({lacking[0]})"
        return windows.unavailable(trace, span, why)
    return reading


def _watts(readings: Sequence[tuple[Reading, Window]], *, least_share: float = 0.0) -> Watts:
    """Joules of the windows that can be answered, over their time. The sensor's own error is the same in all of them, so that the
    interval is no narrower, as a share, than `least_share`."""
    asked_s = sum(window.duration_s for _, window in readings)
    if asked_s <= 0:
        return Watts()
    answered = [
        (r.energy_j, r.energy_ci95_j, w.duration_s) for r, w in readings if r.energy_j is not None and r.energy_ci95_j
    ]
    answered_s = sum(duration_s for *_, duration_s in answered)
    if answered_s < LEAST_ANSWERED * asked_s:
        why = next((reading.reason for reading, _ in readings if reading.energy_j is None), None)
        count = (
            f"{len(readings) - len(answered)} of {len(readings)} windows cannot be answered: "
            if len(readings) > 1
            else ""
        )
        return Watts(reason=f"{count}{why}")
    joules = sum(energy_j for energy_j, _, _ in answered)
    apart_j = math.sqrt(sum(((high - low) / 2) ** 2 for _, (low, high), _ in answered))
    half_j = max(apart_j, joules * least_share)
    return Watts(value=joules / answered_s, ci95=((joules - half_j) / answered_s, (joules + half_j) / answered_s))


def _half_share(reading: Reading) -> float:
    if not reading.energy_j or reading.energy_ci95_j is None:
        return 0.0
    return (reading.energy_ci95_j[1] - reading.energy_ci95_j[0]) / 2 / reading.energy_j


def _rest(listening: Watts, speech: Watts, window: Window, spans: Windows) -> Watts:
    """Pauses: what the window took less what speech took, so that both come to the whole."""
    if listening.value is None or speech.value is None or listening.ci95 is None or speech.ci95 is None:
        return Watts(reason=None if speech.reason is None else "what speech takes is not known")
    speech_s = sum(span.duration_s for span in spans)
    pause_s = window.duration_s - speech_s
    joules = listening.value * window.duration_s - speech.value * speech_s
    half_j = math.hypot(
        (listening.ci95[1] - listening.value) * window.duration_s, (speech.ci95[1] - speech.value) * speech_s
    )
    return Watts(value=joules / pause_s, ci95=((joules - half_j) / pause_s, (joules + half_j) / pause_s))


def _speech(trial: TrialFacts, window: Window) -> Windows:
    """From the first to the last moment at which an utterance is spoken or its text is still to come; overlapping ones as one."""
    spans: list[Window] = []
    ends = sorted(
        (u.paced.spoken_from_s, max(u.paced.spoken_to_s, u.end_s)) for u in trial.utterances if u.paced is not None
    )
    for start_s, end_s in ends:
        if spans and start_s <= spans[-1].end_s:
            start_s, end_s = spans[-1].start_s, max(spans.pop().end_s, end_s)
        spans.append(Window(start_s=max(start_s, window.start_s), end_s=min(end_s, window.end_s)))
    return spans


def _pauses(trial: TrialFacts, window: Window) -> Windows:
    """What of the window is not speech: the model is loaded and nothing arrives."""
    spans = _speech(trial, window)
    starts = [window.start_s, *(span.end_s for span in spans)]
    ends = [*(span.start_s for span in spans), window.end_s]
    return [Window(start_s=a, end_s=b) for a, b in zip(starts, ends, strict=True) if b - a > LEAST_PAUSE_S]


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
