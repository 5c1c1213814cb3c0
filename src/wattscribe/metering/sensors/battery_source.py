"""What one battery says of the power that it gives: the best of its files that can be true, and why the others cannot.

Drivers differ from the kernel's documentation (Documentation/ABI/testing/sysfs-class-power: µW, µA, µV, µWh, µAh; a negative
current discharges): some count current in mA, some leave power_now at 0, some show the largest integer for "unknown". A battery
checks itself: it holds a known energy, and no machine that runs this program empties it within minutes or within weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import MeterError
from wattscribe.metering.files import OpenFile, SensorFiles, ValueFile
from wattscribe.units import J_PER_WH, w_from_uw

MAX_BATTERY_W = 300.0
"""Laptops limit the discharge to about 150 W, half of what their largest chargers give (330 W)."""
MAX_C_RATE = 10.0
"""Per hour: high-drain lithium cells are rated for 10 times their capacity, those of laptops and phones for 1 to 3."""
MIN_C_RATE = 1e-3
"""A discharge that would take more than 1000 h is none of a running computer: a phone with its screen off lasts 100 to 300 h."""
MIN_DEVICE_W = 0.05
"""Where the capacity is not known either: less than any board that runs Linux takes (Raspberry Pi Zero, idle: 0.4 W)."""
MIN_CELL_V, MAX_PACK_V = 2.0, 80.0
"""One empty cell, and the largest pack of a portable device (20 cells)."""
POWER_UPDATE_S = 10.0
"""Firmware refreshes are not documented: 1 to 10 s are common. Where the samples show the refresh, they are believed instead."""
ENERGY_STEP_WH = 0.01
CHARGE_STEP_AH = 0.001
"""Smart Battery Data Specification 1.1, CAPACITY_MODE: 10 mWh or 1 mAh."""

Kind = Literal["power", "energy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One way to read the battery: W, or J drawn since the first read; None where a read fails or cannot be true."""

    name: str
    kind: Kind
    read: Callable[[], float | None]
    resolution_j: float | None = None


class BatteryFiles:
    """The numbers of one folder of /sys/class/power_supply, kept open. None: missing, unreadable, or a placeholder."""

    def __init__(self, files: SensorFiles, folder: Path) -> None:
        self._files = files
        self.folder = folder
        self._open: dict[str, ValueFile] = {}
        self._status = OpenFile(files, folder / "status")
        self.capacity_wh = self._capacity_wh()

    @property
    def status(self) -> str:
        return (self._status.content() or b"").decode("utf-8", "replace").strip() or "Unknown"

    @property
    def gone(self) -> bool:
        return bool(self._open) and all(file.gone for file in self._open.values())

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def number(self, name: str) -> float | None:
        if name not in self._open:
            self._open[name] = ValueFile(self._files, self.folder / name)
        value = self._open[name].read()
        return None if value is None or _is_placeholder(value) else value

    def voltage_v(self) -> float | None:
        """µV, or mV where only that can be a battery."""
        for name in ("voltage_now", "voltage_ocv", "voltage_min_design", "voltage_max_design"):
            value = self.number(name) if self.has(name) else None
            for scale in (1e-6, 1e-3):
                if value is not None and MIN_CELL_V <= value * scale <= MAX_PACK_V:
                    return value * scale
        return None

    def _capacity_wh(self) -> float | None:
        """When full; what is left where that is not told."""
        for name in ("energy_full", "energy_full_design", "energy_now"):
            value = self.number(name) if self.has(name) else None
            if value is not None and value > 0:
                return value / 1e6
        voltage_v = self.voltage_v()
        for name in ("charge_full", "charge_full_design", "charge_now"):
            value = self.number(name) if self.has(name) else None
            if value is not None and value > 0 and voltage_v is not None:
                return value / 1e6 * voltage_v
        return None

    def close(self) -> None:
        for file in (self._status, *self._open.values()):
            file.close()

    # --- what can be true ---------------------------------------------------------------------------------------------
    @property
    def ceiling_w(self) -> float:
        return MAX_BATTERY_W if self.capacity_wh is None else min(MAX_BATTERY_W, MAX_C_RATE * self.capacity_wh)

    @property
    def may_discharge(self) -> bool:
        return self.status in ("Discharging", "Unknown")

    def current_scale(self, value: float, voltage_v: float) -> float | None:
        """What makes amperes of the driver's number: µA as documented, mA where only that fits what the battery holds."""
        scales = (1e-6,) if self.capacity_wh is None else (1e-6, 1e-3)
        return next((scale for scale in scales if self.is_plausible(abs(value) * scale * voltage_v)), None)

    def is_plausible(self, power_w: float) -> bool:
        floor_w = MIN_DEVICE_W if self.capacity_wh is None else MIN_C_RATE * self.capacity_wh
        return floor_w <= power_w <= self.ceiling_w


