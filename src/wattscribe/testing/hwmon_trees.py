"""Machines whose power lies under hwmon, with the traps that real ones hold; values follow each driver's public source."""

from __future__ import annotations

from pathlib import Path

from wattscribe.testing.sensor_trees import SensorTree

HWMON = "sys/class/hwmon"


def chip(tree: SensorTree, number: int, name: str, device: str | None = None, **files: object) -> Path:
    """One chip. `device`: the name of its device, which a link leads to, as on a running machine."""
    folder = tree.write(f"{HWMON}/hwmon{number}/name", name).parent
    for key, value in files.items():
        tree.write(f"{HWMON}/hwmon{number}/{key}", value)
    if device is not None:
        target = tree.root / "sys/devices" / device
        target.mkdir(parents=True, exist_ok=True)
        (folder / "device").symlink_to(target)
    return folder


def gpu_desktop(root: Path) -> SensorTree:
    """A Radeon, an Arc, an Intel GPU inside the processor; what shows volts and amperes, and is no rail of the machine."""
    tree = _x86(root, "Intel(R) Core(TM) i7-14700K", "GenuineIntel")
    chip(tree, 0, "nvme", temp1_input=38_850)
    chip(
        tree,
        1,
        "amdgpu",
        "0000:03:00.0",
        power1_label="PPT",
        power1_average=42_000_000,
        power1_cap_max=339_000_000,
        in0_input=818,
    )
    chip(
        tree, 2, "xe", "0000:07:00.0",
        energy1_label="card", energy1_input=5_000_000_000, energy2_label="pkg", energy2_input=4_000_000_000,
        power1_max=190_000_000, power1_crit=300_000_000, in1_label="pkg", in1_input=740,
    )  # fmt: skip
    chip(tree, 3, "i915", "0000:00:02.0", energy1_input=900_000_000, in0_input=600)
    chip(tree, 4, "i915_gt0", "0000:00:02.0", energy1_input=700_000_000)
    chip(
        tree,
        5,
        "k10temp",
        curr1_label="Icore",
        curr1_input=21_000,
        in0_label="Vcore",
        in0_input=1_100,
        temp1_input=50_000,
    )
    chip(tree, 6, "BAT0", in0_input=12_100, curr1_input=700)
    tree.write("sys/class/power_supply/BAT0/type", "Battery")
    tree.write("sys/class/power_supply/BAT0/status", "Charging")
    chip(tree, 7, "ucsi_source_psy_USBC000:001", in0_input=5_000, curr1_input=3_000)
    return tree


def apu_handheld(root: Path) -> SensorTree:
    """Two averages of one APU (slow and fast): they overlap."""
    tree = _x86(root, "AMD Custom APU 0405", "AuthenticAMD")
    chip(
        tree, 5, "amdgpu", "0000:04:00.0",
        power1_label="slowPPT", power1_average=9_100_000, power1_input=9_800_000,
        power2_label="fastPPT", power2_average=9_400_000,
    )  # fmt: skip
    return tree


def epyc_amd_energy(root: Path) -> SensorTree:
    """Two sockets of four cores each: cores are numbered before sockets, and root alone may read some kernels' files."""
    tree = _x86(root, "AMD EPYC 7543 32-Core Processor", "AuthenticAMD")
    cores = {
        f"energy{n + 1}_{key}": value
        for n in range(8)
        for key, value in (("label", f"Ecore{n:03d}"), ("input", 7_000_000))
    }
    sockets = {
        f"energy{n + 9}_{key}": value
        for n in range(2)
        for key, value in (("label", f"Esocket{n}"), ("input", 100_000_000 * (n + 1)))
    }
    chip(tree, 0, "amd_energy", "amd_energy.0", **cores, **sockets)
    return tree


