"""Jetson's INA3221 under iio, as JetPack 4's kernel shows it: power in mW per named rail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering import rails
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.files import FoundFile, SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.tegrastats_line import MAX_RAIL_W
from wattscribe.units import w_from_mw

NAME = "ina3221-iio"
DRIVER = "sys/bus/i2c/drivers/ina3221x"
RAILS_PER_CHIP = 3
UPDATE_S = 0.0066
"""3 channels × (bus + shunt) × 1.1 ms: the chip's default; JetPack 4 does not tell."""
STEP_W = 0.04
"""8 mA at 5 V: 40 µV of shunt voltage at the 5 mΩ that NVIDIA's carrier boards use."""


class Ina3221IioMeter:
    """All named rails of all chips; W."""

    name = NAME

    def __init__(self, files: SensorFiles) -> None:
        self._labels: list[str] = []
        self._powers: list[FoundFile] = []
        for chip in files.glob(f"{DRIVER}/*-*"):
            for index in range(RAILS_PER_CHIP):
                self._add(files, chip, index)
        if not self._labels:
            raise MeterError("no channel of the chip is a rail", where=DRIVER)

    def channels(self) -> Sequence[Channel]:
        return [
            rails.describe(label).channel(
                label,
                update_interval_s=UPDATE_S,
                resolution=STEP_W,
                averaging_s=UPDATE_S,
                ceiling_w=MAX_RAIL_W,
            )
            for label in self._labels
        ]

    def read(self) -> Sequence[float | None]:
        values_mw = [power.read() for power in self._powers]
        if all(power.gone for power in self._powers):
            raise MeterError("the sensor is gone", where=DRIVER)
        return [None if value is None else w_from_mw(value) for value in values_mw]

    def close(self) -> None:
        for power in self._powers:
            power.close()

    @property
    def forbidden(self) -> bool:
        return any(power.forbidden for power in self._powers)

    def _add(self, files: SensorFiles, chip: Path, index: int) -> None:
        device = _device(chip)
        label = None if device is None else files.text(device / f"rail_name_{index}")
        if device is None or label is None or not rails.is_rail(label):
            return
        name = f"in_power{index}_input"

        def find() -> Path | None:
            found = _device(chip)
            return None if found is None else found / name

        self._labels.append(label)
        self._powers.append(FoundFile(files, device / name, find))


def _device(chip: Path) -> Path | None:
    return next(iter(sorted(chip.glob("iio:device*"))), None)


def probe(host: Host) -> Probe:
    """Which rails can be read here, and why not."""
    if not host.files.glob(f"{DRIVER}/*-*"):
        return Probe(meter=NAME, available=False, reason="no INA3221 under iio (Jetson with JetPack 4)")
    try:
        meter = Ina3221IioMeter(host.files)
    except MeterError as error:
        return Probe(meter=NAME, available=False, reason=str(error))
    try:
        return rails.probe_of(NAME, meter, f"sudo chmod o+r /{DRIVER}/*/iio:device*/in_*_input")
    finally:
        meter.close()


def open_meter(host: Host) -> Ina3221IioMeter:
    """Raises MeterError where there is none."""
    return Ina3221IioMeter(host.files)
