"""Every board in turn: what is found, what it reads, and the traps of each sensor."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wattscribe.errors import MeterError
from wattscribe.meters import Host, Meter, Probe, Sampler, open_meters, probe, rapl, window
from wattscribe.records import PowerTrace, to_json
from wattscribe.testing import (
    FakeClock,
    FakeCommands,
    FakeGpu,
    FakeNvml,
    ReplayMeter,
    SimulatedMeter,
    loads,
    sensor_trees,
)
from wattscribe.testing.faults import EVERY_READ_ERROR
from wattscribe.testing.recorded import TEGRASTATS
from wattscribe.testing.sensor_trees import SensorTree

KINDS = [
    "ina3221",
    "ina3221-iio",
    "ina238",
    "tegrastats",
    "nvml",
    "rapl",
    "pmic",
    "battery",
    "external",
    "replay",
    "modelled",
]


def found(tree: SensorTree, kind: str) -> Probe:
    return next(row for row in probe(host=tree.host()) if row.meter == kind)


def opened(tree: SensorTree, kind: str, clock: FakeClock | None = None) -> Meter:
    return next(meter for meter in open_meters(host=tree.host(clock)) if meter.name == kind)


def values(meter: Meter) -> dict[str, float | None]:
    return {channel.name: value for channel, value in zip(meter.channels(), meter.read(), strict=True)}


# --- the contract: every sensor, fakes included -----------------------------------------------------------------------
def _board(name: str) -> Callable[[Path, FakeClock], list[Meter]]:
    return lambda root, clock: open_meters(host=sensor_trees.BOARDS[name](root).host(clock))


def _gpu(gpu: FakeGpu) -> Callable[[Path, FakeClock], list[Meter]]:
    return lambda root, clock: open_meters(
        host=Host(files=sensor_trees.epyc(root).files, clock=clock, nvml=FakeNvml([gpu]))
    )


def _tegrastats(root: Path, clock: FakeClock) -> list[Meter]:
    return open_meters(
        host=replace(Host.of_root(root), clock=clock, commands=FakeCommands(lines={"tegrastats": [TEGRASTATS["orin"]]}))
    )


def _fakes(root: Path, clock: FakeClock) -> list[Meter]:
    simulated = SimulatedMeter(loads.constant(5.0), clock)
    sampler = Sampler([simulated], 20, FakeClock())
    for _ in range(3):
        sampler.read_once()
    return [simulated, ReplayMeter(sampler.drain(), clock), SimulatedMeter(loads.constant(5.0), clock, kind="energy")]


SETUPS = {
    **{name: _board(name) for name in sensor_trees.BOARDS},
    "energy counter of a GPU": _gpu(FakeGpu()),
    "power of a GPU": _gpu(FakeGpu(energy_mj=None, instant_mw=None)),
    "tegrastats": _tegrastats,
    "fakes": _fakes,
}


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_every_meter_keeps_the_contract(setup: str, tmp_path: Path) -> None:
    clock = FakeClock()
    meters = SETUPS[setup](tmp_path, clock)
    assert meters
    for meter in meters:
        channels = meter.channels()
        assert channels
        names = [channel.name for channel in channels]
        assert len(set(names)) == len(names)
        for channel in channels:
            assert channel.kind in ("power", "energy")
            assert channel.update_interval_s > 0
            assert channel.covers
            assert channel.evidence == "measured"
            assert channel.resolution is None or channel.resolution > 0
        first = meter.read()
        assert len(first) == len(channels)
        for channel, a, b in zip(channels, first, meter.read(), strict=True):
            assert a is None or isinstance(a, float)
            assert channel.kind == "power" or b >= a, "a counter never falls"
        assert [channel.name for channel in meter.channels()] == names
        assert sum(channel.total for channel in channels) <= 1 or meter.name == "nvml"
        meter.close()
        meter.close()


@pytest.mark.parametrize("board", sensor_trees.BOARDS, ids=str)
def test_every_kind_has_its_row_on_every_board_with_a_reason(board: str, tmp_path: Path) -> None:
    rows = probe(host=sensor_trees.BOARDS[board](tmp_path).host())
    assert [row.meter for row in rows] == KINDS
    assert all(row.reason for row in rows)
    json.dumps(to_json(rows), allow_nan=False)


def test_an_empty_machine_has_every_row_and_no_meter(tmp_path: Path) -> None:
    rows = probe(tmp_path)
    assert [row.meter for row in rows] == KINDS
    assert [row.meter for row in rows if row.available] == ["modelled"]
    assert open_meters(tmp_path) == []


# --- Jetson rails -----------------------------------------------------------------------------------------------------
RAILS = {
    "nano": ({"POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"}, "POM_5V_IN"),
    "xavier_nx": ({"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, "VDD_IN"),
    "xavier_nx_jetpack5": ({"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, "VDD_IN"),
    "agx_xavier": ({"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}, None),
    "orin_nano": ({"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, "VDD_IN"),
    "orin_nx": ({"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}, "VDD_IN"),
    "orin_nano_upstream": ({"VDD_IN", "VDD_CPU_GPU_CV", "VDD_2V8"}, "VDD_IN"),
    "agx_orin": ({"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}, None),
    "thor": ({"VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN"}, "VIN"),
}


@pytest.mark.parametrize("board", RAILS, ids=str)
def test_a_board_shows_its_rails_and_only_its_total_as_total(board: str, tmp_path: Path) -> None:
    tree = sensor_trees.BOARDS[board](tmp_path)
    channels = [channel for meter in open_meters(host=tree.host()) for channel in meter.channels()]
    names, total = RAILS[board]
    assert {channel.name for channel in channels} == names
    assert {channel.name for channel in channels if channel.total} == ({total} if total else set())


@pytest.mark.parametrize("board", RAILS, ids=str)
def test_each_rail_reads_its_own_watts(board: str, tmp_path: Path) -> None:
    tree = sensor_trees.BOARDS[board](tmp_path)
    for index, rail in enumerate(tree.places):
        if rail != "NC":
            tree.set_power(rail, 1.25 * (index + 1))
    read = {name: value for meter in open_meters(host=tree.host()) for name, value in values(meter).items()}
    for index, rail in enumerate(tree.places):
        if rail != "NC":
            assert read[rail] == pytest.approx(1.25 * (index + 1), abs=0.003)


@pytest.mark.parametrize("board", ["agx_orin", "agx_xavier"])
def test_a_board_without_a_total_says_so(board: str, tmp_path: Path) -> None:
    tree = sensor_trees.BOARDS[board](tmp_path)
    row = next(row for row in probe(host=tree.host()) if row.available)
    assert "none of them covers the whole module" in row.reason
    assert "not added up" in row.reason


def test_shunt_voltages_and_the_chip_s_sum_are_no_rails(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    folder = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
    tree.write(f"{folder}/in3_label", "sum of shunt voltages")  # Even where a kernel puts the label on a channel.
    names = set(values(opened(tree, "ina3221")))
    assert names == {"VDD_IN", "VDD_CPU_GPU_CV"}


def test_the_current_step_follows_from_the_shunt(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    assert opened(tree, "ina3221").channels()[0].resolution == pytest.approx(0.04)  # 8 mA at 5 V.
    tree.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/shunt1_resistor", 2000)
    assert opened(tree, "ina3221").channels()[0].resolution == pytest.approx(0.1)


def test_disabled_and_unlabelled_channels_are_named_with_their_reason(tmp_path: Path) -> None:
    reason = found(sensor_trees.orin_nano_upstream(tmp_path), "ina3221").reason
    assert "1-0040 channel 3: no label" in reason
    assert "1-0041 channel 2: disabled" in reason


@pytest.mark.parametrize("error", [*EVERY_READ_ERROR, 0], ids=lambda code: errno.errorcode.get(code, "empty"))
@pytest.mark.parametrize("ending", ["in1_input", "curr1_input"])
def test_a_failed_read_is_none_for_that_rail_alone_and_heals(error: int, ending: str, tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    meter = opened(tree, "ina3221")
    before = values(meter)
    tree.files.fail(ending, error)
    failing = values(meter)
    assert failing.pop("VDD_IN") is None
    assert failing == {name: value for name, value in before.items() if name != "VDD_IN"}
    tree.files.heal()
    assert values(meter) == before


def test_a_half_written_file_is_a_failed_read(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    meter = opened(tree, "ina3221")
    tree.write("sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_input", "garbage")
    assert values(meter)["VDD_CPU_GPU_CV"] is None


@pytest.mark.parametrize("board", ["orin_nano", "thor"])
def test_the_hwmon_number_may_change_while_we_measure(board: str, tmp_path: Path) -> None:
    tree = sensor_trees.BOARDS[board](tmp_path)
    meters = open_meters(host=tree.host())
    before = [list(meter.read()) for meter in meters]
    for place in {place.chip for place in tree.places.values()}:
        tree.renumber(place.name, 17)
    assert [list(meter.read()) for meter in meters] == before
    first = next(iter(tree.places))
    tree.set_power(first, 2.5)
    assert 2.5 in [pytest.approx(value, abs=0.003) for meter in meters for value in meter.read()]


def test_a_sensor_that_is_unbound_is_gone_and_comes_back(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    meter = opened(tree, "ina3221")
    tree.remove("1-0040")
    for _ in range(2):
        with pytest.raises(MeterError, match="gone"):
            meter.read()
    sensor_trees.orin_nano(tmp_path)
    assert values(meter)["VDD_IN"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("board", "kind", "ending", "fix"),
    [
        ("nano", "ina3221-iio", "_input", "sudo chmod o+r /sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_*_input"),
        ("orin_nano", "ina3221", "_input", "sudo chmod o+r /sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/*_input"),
        ("xeon", "rapl", "energy_uj", rapl.FIX),
    ],
)
def test_a_forbidden_sensor_is_unavailable_with_the_command_that_mends_it(
    board: str, kind: str, ending: str, fix: str, tmp_path: Path
) -> None:
    tree = sensor_trees.BOARDS[board](tmp_path)
    tree.files.fail(ending, errno.EACCES)
    row = found(tree, kind)
    assert not row.available
    assert "root only" in row.reason
    assert row.fix == fix
    assert all(meter.name != kind for meter in open_meters(host=tree.host()))


# --- NVML -------------------------------------------------------------------------------------------------------------
def nvml_host(tmp_path: Path, *gpus: FakeGpu, **options: int) -> Host:
    return replace(Host.of_root(tmp_path), nvml=FakeNvml(gpus, **options))


def nvml_meter(host: Host) -> Meter:
    (meter,) = open_meters(host=host)
    return meter


def test_the_energy_counter_comes_first_then_instant_then_average_power(tmp_path: Path) -> None:
    gpus = {
        "energy counter": FakeGpu(energy_mj=12_345),
        "instant power": FakeGpu(energy_mj=None),
        "average power": FakeGpu(energy_mj=None, instant_mw=None),
    }
    expected = {"energy counter": (12.345, None), "instant power": (71.0, 0.0), "average power": (70.0, 1.0)}
    for source, gpu in gpus.items():
        meter = nvml_meter(nvml_host(tmp_path, gpu))
        (channel,) = meter.channels()
        assert source in channel.covers
        assert (meter.read()[0], channel.averaging_s) == (pytest.approx(expected[source][0]), expected[source][1])
        assert channel.kind == ("energy" if source == "energy counter" else "power")


def test_power_is_an_average_over_a_second_only_from_ampere_on_and_not_on_ga100(tmp_path: Path) -> None:
    for name, architecture, averaging_s in (("Tesla V100", 5, 0.0), ("NVIDIA A100-SXM4", 7, 0.0), ("RTX 4090", 8, 1.0)):
        gpu = FakeGpu(name=name, architecture=architecture, energy_mj=None, instant_mw=None)
        assert nvml_meter(nvml_host(tmp_path, gpu)).channels()[0].averaging_s == averaging_s


def test_not_supported_is_absent_and_never_zero(tmp_path: Path) -> None:
    jetson = FakeGpu(name="Orin (nvgpu)", energy_mj=None, power_mw=None, instant_mw=None)
    host = nvml_host(tmp_path, jetson)
    row = next(row for row in probe(host=host) if row.meter == "nvml")
    assert not row.available
    assert "Not Supported" in row.reason
    assert "INA3221" in row.reason
    assert open_meters(host=host) == []
    assert host.nvml.open == 0, "every nvmlInit has its nvmlShutdown"


def test_one_gpu_that_answers_beside_one_that_does_not(tmp_path: Path) -> None:
    meter = nvml_meter(nvml_host(tmp_path, FakeGpu(energy_mj=None, power_mw=None, instant_mw=None), FakeGpu()))
    assert [channel.name for channel in meter.channels()] == ["gpu1"]


def test_a_gpu_that_falls_off_the_bus_gives_none(tmp_path: Path) -> None:
    gpu = FakeGpu()
    meter = nvml_meter(nvml_host(tmp_path, gpu))
    gpu.energy_mj = None
    assert meter.read() == [None]


def test_a_driver_that_does_not_start_is_said(tmp_path: Path) -> None:
    row = next(row for row in probe(host=nvml_host(tmp_path, start_error=9)) if row.meter == "nvml")
    assert not row.available
    assert "Driver Not Loaded" in row.reason


def test_a_gpu_that_samples_a_part_of_the_time_is_said(tmp_path: Path) -> None:
    row = next(row for row in probe(host=nvml_host(tmp_path, FakeGpu())) if row.meter == "nvml")
    assert "a part of the time" in row.reason


def test_a_driver_without_our_package_names_the_install_line(tmp_path: Path) -> None:
    tree = sensor_trees.epyc(tmp_path)
    assert found(tree, "nvml").fix is None
    tree.write("proc/driver/nvidia/version", "NVRM version: 570")
    assert found(tree, "nvml").fix == "pip install 'wattscribe[nvml]'"


# --- RAPL -------------------------------------------------------------------------------------------------------------
def test_overlapping_domains_are_named_and_only_one_total_is_there(tmp_path: Path) -> None:
    channels = {channel.name: channel for channel in opened(sensor_trees.intel_laptop(tmp_path), "rapl").channels()}
    assert set(channels) == {"package-0", "package-0.core", "package-0.uncore", "psys", "cpu"}
    assert [name for name, channel in channels.items() if channel.total] == ["psys"]
    assert "inside the package" in channels["package-0.core"].covers


def test_a_gpu_s_work_is_not_measured_at_psys(tmp_path: Path) -> None:
    host = replace(sensor_trees.intel_laptop(tmp_path).host(), nvml=FakeNvml([FakeGpu()]))
    traces = [
        PowerTrace(
            channel=f"{meter.name}.{channel.name}",
            covers=channel.covers,
            total=channel.total,
            update_interval_s=channel.update_interval_s,
            evidence=channel.evidence,
            t_s=(0.0, 1.0),
            power_w=(5.0, 5.0),
        )
        for meter in open_meters(host=host)
        for channel in meter.channels()
    ]
    assert window.preferred(traces, "cuda:0").channel == "nvml.gpu0"
    assert window.preferred(traces, "cpu").channel == "rapl.psys"


def test_a_package_seen_through_mmio_and_msr_counts_once(tmp_path: Path) -> None:
    tree, clock = sensor_trees.intel_laptop(tmp_path), FakeClock()
    meter = opened(tree, "rapl", clock)
    clock.advance(1.0)
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", 11_000_000)
    tree.write("sys/class/powercap/intel-rapl-mmio:0/energy_uj", 11_000_000)
    assert values(meter)["cpu"] == pytest.approx(10.0)


def test_a_package_that_only_mmio_shows_is_read(tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="tablet")
    sensor_trees.rapl_zone(tree, "intel-rapl-mmio:0", "package-0")
    assert "package-0" in values(opened(tree, "rapl"))


def test_packages_and_dram_are_summed_but_not_what_lies_inside(tmp_path: Path) -> None:
    tree, clock = sensor_trees.xeon(tmp_path), FakeClock()
    meter = opened(tree, "rapl", clock)
    clock.advance(1.0)
    for zone, joules in {"0": 100, "0:0": 10, "1": 50, "1:0": 5}.items():
        tree.write(f"sys/class/powercap/intel-rapl:{zone}/energy_uj", 1_000_000 + joules * 1_000_000)
    read = values(meter)
    assert read["cpu"] == pytest.approx(165.0)
    assert read["package-1.dram"] == pytest.approx(5.0)
    assert "package-0.dram" in read


def test_dies_are_packages_of_their_own(tmp_path: Path) -> None:
    assert set(values(opened(sensor_trees.dies(tmp_path), "rapl"))) == {"package-0-die-0", "package-0-die-1", "cpu"}


def test_domains_below_the_class_s_own_directory_are_found_once(tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="nested")
    sensor_trees.rapl_zone(tree, "intel-rapl/intel-rapl:0", "package-0")
    sensor_trees.rapl_zone(tree, "intel-rapl/intel-rapl:0/intel-rapl:0:0", "core")
    (tmp_path / "sys/class/powercap/intel-rapl:0").symlink_to(tmp_path / "sys/class/powercap/intel-rapl/intel-rapl:0")
    assert set(values(opened(tree, "rapl"))) == {"package-0", "package-0.core", "cpu"}


def test_a_wrap_is_undone(tmp_path: Path) -> None:
    tree, clock = sensor_trees.epyc(tmp_path), FakeClock()
    zone = "sys/class/powercap/intel-rapl:0/energy_uj"
    tree.write(zone, sensor_trees.RANGE_UJ - 4_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.write(zone, 6_000_000)
    assert values(meter)["package-0"] == pytest.approx(10.0)


@pytest.mark.parametrize("error", [*EVERY_READ_ERROR, 0], ids=lambda code: errno.errorcode.get(code, "empty"))
def test_a_failed_read_is_not_a_wrap(error: int, tmp_path: Path) -> None:
    tree, clock = sensor_trees.epyc(tmp_path), FakeClock()
    zone = "sys/class/powercap/intel-rapl:0/energy_uj"
    tree.write(zone, 200_000_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.files.fail("intel-rapl:0/energy_uj", error, times=3)
    for _ in range(3):
        read = values(meter)
        assert read["package-0"] is None
        assert read["cpu"] is None
    tree.write(zone, 200_003_000_000)
    assert values(meter)["package-0"] == pytest.approx(3.0)


def test_a_counter_that_was_set_back_is_a_failed_read_and_not_a_wrap(tmp_path: Path) -> None:
    """After a suspend the counter starts anew: as a wrap that would be hundreds of kilojoules."""
    tree, clock = sensor_trees.epyc(tmp_path), FakeClock()
    zone = "sys/class/powercap/intel-rapl:0/energy_uj"
    tree.write(zone, 100_000_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.write(zone, 1_000_000)
    assert values(meter)["package-0"] is None
    clock.advance(0.05)
    tree.write(zone, 3_000_000)
    assert values(meter)["package-0"] == pytest.approx(2.0)


def test_a_virtual_machine_is_told_that_no_driver_will_help(tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="vm")
    tree.write("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t: fpu hypervisor")
    assert found(tree, "rapl").fix is None
    assert "virtual machine" in found(tree, "rapl").reason
    tree.write("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t: fpu")
    assert found(tree, "rapl").fix == "sudo modprobe intel_rapl_msr"


# --- battery, Raspberry Pi --------------------------------------------------------------------------------------------
def test_the_battery_is_read_only_while_it_feeds_the_device(tmp_path: Path) -> None:
    tree = sensor_trees.battery_laptop(tmp_path)
    meter = opened(tree, "battery")
    assert values(meter) == {"BAT0": 8.5}
    tree.write("sys/class/power_supply/BAT0/status", "Charging")
    assert values(meter) == {"BAT0": None}
    row = found(tree, "battery")
    assert not row.available
    assert row.fix == "unplug the charger"


def test_a_mouse_s_battery_is_not_the_device_s(tmp_path: Path) -> None:
    assert len(opened(sensor_trees.battery_laptop(tmp_path), "battery").channels()) == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"power_now": -7_000_000}, 7.0),
        ({"current_now": -500_000, "voltage_now": 12_000_000}, 6.0),
    ],
)
def test_signs_and_sources_of_a_battery(files: dict[str, int], expected: float, tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="laptop")
    for name, value in {"type": "Battery", "status": "Discharging", **files}.items():
        tree.write(f"sys/class/power_supply/BAT1/{name}", value)
    assert values(opened(tree, "battery"))["BAT1"] == pytest.approx(expected)


def test_a_battery_with_energy_only_is_a_counter(tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="laptop")
    for name, value in {"type": "Battery", "status": "Discharging", "energy_now": 40_000_000}.items():
        tree.write(f"sys/class/power_supply/BAT1/{name}", value)
    meter = opened(tree, "battery")
    assert meter.channels()[0].kind == "energy"
    meter.read()
    tree.write("sys/class/power_supply/BAT1/energy_now", 39_990_000)
    assert values(meter)["BAT1"] == pytest.approx(36.0)


def test_two_batteries_are_two_parts(tmp_path: Path) -> None:
    tree = sensor_trees.battery_laptop(tmp_path)
    for name, value in {"type": "Battery", "status": "Discharging", "power_now": 1_500_000}.items():
        tree.write(f"sys/class/power_supply/BAT1/{name}", value)
    assert [channel.total for channel in opened(tree, "battery").channels()] == [False, False]


def test_the_pi_s_rails_and_their_sum(tmp_path: Path) -> None:
    tree = sensor_trees.raspberry_pi_5(tmp_path)
    meter = opened(tree, "pmic")
    read = values(meter)
    assert len(read) == 13
    assert read["VDD_CORE"] == pytest.approx(1.33842 * 0.9005333)
    assert read["total"] == pytest.approx(sum(value for name, value in read.items() if name != "total"))
    assert "EXT5V" not in read
    assert read["DDR_VDD2"] == 0.0, "the DRAM rails really read zero at idle"
    assert meter.min_period_s >= 0.25


def test_a_pi_that_loses_a_rail_has_no_sum(tmp_path: Path) -> None:
    tree = sensor_trees.raspberry_pi_5(tmp_path)
    meter = opened(tree, "pmic")
    output = str(tree.commands.answers["vcgencmd pmic_read_adc"])
    tree.commands.answers["vcgencmd pmic_read_adc"] = output.replace("VDD_CORE_V", "VDD_XXXX_V")
    assert values(meter)["VDD_CORE"] is None
    assert values(meter)["total"] is None


def test_a_pi_that_forbids_says_how_to_be_allowed(tmp_path: Path) -> None:
    tree = sensor_trees.raspberry_pi_5(tmp_path)
    tree.commands.answers["vcgencmd pmic_read_adc"] = MeterError(
        "exit status 1: Can't open device file: /dev/vcio", where="vcgencmd"
    )
    row = found(tree, "pmic")
    assert not row.available
    assert "/dev/vcio" in row.reason
    assert "video" in row.fix
