"""File trees of real boards' sensors, with the traps that the real ones hold: for our tests and for yours.

tree = sensor_trees.orin_nano(tmp_path)
meter, = wattscribe.metering.open_meters(tree.root)
tree.set_power("VDD_IN", 7.2)
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from wattscribe.metering.base import Clock, MonotonicClock
from wattscribe.metering.host import Host
from wattscribe.testing.faults import FakeCommands, FaultyFiles
from wattscribe.testing.recorded import PMIC_OUTPUT

HWMON = "sys/bus/i2c/drivers/ina3221"
IIO = "sys/bus/i2c/drivers/ina3221x"
INA238 = "sys/bus/i2c/drivers/ina238"
RAPL = "sys/class/powercap"
BATTERY = "sys/class/power_supply"
SHUNT_UOHM = 5000
RANGE_UJ = 262_143_328_850
"""max_energy_range_uj of many Intel packages."""


@dataclass(slots=True)
class _Place:
    """Where one rail lies: the chip's directory, the channel's number and the kernel interface."""

    chip: Path
    index: int
    interface: str
    voltage_mv: int = 5000


@dataclass(slots=True)
class SensorTree:
    """A board's sensors below `root`; `files` lets reads fail, `host()` is what meters are opened with."""

    root: Path
    board: str
    places: dict[str, _Place] = field(default_factory=dict)
    commands: FakeCommands = field(default_factory=FakeCommands)
    nvml: object | None = None
    files: FaultyFiles = field(init=False)

    def __post_init__(self) -> None:
        self.files = FaultyFiles(self.root)

    def host(self, clock: Clock | None = None) -> Host:
        return Host(
            files=self.files,
            commands=self.commands,
            clock=clock if clock is not None else MonotonicClock(),
            nvml=self.nvml,
        )

    def write(self, name: str, value: object) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
        return path

    def set_power(self, rail: str, power_w: float) -> None:
        """As near as the sensor's units allow: 1 mA × the rail's voltage, 1 mW or 1 µW."""
        place = self.places[rail]
        if place.interface == "hwmon":
            monitor = self.monitor(place.chip)
            (monitor / f"in{place.index}_input").write_text(f"{place.voltage_mv}\n")
            (monitor / f"curr{place.index}_input").write_text(f"{round(power_w * 1e6 / place.voltage_mv)}\n")
        elif place.interface == "iio":
            device = next(place.chip.glob("iio:device*"))
            (device / f"in_power{place.index}_input").write_text(f"{round(power_w * 1e3)}\n")
        else:
            (self.monitor(place.chip) / "power1_input").write_text(f"{round(power_w * 1e6)}\n")

    @staticmethod
    def monitor(chip: Path) -> Path:
        return next(chip.glob("hwmon/hwmon*"))

    def renumber(self, chip: str, number: int) -> None:
        """What binding the driver anew does: another hwmon number, the old files gone."""
        folder = next(self.root.glob(f"sys/bus/i2c/drivers/*/{chip}"))
        old = self.monitor(folder)
        shutil.copytree(old, folder / "hwmon" / "renumbering")
        shutil.rmtree(old)
        (folder / "hwmon" / "renumbering").rename(folder / "hwmon" / f"hwmon{number}")

    def remove(self, chip: str) -> None:
        """The driver is unbound."""
        shutil.rmtree(next(self.root.glob(f"sys/bus/i2c/drivers/*/{chip}")))


