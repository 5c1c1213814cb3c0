"""Intel and AMD RAPL counters through Linux powercap: wraps undone, forbidden told from absent, copies counted once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering import machine
from wattscribe.metering.base import PSYS_SHARE, Channel, Clock, Probe
from wattscribe.metering.files import SensorFiles, ValueFile
from wattscribe.metering.host import Host
from wattscribe.records import Processor
from wattscribe.units import j_from_uj, w_from_uw

NAME = "rapl"
CLASS = "sys/class/powercap"
UPDATE_S = 0.001
"""Intel's manual, volume 3B: the counters are updated about every millisecond."""
FIRMWARE_UNLIMITED_W = 1000.0
"""A limit above this is none: desktop boards write 4095.875 W, the register's largest value, to switch the limit off."""
OVER_TDP = 5.0
"""A package's short-term draw over its thermal design power: up to 4.3 (15 W parts with a PL2 of 64 W, Intel's data sheets
of the 10th to 13th generation), and a desktop part without limits about 3."""
OVER_LIMIT = 2.0
"""A limit holds on average over up to 2.4 ms to 28 s (Intel's manual, volume 3B); in between a domain may be above it."""
CEILINGS_W = {"dram": 400.0, "psys": 1500.0}
"""Where the machine tells no limit. DRAM: 24 modules of 15 W of one socket; psys: what one power supply feeds."""
PROCESSORS: dict[str, tuple[Processor, ...]] = {"dram": (), "uncore": ("gpu",)}
"""What a domain feeds; every other one is the CPU's."""
LARGEST_PACKAGE_W = 1000.0
"""Twice the largest rating sold (500 W: AMD EPYC 9965, Intel Xeon 6980P, their product pages)."""
SMALL_PACKAGE_W = 150.0
SMALL_CPUS = re.compile(r"\b(Celeron|Pentium|Atom|N\d{2,4}|[mM][357]-\w+|\w+-\w+[UY]|\w+G[1-7])\b")
"""Rated at most 28 W (Pentium desktops: 58 W), with limits of at most 64 W."""
PSYS_CHECK_S = 0.1
"""Long enough for a hundred updates of the counters."""
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

    def __init__(self, files: SensorFiles, zone: _Zone, clock: Clock, ceiling_w: float) -> None:
        self.file = ValueFile(files, zone.path / "energy_uj")
        self.ceiling_w = ceiling_w
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
        if step_uj < 0 or j_from_uj(step_uj) > self.ceiling_w * (elapsed_s + UPDATE_S):
            return math.nan  # Suspended, the driver loaded anew, or a broken read: this step is unknown.
        self._sum_uj += step_uj
        return j_from_uj(self._sum_uj)


class RaplMeter:
    """Every domain once, and `cpu`: the sum of the packages and of the DRAM domains beside them, which do not overlap."""

    name = NAME

    def __init__(self, files: SensorFiles, clock: Clock) -> None:
        self._zones = find_zones(files)
        if not self._zones:
            raise MeterError("no RAPL domain", where=CLASS)
        cpu = machine.cpu_name(files) or ""
        self._counters = [_Counter(files, zone, clock, ceiling_w(files, zone, cpu)) for zone in self._zones]
        self._readable = [counter.read_j() is not None for counter in self._counters]
        self._summed = [index for index, zone in enumerate(self._zones) if _is_summed(zone)]
        self.psys_is_total = self._psys_holds_all(clock)

    @property
    def forbidden(self) -> bool:
        return any(counter.file.forbidden for counter in self._counters)

    @property
    def readable(self) -> bool:
        return any(self._readable)

    def channels(self) -> Sequence[Channel]:
        channels = [
            _channel(
                zone.label,
                _covers(zone),
                counter.ceiling_w,
                total=zone.name == "psys" and self.psys_is_total,
                processors=PROCESSORS.get(zone.name, ("cpu",)),
            )
            for zone, counter in zip(self._zones, self._counters, strict=True)
        ]
        if self._summed:
            names = " + ".join(self._zones[index].label for index in self._summed)
            most_w = sum(self._counters[index].ceiling_w for index in self._summed)
            covers = f"CPU: {names} (not board, disk or GPU)"
            channels.append(_channel("cpu", covers, most_w, total=not self.psys_is_total))
        return channels

    def _psys_holds_all(self, clock: Clock) -> bool:
        """psys holds the packages, so it must count faster than they; where its wiring or its unit is wrong it does not."""
        psys = [
            c for z, c, ok in zip(self._zones, self._counters, self._readable, strict=True) if z.name == "psys" and ok
        ]
        if not psys:
            return False
        parts = [self._counters[index] for index in self._summed if self._readable[index]]
        before_j = [counter.read_j() for counter in (psys[0], *parts)]
        clock.sleep(PSYS_CHECK_S)
        after_j = [counter.read_j() for counter in (psys[0], *parts)]
        steps_j = [None if a is None or b is None else b - a for a, b in zip(before_j, after_j, strict=True)]
        whole_j, inside_j = steps_j[0], _sum_j(steps_j[1:])
        return whole_j is None or inside_j is None or not whole_j < PSYS_SHARE * inside_j

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


def _channel(
    name: str, covers: str, most_w: float, *, total: bool, processors: tuple[Processor, ...] = ("cpu",)
) -> Channel:
    return Channel(
        name=name,
        covers=covers,
        kind="energy",
        total=total,
        update_interval_s=UPDATE_S,
        ceiling_w=most_w,
        processors=processors,
    )


def ceiling_w(files: SensorFiles, zone: _Zone, cpu: str) -> float:
    """What a domain can draw at most: by the machine's own limits, else by the kind of domain and CPU."""
    limits_w, tdp_w = [], 0.0
    for path in files.glob(str((zone.path / "constraint_*_uw").relative_to(files.root))):
        value_w = w_from_uw(files.number(path) or 0.0)
        if not 0 < value_w <= FIRMWARE_UNLIMITED_W:
            continue
        if path.name == "constraint_0_max_power_uw":  # The first, long-term, one is the thermal design power.
            tdp_w = value_w
        limits_w.append(value_w)
    if limits_w:
        return max(OVER_LIMIT * max(limits_w), OVER_TDP * tdp_w)
    whole_w = SMALL_PACKAGE_W if SMALL_CPUS.search(cpu) else LARGEST_PACKAGE_W
    return CEILINGS_W.get(zone.name, whole_w)


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
    reason = f"energy counters: {names}"
    if not meter.psys_is_total and "psys" in names:
        reason += "; psys counts less than package and DRAM do, so it is not the platform's total"
    return Probe(meter=NAME, available=True, reason=reason, channels=channels)


def open_meter(host: Host) -> RaplMeter:
    """Raises MeterError where there is none, or none may be read."""
    meter = RaplMeter(host.files, host.clock)
    if not meter.readable:
        meter.close()
        raise MeterError("no RAPL domain can be read", where=CLASS, fix=FIX)
    return meter
