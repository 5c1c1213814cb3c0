"""A cache that keeps what was used last, exact to the line, in time that grows with tensors instead of lines.

Neighbouring lines that were last used by one access are one run. A run's lines stand in the order of their addresses, so the
order of all lines is that of (access, address), and room is made at the front of the oldest run.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Run:
    end: int
    used: int
    changed: bool


class Lru:
    """Fully associative, written back. `on_read`, `on_allocated` and `on_written` hear of (first line, number of lines) that
    were fetched because they were read, that were written without lying there, that were changed and had to make room."""

    def __init__(
        self,
        lines: int,
        on_read: Callable[[int, int], None],
        on_allocated: Callable[[int, int], None],
        on_written: Callable[[int, int], None],
    ) -> None:
        self._capacity, self._held, self._time = lines, 0, 0
        self._on_read, self._on_allocated, self._on_written = on_read, on_allocated, on_written
        self._starts: list[int] = []
        self._runs: dict[int, _Run] = {}
        self._oldest: list[tuple[int, int]] = []
        """(access, start) of every run; those that are no more are skipped."""

    def read(self, start: int, end: int) -> None:
        """The lines from `start` to before `end`, one after the other."""
        self._touch(start, end, changed=False)

    def write(self, start: int, end: int) -> None:
        """As `read`; what is written without lying there takes its place without being read."""
        self._touch(start, end, changed=True)

    def _touch(self, start: int, end: int, *, changed: bool) -> None:
        self._time += 1
        while start < end:
            there = self._run_at(start)
            if there is None:
                after = bisect_left(self._starts, start)
                stop = min(end, self._starts[after]) if after < len(self._starts) else end
                self._bring(start, stop, changed=changed)
            else:
                stop = min(end, self._runs[there].end)
                was_changed = self._cut(there, start, stop)
                self._put(start, stop, changed=changed or was_changed)
            start = stop

    def _run_at(self, line: int) -> int | None:
        """The start of the run that holds the line."""
        place = bisect_right(self._starts, line) - 1
        if place < 0:
            return None
        start = self._starts[place]
        return start if line < self._runs[start].end else None

    def _bring(self, start: int, stop: int, *, changed: bool) -> None:
        """Lines that are not there. More of them than the cache has push one another out."""
        (self._on_allocated if changed else self._on_read)(start, stop - start)
        kept = max(start, stop - self._capacity)
        self._make_room(stop - kept)
        if changed and kept > start:
            self._on_written(start, kept - start)
        self._put(kept, stop, changed=changed)

    def _make_room(self, lines: int) -> None:
        excess = self._held + lines - self._capacity
        while excess > 0:
            used, start = heapq.heappop(self._oldest)
            run = self._runs.get(start)
            if run is None or run.used != used:
                continue
            stop = min(run.end, start + excess)
            if self._cut(start, start, stop):
                self._on_written(start, stop - start)
            excess -= stop - start

    def _cut(self, run_start: int, start: int, stop: int) -> bool:
        """Take lines out of a run; returns whether they are changed."""
        run = self._runs.pop(run_start)
        del self._starts[bisect_left(self._starts, run_start)]
        self._held -= run.end - run_start
        for first, last in ((run_start, start), (stop, run.end)):
            if first < last:
                self._add(first, _Run(last, run.used, run.changed))
        return run.changed

    def _put(self, start: int, stop: int, *, changed: bool) -> None:
        """As last used; one with what the same access put before it."""
        before = self._run_at(start - 1)
        if before is not None:
            run = self._runs[before]
            if run.used == self._time and run.changed == changed:
                self._held += stop - start
                run.end = stop
                return
        self._add(start, _Run(stop, self._time, changed))

    def _add(self, start: int, run: _Run) -> None:
        self._runs[start] = run
        insort(self._starts, start)
        heapq.heappush(self._oldest, (run.used, start))
        self._held += run.end - start