def monitor_hat(root: Path) -> SensorTree:
    """Current monitors on a board and a POWER-Z in its cable: what each carries only the wiring tells."""
    tree = SensorTree(root=root, board="Raspberry Pi 4 Model B Rev 1.4")
    tree.write("proc/device-tree/model", tree.board)
    tree.write("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08")
    chip(tree, 0, "cpu_thermal", temp1_input=45_000)
    chip(tree, 1, "rpi_volt", in0_lcrit_alarm=0)
    chip(
        tree,
        2,
        "ina219",
        "1-0040",
        in0_input=12,
        in1_input=5_104,
        curr1_input=1_200,
        power1_input=6_120_000,
        shunt_resistor=10_000,
    )
    chip(
        tree, 3, "ina226", "1-0041",
        in0_input=3, in1_input=12_050, curr1_input=250, power1_input=3_012_500, shunt_resistor=10_000, update_interval=35,
        label="VIN_12V",
    )  # fmt: skip
    chip(tree, 4, "ina260", "1-0044", in0_input=5_000, curr1_input=400, power1_input=2_000_000)
    chip(
        tree, 5, "powerz", "1-1.2:1.0",
        in0_label="VBUS", in0_input=5_090, in0_average=5_088, in1_label="VCC1", in1_input=1_680, in2_label="VCC2", in2_input=0,
        in3_label="VDP", in3_input=600, in4_label="VDM", in4_input=600, in5_label="VDD", in5_input=3_290,
        curr1_label="IBUS", curr1_input=1_000, curr1_average=998,
    )  # fmt: skip
    chip(tree, 6, "mystery", power1_input=1_500_000)
    return tree


def ina3221_class(root: Path) -> SensorTree:
    """An INA3221 in /sys/class/hwmon alone, without its bus: a disabled channel, NC, shunt voltages and their sum."""
    tree = SensorTree(root=root, board="a board")
    chip(
        tree, 1, "ina3221",
        in1_label="VDD_IN", in1_input=5_000, curr1_input=1_000, in2_label="NC", in2_input=0, curr2_input=0,
        in3_label="VDD_SOC", in3_enable=0, in3_input=5_000, curr3_input=500, curr4_input=1_500,
        in4_input=5, in5_input=0, in6_input=2, in7_label="sum of shunt voltages", in7_input=7,
    )  # fmt: skip
    return tree


def asahi_laptop(root: Path) -> SensorTree:
    """Apple silicon under Linux: the SMC's total, and its input that also charges the battery."""
    tree = SensorTree(root=root, board="Apple MacBook Pro (14-inch, M1 Pro, 2021)")
    tree.write("proc/device-tree/model", tree.board)
    chip(
        tree, 4, "macsmc_hwmon", "macsmc-hwmon",
        power1_label="Total System Power", power1_input=11_300_000, power2_label="AC Input Power", power2_input=34_000_000,
        power3_label="3.8 V Rail Power", power3_input=2_700_000,
        curr1_label="AC Input Current", curr1_input=1_700, in0_label="AC Input Voltage", in0_input=20_000,
    )  # fmt: skip
    return tree


def server_psu(root: Path) -> SensorTree:
    """A PMBus supply: its input holds its outputs; and the board's own meter at the plug, with its span."""
    tree = _x86(root, "AMD EPYC 9354", "AuthenticAMD")
    chip(
        tree, 0, "pmbus", "1-0058",
        power1_label="pin", power1_input=220_000_000, power2_label="pout1", power2_input=205_000_000,
        curr1_label="iin", curr1_input=950, in1_label="vin", in1_input=231_500,
    )  # fmt: skip
    chip(tree, 1, "power_meter", "ACPI000D:00", power1_average=241_000_000, power1_average_interval=1_000)
    return tree


def _x86(root: Path, cpu: str, vendor: str) -> SensorTree:
    tree = SensorTree(root=root, board=cpu)
    tree.write("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {cpu}")
    return tree


MACHINES = {
    "gpu_desktop": gpu_desktop, "apu_handheld": apu_handheld, "epyc_amd_energy": epyc_amd_energy, "monitor_hat": monitor_hat,
    "ina3221_class": ina3221_class, "asahi_laptop": asahi_laptop, "server_psu": server_psu,
}  # fmt: skip
"""Every machine that can be built, by name."""
