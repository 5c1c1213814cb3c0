"""Intel and AMD RAPL counters through Linux powercap: wraps undone, forbidden told from absent, copies counted once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.meters.base import Channel, Clock, Probe
from wattscribe.meters.files import SensorFiles, ValueFile
from wattscribe.meters.host import Host
from wattscribe.units import j_from_uj

NAME = "rapl"
CLASS = "sys/class/powercap"
UPDATE_S = 0.001
"""Intel's manual, volume 3B: the counters are updated about every millisecond."""
MAX_DOMAIN_W = 5000.0
"""No socket draws more: a step that needs more power is a reset of the counter, not a wrap."""
FIX = f"sudo chmod o+r /{CLASS}/intel-rapl*/energy_uj /{CLASS}/intel-rapl*/*/energy_uj"
_ZONE = re.compile(r"^(intel-rapl(?:-mmio)?):(\d+)(?::(\d+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zone:
    """One domain: `parent` is the package's number where it lies below one."""

    path: Path
    name: str
    label: str
    """`package-0`, `package-0.dram`, `psys`."""
    mmio: bool
    parent: int | None


class _Counter:
    """One domain's energy in J since the first read: a failed read changes nothing, NaN says that it was set back."""

    def __init__(self, files: SensorFiles, zone: _Zone, clock: Clock) -> None:
        self.file = ValueFile(files, zone.path / "energy_uj")
        self._range_uj = files.number(zone.path / "max_energy_range_uj")
        self._clock = clock
        self._last_uj: float | None = None
        self._last_s = 0.0
        self._sum_uj = 0.0

    def read_j(self) -> float | None:
        value_uj, now_s = self.file.read(), self._clock.now_s()
        if value_uj is None:
            return None
        last_uj, elapsed_s = self._last_uj, now_s - self._last_s
        self._last_uj, self._last_s = value_uj, now_s
        if last_uj is None:
            return 0.0
        step_uj = value_uj - last_uj
        if step_uj < 0:
            step_uj += self._range_uj or 0.0
            if step_uj < 0 or j_from_uj(step_uj) > MAX_DOMAIN_W * max(elapsed_s, UPDATE_S):
                return math.nan  # Suspended, or the driver loaded anew: this step is unknown, not a wrap.
        self._sum_uj += step_uj
        return j_from_uj(self._sum_uj)


class RaplMeter:
    """Every domain once, and `cpu`: the sum of the packages and of the DRAM domains beside them, which do not overlap."""

    name = NAME

    def __init__(self, files: SensorFiles, clock: Clock) -> None:
        self._zones = find_zones(files)
        if not self._zones:
            raise MeterError("no RAPL domain", where=CLASS)
        self._counters = [_Counter(files, zone, clock) for zone in self._zones]
        self._readable = [counter.read_j() is not None for counter in self._counters]
        self._summed = [index for index, zone in enumerate(self._zones) if _is_summed(zone)]

    @property
    def forbidden(self) -> bool:
        return any(counter.file.forbidden for counter in self._counters)

    @property
    def readable(self) -> bool:
        return any(self._readable)

    def channels(self) -> Sequence[Channel]:
        has_psys = any(zone.name == "psys" and ok for zone, ok in zip(self._zones, self._readable, strict=True))
        channels = [
            _channel(zone.label, _covers(zone), total=zone.name == "psys" and ok)
            for zone, ok in zip(self._zones, self._readable, strict=True)
        ]
        if self._summed:
            names = " + ".join(self._zones[index].label for index in self._summed)
            channels.append(_channel("cpu", f"CPU: {names} (not board, disk or GPU)", total=not has_psys))
        return channels

    def read(self) -> Sequence[float | None]:
        values = [counter.read_j() for counter in self._counters]
        if all(counter.file.gone for counter in self._counters):
            raise MeterError("the RAPL domains are gone", where=CLASS)
        if self._summed:
            values.append(_sum_j([values[index] for index in self._summed]))
        return values

    def close(self) -> None:
        for counter in self._counters:
            counter.file.close()


def _sum_j(parts_j: Sequence[float | None]) -> float | None:
    """None where one part's read failed; NaN where one was set back, also if another's read failed: it is said only once."""
    known_j = [part_j for part_j in parts_j if part_j is not None]
    total_j = sum(known_j)
    return total_j if len(known_j) == len(parts_j) or math.isnan(total_j) else None


def _channel(name: str, covers: str, *, total: bool) -> Channel:
    return Channel(name=name, covers=covers, kind="energy", total=total, update_interval_s=UPDATE_S)


def _is_summed(zone: _Zone) -> bool:
    return zone.name.startswith("package") or zone.name == "dram"


def _covers(zone: _Zone) -> str:
    package = "" if zone.parent is None else f" of package {zone.parent}"
    words = {
        "psys": "CPU platform: the package and what the board's maker wired to psys (not a GPU card)",
        "dram": f"DRAM{package} (beside the package, not in it)",
        "core": f"CPU cores{package} (inside the package)",
        "uncore": f"integrated GPU and uncore{package} (inside the package)",
    }
    return words.get(zone.name, f"CPU {zone.name}")


def find_zones(files: SensorFiles) -> list[_Zone]:
    """Each domain once: a package seen through MMIO and through MSR is one package, and its MSR copy is read."""
    paths: dict[str, Path] = {}
    for pattern in (
        f"{CLASS}/intel-rapl*:*",
        f"{CLASS}/intel-rapl*/intel-rapl*:*",
        f"{CLASS}/intel-rapl*/*/intel-rapl*:*",
    ):
        for path in files.glob(pattern):
            if _ZONE.match(path.name):
                paths.setdefault(path.name, path)
    zones = [zone for name in sorted(paths, key=_order) if (zone := _zone(files, name, paths)) is not None]
    seen: set[str] = set()
    once = []
    for zone in zones:
        if zone.label not in seen:
            seen.add(zone.label)
            once.append(zone)
    return once


def _order(name: str) -> tuple[bool, int, int]:
    match = _ZONE.match(name)
    if match is None:
        return True, 0, 0
    return match[1].endswith("mmio"), int(match[2]), int(match[3] or -1)


def _zone(files: SensorFiles, directory: str, paths: dict[str, Path]) -> _Zone | None:
    match = _ZONE.match(directory)
    name = files.text(paths[directory] / "name")
    if match is None or name is None or not (paths[directory] / "energy_uj").exists():
        return None
    parent = None
    label = name
    if match[3] is not None:
        above = f"{match[1]}:{match[2]}"
        parent_name = files.text(paths[above] / "name") if above in paths else None
        parent_name = parent_name or f"package-{match[2]}"
        label = f"{parent_name}.{name}"
        numbers = re.findall(r"\d+", parent_name)
        parent = int(numbers[0]) if numbers else int(match[2])
    return _Zone(path=paths[directory], name=name, label=label, mmio=match[1].endswith("mmio"), parent=parent)


def probe(host: Host) -> Probe:
    """Which domains can be read, and how to be allowed to."""
    try:
        meter = RaplMeter(host.files, host.clock)
    except MeterError:
        return _probe_nothing(host.files)
    try:
        return _probe_domains(meter)
    finally:
        meter.close()


def _probe_nothing(files: SensorFiles) -> Probe:
    """No domain: what the CPU is decides whether anything can be done about it."""
    cpu = files.text(files.path("proc/cpuinfo")) or ""
    if "GenuineIntel" not in cpu and "AuthenticAMD" not in cpu:
        return Probe(meter=NAME, available=False, reason="no RAPL domain (Intel and AMD CPUs have them)")
    if "hypervisor" in cpu:
        return Probe(
            meter=NAME, available=False, reason="no RAPL domain: a virtual machine does not see the CPU's counters"
        )
    return Probe(
        meter=NAME,
        available=False,
        reason="no RAPL domain: the driver is not loaded",
        fix="sudo modprobe intel_rapl_msr",
    )


def _probe_domains(meter: RaplMeter) -> Probe:
    channels = tuple(meter.channels())
    names = ", ".join(channel.name for channel in channels)
    if not meter.readable:
        if meter.forbidden:
            return Probe(
                meter=NAME,
                available=False,
                reason="energy_uj may be read by root only (since Linux 5.10, against side channels)",
                fix=FIX,
            )
        return Probe(meter=NAME, available=False, reason=f"every read failed ({names})")
    return Probe(meter=NAME, available=True, reason=f"energy counters: {names}", channels=channels)


def open_meter(host: Host) -> RaplMeter:
    """Raises MeterError where there is none, or none may be read."""
    meter = RaplMeter(host.files, host.clock)
    if not meter.readable:
        meter.close()
        raise MeterError("no RAPL domain can be read", where=CLASS, fix=FIX)
    return meter
