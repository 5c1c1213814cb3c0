"""Find a run's marks, load pulses of known times, in a recording with its own clock, and so align that clock.

Marks are looked for by their shape, so that trials which draw more or less than the pulses do not hide them: each group of
pulses is slid along the recording, and the places where power looks like it are compared with the time between the groups.
Then every edge is timed by itself, and a straight line through all of them is the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattscribe.errors import InputError, MeterError
from wattscribe.metering.recordings.align import (
    MAX_DRIFT,
    MAX_POINTS,
    MAX_QUARTZ_DRIFT,
    RIVAL_SHARE,
    Alignment,
    normalised_correlation,
)
from wattscribe.metering.recordings.recording import Recording
from wattscribe.metering.window.signal import Floats
from wattscribe.records import Window

MIN_LIKENESS = 0.8
"""Pearson's correlation with the pulses' shape, from which a place counts as found; the mirrored group reaches 0.7."""
COARSE_STEPS = 50
"""Steps per shortest pulse or pause while searching: enough, because the edges are timed afterwards."""
SEARCH_SHARE = 0.4
"""An edge is looked for within this share of the shortest pulse or pause around its expected place."""
CANDIDATES = 50
UNKNOWN_DRIFT = 1e-4
"""How far two quartz clocks may differ where nothing tells (two of ±50 ppm, the usual grade)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Pulses that belong together, on the monotonic clock."""

    windows: tuple[Window, ...]

    @property
    def start_s(self) -> float:
        return self.windows[0].start_s

    @property
    def edges_s(self) -> list[tuple[float, bool]]:
        """When power changes, and whether it rises."""
        return [(t, up) for window in self.windows for t, up in ((window.start_s, True), (window.end_s, False))]

    @property
    def shortest_s(self) -> float:
        return float(np.diff([t for t, _ in self.edges_s]).min())


def by_marks(recording: Recording, groups: Sequence[Sequence[Window]]) -> Alignment:
    """The clock by one or two groups of pulses; with one (`points` 1) the drift stays unknown.

    Raises InputError where there are no marks, MeterError where the recording does not show them, or at several places alike.
    """
    marked = [_Group(windows=tuple(group)) for group in groups if group]
    if not marked:
        raise InputError("no load was marked", where=recording.name, fix="Measure with: wattscribe bench --mark …")
    shortest_s = min(group.shortest_s for group in marked)
    if recording.spacing_s > shortest_s / 4:
        raise MeterError(
            f"the recording has a sample every {recording.spacing_s:.3g} s, too few for pulses of {shortest_s:.3g} s",
            where=recording.name,
            fix=f"Record faster, or measure with --mark-unit {4 * recording.spacing_s:.2g}",
        )
    places = _find(recording, marked, shortest_s)
    placed = [(group, place) for group, place in zip(marked, places, strict=True) if place is not None]
    return _fit(recording, placed, shortest_s)


# --- where the groups are ---------------------------------------------------------------------------------------------
def _find(recording: Recording, marked: Sequence[_Group], shortest_s: float) -> list[float | None]:
    """For each group the recorder's time of its first edge; None for one that lies outside of the recording."""
    grid_s, power_w, step_s = _coarse(recording, shortest_s)
    candidates = [_candidates(grid_s, power_w, group, step_s) for group in marked]
    scored: list[tuple[float, list[float | None]]] = []
    if len(marked) == 2:
        apart_s = marked[1].start_s - marked[0].start_s
        slack_s = MAX_DRIFT * apart_s + 2 * step_s
        scored = [
            (a_score + b_score, [a, b])
            for a, a_score in candidates[0]
            for b, b_score in candidates[1]
            if abs(b - a - apart_s) <= slack_s
        ]
    if not scored:
        for index, likely in enumerate(candidates):
            scored += [(score, [at if i == index else None for i in range(len(marked))]) for at, score in likely]
    if not scored:
        best = max((score for likely in candidates for _, score in likely), default=0.0)
        raise MeterError(
            f"the recording does not show this run's marks{f' (likeness {best:.2f})' if best else ''}",
            where=recording.name,
            fix="Is it of this run, from before its first mark to after its last, and of the whole board's power?",
        )
    scored.sort(key=lambda candidate: -candidate[0])
    best, chosen = scored[0]
    rivals = [places for score, places in scored[1:] if score >= RIVAL_SHARE * best]
    if any(_elsewhere(chosen, places, shortest_s) for places in rivals):
        raise MeterError(
            "the recording shows the marks at several places", where=recording.name, fix="Cut it to one run"
        )
    return chosen


def _elsewhere(one: Sequence[float | None], other: Sequence[float | None], shortest_s: float) -> bool:
    return any(
        (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > shortest_s / 2)
        for a, b in zip(one, other, strict=True)
    )


def _coarse(recording: Recording, shortest_s: float) -> tuple[Floats, Floats, float]:
    """The recording as means over equal steps, so that noise averages out and memory stays small."""
    t_s = recording.t_s
    length_s = float(t_s[-1] - t_s[0])
    step_s = max(recording.spacing_s, shortest_s / COARSE_STEPS, length_s / MAX_POINTS)
    edges_s = np.arange(t_s[0], t_s[-1], step_s)
    if edges_s.size < 8:
        raise MeterError(f"the recording is only {length_s:.3g} s long", where=recording.name)
    joules = np.zeros(t_s.size)
    np.cumsum(recording.steps_j(), out=joules[1:])
    return edges_s[:-1] + step_s / 2, np.diff(np.interp(edges_s, t_s, joules)) / step_s, step_s


