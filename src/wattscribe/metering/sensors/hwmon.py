"""Power that other drivers show under hwmon: AMD and Intel GPUs, AMD CPUs of the Bulldozer family, ACPI power meters.

Only drivers of which it is known what their rail covers are read, each chip's first rail as its total; two rails of one chip
overlap and are never added. What the kernel documents (Documentation/hwmon): power in µW, energy in µJ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wattscribe.errors import MeterError
from wattscribe.metering.base import Channel, Probe
from wattscribe.metering.files import MovingFile, SensorFiles
from wattscribe.metering.host import Host
from wattscribe.metering.sensors import rails
from wattscribe.metering.sensors.rail_files import RailFile, RailFilesMeter
from wattscribe.records import Processor
from wattscribe.units import j_from_uj, w_from_uw

NAME = "hwmon"
CLASS = "sys/class/hwmon"
RAILS_PER_CHIP = 4
OVER_CAP = 2.0
"""A cap holds on average: a chip may be above it for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """`processors`: where the rail is a part of the device. `files`: tried in this order."""

    covers: str
    processors: tuple[Processor, ...]
    ceiling_w: float
    update_s: float
    files: tuple[str, ...] = ("power{n}_average", "power{n}_input")
    averaging_s: float | None = None


def _intel_gpu(name: str) -> Driver:
    return Driver(
        covers=f"GPU {{chip}} ({name} {{label}})",
        processors=("gpu",),
        ceiling_w=600.0,
        update_s=0.001,
        files=("energy{n}_input",),
    )


DRIVERS = {
    # Its firmware's own average, over 1 ms to 1 s by generation; a card's board supplies and fans are not in it.
    "amdgpu": Driver(
        covers="GPU {chip} (amdgpu {label}; on an APU CPU and GPU together)",
        processors=("gpu",),
        ceiling_w=1000.0,
        update_s=0.1,
    ),
    "i915": _intel_gpu("i915"),
    "xe": _intel_gpu("xe"),
    "fam15h_power": Driver(covers="CPU package (fam15h_power)", processors=("cpu",), ceiling_w=500.0, update_s=0.01),
    # The machine's own meter at its power supply; power1_average_interval tells its span, in ms.
    "power_meter": Driver(
        covers="whole machine (ACPI power meter {label})", processors=(), ceiling_w=20_000.0, update_s=1.0
    ),
}
"""Ceilings where the chip tells no cap: AMD rates cards at up to 750 W (Instinct MI300X), Intel at up to 300 W."""
ELSEWHERE = frozenset({"ina3221", "ina238", "ina3221x"})
"""Chips with a meter of their own."""


class HwmonMeter(RailFilesMeter):
    """Every rail of the known drivers; W, or J since the driver was loaded."""

    name = NAME
    where = CLASS

    def __init__(self, files: SensorFiles) -> None:
        rail_files: list[RailFile] = []
        for folder in files.glob(f"{CLASS}/hwmon*"):
            driver = DRIVERS.get(files.text(folder / "name") or "")
            if driver is not None:
                rail_files += _rails_of(files, folder, driver)
        super().__init__(rail_files, none="no driver here shows a power whose extent is known")


def _rails_of(files: SensorFiles, folder: Path, driver: Driver) -> list[RailFile]:
    rail_files: list[RailFile] = []
    name = files.text(folder / "name") or ""
    chip = _chip(files, folder)
    for index in range(1, RAILS_PER_CHIP + 1):
        path = next((p for f in driver.files if (p := folder / f.format(n=index)).exists()), None)
        if path is None:
            continue
        rail = path.name.partition("_")[0]
        label = files.text(folder / f"{rail}_label") or rail
        channel = _channel(files, path, driver, f"{name}-{chip}-{label}", chip, label, first=not rail_files)
        file = MovingFile(files, path, partial(_again, files, name, chip, path))
        rail_files.append(RailFile(channel=channel, file=file, si=j_from_uj if channel.kind == "energy" else w_from_uw))
    return rail_files


def _channel(
    files: SensorFiles, path: Path, driver: Driver, name: str, chip: str, label: str, *, first: bool
) -> Channel:
    index = path.name.partition("_")[0].lstrip("abcdefghijklmnopqrstuvwxyz")
    cap_uw = files.number(path.parent / f"power{index}_cap_max") or files.number(path.parent / f"power{index}_max")
    span_ms = files.number(path.parent / f"power{index}_average_interval")
    return Channel(
        name=name,
        covers=driver.covers.format(chip=chip, label=label),
        kind="energy" if path.name.startswith("energy") else "power",
        total=first,
        update_interval_s=span_ms / 1e3 if span_ms else driver.update_s,
        averaging_s=span_ms / 1e3 if span_ms else driver.averaging_s,
        ceiling_w=OVER_CAP * w_from_uw(cap_uw) if cap_uw else driver.ceiling_w,
        processors=driver.processors,
    )


def _chip(files: SensorFiles, folder: Path) -> str:
    """The device's address on its bus, which stays when hwmon is numbered anew; the number where a copied tree has no link."""
    device = folder / "device"
    return device.resolve().name if device.is_symlink() else folder.name


def _again(files: SensorFiles, name: str, chip: str, path: Path) -> Path | None:
    for folder in files.glob(f"{CLASS}/hwmon*"):
        if files.text(folder / "name") == name and _chip(files, folder) == chip and (folder / path.name).exists():
            return folder / path.name
    return None


def _unknown(files: SensorFiles) -> list[str]:
    """Drivers that show a power of which nobody here knows what it covers."""
    names = {
        files.text(path.parent / "name") or path.parent.name
        for pattern in ("power*_input", "power*_average")
        for path in files.glob(f"{CLASS}/hwmon*/{pattern}")
    }
    return sorted(names - DRIVERS.keys() - ELSEWHERE)


def probe(host: Host) -> Probe:
    """Which rails of which drivers can be read here."""
    files = host.files
    unknown = _unknown(files)
    try:
        meter = HwmonMeter(files)
    except MeterError:
        reason = "no GPU, CPU or machine shows its power under hwmon"
        if unknown:
            reason += f"; not read, since what it covers is not known: {', '.join(unknown)}"
        return Probe(meter=NAME, available=False, reason=reason)
    try:
        row = rails.probe_of(NAME, meter, f"sudo chmod o+r /{CLASS}/hwmon*/*_input", left_out=unknown)
    finally:
        meter.close()
    return row


def open_meter(host: Host) -> HwmonMeter:
    """Raises MeterError where there is none."""
    return HwmonMeter(host.files)
