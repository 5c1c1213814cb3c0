"""Intel and AMD counters: what overlaps, what wraps, and what is neither."""

from __future__ import annotations

import errno
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.known import known
from tests.metering.boards import found, opened, values
from wattscribe.metering import Sampler, open_meters, window
from wattscribe.records import PowerTrace, Window
from wattscribe.testing import (
    FakeClock,
    FakeGpu,
    FakeNvml,
    sensor_trees,
)
from wattscribe.testing.faults import EVERY_READ_ERROR
from wattscribe.testing.sensor_trees import SensorTree


def test_overlapping_domains_are_named_and_only_one_total_is_there(tmp_path: Path) -> None:
    channels = {channel.name: channel for channel in opened(sensor_trees.intel_laptop(tmp_path), "rapl").channels()}
    assert set(channels) == {"package-0", "package-0.core", "package-0.uncore", "psys", "cpu"}
    assert [name for name, channel in channels.items() if channel.total] == ["psys"]
    assert "inside the package" in channels["package-0.core"].covers


def test_a_gpu_s_work_is_not_measured_at_psys(tmp_path: Path) -> None:
    host = replace(sensor_trees.intel_laptop(tmp_path).host(), nvml=FakeNvml([FakeGpu(), FakeGpu()]))
    traces = [
        PowerTrace(
            channel=f"{meter.name}.{channel.name}",
            covers=channel.covers,
            total=channel.total,
            update_interval_s=channel.update_interval_s,
            evidence=channel.evidence,
            t_s=(0.0, 1.0),
            power_w=(5.0, 5.0),
            processors=channel.processors,
            gpu_index=channel.gpu_index,
        )
        for meter in open_meters(host=host)
        for channel in meter.channels()
    ]
    assert known(window.preferred(traces, "cuda:0")).channel == "nvml.gpu0"
    assert known(window.preferred(traces, "cuda:1")).channel == "nvml.gpu1"
    assert known(window.preferred(traces, "cpu")).channel == "rapl.psys"


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


def test_a_counter_that_was_set_back_is_neither_a_wrap_nor_a_failed_read(tmp_path: Path) -> None:
    """After a suspend the counter starts anew: as a wrap that would be hundreds of kilojoules."""
    tree, clock = sensor_trees.epyc(tmp_path), FakeClock()
    zone = "sys/class/powercap/intel-rapl:0/energy_uj"
    tree.write(zone, 100_000_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.write(zone, 1_000_000)
    read = values(meter)
    assert math.isnan(known(read["package-0"]))
    assert math.isnan(known(read["cpu"]))
    clock.advance(0.05)
    tree.write(zone, 3_000_000)
    assert values(meter)["package-0"] == pytest.approx(2.0)


def test_a_set_back_counter_is_said_for_the_sum_also_where_another_s_read_fails(tmp_path: Path) -> None:
    tree, clock = sensor_trees.xeon(tmp_path), FakeClock()
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", 100_000_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", 1_000_000)
    tree.files.fail("intel-rapl:1/energy_uj", errno.EIO, times=1)
    read = values(meter)
    assert read["package-1"] is None
    assert math.isnan(known(read["cpu"]))


@pytest.mark.parametrize(("failing", "gap_s"), [(0, 0.2), (100, 5.2)], ids=["between two reads", "while reads fail"])
def test_a_counter_that_was_set_back_leaves_a_gap_with_an_interval(failing: int, gap_s: float, tmp_path: Path) -> None:
    """50 W throughout; the counter starts anew at the half."""
    tree, clock = sensor_trees.epyc(tmp_path), FakeClock()
    zone, drawn_uj = "sys/class/powercap/intel-rapl:0/energy_uj", 5_000_000_000
    tree.write(zone, drawn_uj)
    sampler = Sampler([opened(tree, "rapl", clock)], 20, clock)
    start_s = clock.now_s()
    for index in range(400):
        drawn_uj = 0 if index == 200 else drawn_uj + 2_500_000
        tree.write(zone, "" if 200 - failing < index <= 200 else drawn_uj)
        sampler.read_once()
        clock.sleep(0.05)
    trace = next(each for each in sampler.drain() if each.channel == "rapl.cpu")
    reading = window.energy(trace, Window(start_s=start_s + 2, end_s=start_s + 18))
    assert reading.energy_j == pytest.approx(800.0, rel=1e-6)
    low_j, high_j = known(reading.energy_ci95_j)
    assert high_j - low_j == pytest.approx(2 * 1.96 * gap_s * 50 / math.sqrt(3), rel=0.3)
    assert "set back: a gap of" in known(reading.reason)
    assert "went on counting" not in known(reading.reason)


def test_a_virtual_machine_is_told_that_no_driver_will_help(tmp_path: Path) -> None:
    tree = SensorTree(root=tmp_path, board="vm")
    tree.write("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t: fpu hypervisor")
    assert found(tree, "rapl").fix is None
    assert "virtual machine" in found(tree, "rapl").reason
    tree.write("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t: fpu")
    assert found(tree, "rapl").fix == "sudo modprobe intel_rapl_msr"