_INTEGERS = frozenset({32767, 32768, 65535, 2147483647, 2147483648, 4294967295})
_ERRORS = frozenset({-1, -5, -11, -19, -22, -61, -95})
"""EPERM, EIO, EAGAIN, ENODEV, EINVAL, ENODATA, EOPNOTSUPP: a driver that prints its own error."""


def _is_placeholder(value: float) -> bool:
    """The extreme integers of 16 and 32 bits, also in thousands, and the kernel's error codes stand for "unknown"."""
    return value in _ERRORS or abs(value) in _INTEGERS or abs(value) / 1e3 in _INTEGERS


def best_source(battery: BatteryFiles) -> Source:
    """The first way to read it that can be true now. Raises MeterError with what is wrong with each.

    One that does not discharge now shows no power that could be judged: then the first file that is there is taken, and each
    read is judged by itself.
    """
    reasons: list[str] = []
    for choose in (_power_now, _current, _energy_now, _charge_now):
        source = choose(battery)
        if isinstance(source, Source):
            return source
        reasons.extend(source)
    raise MeterError(
        "; ".join(reasons) or "the battery tells neither power, current, energy nor charge", where=battery.folder
    )


def _power_now(battery: BatteryFiles) -> Source | Sequence[str]:
    if not battery.has("power_now"):
        return ()
    value = battery.number("power_now")
    if value is None:
        return ("power_now cannot be read, or says only that it is not known",)
    if battery.may_discharge and not battery.is_plausible(abs(w_from_uw(value))):  # Some count discharge as negative.
        return (_implausible("power_now", f"{value:.0f} µW", battery),)

    def read() -> float | None:
        now = battery.number("power_now")
        power_w = None if now is None else abs(w_from_uw(now))
        return power_w if power_w is not None and battery.is_plausible(power_w) else None

    return Source(name="power_now", kind="power", read=read)


def _current(battery: BatteryFiles) -> Source | Sequence[str]:
    """In µA as documented, or in mA where only that fits what the battery holds."""
    name = next((file for file in ("current_now", "current_avg") if battery.has(file)), None)
    if name is None:
        return ()
    value, voltage_v = battery.number(name), battery.voltage_v()
    if value is None or voltage_v is None:
        return (f"{name} or voltage_now cannot be read, or says only that it is not known",)
    scale = battery.current_scale(value, voltage_v)
    if scale is None and battery.may_discharge:
        return (_implausible(name, f"{value:.0f} µA", battery),)

    def read() -> float | None:
        nonlocal scale
        current, volts = battery.number(name), battery.voltage_v()
        if current is None or volts is None:
            return None
        if scale is None:  # The first read while it discharges tells the unit.
            scale = battery.current_scale(current, volts)
        power_w = abs(current) * (scale or 0.0) * volts
        return power_w if battery.is_plausible(power_w) else None

    unit = " (in mA, against the kernel's documentation: µA would last for weeks)" if scale == 1e-3 else ""
    return Source(name=f"{name} × voltage_now{unit}", kind="power", read=read)


def _energy_now(battery: BatteryFiles) -> Source | Sequence[str]:
    if not battery.has("energy_now"):
        return ()
    if battery.number("energy_now") is None:
        return ("energy_now cannot be read, or says only that it is not known",)
    return Source(
        name="energy_now",
        kind="energy",
        read=_drawn(lambda: battery.number("energy_now"), lambda step_uwh: step_uwh / 1e6 * J_PER_WH),
        resolution_j=ENERGY_STEP_WH * J_PER_WH,
    )


def _charge_now(battery: BatteryFiles) -> Source | Sequence[str]:
    if not battery.has("charge_now"):
        return ()
    voltage_v = battery.voltage_v()
    if battery.number("charge_now") is None or voltage_v is None:
        return ("charge_now without a voltage is no energy",)

    def in_j(step_uah: float) -> float:
        return step_uah / 1e6 * (battery.voltage_v() or voltage_v) * J_PER_WH

    return Source(
        name="charge_now × voltage_now",
        kind="energy",
        read=_drawn(lambda: battery.number("charge_now"), in_j),
        resolution_j=CHARGE_STEP_AH * voltage_v * J_PER_WH,
    )


def _drawn(left: Callable[[], float | None], in_j: Callable[[float], float]) -> Callable[[], float | None]:
    """What is left, as a counter of what was drawn: each step at the voltage of its time."""
    last: float | None = None
    sum_j = 0.0

    def read() -> float | None:
        nonlocal last, sum_j
        now = left()
        if now is None:
            return None
        if last is not None:
            sum_j += in_j(last - now)
        last = now
        return sum_j

    return read


def _implausible(name: str, value: str, battery: BatteryFiles) -> str:
    if battery.capacity_wh is None:
        return f"{name} of {value} is no power that a running device takes from a battery"
    return f"{name} of {value} is no discharge of a battery that holds {battery.capacity_wh:.3g} Wh"
