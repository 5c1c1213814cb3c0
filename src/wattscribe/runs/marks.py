"""Marks: the machine is made busy and idle at known times, so that a recording with its own clock can be aligned to the run.

The pulses before the first trial and those after the last are mirror images, so that neither is taken for the other, and no
pulse follows another at an even distance, so that no shift of the pattern looks like the pattern.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from pathlib import Path

from wattscribe.metering.machine import sysctl, usable_cores
from wattscribe.records import Window

PATTERN = (2.0, 1.0, 1.0, 2.0, 1.0)
"""Busy, idle, busy, idle, busy, in units."""
BLOCK = bytes(1 << 16)
"""Hashing so much at once frees Python's lock for about 0.1 ms: every core works, and stops soon."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def before(unit_s: float) -> tuple[Window, ...]:
    """The pulses ahead of the first trial; takes 9 units."""
    return _pulses(PATTERN, unit_s)


def after(unit_s: float) -> tuple[Window, ...]:
    """The pulses behind the last trial."""
    return _pulses(PATTERN[::-1], unit_s)


def boot_id() -> str | None:
    """Names the machine's present uptime, to which its monotonic clock belongs; None where the kernel does not tell."""
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text(encoding="ascii").strip()
    return sysctl("kern.bootsessionuuid")


def _pulses(pattern: tuple[float, ...], unit_s: float) -> tuple[Window, ...]:
    """Idle, the pattern, idle; the windows say when the cores really worked."""
    time.sleep(unit_s)
    at_s = time.monotonic() + unit_s / 10
    windows = []
    for index, length in enumerate(pattern):
        end_s = at_s + length * unit_s
        if index % 2 == 0:
            windows.append(_busy(at_s, end_s))
        at_s = max(end_s, time.monotonic())  # on a machine so busy that a pulse came late
    time.sleep(unit_s)
    return tuple(windows)


def _busy(start_s: float, end_s: float) -> Window:
    """Every core that this process may use works from `start_s` to `end_s`; the mean of when they did."""
    cores = usable_cores()
    worked: list[tuple[float, float]] = []
    threads = [threading.Thread(target=_work, args=(start_s, end_s, worked)) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts, ends = zip(*worked, strict=True)
    return Window(start_s=sum(starts) / cores, end_s=sum(ends) / cores)


def _work(start_s: float, end_s: float, worked: list[tuple[float, float]]) -> None:
    time.sleep(max(0.0, start_s - time.monotonic()))
    began_s = time.monotonic()
    while (now_s := time.monotonic()) < end_s:
        hashlib.sha256(BLOCK).digest()
    worked.append((began_s, now_s))
