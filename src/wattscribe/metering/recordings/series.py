"""Samples become a series in bounded memory: stamps put in order, equal ones spread, many samples joined to exact means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wattscribe.metering.recordings.formats import Meaning
from wattscribe.metering.recordings.recording import joined
from wattscribe.metering.window.signal import Floats, longest_step_s

FINEST_S = 1e-3
"""Samples nearer than this are joined to means over about this time: windows are seconds long, edges are timed by area, and a
clock is rarely known better. An hour at 5 kHz becomes 3.6 million points, 58 MB."""
MOST_RAW = 1 << 20
"""A file of fewer samples is kept as it is."""
MOST_POINTS = 1 << 22
"""About as many are kept at most: of a longer file more neighbours are joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    t_s: Floats
    power_w: Floats
    interval_means: bool
    joined: int
    """How many neighbours became one; 1: none."""
    read: int
    backwards: int
    """Samples left out, since their stamp lies before one that was read already."""
    first_backwards: int | None
    """The line of the first of them, about."""
    repeated: int
    """Samples that had the stamp of the one before, and were spread."""
    added: tuple[int, ...] = ()
    """How many samples of equal stamps were added up, each number that there was."""


class Series:
    """Takes blocks of samples in the file's order; `points` gives what is left of them.

    Several samples under one stamp are a packet, or stamps that are coarser than the samples: they are spread evenly over the
    time to the next stamp, or over their ordinary length where that is shorter. Unless `adds_equal`: then they are of several
    devices, and added.
    """

    def __init__(
        self, meaning: Meaning = "instant", *, energy: bool = False, adds_equal: bool = False, expected: int = 0
    ) -> None:
        """`expected`: about how many samples will come."""
        self._meaning, self._energy, self._expected = meaning, energy, expected
        self._adds_equal = adds_equal
        self._counts: set[int] = set()
        self._run: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        self._sample_s: float | None = None
        self._latest_s = -np.inf
        self._joined: _Joined | None = None
        self._read = self._backwards = self._repeated = 0
        self._first_backwards: int | None = None

    def add(self, t_s: Floats, power_w: Floats, first_line: int = 0) -> None:
        self._read += len(t_s)
        t_s, power_w = self._in_order(t_s, power_w, first_line)
        if len(t_s) == 0:
            return
        t_s, power_w = np.concatenate((self._run[0], t_s)), np.concatenate((self._run[1], power_w))
        starts = np.flatnonzero(np.diff(t_s, prepend=-np.inf))
        last = int(starts[-1])
        self._run = (t_s[last:], power_w[last:])
        if len(starts) > 1 and self._adds_equal:
            self._counts |= set(np.diff(starts).tolist())
            self._put(t_s[starts[:-1]], np.add.reduceat(power_w[:last], starts[:-1]))
        elif len(starts) > 1:
            self._put(*self._spread(t_s, power_w, starts))

    def points(self) -> Points:
        """Ends the series."""
        t_s, power_w = self._run
        count = len(t_s)
        if self._adds_equal:
            # The file's end may have cut the last ones.
            if not self._counts or count in self._counts:
                self._put(t_s[:1], np.asarray([power_w.sum()]))
        elif count:
            sample_s = self._sample_s if self._sample_s is not None else 0.0
            self._put(t_s + sample_s * np.arange(count), power_w)
            self._repeated += count - 1 if sample_s else 0
        kept = self._joined or _Joined(1, longest_s=np.inf, expected=0)
        kept_t, kept_w = kept.finish()
        if self._meaning == "holds after" and len(kept_t):
            kept_t, kept_w = _held(kept_t, kept_w, energy=self._energy)
        return Points(
            t_s=kept_t,
            power_w=kept_w,
            interval_means=self._meaning != "instant",
            joined=kept.factor,
            read=self._read - self._backwards,
            backwards=self._backwards,
            first_backwards=self._first_backwards,
            repeated=self._repeated,
            added=tuple(sorted(self._counts)),
        )

    def _in_order(self, t_s: Floats, power_w: Floats, first_line: int) -> tuple[Floats, Floats]:
        """Without samples from before what was read, and without a lone stamp far ahead of both its neighbours."""
        if len(t_s) > 2:
            ahead = (t_s[1:-1] > t_s[2:]) & (t_s[2:] >= t_s[:-2])
            if ahead.any():
                self._leave_out(np.flatnonzero(ahead) + 1, first_line)
                keep = np.concatenate(([True], ~ahead, [True]))
                t_s, power_w = t_s[keep], power_w[keep]
        latest = np.maximum.accumulate(np.append(self._latest_s, t_s))
        late = t_s < latest[:-1]
        self._latest_s = float(latest[-1])
        if late.any():
            self._leave_out(np.flatnonzero(late), first_line)
            return t_s[~late], power_w[~late]
        return t_s, power_w

    def _leave_out(self, places: np.ndarray, first_line: int) -> None:
        self._backwards += len(places)
        if self._first_backwards is None:
            self._first_backwards = first_line + int(places[0]) + 1

    def _spread(self, t_s: Floats, power_w: Floats, starts: np.ndarray) -> tuple[Floats, Floats]:
        """All but the last run of equal stamps, each spread over its packet."""
        counts, steps_s = np.diff(starts), np.diff(t_s[starts])
        end = int(starts[-1])
        if self._sample_s is None or len(counts) > 8:
            self._sample_s = float(np.median(steps_s / counts))
        if counts.max() == 1:
            return t_s[:end], power_w[:end]
        self._repeated += int((counts - 1).sum())
        length_s = np.minimum(steps_s, 1.5 * counts * self._sample_s)
        place = np.arange(end) - np.repeat(starts[:-1], counts)
        return t_s[:end] + place * np.repeat(length_s / counts, counts), power_w[:end]

    def _put(self, t_s: Floats, power_w: Floats) -> None:
        if self._joined is None:
            self._joined = self._first(t_s)
        self._joined.add(t_s, power_w)

    def _first(self, t_s: Floats) -> _Joined:
        spacing_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else self._sample_s or np.inf
        factor = 1
        if self._meaning == "instant" and self._expected > MOST_RAW and 0 < spacing_s < np.inf:
            factor = max(1, round(FINEST_S / spacing_s), -(-self._expected // MOST_POINTS))
        return _Joined(
            factor,
            longest_s=longest_step_s(spacing_s, 0.0),
            expected=self._expected // factor,
        )


def _held(t_s: Floats, value: Floats, *, energy: bool) -> tuple[Floats, Floats]:
    """As means that end at each stamp: a value holds from its stamp to the next, and of the last one nothing is known.

    Wh belong to that time too; the last line's to an ordinary one.
    """
    if energy:
        steps_s = np.diff(t_s)
        steps_s = np.append(steps_s, np.median(steps_s) if len(steps_s) else 1.0)
        return np.append(t_s, t_s[-1:] + steps_s[-1:]), np.append(np.nan, value * 3600.0 / steps_s)
    return t_s, np.append(value[:1], value[:-1])


class _Joined:
    """A growing series of which `factor` neighbours at a time become one."""

    def __init__(self, factor: int, *, longest_s: float, expected: int) -> None:
        self.factor, self._longest_s = factor, longest_s
        self._kept = np.empty((2, max(expected * 11 // 10, 1 << 12)))
        self._count = 0
        self._tail: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
        """From the last sample on that ended a stretch, where neighbours are joined."""

    def add(self, t_s: Floats, power_w: Floats) -> None:
        if self.factor == 1:
            self._append(t_s, power_w)
            return
        t_s, power_w = np.concatenate((self._tail[0], t_s)), np.concatenate((self._tail[1], power_w))
        used = (len(t_s) - 1) // self.factor * self.factor
        self._tail = (t_s[used:].copy(), power_w[used:].copy())
        if used:
            self._append(*joined(t_s[: used + 1], power_w[: used + 1], self.factor, self._longest_s))

    def finish(self) -> tuple[Floats, Floats]:
        if len(self._tail[0]) > 1:
            self._append(*joined(*self._tail, self.factor, self._longest_s))
        return self._kept[0, : self._count], self._kept[1, : self._count]

    def _append(self, t_s: Floats, power_w: Floats) -> None:
        needed = self._count + len(t_s)
        if needed > self._kept.shape[1]:
            grown = np.empty((2, max(needed, 3 * self._kept.shape[1] // 2)))
            grown[:, : self._count] = self._kept[:, : self._count]
            self._kept = grown
        self._kept[0, self._count : needed], self._kept[1, self._count : needed] = t_s, power_w
        self._count = needed
