"""What the power under hwmon covers, by the driver that shows it: which of its rails is a total, and which lie inside which.

Units are the kernel's (Documentation/hwmon/sysfs-interface.rst): power in µW, energy in µJ, voltage in mV, current in mA. Any
other driver is read all the same, as parts of unknown extent: they stand for nothing and are never added up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from wattscribe.metering.files import SensorFiles
from wattscribe.records import Processor
from wattscribe.units import w_from_uw

OVER_CAP = 2.0
"""A cap holds on average: a chip may be above it for a moment."""
MAX_RAIL_W = 3680.0
"""What a plug gives (16 A at 230 V), where nothing tells how much a rail can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """`covers`: with `{chip}` and `{label}`. `wholes`: labels of the rails that are totals; None: a chip's first rail is."""

    covers: str
    processors: tuple[Processor, ...] = ()
    wholes: tuple[str, ...] | None = ()
    ceiling_w: float = MAX_RAIL_W
    update_s: float = 0.1
    averaging_s: float | None = None
    files: tuple[str, ...] = ("energy{n}_input", "power{n}_average", "power{n}_input")
    """Tried in this order for each n: one rail may be shown as a counter and as a power."""
    inputs: tuple[int, ...] | None = None
    """Those n of `curr{n}` that are rails; None: all."""
    shunt: Shunt | None = None
    left_out: str | None = None
    """A pattern of labels that are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shunt:
    """A monitor's full scales in V; `step_v` × `factor` over its shunt is the step of its power register."""

    range_v: float
    bus_v: float
    step_v: float
    factor: float
    ohm: float = 0.01
    """Where the driver does not tell: the kernel's default, 10 mΩ."""


def _gpu(name: str, *, wholes: tuple[str, ...] | None, ceiling_w: float, update_s: float) -> Driver:
    return Driver(
        covers=f"GPU {{chip}} ({name} {{label}})",
        processors=("gpu",),
        wholes=wholes,
        ceiling_w=ceiling_w,
        update_s=update_s,
    )


_INA219 = Driver(
    covers="what {driver} {chip} carries ({label})",
    update_s=0.00106,
    averaging_s=0.00106,
    shunt=Shunt(range_v=0.32, bus_v=32.0, step_v=10e-6, factor=20.0),
)
"""12 bits at 532 µs each for bus and shunt, without averaging, as the driver sets it (drivers/hwmon/ina2xx.c, SBOS448)."""
_INA226 = replace(
    _INA219, update_s=0.0352, averaging_s=0.0352, shunt=Shunt(range_v=0.08192, bus_v=36.0, step_v=2.5e-6, factor=25.0)
)
"""16 averages of 2.2 ms, as the driver sets it, where `update_interval` does not tell (SBOS547)."""
_INA260 = replace(
    _INA219,
    update_s=0.0022,
    averaging_s=0.0022,
    shunt=Shunt(range_v=0.03, bus_v=36.0, step_v=1.25e-6, factor=16.0, ohm=0.002),
)
"""Its shunt of 2 mΩ is inside: 15 A, 10 mW a step (SBOS656)."""

