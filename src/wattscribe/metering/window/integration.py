"""Joules over a window from timestamped power: pure arithmetic, with an interval, or refused with the reason.

The method and its formulas are in docs/window.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from wattscribe.errors import InputError, MeterError, WindowTooShortError
from wattscribe.metering.window import edges as edge_rules
from wattscribe.metering.window import signal as signals
from wattscribe.metering.window.edges import Edge, IdlePower
from wattscribe.metering.window.noise import Uncertainty, clock_j2, energy_uncertainty, gaps_j2
from wattscribe.metering.window.signal import Signal
from wattscribe.records import PowerTrace, Reading, Window
from wattscribe.student import Z95

MIN_UPDATES = 2
"""A window that holds fewer sensor updates than this says nothing about itself: it is refused."""
MAX_GAP_SHARE = 0.5
"""A window of which more than this share is unseen is unavailable: most of the figure would be a guess."""

Edges = Literal["auto", "interpolated", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One window's energy before the idle part is taken off."""

    energy_j: float
    uncertainty: Uncertainty
    samples: int
    note: str | None


def energy(
    trace: PowerTrace,
    window: Window,
    *,
    idle_before: Window | None = None,
    idle_after: Window | None = None,
    idle_traces: Sequence[PowerTrace] = (),
    edges: Edges = "auto",
) -> Reading:
    """Gross, idle and net joules of `window`. What cannot be answered is a Reading `unavailable` with the reason.

    `idle_before` and `idle_after` are windows in which the machine did nothing; they lie in `trace` or in `idle_traces` (other
    pieces of the same channel). `edges`: how the window's ends are read. `interpolated`: between the samples on both sides.
    `load`: the load starts and ends with the window, and what a sensor shows late or smeared is put right (see
    `edges`). `auto`: `load` on the side where an idle window is given.
    """
    whole = _with_idle_pieces(trace, idle_traces)
    signal = signals.of_trace(whole)
    idle, notes = _idle_powers(whole, signal, (idle_before, idle_after))
    try:
        measured = _measure(whole, signal, window, _ways(edges, (idle_before, idle_after)), idle)
    except MeterError as error:
        return unavailable(trace, window, str(error))
    reading = Reading(
        energy_j=measured.energy_j,
        energy_ci95_j=_interval(measured.energy_j, measured.uncertainty.variance_j2),
        idle_j=None,
        net_j=None,
        evidence=trace.evidence,
        covers=trace.covers,
        samples=measured.samples,
        window_s=window.duration_s,
        update_interval_s=signal.update_s,
        reason=_join([measured.note, *notes]),
    )
    return _net_of_idle(reading, measured, window, (idle_before, idle_after), idle)


def measured_energy_j(trace: PowerTrace, window: Window) -> float:
    """Gross joules, for programs that want an error: WindowTooShortError below two updates, MeterError for a gap."""
    signal = signals.of_trace(trace)
    return _measure(trace, signal, window, ("interpolated", "interpolated"), (None, None)).energy_j


def mean_power_w(trace: PowerTrace, window: Window) -> float:
    """Mean power over the window. Raises WindowTooShortError below two updates, MeterError where the trace has no data."""
    return measured_energy_j(trace, window) / window.duration_s


def seen_share(trace: PowerTrace, window: Window) -> float:
    """The share of the window without gaps."""
    unseen_s = float(signals.of_trace(trace).gaps_s(window.start_s, window.end_s).sum())
    return max(0.0, 1.0 - unseen_s / window.duration_s)


def effective_update_interval_s(trace: PowerTrace) -> float:
    """The sensor's refresh that bounds the windows: the largest of the nominal one, the one in the data, the spacing."""
    return signals.of_trace(trace).update_s


def unavailable(trace: PowerTrace, window: Window, reason: str) -> Reading:
    """A Reading that says why there is none."""
    return Reading.unavailable(
        covers=trace.covers, window_s=window.duration_s, update_interval_s=trace.update_interval_s, reason=reason
    )


