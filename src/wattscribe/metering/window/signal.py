"""From raw samples to a signal that can be integrated: the sensor's lag taken out, its true refresh found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import PowerTrace

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_CHANGES = 8
"""Changes of value that must be seen before a hold is believed: fewer cannot tell a slow sensor from a calm load."""
MAX_HOLD_IRREGULARITY = 2.5
"""A holding sensor changes at its refresh or a small multiple; a calm load's changes are spread like waiting times, with a
median of 6.6 times their 10th percentile."""
MIN_LEVELS = 4
"""A calm load flips between two or three neighbouring steps of the sensor; then its changes say nothing of the refresh."""
MIN_ON_GRID = 0.8
"""The share of changes that must lie a whole number of refreshes apart, to within one read."""
MIN_HOLD_SAMPLES = 1.5
"""A hold shorter than this many sample spacings cannot be told from a change at every read."""
RESOLVED_SHARE = 0.9
"""A sensor that averages over this share of the time between its values has seen everything: nominal times are rounded."""
SLOW_S = 0.2
"""A refresh from here on is long beside a window of seconds: where it is unknown what a value averages over, it must be said."""
GAP_SPACINGS = 3.0
"""Samples further apart than this many ordinary spacings leave a gap."""
GAP_UPDATES = 1.5
"""And further apart than this many nominal refreshes: reads in between would have brought nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A trace made ready: `t_s` ascending and corrected for the sensor's lag, gaps left out."""

    t_s: Floats
    power_w: Floats
    interval_means: bool
    spacing_s: float
    """Median distance of two samples."""
    update_s: float
    """The interval that bounds what the trace can answer: the largest of the nominal refresh, the one seen in the data, and
    the sample spacing."""
    hold_s: float
    """How long the sensor keeps one value; at most a sample spacing where every read brings a new one."""
    averaging_s: float
    lag_s: float
    margin_s: float
    """Samples nearer than this to a change of load may contain both sides of it."""
    lag_known: bool = True
    """False: a held value may be an instant's or an average of its refresh, so that all times may be off by `lag_s`."""
    after_gap: Bools
    """Per sample: True where the time since the one before is unseen, because reads failed or a counter was set back."""

    @property
    def resolved(self) -> bool:
        """True where every stretch of time is inside some value (averages and counters): but for gaps, nothing happens unseen."""
        return self.interval_means or bool(self.sees(self.update_s))

    def sees(self, width_s: Floats | float) -> Bools:
        """Whether the sensor's averages fill the time between two samples so far apart, in s."""
        return np.asarray((self.averaging_s > 0) & (self.averaging_s >= RESOLVED_SHARE * np.asarray(width_s)))

    def gaps_s(self, start_s: float, end_s: float) -> Floats:
        """The unseen stretches within a span, each in s."""
        inside_s = overlaps_s(self.t_s, start_s, end_s)
        return inside_s[self.after_gap[1:] & (inside_s > 0)]


def overlaps_s(t_s: Floats, start_s: float, end_s: float) -> Floats:
    """How much of the time between each two neighbours lies within a span, in s; below 0 where none does."""
    return np.asarray(np.minimum(t_s[1:], end_s) - np.maximum(t_s[:-1], start_s), dtype=np.float64)


def join(traces: Iterable[PowerTrace]) -> list[PowerTrace]:
    """Put the pieces of each channel together in time, for instance those of several `Sampler.drain()` calls."""
    pieces: dict[str, list[PowerTrace]] = {}
    for trace in traces:
        pieces.setdefault(trace.channel, []).append(trace)
    return [_joined(parts) for parts in pieces.values()]


def _joined(parts: list[PowerTrace]) -> PowerTrace:
    if len(parts) == 1:
        return parts[0]
    filled = [part for part in parts if part.t_s] or parts
    filled.sort(key=lambda part: part.t_s[0] if part.t_s else 0.0)
    return replace(
        filled[0],
        t_s=tuple(t for part in filled for t in part.t_s),
        power_w=tuple(p for part in filled for p in part.power_w),
        failed_t_s=tuple(sorted(t for part in parts for t in part.failed_t_s)),
        update_interval_s=max(part.update_interval_s for part in parts),
        clock_error_s=max(part.clock_error_s for part in parts),
    )


def of_trace(trace: PowerTrace) -> Signal:
    """Prepare a trace. Raises InputError for unequal lengths or times that run backwards."""
    t_s, power_w = _arrays(trace)
    power_w, set_back = _bridged(power_w)
    spacing_s = _median_spacing(t_s)
    averaging_s = trace.averaging_s or 0.0
    if trace.interval_means:
        hold_s, lag_s, margin_s, lag_known = trace.update_interval_s, 0.0, 0.0, True
        update_s = max(trace.update_interval_s, spacing_s)
        after_gap = set_back
    else:
        seen_s = held_interval_s(t_s, power_w)
        hold_s = seen_s if seen_s is not None else _nominal_hold_s(t_s, power_w, trace.update_interval_s, spacing_s)
        update_s = max(trace.update_interval_s, spacing_s, seen_s or 0.0)
        # A value held for `hold_s` is on average half of that old; one that averages is older by half its span.
        lag_s = 0.0 if trace.averaging_s is None else (averaging_s + hold_s) / 2
        held = trace.averaging_s is not None or hold_s > MIN_HOLD_SAMPLES * spacing_s
        margin_s = averaging_s / 2 + (hold_s / 2 if held else 0.0)
        if not (lag_known := _is_lag_known(trace, hold_s, spacing_s)):
            # Between half a refresh (instants) and a whole one (averages over it): the middle. Its nominal refresh is only the
            # longest that is common: what the samples show counts.
            lag_s, margin_s = 0.75 * hold_s, 1.25 * hold_s
            update_s = max(hold_s, spacing_s)
        after_gap = np.diff(t_s, prepend=t_s[:1]) > longest_step_s(spacing_s, trace.update_interval_s)
    return Signal(
        t_s=t_s - lag_s,
        power_w=power_w,
        interval_means=trace.interval_means,
        spacing_s=spacing_s,
        update_s=update_s,
        hold_s=hold_s,
        averaging_s=averaging_s,
        lag_s=lag_s,
        margin_s=margin_s,
        lag_known=lag_known,
        after_gap=after_gap,
    )