def _candidates(grid_s: Floats, power_w: Floats, group: _Group, step_s: float) -> list[tuple[float, float]]:
    """Times (recorder's clock) at which the group may begin, each with its likeness; the likest first."""
    lead_s = group.shortest_s / 2
    start_s, end_s = group.start_s - lead_s, group.windows[-1].end_s + lead_s
    times = np.arange(start_s, end_s, step_s) + step_s / 2
    shape = np.zeros(times.size)
    for window in group.windows:
        shape[(times >= window.start_s) & (times < window.end_s)] = 1.0
    if shape.size > power_w.size:
        return []
    scores = normalised_correlation(power_w, shape)[shape.size - 1 : power_w.size]  # where it lies inside as a whole
    peaks: list[tuple[float, float]] = []
    for index in np.argsort(-scores):
        at_s = float(grid_s[index]) - step_s / 2 + lead_s
        if scores[index] < MIN_LIKENESS or len(peaks) >= CANDIDATES:
            break
        if all(abs(at_s - other) > group.shortest_s / 2 for other, _ in peaks):
            peaks.append((at_s, float(scores[index])))
    return peaks


# --- the clock --------------------------------------------------------------------------------------------------------
def _fit(recording: Recording, placed: Sequence[tuple[_Group, float]], shortest_s: float) -> Alignment:
    """Time every edge, twice (the first pass corrects the expected places), and draw the line."""
    half_s = SEARCH_SHARE * shortest_s
    recorded: list[float] = []
    monotonic: list[float] = []
    for group, place in placed:
        shift_s = place - group.start_s
        for _ in range(2):
            times = [_edge_s(recording, t + shift_s, half_s, up=up) for t, up in group.edges_s]
            shift_s = float(np.mean([own - t for own, (t, _) in zip(times, group.edges_s, strict=True)]))
        recorded += times
        monotonic += [t for t, _ in group.edges_s]
    own, ours = np.asarray(recorded), np.asarray(monotonic)
    middle = float(own.mean())
    rate = float(np.polyfit(own - middle, ours, 1)[0]) if len(placed) > 1 else 1.0
    if len(placed) > 1:
        _refuse_steps(recording, own, ours, rate, sizes=[len(group.edges_s) for group, _ in placed])
    offset_s = float(ours.mean()) - rate * middle
    misfit_s = float(np.sqrt(np.mean((offset_s + rate * own - ours) ** 2)))
    return Alignment(
        offset_s=offset_s,
        rate=rate,
        residual_s=max(misfit_s, recording.spacing_s / 2),
        method="edges",
        points=own.size if len(placed) > 1 else 1,
        anchors_s=tuple(monotonic),
    )


def _refuse_steps(recording: Recording, own: Floats, ours: Floats, rate: float, *, sizes: Sequence[int]) -> None:
    """A line through both groups takes a clock that was set, or samples that were lost between them, for drift.

    More than quartz can drift, and than the edges' own scatter explains, is refused: when the step came nobody knows.
    """
    cut = sizes[0]
    apart_s = float(ours[cut:].mean() - ours[:cut].mean())
    scatter_s = max(float(np.std(part)) for part in ((ours - own)[:cut], (ours - own)[cut:]))
    unsure_s = 2 * max(scatter_s, recording.spacing_s / 2)
    stepped_s = abs(1 - rate) * apart_s
    if stepped_s > MAX_QUARTZ_DRIFT * apart_s + unsure_s:
        raise MeterError(
            f"the recorder's clock and this machine's went {stepped_s:.3g} s apart between the marks "
            f"({abs(1 / rate - 1) * 1e6:.0f} ppm; two quartz clocks differ by {MAX_QUARTZ_DRIFT * 1e6:.0f} at most): "
            "a clock was set, or samples were lost",
            where=recording.name,
            fix="Record again with a steady clock, or cut the recording so that it holds one of the marks and the trials near it",
        )


def _edge_s(recording: Recording, near_s: float, half_s: float, *, up: bool) -> float:
    """When the power changes, by area: between its levels on both sides, how much of the time was spent on each.

    That is as exact for a sensor that averages, and for noise, as for a clean step.
    """
    first, last = np.searchsorted(recording.t_s, (near_s - half_s, near_s + half_s))
    piece = replace(recording, t_s=recording.t_s[first:last], power_w=recording.power_w[first:last])
    if not np.isfinite(piece.power_w).any():
        return near_s
    t_s, power_w = piece.t_s, piece.known_w()
    before, after = power_w[t_s < near_s - half_s / 2], power_w[t_s > near_s + half_s / 2]
    if before.size == 0 or after.size == 0:
        return near_s
    start_w, end_w = float(before.mean()), float(after.mean())
    if (end_w > start_w) != up or end_w == start_w:
        return near_s
    joules = float(np.sum(piece.steps_j()))
    length_s = float(t_s[-1] - t_s[0])
    return float(t_s[0]) + (end_w * length_s - joules) / (end_w - start_w)


def possible_error_s(alignment: Alignment, window: Window) -> float:
    """How far off a window may be on the aligned clock: the residual and, after one group only, what drift may have done."""
    if alignment.drift_ppm is not None or not alignment.anchors_s:
        return alignment.residual_s
    far_s = max(min(abs(t - edge) for edge in alignment.anchors_s) for t in (window.start_s, window.end_s))
    return alignment.residual_s + UNKNOWN_DRIFT * far_s
