"""A laptop's or board's battery while it discharges: the whole device's power, coarse in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.meters.base import Channel, Probe
from wattscribe.meters.files import SensorFiles, ValueFile
from wattscribe.meters.host import Host
from wattscribe.units import J_PER_WH, w_from_uw

NAME = "battery"
CLASS = "sys/class/power_supply"
POWER_UPDATE_S = 1.0
ENERGY_UPDATE_S = 10.0
"""Firmware refreshes are not documented and differ, from 1 to 60 s; the data tell the rest."""


class _Battery:
    """One battery with the best of its sources. Raises MeterError where it has none."""

    def __init__(self, files: SensorFiles, folder: Path) -> None:
        self._files = files
        self.folder = folder
        self._status_path = folder / "status"
        self._open: list[ValueFile] = []
        self._start_j: float | None = None
        self.kind, self._read = self._best_source()

    @property
    def status(self) -> str:
        return self._files.text(self._status_path) or "unknown"

    @property
    def gone(self) -> bool:
        return all(file.gone for file in self._open)

    def read(self) -> float | None:
        """W, or J drawn since the first read; None unless the battery feeds the device."""
        return self._read() if self.status == "Discharging" else None

    def close(self) -> None:
        for file in self._open:
            file.close()

    def _best_source(self) -> tuple[str, Callable[[], float | None]]:
        if self._has("power_now"):
            return "power_now", self._power_w
        if self._has("current_now") and self._has("voltage_now"):
            return "current_now × voltage_now", self._product_w
        if self._has("energy_now"):
            return "energy_now", self._drawn_j
        raise MeterError("the battery tells neither power, current nor energy", where=self.folder)

    def _has(self, name: str) -> bool:
        if self._files.number(self.folder / name) is None:
            return False
        self._open.append(ValueFile(self._files, self.folder / name))
        return True

    def _power_w(self) -> float | None:
        value_uw = self._open[-1].read()
        return None if value_uw is None else abs(w_from_uw(value_uw))  # Some drivers count discharge as negative.

    def _product_w(self) -> float | None:
        current_ua, voltage_uv = self._open[-2].read(), self._open[-1].read()
        return None if current_ua is None or voltage_uv is None else abs(current_ua * voltage_uv) / 1e12

    def _drawn_j(self) -> float | None:
        left_uwh = self._open[-1].read()
        if left_uwh is None:
            return None
        left_j = left_uwh / 1e6 * J_PER_WH
        if self._start_j is None:
            self._start_j = left_j
        return self._start_j - left_j


class BatteryMeter:
    """Every battery of the device."""

    name = NAME

    def __init__(self, files: SensorFiles) -> None:
        self._batteries: list[_Battery] = []
        self.refused: list[str] = []
        for folder in find(files):
            try:
                self._batteries.append(_Battery(files, folder))
            except MeterError as error:
                self.refused.append(str(error))
        if not self._batteries:
            raise MeterError("; ".join(self.refused) or "no battery", where=CLASS)

    @property
    def discharging(self) -> bool:
        return any(battery.status == "Discharging" for battery in self._batteries)

    def channels(self) -> Sequence[Channel]:
        alone = len(self._batteries) == 1
        return [
            Channel(
                name=battery.folder.name,
                covers=f"whole device from {'the battery' if alone else 'one of its batteries'}, {battery.kind}",
                kind="energy" if battery.kind == "energy_now" else "power",
                total=alone,
                update_interval_s=ENERGY_UPDATE_S if battery.kind == "energy_now" else POWER_UPDATE_S,
            )
            for battery in self._batteries
        ]

    def read(self) -> Sequence[float | None]:
        values = [battery.read() for battery in self._batteries]
        if all(battery.gone for battery in self._batteries):
            raise MeterError("the battery is gone", where=CLASS)
        return values

    def close(self) -> None:
        for battery in self._batteries:
            battery.close()


def find(files: SensorFiles) -> list[Path]:
    """The device's own batteries: those of a mouse or a headset have scope Device."""
    return [
        folder
        for folder in files.glob(f"{CLASS}/*")
        if files.text(folder / "type") == "Battery" and files.text(folder / "scope") != "Device"
    ]


def probe(host: Host) -> Probe:
    """Whether there is a battery, and whether it feeds the device now."""
    try:
        meter = BatteryMeter(host.files)
    except MeterError as error:
        reason = "no battery" if error.what == "no battery" else str(error)
        return Probe(meter=NAME, available=False, reason=reason)
    try:
        channels = tuple(meter.channels())
        if not meter.discharging:
            return Probe(
                meter=NAME,
                available=False,
                reason="the battery does not discharge: the mains feed the device",
                fix="unplug the charger",
                channels=channels,
            )
    finally:
        meter.close()
    return Probe(meter=NAME, available=True, reason="; ".join(c.covers for c in channels), channels=channels)


def open_meter(host: Host) -> BatteryMeter:
    """Raises MeterError where there is none."""
    return BatteryMeter(host.files)
