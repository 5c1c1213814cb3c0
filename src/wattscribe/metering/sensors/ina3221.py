"""Jetson's INA3221 under hwmon (JetPack 5 and later, and upstream kernels): voltage × current of each labelled channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering import limits
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.files import SensorFiles, ValueFile
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import rails

NAME = "ina3221"
DRIVER = "sys/bus/i2c/drivers/ina3221"
INPUTS = (1, 2, 3)
"""in1 to in3 are the bus voltages of the rails. in4 to in6 are shunt voltages, in7 and curr4 the chip's sums: no rails."""
SHUNT_STEP_V = 40e-6
"""The chip's shunt voltage step (TI data sheet SBOS576): 8 mA at 5 mΩ."""
SHUNT_RANGE_V = 0.1638
BUS_RANGE_V = 26.0
"""The chip's full scales (SBOS576): more than both together it cannot show."""
VOLTAGE_SLACK = 1.25
"""A supply rail stays this near to what it was when it was opened."""
DEFAULT_SHUNT_OHM = 5e-3
DEFAULT_UPDATE_S = 0.0066
"""3 channels × (bus + shunt) × 1.1 ms, the driver's default, where the chip does not tell."""


@dataclass(slots=True)
class _Rail:
    """One channel of one chip; the hwmon directory below `chip` may be renumbered while we read."""

    chip: Path
    index: int
    label: str
    voltage: ValueFile
    current: ValueFile


class Ina3221Meter:
    """All rails of all chips. `read` gives W; a rail whose read fails gives None and is looked up anew."""

    name = NAME

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        self._rails, self.skipped = _find_rails(files)
        if not self._rails:
            raise MeterError("no channel of the chip is a rail", where=DRIVER)
        self._channels = [self._channel(rail) for rail in self._rails]

    def channels(self) -> Sequence[Channel]:
        return self._channels

    def read(self) -> Sequence[float | None]:
        values = [self._read_rail(rail) for rail in self._rails]
        if all(rail.voltage.gone for rail in self._rails) and all(value is None for value in values):
            raise MeterError("the sensor is gone", where=self._rails[0].chip)
        return values

    def close(self) -> None:
        for rail in self._rails:
            rail.voltage.close()
            rail.current.close()

    @property
    def forbidden(self) -> bool:
        return any(rail.voltage.forbidden or rail.current.forbidden for rail in self._rails)

    def _read_rail(self, rail: _Rail) -> float | None:
        power_w = _power_w(rail)
        if power_w is None and (rail.voltage.gone or rail.current.gone) and self._find_again(rail):
            power_w = _power_w(rail)
        return power_w

    def _find_again(self, rail: _Rail) -> bool:
        """The hwmon number changes when the driver is bound anew; the label tells which channel it was."""
        for monitor in sorted(rail.chip.glob("hwmon/hwmon*")):
            for index in INPUTS:
                if self._files.text(monitor / f"in{index}_label") == rail.label or (
                    index == rail.index and not (monitor / f"in{index}_label").exists()
                ):
                    rail.voltage.close()
                    rail.current.close()
                    rail.index = index
                    rail.voltage = ValueFile(self._files, monitor / f"in{index}_input")
                    rail.current = ValueFile(self._files, monitor / f"curr{index}_input")
                    return True
        return False

    def _channel(self, rail: _Rail) -> Channel:
        monitor = rail.voltage.path.parent
        interval_ms = self._files.number(monitor / "update_interval")
        shunt_uohm = self._files.number(monitor / f"shunt{rail.index}_resistor")
        voltage_mv = rail.voltage.read()
        full_v = min(BUS_RANGE_V, VOLTAGE_SLACK * voltage_mv / 1e3) if voltage_mv else BUS_RANGE_V
        shunt_ohm = shunt_uohm / 1e6 if shunt_uohm else DEFAULT_SHUNT_OHM
        update_s = interval_ms / 1e3 if interval_ms else DEFAULT_UPDATE_S
        return rails.describe(rail.label).channel(
            rail.label,
            update_interval_s=update_s,
            resolution=SHUNT_STEP_V / shunt_ohm * (voltage_mv or 5000.0) / 1e3,
            averaging_s=update_s,
            ceiling_w=SHUNT_RANGE_V / shunt_ohm * full_v,
        )


def _power_w(rail: _Rail) -> float | None:
    """mV × mA → W."""
    voltage_mv, current_ma = rail.voltage.read(), rail.current.read()
    return None if voltage_mv is None or current_ma is None else voltage_mv * current_ma / 1e6


def _find_rails(files: SensorFiles) -> tuple[list[_Rail], list[str]]:
    """The rails, and the channels that are none with the reason."""
    rails_here: list[_Rail] = []
    skipped: list[str] = []
    for chip in files.glob(f"{DRIVER}/*-*"):
        monitors = sorted(chip.glob("hwmon/hwmon*"))
        if not monitors:
            continue
        monitor = monitors[-1]
        labelled = any(files.text(monitor / f"in{index}_label") for index in INPUTS)
        for index in INPUTS:
            label = files.text(monitor / f"in{index}_label")
            reason = _why_not(files, monitor, index, label, labelled)
            if reason is not None:
                skipped.append(f"{chip.name} channel {index}: {reason}")
                continue
            rails_here.append(
                _Rail(
                    chip=chip,
                    index=index,
                    label=label or f"{chip.name}-channel{index}",
                    voltage=ValueFile(files, monitor / f"in{index}_input"),
                    current=ValueFile(files, monitor / f"curr{index}_input"),
                )
            )
    return rails_here, skipped


def _why_not(files: SensorFiles, monitor: Path, index: int, label: str | None, labelled: bool) -> str | None:
    if files.number(monitor / f"in{index}_enable") == 0:
        return "disabled"
    if labelled and not label:
        return "no label"
    if label and not rails.is_rail(label):
        return f"label {label!r}"
    for name in (f"in{index}_input", f"curr{index}_input"):
        if not (monitor / name).exists():
            return f"{name} is missing"
    return None


def probe(host: Host) -> Probe:
    """Which rails can be read here, and why not."""
    files = host.files
    if not files.glob(f"{DRIVER}/*-*"):
        return Probe(meter=NAME, available=False, reason="no INA3221 under hwmon (Jetson with JetPack 5 or later)")
    try:
        meter = Ina3221Meter(files)
    except MeterError as error:
        return Probe(meter=NAME, available=False, reason=str(error))
    try:
        fix = f"sudo chmod o+r /{DRIVER}/*/hwmon/hwmon*/*_input"
        row = rails.probe_of(NAME, meter, fix, left_out=meter.skipped)
        return limits.with_instants(row, fix=_make_it_average(files))
    finally:
        meter.close()


def _make_it_average(files: SensorFiles) -> str | None:
    """The command that lets every chip average over what lies between two reads; None where the driver cannot."""
    needed = 0
    for setting in files.glob(f"{DRIVER}/*-*/hwmon/hwmon*/samples"):
        interval_ms = files.number(setting.parent / "update_interval")
        interval_s = interval_ms / 1e3 if interval_ms else DEFAULT_UPDATE_S
        needed = max(needed, limits.averages_needed(interval_s, int(files.number(setting) or 1)) or 0)
    return f"echo {needed} | sudo tee /{DRIVER}/*/hwmon/hwmon*/samples" if needed else None


def open_meter(host: Host) -> Ina3221Meter:
    """Raises MeterError where there is none."""
    return Ina3221Meter(host.files)