# --- Jetson ---------------------------------------------------------------------------------------------------------
def nano(root: Path) -> SensorTree:
    """Jetson Nano, JetPack 4 (iio)."""
    tree = _jetson(root, "NVIDIA Jetson Nano Developer Kit", "0xd07")
    _iio_chip(tree, "6-0040", ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"))
    return tree


def xavier_nx(root: Path) -> SensorTree:
    """Jetson Xavier NX, JetPack 4 (iio)."""
    tree = _jetson(root, "NVIDIA Jetson Xavier NX Developer Kit", "0x004")
    _iio_chip(tree, "7-0040", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    return tree


def xavier_nx_jetpack5(root: Path) -> SensorTree:
    """Jetson Xavier NX, JetPack 5 (hwmon)."""
    tree = _jetson(root, "NVIDIA Jetson Xavier NX Developer Kit", "0x004")
    _hwmon_chip(tree, "7-0040", 4, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    return tree


def agx_xavier(root: Path) -> SensorTree:
    """Jetson AGX Xavier, JetPack 4 (iio): two chips, no total."""
    tree = _jetson(root, "Jetson-AGX", "0x004")
    _iio_chip(tree, "1-0040", ("GPU", "CPU", "SOC"))
    _iio_chip(tree, "1-0041", ("CV", "VDDRQ", "SYS5V"))
    return tree


def orin_nano(root: Path) -> SensorTree:
    """Jetson Orin Nano, JetPack 5 and later (hwmon)."""
    tree = _jetson(root, "NVIDIA Jetson Orin Nano Developer Kit")
    _hwmon_chip(tree, "1-0040", 1, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    return tree


def orin_nx(root: Path) -> SensorTree:
    """Jetson Orin NX (hwmon)."""
    tree = _jetson(root, "NVIDIA Jetson Orin NX Engineering Reference Developer Kit")
    _hwmon_chip(tree, "1-0040", 1, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"))
    return tree


def orin_nano_upstream(root: Path) -> SensorTree:
    """Jetson Orin Nano under an upstream kernel: a channel without label that reads an error, another disabled."""
    tree = _jetson(root, "NVIDIA Jetson Orin Nano Developer Kit")
    _hwmon_chip(tree, "1-0040", 3, ("VDD_IN", "VDD_CPU_GPU_CV", None))
    _hwmon_chip(tree, "1-0041", 4, ("VDD_2V8", None, None), disabled=(2,))
    tree.files.fail("hwmon3/in3_input", errno.ENODATA)
    return tree


def agx_orin(root: Path) -> SensorTree:
    """Jetson AGX Orin (hwmon): two chips with unconnected channels, no total."""
    tree = _jetson(root, "NVIDIA Jetson AGX Orin Developer Kit")
    _hwmon_chip(tree, "1-0040", 3, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
    _hwmon_chip(tree, "1-0041", 4, ("NC", "VDDQ_VDD2_1V8AO", "NC"))
    return tree


def thor(root: Path) -> SensorTree:
    """Jetson Thor: INA238 at the board's input beside an INA3221."""
    tree = _jetson(root, "NVIDIA Jetson AGX Thor Developer Kit")
    _hwmon_chip(tree, "2-0040", 2, ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"))
    folder = f"{INA238}/2-0044/hwmon/hwmon5"
    tree.write(f"{folder}/name", "ina238")
    for name, value in {"in0_input": 4, "in1_input": 20_000, "curr1_input": 1500, "temp1_input": 41_000}.items():
        tree.write(f"{folder}/{name}", value)
    tree.write(f"{folder}/power1_input", 30_000_000)
    tree.places["VIN"] = _Place(chip=tree.root / INA238 / "2-0044", index=1, interface="ina238")
    return tree


def _jetson(root: Path, model: str, core: str = "0xd42") -> SensorTree:
    tree = SensorTree(root=root, board=model)
    path = tree.write("proc/device-tree/model", "")
    path.write_bytes(model.encode() + b"\0")
    tree.write("proc/cpuinfo", f"processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: {core}")
    tree.write("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64")
    tree.write("var/lib/nvpmodel/status", "pmode:0000")
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    for name, value in {"cur": 1_510_400, "min": 729_600, "max": 1_510_400}.items():
        tree.write(f"{policy}/scaling_{name}_freq", value)
    tree.write(f"{policy}/scaling_governor", "schedutil")
    tree.write("sys/class/thermal/thermal_zone0/type", "CPU-therm")
    tree.write("sys/class/thermal/thermal_zone0/temp", 42_500)
    return tree


def _hwmon_chip(
    tree: SensorTree, chip: str, number: int, labels: tuple[str | None, ...], *, disabled: tuple[int, ...] = ()
) -> None:
    folder = f"{HWMON}/{chip}/hwmon/hwmon{number}"
    tree.write(f"{folder}/name", "ina3221")
    tree.write(f"{folder}/samples", 1)
    tree.write(f"{folder}/update_interval", 7)
    for index, label in enumerate(labels, start=1):
        if label is not None:
            tree.write(f"{folder}/in{index}_label", label)
            tree.places.setdefault(label, _Place(chip=tree.root / HWMON / chip, index=index, interface="hwmon"))
        values = {
            f"in{index}_enable": int(index not in disabled),
            f"in{index}_input": 5000,
            f"curr{index}_input": 1000 * index,
            f"shunt{index}_resistor": SHUNT_UOHM,
            f"in{index + 3}_input": 5000 * index,
            f"curr{index}_crit": 6552,
            f"curr{index}_crit_alarm": 0,
            f"curr{index}_max": 32760,
        }
        for name, value in values.items():
            tree.write(f"{folder}/{name}", value)
    tree.write(f"{folder}/in7_label", "sum of shunt voltages")
    tree.write(f"{folder}/in7_input", 30_000)
    tree.write(f"{folder}/curr4_input", 6000)


def _iio_chip(tree: SensorTree, chip: str, labels: tuple[str, ...]) -> None:
    folder = f"{IIO}/{chip}/iio:device0"
    for index, label in enumerate(labels):
        tree.write(f"{folder}/rail_name_{index}", label)
        tree.write(f"{folder}/in_power{index}_input", 1000 * (index + 1))
        tree.write(f"{folder}/in_voltage{index}_input", 5000)
        tree.write(f"{folder}/in_current{index}_input", 200 * (index + 1))
        tree.places[label] = _Place(chip=tree.root / IIO / chip, index=index, interface="iio")


# --- RAPL -----------------------------------------------------------------------------------------------------------
def intel_laptop(root: Path) -> SensorTree:
    """One package with core and uncore, psys, and the package once more through MMIO; on mains."""
    tree = _x86(root, "11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", "GenuineIntel")
    rapl_zone(tree, "intel-rapl:0", "package-0")
    rapl_zone(tree, "intel-rapl:0:0", "core")
    rapl_zone(tree, "intel-rapl:0:1", "uncore")
    rapl_zone(tree, "intel-rapl:1", "psys")
    rapl_zone(tree, "intel-rapl-mmio:0", "package-0")
    _battery(tree, "BAT0", "Not charging")
    return tree


def xeon(root: Path) -> SensorTree:
    """Two packages, each with its DRAM beside it."""
    tree = _x86(root, "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", "GenuineIntel")
    for package in (0, 1):
        rapl_zone(tree, f"intel-rapl:{package}", f"package-{package}")
        rapl_zone(tree, f"intel-rapl:{package}:0", "dram")
    return tree


def epyc(root: Path) -> SensorTree:
    """AMD: the same interface, packages with a core domain."""
    tree = _x86(root, "AMD EPYC 7543 32-Core Processor", "AuthenticAMD")
    rapl_zone(tree, "intel-rapl:0", "package-0")
    rapl_zone(tree, "intel-rapl:0:0", "core")
    return tree


def dies(root: Path) -> SensorTree:
    """One package of two dies, each with a counter."""
    tree = _x86(root, "Intel(R) Xeon(R) Platinum 9242 CPU @ 2.30GHz", "GenuineIntel")
    rapl_zone(tree, "intel-rapl:0", "package-0-die-0")
    rapl_zone(tree, "intel-rapl:1", "package-0-die-1")
    return tree


def rapl_zone(
    tree: SensorTree, directory: str, name: str, energy_uj: int = 1_000_000, range_uj: int = RANGE_UJ
) -> None:
    """Add one powercap zone."""
    folder = f"{RAPL}/{directory}"
    tree.write(f"{folder}/name", name)
    tree.write(f"{folder}/energy_uj", energy_uj)
    tree.write(f"{folder}/max_energy_range_uj", range_uj)


def _x86(root: Path, cpu: str, vendor: str) -> SensorTree:
    tree = SensorTree(root=root, board=cpu)
    tree.write("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {cpu}")
    return tree


# --- battery, Raspberry Pi ------------------------------------------------------------------------------------------
def battery_laptop(root: Path) -> SensorTree:
    """A laptop on its battery, with a mouse that has one as well."""
    tree = _x86(root, "AMD Ryzen 7 PRO 6850U with Radeon Graphics", "AuthenticAMD")
    _battery(tree, "BAT0", "Discharging")
    tree.write(f"{BATTERY}/AC/type", "Mains")
    tree.write(f"{BATTERY}/AC/online", 0)
    tree.write(f"{BATTERY}/hidpp_battery_0/type", "Battery")
    tree.write(f"{BATTERY}/hidpp_battery_0/scope", "Device")
    tree.write(f"{BATTERY}/hidpp_battery_0/status", "Discharging")
    return tree


def _battery(tree: SensorTree, name: str, status: str) -> None:
    folder = f"{BATTERY}/{name}"
    values = {
        "type": "Battery",
        "status": status,
        "power_now": 8_500_000,
        "energy_now": 40_000_000,
        "voltage_now": 12_100_000,
    }
    for key, value in values.items():
        tree.write(f"{folder}/{key}", value)


def discharging(tree: SensorTree) -> None:
    """Give any machine a battery that feeds it."""
    _battery(tree, "BAT1", "Discharging")


def raspberry_pi_5(root: Path) -> SensorTree:
    """Its rails come from a command."""
    tree = SensorTree(root=root, board="Raspberry Pi 5 Model B Rev 1.0")
    tree.write("proc/device-tree/model", tree.board)
    tree.write("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b")
    tree.commands.answers["vcgencmd pmic_read_adc"] = PMIC_OUTPUT
    tree.commands.answers["vcgencmd get_throttled"] = "throttled=0x50000\n"
    return tree


BOARDS = {
    "nano": nano, "xavier_nx": xavier_nx, "xavier_nx_jetpack5": xavier_nx_jetpack5, "agx_xavier": agx_xavier,
    "orin_nano": orin_nano, "orin_nx": orin_nx, "orin_nano_upstream": orin_nano_upstream, "agx_orin": agx_orin,
    "thor": thor, "intel_laptop": intel_laptop, "xeon": xeon, "epyc": epyc, "dies": dies,
    "battery_laptop": battery_laptop, "raspberry_pi_5": raspberry_pi_5,
}  # fmt: skip
"""Every board that can be built, by name."""
