"""A recorded tegrastats log on a clock: its own date stamps where it has them, else a steady interval that is stated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wattscribe.errors import InputError
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.tegrastats_line import rails_w, stamp_s
from wattscribe.metering.window.signal import Floats
from wattscribe.records import PowerTrace, Window
from wattscribe.text_files import read_bytes

DEFAULT_INTERVAL_S = 1.0
"""tegrastats' own."""
LARGEST_BYTES = 1 << 31
"""Four days of lines every 100 ms."""
STEP_W = 0.001
"""The print's step; the sensor's own is not in the line."""
HOLE_INTERVALS = 1.5
"""Two lines surely further apart than this many intervals have a hole between them."""
CONTRADICTION = 0.1
"""Where the stated interval is off from the stamps' by more than this share, it is said."""
ROUNDS = 4
"""Passes that find the interval and the holes from each other; they settle after two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When each line was written, in s from the first one."""

    t_s: Floats
    interval_s: float
    """Between two lines, holes left out."""
    holes: tuple[Window, ...] = ()
    """From the last line before a hole to the first one after it."""
    stamped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TegrastatsLog:
    """One trace per rail, and in words what a reader should know of the log's clock."""

    traces: tuple[PowerTrace, ...]
    timeline: Timeline
    notes: tuple[str, ...]

    @property
    def first(self) -> PowerTrace:
        """The rail that stands for the module, or else the one that draws most."""
        return next(
            (trace for trace in self.traces if trace.total), max(self.traces, key=lambda trace: sum(trace.power_w))
        )


def read(path: Path, *, interval_s: float | None = None, start_s: float = 0.0) -> TegrastatsLog:
    """A log written with `tegrastats --logfile`. The first line is at `start_s`.

    `interval_s` is taken only where the lines carry no stamps. A line without a rail that others have is a failed read of it,
    and so is a line that is missing. Raises InputError where no line has a rail, or the stamps run backwards.
    """
    try:
        lines = read_bytes(path, largest=LARGEST_BYTES).decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the tegrastats log: {error.strerror}", where=path) from None
    if interval_s is not None and not 0 < interval_s < float("inf"):
        raise InputError(f"the log's interval must be above 0 s, not {interval_s}", where=path)
    return of_lines(lines, interval_s=interval_s, start_s=start_s, where=str(path))


def of_lines(
    lines: Iterable[str], *, interval_s: float | None = None, start_s: float = 0.0, where: str = "tegrastats"
) -> TegrastatsLog:
    """As `read`, of lines in memory."""
    kept = [line for line in lines if line.strip()]
    parsed = [rails_w(line) for line in kept]
    names = list(dict.fromkeys(name for line in parsed for name in line))
    if not names:
        raise InputError(
            "no line has a power rail",
            where=where,
            fix="Record it with: sudo tegrastats --interval 100 --logfile FILE (some rails are shown to root only)",
        )
    stamps = np.array([np.nan if (at := stamp_s(line)) is None else at for line in kept], dtype=np.float64)
    timeline = _timeline(stamps, interval_s, where)
    times = (start_s + timeline.t_s).tolist()
    missing = [start_s + t for t in _missing_s(timeline)]
    traces = tuple(_trace(name, times, parsed, missing, timeline.interval_s) for name in names)
    return TegrastatsLog(traces=traces, timeline=timeline, notes=_notes(timeline, interval_s))


def _trace(
    name: str, times: Sequence[float], parsed: Sequence[dict[str, float]], missing: Sequence[float], interval_s: float
) -> PowerTrace:
    good = [(t, line[name]) for t, line in zip(times, parsed, strict=True) if name in line]
    failed = [t for t, line in zip(times, parsed, strict=True) if name not in line]
    rail = rails.describe(name)
    return PowerTrace(
        channel=f"tegrastats.{name}",
        covers=rail.covers,
        total=rail.total,
        processors=rail.processors,
        meter="tegrastats",
        update_interval_s=interval_s,
        evidence="measured",
        t_s=tuple(t for t, _ in good),
        power_w=tuple(power for _, power in good),
        resolution_w=STEP_W,
        averaging_s=None,  # A line is printed as it is read: nothing to correct.
        failed_t_s=tuple(sorted([*failed, *missing])),
    )