DRIVERS = {
    # Its firmware's own average, over 1 ms to 1 s by generation; a card's board supplies and fans are not in it.
    # Documentation/gpu/amdgpu: on an APU the CPU is in it.
    "amdgpu": Driver(
        covers="GPU {chip} (amdgpu {label}; on an APU CPU and GPU together)",
        processors=("gpu",),
        wholes=None,
        ceiling_w=1000.0,
        files=("power{n}_average", "power{n}_input"),
    ),
    # Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon: energy1 of i915 is the device, of i915_gtN one GT; energy1 of
    # xe is the card, energy2 the package inside it. Wraps of the 32-bit register are undone by the driver.
    "i915": _gpu("i915", wholes=None, ceiling_w=600.0, update_s=0.001),
    "i915_gt": _gpu("a GT of i915, inside the device,", wholes=(), ceiling_w=600.0, update_s=0.001),
    "xe": _gpu("xe", wholes=("card", "energy1"), ceiling_w=600.0, update_s=0.001),
    "nouveau": _gpu("nouveau", wholes=None, ceiling_w=1000.0, update_s=0.1),
    "fam15h_power": Driver(
        covers="CPU package (fam15h_power)", processors=("cpu",), wholes=None, ceiling_w=500.0, update_s=0.01
    ),
    # Documentation/hwmon/amd_energy.rst: cores lie inside their socket; registers are new every 1 ms.
    "amd_energy": Driver(
        covers="CPU socket (amd_energy {label})",
        processors=("cpu",),
        wholes=(),
        ceiling_w=1000.0,
        update_s=0.001,
        left_out=r"ecore\d+",
    ),
    "zenpower": Driver(covers="a supply of the CPU (zenpower {label})", processors=("cpu",), ceiling_w=500.0),
    # The machine's own meter at its power supply; power1_average_interval tells its span, in ms.
    "power_meter": Driver(
        covers="whole machine (ACPI power meter {label})", wholes=None, ceiling_w=20_000.0, update_s=1.0
    ),
    # arch/arm64/boot/dts/apple/hwmon-common.dtsi: AC Input Power holds what charges the battery as well.
    "macsmc_hwmon": Driver(covers="{label} (Apple's SMC)", wholes=("total system power",), ceiling_w=800.0, update_s=1.0),
    # Documentation/hwmon/corsair-psu.rst: rails are inside the total.
    "corsairpsu": Driver(
        covers="power supply's {label} (corsairpsu)", wholes=("power total",), ceiling_w=3200.0, update_s=1.0
    ),
    # ChargerLAB POWER-Z: which cable it sits in nobody knows (drivers/hwmon/powerz.c: VBUS in mV, IBUS in mA).
    "powerz": Driver(covers="what POWER-Z {chip} carries (its USB-C supply)", ceiling_w=300.0, update_s=0.02),
    **dict.fromkeys(("ina209", "ina219", "ina220"), _INA219),
    **dict.fromkeys(("ina226", "ina230", "ina231", "ina234"), _INA226),
    "ina260": _INA260,
    # Where the bus has no such driver's folder (a copied tree), else they have meters of their own. in4 and on, and curr4, are
    # shunt voltages and sums (Documentation/hwmon/ina3221.rst).
    "ina3221": Driver(covers="rail {label} (INA3221 {chip})", update_s=0.0066, averaging_s=0.0066, inputs=(1, 2, 3)),
    "ina238": Driver(covers="what INA238 {chip} carries ({label})", update_s=0.0032, averaging_s=0.0032),
}  # fmt: skip
"""Ceilings where the chip tells no cap: AMD rates cards at up to 750 W (Instinct MI300X), Intel at up to 300 W."""

UNKNOWN = Driver(covers="a part of unknown extent: {driver} {chip} {label}")
NEVER = {
    "k10temp": "its currents have a scale that differs between boards (the kernel no longer shows them)",
}
"""Drivers that are not read, and why."""
BUS = {
    "ina3221": "sys/bus/i2c/drivers/ina3221",
    "ina238": "sys/bus/i2c/drivers/ina238",
    "ina3221x": "sys/bus/i2c/drivers/ina3221x",
}
"""Chips with meters of their own, where they are found."""


def driver_of(name: str) -> Driver:
    """By the name that the driver gives its chip."""
    if re.fullmatch(r"i915_gt\d+", name):
        return DRIVERS["i915_gt"]
    return DRIVERS.get(name, UNKNOWN)


def why_not(files: SensorFiles, folder: Path, name: str) -> str | None:
    """Why a chip is not read here; '' where another meter does, which needs no words."""
    if name in BUS and files.glob(f"{BUS[name]}/*-*"):
        return ""
    if _is_power_supply(files, folder, name):
        return ""  # the battery's own meter knows when it is charged, which hwmon does not tell
    return NEVER.get(name)


def _is_power_supply(files: SensorFiles, folder: Path, name: str) -> bool:
    """The kernel shows every battery and charger under hwmon once more, current and voltage of both signs."""
    if (folder / "device" / "capacity").exists() or (folder / "device" / "online").exists():
        return True
    supplies = {path.name.replace("-", "_") for path in files.glob("sys/class/power_supply/*")}
    return name in supplies or re.match(r"BAT\d|CMB\d|ucsi_source_psy|hidpp_battery", name) is not None


def ceiling_w(files: SensorFiles, path: Path, driver: Driver) -> float:
    """By the chip's cap, by its shunt, or by the kind of driver."""
    index = re.sub(r"\D", "", path.name.partition("_")[0])
    for name in ("cap_max", "max", "rated_max"):
        if cap_uw := files.number(path.parent / f"power{index}_{name}"):
            return OVER_CAP * w_from_uw(cap_uw)
    shunt = driver.shunt
    return driver.ceiling_w if shunt is None else shunt.range_v / _ohm(files, path, shunt) * shunt.bus_v


def step_w(files: SensorFiles, path: Path, driver: Driver) -> float | None:
    """Of a monitor's power register."""
    shunt = driver.shunt
    return None if shunt is None else shunt.factor * shunt.step_v / _ohm(files, path, shunt)


def _ohm(files: SensorFiles, path: Path, shunt: Shunt) -> float:
    uohm = files.number(path.parent / "shunt_resistor") or files.number(path.parent / "shunt1_resistor")
    return uohm / 1e6 if uohm else shunt.ohm
