"""Jetson's INA3221 under iio, as JetPack 4's kernel shows it: power in mW per named rail."""

from __future__ import annotations

from pathlib import Path

from wattscribe.metering.base import Probe
from wattscribe.metering.files import MovingFile, SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.rail_files import RailFile, RailFilesMeter, look
from wattscribe.metering.sensors.tegrastats_line import MAX_RAIL_W
from wattscribe.units import w_from_mw

NAME = "ina3221-iio"
DRIVER = "sys/bus/i2c/drivers/ina3221x"
RAILS_PER_CHIP = 3
UPDATE_S = 0.0066
"""3 channels × (bus + shunt) × 1.1 ms: the chip's default; JetPack 4 does not tell."""
STEP_W = 0.04
"""8 mA at 5 V: 40 µV of shunt voltage at the 5 mΩ that NVIDIA's carrier boards use."""


class Ina3221IioMeter(RailFilesMeter):
    """All named rails of all chips; W."""

    name = NAME
    where = DRIVER

    def __init__(self, files: SensorFiles) -> None:
        places = ((chip, index) for chip in files.glob(f"{DRIVER}/*-*") for index in range(RAILS_PER_CHIP))
        candidates = (_rail(files, chip, index) for chip, index in places)
        super().__init__([rail for rail in candidates if rail is not None], none="no channel of the chip is a rail")


def _rail(files: SensorFiles, chip: Path, index: int) -> RailFile | None:
    device = _device(chip)
    label = None if device is None else files.text(device / f"rail_name_{index}")
    if device is None or label is None or not rails.is_rail(label):
        return None
    name = f"in_power{index}_input"
    channel = rails.describe(label).channel(
        label, update_interval_s=UPDATE_S, resolution=STEP_W, averaging_s=UPDATE_S, ceiling_w=MAX_RAIL_W
    )

    def find() -> Path | None:
        device_now = _device(chip)
        return None if device_now is None else device_now / name

    return RailFile(channel=channel, file=MovingFile(files, device / name, find), si=w_from_mw)


def _device(chip: Path) -> Path | None:
    return next(iter(sorted(chip.glob("iio:device*"))), None)


def probe(host: Host) -> Probe:
    """Which rails can be read here, and why not."""
    fix = f"sudo chmod o+r /{DRIVER}/*/iio:device*/in_*_input"
    return look(host, NAME, DRIVER, open_meter, none="no INA3221 under iio (Jetson with JetPack 4)", fix=fix)


def open_meter(host: Host) -> Ina3221IioMeter:
    """Raises MeterError where there is none."""
    return Ina3221IioMeter(host.files)
