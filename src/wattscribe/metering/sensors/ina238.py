"""INA238 under hwmon, power in µW: on Jetson Thor the board's input, elsewhere what its label says."""

from __future__ import annotations

from pathlib import Path

from wattscribe.metering.base import Probe
from wattscribe.metering.files import MovingFile, SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.rail_files import RailFile, RailFilesMeter, look
from wattscribe.units import w_from_uw

NAME = "ina238"
DRIVER = "sys/bus/i2c/drivers/ina238"
POWER = "power1_input"
SHUNT_RANGE_V = 0.16384
BUS_RANGE_V = 85.0
"""The chip's full scales (TI data sheet SBOSA20)."""
MAX_BOARD_W = 300.0
"""Thor's supply gives 240 W (NVIDIA); where neither shunt nor board is known the chip may carry more than that."""
UPDATE_S = 0.0032
"""Bus, shunt and temperature at 1.052 ms each: the chip's default (TI data sheet SBOSA20), where the driver does not tell."""


class Ina238Meter(RailFilesMeter):
    """One channel per chip; W."""

    name = NAME
    where = DRIVER

    def __init__(self, files: SensorFiles) -> None:
        rails: list[RailFile] = []
        for chip in files.glob(f"{DRIVER}/*-*"):
            rail = _rail(files, chip, first=not rails)
            rails += [] if rail is None else [rail]
        super().__init__(rails, none=f"the chip has no {POWER}")


def _rail(files: SensorFiles, chip: Path, *, first: bool) -> RailFile | None:
    monitor = _monitor(chip)
    if monitor is None or not (monitor / POWER).exists():
        return None
    label = files.text(monitor / "power1_label") or files.text(monitor / "in1_label")
    jetson = _is_jetson(files)
    name = label or ("VIN" if jetson and first else f"{chip.name}-power")
    interval_ms = files.number(monitor / "update_interval")
    update_s = interval_ms / 1e3 if interval_ms else UPDATE_S
    facts = rails.describe(name) if jetson else rails.Rail(covers=f"what INA238 {chip.name} carries ({name})")
    shunt_uohm = files.number(monitor / "shunt_resistor")
    range_w = SHUNT_RANGE_V / (shunt_uohm / 1e6) * BUS_RANGE_V if shunt_uohm else None
    channel = facts.channel(
        name,
        update_interval_s=update_s,
        averaging_s=update_s,
        ceiling_w=min(range_w or MAX_BOARD_W, MAX_BOARD_W) if jetson else range_w,
    )

    def find() -> Path | None:
        monitor_now = _monitor(chip)
        return None if monitor_now is None else monitor_now / POWER

    return RailFile(channel=channel, file=MovingFile(files, monitor / POWER, find), si=w_from_uw)


def _monitor(chip: Path) -> Path | None:
    return next(iter(sorted(chip.glob("hwmon/hwmon*"))), None)


def _is_jetson(files: SensorFiles) -> bool:
    """Only there an INA238 without a label is known to sit at the board's input."""
    tree = f"{files.text(files.path('proc/device-tree/model'))} {files.text(files.path('proc/device-tree/compatible'))}"
    return "jetson" in tree.lower() or "tegra" in tree.lower() or files.path("etc/nv_tegra_release").exists()


def probe(host: Host) -> Probe:
    """Whether there is one, and what it covers here."""
    fix = f"sudo chmod o+r /{DRIVER}/*/hwmon/hwmon*/{POWER}"
    return look(host, NAME, DRIVER, open_meter, none="no INA238 under hwmon (Jetson Thor)", fix=fix)


def open_meter(host: Host) -> Ina238Meter:
    """Raises MeterError where there is none."""
    return Ina238Meter(host.files)