# --- one window -----------------------------------------------------------------------------------------------------
def _measure(
    trace: PowerTrace,
    signal: Signal,
    window: Window,
    ways: tuple[Edges, Edges],
    idle: tuple[IdlePower | None, IdlePower | None],
) -> _Measured:
    """`signal`: what the trace was prepared to, once for its window and both idle ones."""
    _check(window)
    inside = _refuse_unanswerable(trace, signal, window)
    note = _gap_note(trace, signal, window)
    chosen = (
        _edge(signal, window, ways[0], idle[0], first=True),
        _edge(signal, window, ways[1], idle[1], first=False),
    )
    trimmed, used = edge_rules.trim(signal, window, chosen)
    uncertainty = energy_uncertainty(trimmed, window, used, trace.resolution_w)
    return _Measured(
        energy_j=edge_rules.window_energy_j(trimmed, window, used),
        uncertainty=replace(
            uncertainty,
            gaps_j2=gaps_j2(signal, window, used),
            clock_j2=clock_j2(signal, window, used, trace.clock_error_s),
        ),
        samples=inside,
        note=note,
    )


def _ways(edges: Edges, idle_windows: tuple[Window | None, Window | None]) -> tuple[Edges, Edges]:
    if edges != "auto":
        return edges, edges
    before, after = idle_windows
    return "interpolated" if before is None else "auto", "interpolated" if after is None else "auto"


def _edge(signal: Signal, window: Window, way: Edges, idle: IdlePower | None, *, first: bool) -> Edge:
    if way == "interpolated" or not signal.lag_known:
        return edge_rules.INTERPOLATED
    if way == "load" and idle is None:
        return edge_rules.INSIDE
    return edge_rules.choose(signal, window, idle, first=first)


def _check(window: Window) -> None:
    if not (math.isfinite(window.start_s) and math.isfinite(window.end_s)) or window.end_s < window.start_s:
        raise InputError(
            f"a window must end after it starts, not run from {window.start_s} to {window.end_s} s",
            fix="Take both times from one monotonic clock",
        )


def _refuse_unanswerable(trace: PowerTrace, signal: Signal, window: Window) -> int:
    """The number of samples inside, or the reason why the window has no answer."""
    if len(signal.t_s) < MIN_UPDATES:
        failed = f", {len(trace.failed_t_s)} reads failed" if trace.failed_t_s else ""
        raise MeterError(f"the sensor gave {len(signal.t_s)} values{failed}", where=trace.channel)
    inside = int(np.count_nonzero((signal.t_s >= window.start_s) & (signal.t_s <= window.end_s)))
    if window.duration_s < MIN_UPDATES * signal.update_s * (1 - 1e-9):
        raise WindowTooShortError(
            f"the window of {window.duration_s:.3g} s is shorter than {MIN_UPDATES} updates of the sensor "
            f"({signal.update_s:.3g} s each)",
            where=trace.channel,
            fix="Measure more utterances in one window, or use a faster sensor",
        )
    slack_s = signal.update_s + signal.lag_s + signal.averaging_s / 2
    if not signal.lag_known:  # What it has not shown yet may be anything.
        slack_s = 2 * signal.spacing_s
    late_s, early_s = float(signal.t_s[0]) - window.start_s, window.end_s - float(signal.t_s[-1])
    if late_s > slack_s:
        failed = _failed(trace, window.start_s, window.start_s + late_s)
        raise MeterError(f"the trace begins {late_s:.3g} s after the window does ({failed})", where=trace.channel)
    if early_s > slack_s:
        failed = _failed(trace, window.end_s - early_s, window.end_s)
        raise MeterError(f"the trace ends {early_s:.3g} s before the window does ({failed})", where=trace.channel)
    if inside < MIN_UPDATES:
        raise WindowTooShortError(f"the window holds {inside} samples of the sensor", where=trace.channel)
    return inside


def _failed(trace: PowerTrace, start_s: float, end_s: float) -> str:
    """How many reads failed in a span, in words."""
    return f"{sum(start_s <= t <= end_s for t in trace.failed_t_s)} reads failed"


def _gap_note(trace: PowerTrace, signal: Signal, window: Window) -> str | None:
    """Words for what was not seen of the window; raises where too little is left."""
    half_s = MAX_GAP_SHARE * window.duration_s
    gaps_s = signal.gaps_s(window.start_s, window.end_s)
    set_back = "the counter jumped or was set back: " if signal.interval_means and gaps_s.size else ""
    if signal.interval_means:  # A counter goes on counting while it cannot be read: a gap loses detail, not energy.
        steps_s = signals.overlaps_s(signal.t_s, window.start_s, window.end_s)
        unread_s = steps_s[steps_s > max(half_s, signals.longest_step_s(signal.spacing_s, trace.update_interval_s))]
        gaps_s = unread_s if unread_s.size else gaps_s
    failed = _failed(trace, window.start_s, window.end_s)
    if not gaps_s.size:
        went_on = "; the counter went on counting" if signal.interval_means else ""
        return None if failed.startswith("0 ") else f"{failed} inside the window{went_on}"
    unseen_s = float(gaps_s.sum())
    single = gaps_s.size == 1
    words = set_back + (f"a gap of {unseen_s:.3g} s" if single else f"{gaps_s.size} gaps of {unseen_s:.3g} s in all")
    if unseen_s > half_s:
        raise MeterError(
            f"{words} fill{'s' if single else ''} more than half of the window of {window.duration_s:.3g} s ({failed})",
            where=trace.channel,
        )
    return f"{words} inside the window ({failed})"