# --- the clock ----------------------------------------------------------------------------------------------------------
def _timeline(stamps: Floats, interval_s: float | None, where: str) -> Timeline:
    """Stamps are whole seconds, cut off: within one stretch without a hole the lines lie on a grid whose interval all stretches
    share, as near to the middle of their seconds as it goes and never outside of them."""
    known = np.isfinite(stamps)
    if known.sum() < 2 or stamps[known][0] == stamps[known][-1]:
        step_s = DEFAULT_INTERVAL_S if interval_s is None else interval_s
        return Timeline(t_s=np.arange(stamps.size, dtype=np.float64) * step_s, interval_s=step_s)
    index = np.flatnonzero(known)
    seconds = stamps[known] - stamps[known][0]
    _refuse_backwards(seconds, index, where)
    fraction_s = 0.0 if bool(np.any(seconds % 1 > 1e-6)) else 1.0
    step_s, parts = _stretches(seconds, index, fraction_s)
    fitted = np.empty(seconds.size)
    for part in parts:
        middle_s = seconds[part] + fraction_s / 2
        offset_s = float(np.mean(middle_s - step_s * index[part]))
        fitted[part] = np.clip(offset_s + step_s * index[part], seconds[part], seconds[part] + fraction_s)
    t_s = _all_lines(np.maximum.accumulate(fitted), index, stamps.size, step_s)
    shift_s = float(t_s[0])
    holes = tuple(
        Window(start_s=float(fitted[a[-1]]) - shift_s, end_s=float(fitted[b[0]]) - shift_s)
        for a, b in itertools.pairwise(parts)
    )
    return Timeline(t_s=t_s - shift_s, interval_s=step_s, holes=holes, stamped=True)


def _refuse_backwards(seconds: Floats, index: np.ndarray, where: str) -> None:
    """A second backwards is a clock that was nudged; more is one that was set, and how long that took nobody knows."""
    back = np.flatnonzero(np.diff(seconds) < -1.0)
    if back.size:
        raise InputError(
            f"the stamps run backwards by {-np.diff(seconds)[back[0]]:.0f} s at line {int(index[back[0] + 1]) + 1}: "
            "the board's clock was set",
            where=where,
            fix="Cut the log there, or record it after the clock has been set",
        )


def _stretches(seconds: Floats, index: np.ndarray, fraction_s: float) -> tuple[float, list[np.ndarray]]:
    """The interval between lines, and the runs of lines without a hole between them."""
    steps_s, lines = np.diff(seconds), np.diff(index)
    whole = np.ones(steps_s.size, dtype=bool)
    step_s = float(np.median(steps_s / lines)) or float(steps_s.sum() / lines.sum())
    for _ in range(ROUNDS):
        whole = steps_s - fraction_s < HOLE_INTERVALS * step_s * lines
        step_s = max(float(steps_s[whole].sum() / lines[whole].sum()) if whole.any() else step_s, 1e-6)
    parts = np.split(np.arange(seconds.size), np.flatnonzero(~whole) + 1)
    x = np.concatenate([index[part] - index[part].mean() for part in parts])
    y = np.concatenate([seconds[part] - seconds[part].mean() for part in parts])
    slope_s = float(x @ y / (x @ x)) if bool(x.any()) else step_s
    return (slope_s if slope_s > 0 else step_s), parts


def _all_lines(fitted: Floats, index: np.ndarray, count: int, step_s: float) -> Floats:
    """Lines without a stamp lie between those that have one, or a step apart beyond them."""
    lines = np.arange(count)
    t_s = np.interp(lines, index, fitted)
    t_s = np.where(lines < index[0], fitted[0] - (index[0] - lines) * step_s, t_s)
    return np.asarray(np.where(lines > index[-1], fitted[-1] + (lines - index[-1]) * step_s, t_s), dtype=np.float64)


def _missing_s(timeline: Timeline) -> list[float]:
    """When the lines that are missing in the holes should have been written."""
    step_s = timeline.interval_s
    return [
        hole.start_s + step_s * k for hole in timeline.holes for k in range(1, max(round(hole.duration_s / step_s), 1))
    ]


def _notes(timeline: Timeline, stated_s: float | None) -> tuple[str, ...]:
    if not timeline.stamped:
        basis = "as stated" if stated_s is not None else "tegrastats' own; say `interval_s` if it was another"
        return (f"no stamps: one line every {timeline.interval_s:.4g} s is taken ({basis})",)
    notes = []
    if stated_s is not None and abs(stated_s / timeline.interval_s - 1) > CONTRADICTION:
        notes.append(
            f"its stamps say one line every {timeline.interval_s:.3g} s, not every {stated_s:.4g} s as stated: "
            "the stamps are the clock"
        )
    for hole in timeline.holes:
        lines = max(round(hole.duration_s / timeline.interval_s) - 1, 0)
        missing = f"{lines} line{'s are' if lines != 1 else ' is'} missing"
        notes.append(f"a hole of {hole.duration_s:.3g} s, {hole.start_s:.4g} s after the start: {missing}")
    return tuple(notes)
