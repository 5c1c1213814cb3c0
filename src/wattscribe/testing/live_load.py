"""A load that is decided while it is played: by the processor time that is spent, or by what a trial's work costs."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import psutil

from wattscribe.metering.processes import cpu_clock_s
from wattscribe.testing.loads import Load
from wattscribe.testing.work import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one rail carries of the board's idle power and of what comes on top."""

    idle: float
    busy: float


class LiveLoad:
    """Power that is decided as time goes on, constant between two decisions; before the first it was idle."""

    def __init__(self, start_s: float, idle_w: float) -> None:
        self._idle_w = idle_w
        self._t_s, self._sum_j, self._powers_w = [start_s], [0.0], [idle_w]

    @property
    def known_until_s(self) -> float:
        return self._t_s[-1]

    def grow(self, until_s: float, power_w: float) -> None:
        self._sum_j.append(self._sum_j[-1] + power_w * (until_s - self._t_s[-1]))
        self._t_s.append(until_s)
        self._powers_w.append(power_w)

    def power_w(self, t_s: float) -> float:
        return self._powers_w[min(bisect.bisect_left(self._t_s, t_s), len(self._t_s) - 1)]

    def energy_j(self, start_s: float, end_s: float) -> float:
        return self._sum_at(end_s) - self._sum_at(start_s)

    def settled(self) -> Load:
        """All of it; after the end the last power goes on."""
        return Load(powers_w=(*self._powers_w, self._powers_w[-1]), edges_s=tuple(self._t_s))

    def _sum_at(self, t_s: float) -> float:
        if t_s <= self._t_s[0]:
            return self._idle_w * (t_s - self._t_s[0])
        at = min(bisect.bisect_left(self._t_s, t_s), len(self._t_s) - 1)
        return self._sum_j[at] - self._powers_w[at] * (self._t_s[at] - t_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """One rail's part of the load."""

    load: LiveLoad
    share: Share
    idle_w: float

    def power_w(self, t_s: float) -> float:
        return self.share.idle * self.idle_w + self.share.busy * (self.load.power_w(t_s) - self.idle_w)

    def energy_j(self, start_s: float, end_s: float) -> float:
        idle_j = self.idle_w * (end_s - start_s)
        return self.share.idle * idle_j + self.share.busy * (self.load.energy_j(start_s, end_s) - idle_j)


class ProcessorTime:
    """Seconds that this process and its children have computed, to the nanosecond (CPU clocks of processes, Linux)."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._seen = {self._own.pid: cpu_clock_s(self._own.pid) or 0.0}

    def children(self) -> set[int]:
        """Slow beside a thread that computes: every file that psutil reads hands the interpreter over to it for 5 ms."""
        return {process.pid for process in self._own.children(recursive=True)}

    def watch(self, children: set[int]) -> None:
        """Of a child seen for the first time nothing counts: it was being loaded."""
        there = {self._own.pid, *children}
        self._seen = {pid: self._seen.get(pid, cpu_clock_s(pid) or 0.0) for pid in there}

    def since_last(self) -> float:
        total_s = 0.0
        for pid, before_s in list(self._seen.items()):
            if (after_s := cpu_clock_s(pid)) is not None:
                total_s += max(0.0, after_s - before_s)
                self._seen[pid] = after_s
        return total_s


class Ledger:
    """Lets a trial take what its work costs, whatever the processor time that it takes for it.

    Work is known per second of audio; it is spread over processor time at a rate that is learned, and what one utterance got
    too little or too much the next one gets or gives back.
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._j_per_cpu_s = cost.j_per_cpu_s
        self._began = False
        self._owed_j = self._spent_j = self._cpu_s = 0.0
        self._transcribed_s = self._all_cpu_s = 0.0

    def spend(self, cpu_s: float) -> float:
        """Joules for so much processor time."""
        self._cpu_s += cpu_s
        joules = cpu_s * self._j_per_cpu_s
        self._spent_j += joules
        return joules

    def transcribed(self, audio_s: float) -> None:
        """An utterance is through. When the first one began is not known here, so nothing is put right for it."""
        if self._began:
            self._owed_j += self._cost.j_per_audio_s * audio_s - self._spent_j
            self._transcribed_s += audio_s
            self._all_cpu_s += self._cpu_s
            if self._all_cpu_s > 0:
                steady = self._cost.j_per_audio_s * self._transcribed_s / self._all_cpu_s
                self._j_per_cpu_s = max(0.0, steady * (1 + self._owed_j / (self._cost.j_per_audio_s * audio_s)))
        self._began = True
        self._spent_j = self._cpu_s = 0.0
