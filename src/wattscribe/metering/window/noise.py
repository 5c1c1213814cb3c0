"""How far a window's energy may be off: sampling, gaps, edges and the sensor's step, each as a variance in J²."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wattscribe.metering.window.edges import Edge
from wattscribe.metering.window.signal import Signal, cumulative_j
from wattscribe.records import Window
from wattscribe.student import Z95, student_t


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """The parts, so that a reader can see which one dominates."""

    sampling_j2: float
    edges_j2: float
    quantisation_j2: float
    gaps_j2: float = 0.0
    clock_j2: float = 0.0

    @property
    def variance_j2(self) -> float:
        return self.sampling_j2 + self.edges_j2 + self.quantisation_j2 + self.gaps_j2 + self.clock_j2


def energy_uncertainty(
    signal: Signal, window: Window, edges: tuple[Edge, Edge], resolution_w: float | None
) -> Uncertainty:
    """Variance of the window's energy but for gaps and clock; the reasons for each term are in docs/window.md."""
    inside = (signal.t_s >= window.start_s) & (signal.t_s <= window.end_s)
    power_w = signal.power_w[inside]
    first, last = edges
    integrated = (signal.t_s >= window.start_s - first.beyond_s) & (signal.t_s <= window.end_s + last.beyond_s)
    return Uncertainty(
        sampling_j2=_sampling_j2(signal, integrated),  # the load's own edges, its largest steps, lie beyond the window
        edges_j2=_edge_j2(signal, window.start_s, edges[0], power_w, first=True)
        + _edge_j2(signal, window.end_s, edges[1], power_w, first=False)
        + _alignment_j2(signal, window, edges),
        quantisation_j2=_quantisation_j2(power_w, window.duration_s, resolution_w),
    )


def gaps_j2(signal: Signal, window: Window, edges: tuple[Edge, Edge]) -> float:
    """Unseen power may be off from the line that bridges it by as much as the highest power in the trace, up or down.

    All gaps count as one error: reads fail for a reason, and this may be the load. `signal` holds all samples, as for the clock.
    """
    unseen_s = float(signal.gaps_s(window.start_s - edges[0].beyond_s, window.end_s + edges[1].beyond_s).sum())
    return (unseen_s * float(np.abs(signal.power_w).max())) ** 2 / 3


def clock_j2(signal: Signal, window: Window, edges: tuple[Edge, Edge], clock_error_s: float) -> float:
    """An aligned clock may be off: integrate once more with the window moved by that much, early and late; the worse counts.

    `signal` holds all samples, also those that an `inside` edge leaves out.
    """
    if clock_error_s <= 0.0:
        return 0.0
    moves_s = np.array([[0.0], [-clock_error_s], [clock_error_s]])
    ends_s = np.array([window.start_s - edges[0].beyond_s, window.end_s + edges[1].beyond_s])
    here_j, early_j, late_j = np.diff(cumulative_j(signal, (moves_s + ends_s).ravel()).reshape(3, 2))[:, 0]
    return float(max((early_j - here_j) ** 2, (late_j - here_j) ** 2))


def _sampling_j2(signal: Signal, inside: np.ndarray) -> float:
    """Instant values: what happened between two of them is unseen; the successive differences say how much it may be.

    Where an average fills the time between two values, only the moment of a change is unknown. Gaps are left to `gaps_j2`.
    """
    if signal.interval_means:
        return 0.0
    widths_s = np.diff(signal.t_s[inside])
    steps_w = np.diff(signal.power_w[inside]) * ~signal.after_gap[inside][1:]
    if signal.resolved:
        unseen_s = np.maximum(widths_s - signal.averaging_s, 0.0)
        return float(np.sum((widths_s**2 / 12 + unseen_s**2 * 5 / 12) * steps_w**2))
    held_s = np.maximum(widths_s, signal.hold_s)
    steps_j2 = float(np.sum((held_s * steps_w) ** 2) / 2)
    if not signal.lag_known:  # A few refreshes tell their own scatter badly.
        changes = int(np.count_nonzero(steps_w))
        steps_j2 *= (student_t(changes, 0.975) / Z95) ** 2 if changes else 1.0
    return steps_j2 + _one_more_pulse_j2(held_s, steps_w)


def _one_more_pulse_j2(held_s: np.ndarray, steps_w: np.ndarray) -> float:
    """Where single samples stand out (pulses shorter than the time between two looks), how many were missed is known no better
    than to one: as counts of rare events, they may be one more or less than their own scatter tells."""
    first_w, second_w = steps_w[:-1], steps_w[1:]
    alone_w = np.where(first_w * second_w < 0, np.minimum(np.abs(first_w), np.abs(second_w)), 0.0)
    return float((np.median(held_s) * alone_w.max()) ** 2) if alone_w.size else 0.0


def _edge_j2(signal: Signal, edge_s: float, edge: Edge, power_w: np.ndarray, *, first: bool) -> float:
    """A uniform error: the load may change anywhere between the two samples around an edge."""
    t_s = signal.t_s
    if edge.idle is not None:
        # A counter's value is as old as its last update; when that came is known to a read, where reads are closer than updates.
        late_s = min(signal.hold_s, signal.spacing_s) if signal.interval_means else 0.0
        return edge.beyond_s**2 * edge.idle.variance_w2 + (late_s * edge.idle.power_w) ** 2 / 12
    if edge.kind == "inside":
        gap_s = abs(float(t_s[0] if first else t_s[-1]) - edge_s)
        spread_w = float(np.std(power_w)) if len(power_w) else 0.0
        return (gap_s * spread_w) ** 2
    if not signal.lag_known:
        low, high = np.searchsorted(t_s, (edge_s - signal.margin_s, edge_s + signal.margin_s))
        near_w = signal.power_w[max(int(low) - 1, 0) : int(high) + 1]
        return (signal.lag_s * float(near_w.max() - near_w.min())) ** 2 / 3
    after = int(np.clip(np.searchsorted(t_s, edge_s, side="right"), 1, len(t_s) - 1))
    width_s = float(t_s[after] - t_s[after - 1])
    low, high = max(after - 2, 0), min(after + 2, len(t_s))
    around_w = signal.power_w[low:high]
    half_range_j = width_s * float(around_w.max() - around_w.min()) / 2
    return half_range_j**2 / 3


def _alignment_j2(signal: Signal, window: Window, edges: tuple[Edge, Edge]) -> float:
    """All samples may be early or late by half a read, or half a refresh: this shifts energy between inside and outside."""
    if any(edge.kind != "interpolated" for edge in edges) or len(signal.t_s) < 2:
        return 0.0
    half_range_s = min(signal.hold_s, signal.spacing_s) / 2
    first_w, last_w = np.interp([window.start_s, window.end_s], signal.t_s, signal.power_w)
    return float(half_range_s * (last_w - first_w)) ** 2 / 3


def _quantisation_j2(power_w: np.ndarray, duration_s: float, resolution_w: float | None) -> float:
    """A step of q is an error of q / √12, and values in a row that are equal share one: a steady load keeps it, one that moves
    averages it out."""
    if not resolution_w or not len(power_w):
        return 0.0
    starts = np.flatnonzero(np.concatenate(([True], np.diff(power_w) != 0)))
    shares = np.diff(np.concatenate((starts, [len(power_w)]))) / len(power_w)
    variance_w2 = resolution_w**2 / 12 * float(np.sum(shares**2))
    return variance_w2 * duration_s**2 if math.isfinite(variance_w2) else 0.0