def _is_lag_known(trace: PowerTrace, hold_s: float, spacing_s: float) -> bool:
    """Unknown where nothing tells what a held value averages over. An attached recording's lag is in its clock's alignment."""
    held = hold_s > MIN_HOLD_SAMPLES * spacing_s and hold_s >= SLOW_S
    return trace.averaging_s is not None or trace.clock_error_s > 0 or not held


def longest_step_s(spacing_s: float, nominal_s: float) -> float:
    """Samples further apart than this leave a gap."""
    return max(GAP_SPACINGS * spacing_s, GAP_UPDATES * nominal_s) * (1 + 1e-6)


def _arrays(trace: PowerTrace) -> tuple[Floats, Floats]:
    if len(trace.t_s) != len(trace.power_w):
        raise InputError(
            f"the trace has {len(trace.t_s)} times and {len(trace.power_w)} powers",
            where=trace.channel,
            fix="Give one power per time",
        )
    t_s = np.asarray(trace.t_s, dtype=np.float64)
    power_w = np.asarray(trace.power_w, dtype=np.float64)
    known = np.isfinite(power_w)
    good = np.isfinite(t_s) & (known | (trace.interval_means and known.any()))
    t_s, power_w = t_s[good], power_w[good]
    backwards = np.flatnonzero(np.diff(t_s) < 0)
    if backwards.size:
        raise InputError(
            f"the trace's time runs backwards at sample {int(backwards[0]) + 1}",
            where=trace.channel,
            fix="Join pieces of a trace with wattscribe.metering.join",
        )
    return t_s, power_w


def _bridged(power_w: Floats) -> tuple[Floats, Bools]:
    """A counter that was set back leaves one mean power unknown: its neighbours' stands for it, marked as a gap."""
    unknown = ~np.isfinite(power_w)
    if not unknown.any():
        return power_w, unknown
    bridged = power_w.copy()
    bridged[unknown] = np.interp(np.flatnonzero(unknown), np.flatnonzero(~unknown), power_w[~unknown])
    return bridged, unknown


def _median_spacing(t_s: Floats) -> float:
    steps = np.diff(t_s)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else 0.0


def _nominal_hold_s(t_s: Floats, power_w: Floats, nominal_s: float, spacing_s: float) -> float:
    """The nominal refresh, unless the data show a new value at nearly every read: then it is faster than we read."""
    changed = np.diff(power_w) != 0
    if changed.size >= MIN_CHANGES and changed.mean() > 0.9:
        return min(nominal_s, spacing_s)
    return nominal_s


def held_interval_s(t_s: Sequence[float] | Floats, power_w: Sequence[float] | Floats) -> float | None:
    """The sensor's refresh as the data show it: how far apart its value changes. None where no hold can be seen.

    The 10th percentile of the distances is the estimate: a sensor never changes sooner than its refresh, and equal values in
    a row only lengthen a distance.
    """
    times, powers = np.asarray(t_s, dtype=np.float64), np.asarray(power_w, dtype=np.float64)
    if times.size < MIN_CHANGES + 1:
        return None
    changed_at = times[1:][np.diff(powers) != 0]
    if changed_at.size < MIN_CHANGES + 1:
        return None
    spacing_s = _median_spacing(times)
    distances = np.diff(changed_at)
    shortest_s, median_s = float(np.percentile(distances, 10)), float(np.median(distances))
    if shortest_s <= MIN_HOLD_SAMPLES * spacing_s or median_s > MAX_HOLD_IRREGULARITY * shortest_s:
        return None
    hold_s = float(np.mean(distances[distances < 1.5 * shortest_s]))
    off_grid_s = np.abs(distances - hold_s * np.round(distances / hold_s))
    if np.unique(powers).size < MIN_LEVELS or np.mean(off_grid_s <= 1.1 * spacing_s) < MIN_ON_GRID:
        return None
    return hold_s


def cumulative_j(signal: Signal, at_s: Floats) -> Floats:
    """Energy from the first sample to each time: trapezoid, interpolated inside; the end values reach beyond both ends.

    Additive by construction: the energy of [a, c] is that of [a, b] and [b, c].
    """
    t_s, power_w = signal.t_s, signal.power_w
    steps_s = np.diff(t_s)
    left = power_w[1:] if signal.interval_means else power_w[:-1]
    pieces_j = steps_s * (left + power_w[1:]) / 2
    sums_j = np.concatenate(([0.0], np.cumsum(pieces_j)))
    inside_s = np.clip(at_s, t_s[0], t_s[-1])
    index = np.clip(np.searchsorted(t_s, inside_s, side="right") - 1, 0, len(steps_s) - 1)
    offset_s = inside_s - t_s[index]
    width_s = np.where(steps_s[index] > 0, steps_s[index], 1.0)
    slope = (power_w[index + 1] - left[index]) / width_s
    energy_j = sums_j[index] + offset_s * (left[index] + slope * offset_s / 2)
    first_w = float(left[0])
    beyond_j = (at_s - inside_s) * np.where(at_s < t_s[0], first_w, power_w[-1])
    return np.asarray(energy_j + beyond_j, dtype=np.float64)
