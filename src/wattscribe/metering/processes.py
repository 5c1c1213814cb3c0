"""What other processes spend on this one's behalf: its children, their children, and those of them that have ended."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

PROC = Path("/proc")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""By which a process is told how many threads its libraries may use."""
_PARENT, _CUTIME = 1, 13
"""Places in /proc/PID/stat behind the name in brackets (proc(5)): the parent; user and system time of ended children."""


def descendants(pid: int | None = None) -> list[int]:
    """Living children of a process (None: this one) and theirs, in no order that matters; those still to be waited for too."""
    found: list[int] = []
    parents = [os.getpid() if pid is None else pid]
    while parents:
        children = _children(parents.pop())
        found += children
        parents += children
    return found


def descendants_cpu_s() -> float:
    """CPU seconds so far of this process's children and theirs, with those that have ended and were waited for.

    A difference of two is what they took in between. Children that have detached themselves (daemons) are not found.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum((cpu_clock_s(pid) or 0.0) + _waited_s(pid) for pid in descendants())


def cpu_clock_s(pid: int) -> float | None:
    """CPU seconds of a process with all its threads, to the nanosecond; None: it is gone, or the system has no such clock.

    The kernel's number of a process's CPU clock is (~pid << 3) | 2 (CPUCLOCK_SCHED, posix-timers.h).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, AttributeError):
        return None


def wakeups(pid: int) -> int | None:
    """How often the threads of a process have waited for something so far (voluntary switches, proc(5)); None: not told."""
    try:
        states = [(task / "status").read_text(encoding="ascii") for task in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return None
    lines = [line for state in states for line in state.splitlines() if line.startswith("voluntary_ctxt_switches:")]
    return sum(int(line.partition(":")[2]) for line in lines) if lines else None


class Bystanders:
    """What other processes take from now on, without their children: shares of a core, and wake-ups a second."""

    def __init__(self, pids: Collection[int]) -> None:
        self._pids, self._since_s = pids, time.monotonic()
        self._before = self._now()

    def so_far(self) -> dict[str, float | None]:
        """Since it was made. None: one of them has ended, or the system does not tell."""
        elapsed_s = time.monotonic() - self._since_s
        cpu_s, woken = (
            None if now is None or before is None or not elapsed_s else (now - before) / elapsed_s
            for now, before in zip(self._now(), self._before, strict=True)
        )
        return {"core_share": cpu_s, "wakeups_per_s": woken}

    def _now(self) -> tuple[float | None, float | None]:
        return _sum([cpu_clock_s(pid) for pid in self._pids]), _sum([wakeups(pid) for pid in self._pids])


def _sum(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(sum(there)) if len(there) == len(values) else None


def is_copy(pid: int) -> bool:
    """Whether a child is still the copy that a fork makes: its parent's program at its parent's size, until it starts its own."""
    try:
        state = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        parent = PROC / state[_PARENT]
        own = PROC / str(pid)
        return (own / "exe").readlink() == (parent / "exe").readlink() and _pages(own) == _pages(parent)
    except (OSError, IndexError):
        return False


def _pages(process: Path) -> str:
    """Of its address space."""
    return (process / "statm").read_text(encoding="ascii").split()[0]


def _children(pid: int) -> list[int]:
    """By the kernel's own lists (CONFIG_PROC_CHILDREN, proc(5)), microseconds; else by looking through all processes."""
    tasks = PROC / str(pid) / "task"
    try:
        lists = [(task / "children").read_text(encoding="ascii") for task in tasks.iterdir()]
    except OSError:
        return [] if PROC.joinpath("self/task").is_dir() and not tasks.is_dir() else _looked_for(pid)
    return [int(number) for children in lists for number in children.split()]


def _looked_for(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _waited_s(pid: int) -> float:
    """CPU seconds of the children that a process has waited for, to a tick of the kernel (10 ms)."""
    try:
        after_name = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return sum(map(int, after_name[_CUTIME : _CUTIME + 2])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
