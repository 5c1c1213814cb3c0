"""Apple silicon under macOS: the SoC's own energy counters (IOReport), through the package zeus-apple-silicon, without root.

Its `AppleEnergyMonitor().get_cumulative_energy()` gives mJ since the start of the machine: `cpu_total_mj` (cores and clusters are
inside it), `gpu_mj`, `gpu_sram_mj`, `dram_mj`, `ane_mj`; a counter that the chip lacks is None (ml-energy/zeus-apple-silicon).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.host import Host
from wattscribe.records import Processor
from wattscribe.units import j_from_mj

NAME = "apple"
FIX = "pip install 'wattscribe[apple]'"
UPDATE_S = 0.1
"""Not documented by Apple. Between its updates a counter is exact, whatever they are; their time is known to this."""
MAX_SOC_W = 400.0
"""Above what any Mac takes at its plug (Mac Studio with M3 Ultra: 270 W, Apple)."""
PARTS: dict[str, tuple[str, tuple[Processor, ...], tuple[str, ...]]] = {
    "cpu": ("CPU cores and their clusters", ("cpu",), ("cpu_total_mj",)),
    "gpu": ("GPU with its SRAM", ("gpu",), ("gpu_mj", "gpu_sram_mj")),
    "dram": ("DRAM", (), ("dram_mj",)),
    "ane": ("neural engine", (), ("ane_mj",)),
}
"""Rails that lie beside each other, so that their sum counts nothing twice."""


class AppleMeter:
    """One counter per part that the chip has, and their sum. `module` has zeus_apple_silicon's class."""

    name = NAME

    def __init__(self, module: Any) -> None:
        try:
            self._monitor: Any = module.AppleEnergyMonitor()
            first = self._parts_j()
        except (RuntimeError, OSError, AttributeError) as error:  # C++ exceptions come as RuntimeError
            raise MeterError(f"the energy counters cannot be read: {error}", where=NAME) from None
        self._names = [name for name, value in first.items() if value is not None]
        if not self._names:
            raise MeterError("this chip shows none of its energy counters", where=NAME)

    def channels(self) -> Sequence[Channel]:
        parts = [self._channel(name, PARTS[name][0], PARTS[name][1], total=False) for name in self._names]
        words = ", ".join(PARTS[name][0] for name in self._names)
        covers = f"SoC: {words} together (not display, storage, ports and losses of the supply)"
        return [*parts, self._channel("soc", covers, (), total=True)]

    def read(self) -> Sequence[float | None]:
        if self._monitor is None:
            raise MeterError("the meter is closed", where=NAME)
        try:
            parts_j = self._parts_j()
        except (RuntimeError, OSError, AttributeError) as error:  # C++ exceptions come as RuntimeError
            raise MeterError(f"the energy counters cannot be read: {error}", where=NAME) from None
        values = [parts_j[name] for name in self._names]
        known = [value for value in values if value is not None]
        return [*values, math.fsum(known) if len(known) == len(values) else None]

    def close(self) -> None:
        self._monitor = None

    def _parts_j(self) -> dict[str, float | None]:
        shown = self._monitor.get_cumulative_energy()
        return {name: _sum_j(shown, fields) for name, (_, _, fields) in PARTS.items()}

    def _channel(self, name: str, covers: str, processors: tuple[Processor, ...], *, total: bool) -> Channel:
        return Channel(
            name=name,
            covers=covers,
            kind="energy",
            total=total,
            update_interval_s=UPDATE_S,
            resolution=1e-3,
            ceiling_w=MAX_SOC_W,
            processors=processors,
        )


def _sum_j(shown: Any, fields: Sequence[str]) -> float | None:
    """Of those counters that the chip has; None where it has none."""
    known = [value for field in fields if (value := getattr(shown, field, None)) is not None]
    return math.fsum(j_from_mj(float(value)) for value in known) if known else None


def probe(host: Host) -> Probe:
    """Which counters the chip shows."""
    if host.apple is None:
        if host.system != "Darwin":
            return Probe(
                meter=NAME, available=False, reason="no macOS (Apple silicon under Linux shows its power under hwmon)"
            )
        return Probe(meter=NAME, available=False, reason="the package zeus-apple-silicon is not installed", fix=FIX)
    try:
        meter = AppleMeter(host.apple)
    except MeterError as error:
        return Probe(meter=NAME, available=False, reason=error.what)
    channels = tuple(meter.channels())
    meter.close()
    names = ", ".join(channel.name for channel in channels)
    return Probe(
        meter=NAME, available=True, reason=f"energy counters: {names}; {channels[-1].covers}", channels=channels
    )


def open_meter(host: Host) -> AppleMeter:
    """Raises MeterError where there is none."""
    if host.apple is None:
        raise MeterError("the package zeus-apple-silicon is not installed", where=NAME, fix=FIX)
    return AppleMeter(host.apple)