# --- idle -----------------------------------------------------------------------------------------------------------
def _idle_powers(
    trace: PowerTrace, signal: Signal, windows: tuple[Window | None, Window | None]
) -> tuple[tuple[IdlePower | None, IdlePower | None], list[str]]:
    """Idle power before and after, and words for what is missing of them; none where no idle was asked for."""
    powers: list[IdlePower | None] = []
    notes: list[str] = []
    for name, window in zip(("before", "after"), windows, strict=True):
        power = None
        if window is None:
            notes.append(f"no idle window {name}")
        else:
            try:
                power = _idle_power(trace, signal, window)
            except MeterError as error:
                notes.append(f"idle {name}: {error}")
        powers.append(power)
    return (powers[0], powers[1]), [] if windows == (None, None) else notes


def _idle_power(trace: PowerTrace, signal: Signal, window: Window) -> IdlePower:
    """Only samples that saw nothing but the idle window."""
    measured = _measure(trace, signal, window, ("load", "load"), (None, None))
    return IdlePower(
        power_w=measured.energy_j / window.duration_s,
        variance_w2=measured.uncertainty.variance_j2 / window.duration_s**2,
    )


def _net_of_idle(
    reading: Reading,
    measured: _Measured,
    window: Window,
    windows: tuple[Window | None, Window | None],
    powers: tuple[IdlePower | None, IdlePower | None],
) -> Reading:
    parts = [(w, p) for w, p in zip(windows, powers, strict=True) if w is not None and p is not None]
    if not parts:
        return reading
    idle = _idle_during(parts, window)
    idle_j = idle.power_w * window.duration_s
    net_j = measured.energy_j - idle_j
    variance_j2 = measured.uncertainty.variance_j2 + idle.variance_w2 * window.duration_s**2
    return replace(reading, idle_j=idle_j, net_j=net_j, net_ci95_j=_interval(net_j, variance_j2))


def _idle_during(parts: list[tuple[Window, IdlePower]], window: Window) -> IdlePower:
    """Idle power in the middle of the window, on the line through the idle windows' middles; so that drift is followed.

    The drift's shape between both is unknown: half of the change, as a uniform error, is added to the variance.
    """
    if len(parts) == 1:
        return parts[0][1]
    (before, idle_before), (after, idle_after) = parts
    span_s = _middle_s(after) - _middle_s(before)
    share = 0.5 if span_s <= 0 else min(max((_middle_s(window) - _middle_s(before)) / span_s, 0.0), 1.0)
    change_w = idle_after.power_w - idle_before.power_w
    variance_w2 = (
        (1 - share) ** 2 * idle_before.variance_w2 + share**2 * idle_after.variance_w2 + (change_w / 2) ** 2 / 3
    )
    return IdlePower(power_w=idle_before.power_w + share * change_w, variance_w2=variance_w2)


# --- small parts ----------------------------------------------------------------------------------------------------
def _with_idle_pieces(trace: PowerTrace, idle_traces: Sequence[PowerTrace]) -> PowerTrace:
    same = [other for other in idle_traces if other.channel == trace.channel and other is not trace]
    return signals.join([trace, *same])[0] if same else trace


def _interval(value_j: float, variance_j2: float) -> tuple[float, float]:
    half_j = Z95 * math.sqrt(variance_j2)
    return value_j - half_j, value_j + half_j


def _middle_s(window: Window) -> float:
    return (window.start_s + window.end_s) / 2


def _join(notes: Sequence[str | None]) -> str | None:
    return "; ".join(note for note in notes if note) or None


__all__ = [
    "Edges", "effective_update_interval_s", "energy", "mean_power_w", "measured_energy_j", "unavailable",
]  # fmt: skip
