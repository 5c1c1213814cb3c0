"""Values that cannot be are gaps or refusals, never measured figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.known import known
from tests.metering.boards import found, opened, values
from tests.metering.recording import trace
from wattscribe.metering import Channel, Meter, Sampler, window
from wattscribe.metering.sensors.crosscheck import CrossCheck
from wattscribe.metering.sensors.nvml import NvmlMeter
from wattscribe.records import PowerTrace, Window
from wattscribe.testing import FakeClock, FakeGpu, FakeNvml, SimulatedMeter, loads, sensor_trees
from wattscribe.testing.sensor_trees import SensorTree

ZONE = "sys/class/powercap/intel-rapl:0"


def sampled(meter: Meter, clock: FakeClock, writes: list[tuple[Path, int]]) -> dict[str, PowerTrace]:
    """One write and one read every 50 ms."""
    sampler = Sampler([meter], 20, clock)
    for path, value in writes:
        path.write_text(f"{value}\n")
        sampler.read_once()
        clock.sleep(0.05)
    return {each.channel: each for each in sampler.drain()}


def cpu_tree(root: Path, name: str = "Intel(R) Celeron(R) N4020 CPU @ 1.10GHz", **limits_uw: int) -> SensorTree:
    tree = SensorTree(root=root, board=name)
    tree.write("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: {name}")
    sensor_trees.rapl_zone(tree, "intel-rapl:0", "package-0")
    for constraint, value in limits_uw.items():
        tree.write(f"{ZONE}/{constraint}_uw", value)
    return tree


@pytest.mark.parametrize("jump_uj", [162_143_000_000, 208_000_000], ids=["162 kJ in 50 ms", "4 kW of a Celeron"])
def test_a_counter_that_jumps_leaves_a_gap_and_no_energy(jump_uj: int, tmp_path: Path) -> None:
    """5 W throughout, but for one step."""
    tree, clock = cpu_tree(tmp_path), FakeClock(100.0)
    energy = tmp_path / ZONE / "energy_uj"
    writes = [(energy, 1_000_000 + 250_000 * k + (jump_uj if k >= 100 else 0)) for k in range(200)]
    read = sampled(opened(tree, "rapl", clock), clock, writes)["rapl.cpu"]
    reading = window.energy(read, Window(start_s=clock.now_s() - 9, end_s=clock.now_s() - 1))
    low_j, high_j = known(reading.energy_ci95_j)
    assert reading.energy_j == pytest.approx(40.0, rel=0.01)
    assert low_j < 40.0 < high_j
    assert high_j - low_j > 0.1
    assert "jumped" in known(reading.reason)


def test_a_wrap_that_needs_more_than_the_package_draws_is_no_wrap(tmp_path: Path) -> None:
    tree, clock = cpu_tree(tmp_path), FakeClock()
    tree.write(f"{ZONE}/energy_uj", sensor_trees.RANGE_UJ - 100_000_000)
    meter = opened(tree, "rapl", clock)
    clock.advance(0.05)
    tree.write(f"{ZONE}/energy_uj", 108_000_000)  # 208 J: 4 kW.
    assert math.isnan(known(values(meter)["package-0"]))


@pytest.mark.parametrize(
    ("limits_uw", "ceiling_w"),
    [
        ({"constraint_0_max_power": 6_000_000, "constraint_0_power_limit": 10_000_000}, 30.0),
        ({"constraint_0_max_power": 15_000_000, "constraint_1_power_limit": 64_000_000}, 128.0),
        ({"constraint_0_power_limit": 4_095_875_000, "constraint_0_max_power": 125_000_000}, 625.0),
        ({}, 150.0),
    ],
    ids=["TDP", "short term", "unlimited by the firmware", "by the name"],
)
def test_the_ceiling_comes_from_the_machine_s_own_limits(
    limits_uw: dict[str, Any], ceiling_w: float, tmp_path: Path
) -> None:
    channels = {each.name: each for each in opened(cpu_tree(tmp_path, **limits_uw), "rapl").channels()}
    assert channels["package-0"].ceiling_w == pytest.approx(ceiling_w)
    assert channels["cpu"].ceiling_w == pytest.approx(ceiling_w)


def test_a_power_above_the_ceiling_is_a_failed_read_that_is_said() -> None:
    clock = FakeClock(100.0)
    channel = Channel(name="rail", covers="board", kind="power", total=True, update_interval_s=0.05, ceiling_w=50.0)
    load = loads.Load(powers_w=(10.0, 4169.0, 10.0), edges_s=(103.0, 103.2))
    sampler = Sampler([SimulatedMeter(load, clock, declared=channel)], 20, clock)
    for _ in range(200):
        sampler.read_once()
        clock.sleep(0.05)
    (read,) = sampler.drain()
    assert max(read.power_w) == 10.0
    assert len(read.failed_t_s) == 4
    assert "4 impossible values" in sampler.errors()["simulated.rail"]
    assert "4 reads failed" in known(window.energy(read, Window(start_s=102.0, end_s=108.0)).reason)


def test_a_sensor_s_offset_below_zero_is_kept_and_more_is_not() -> None:
    channel = Channel(name="g", covers="GPU", kind="power", total=False, update_interval_s=0.1, ceiling_w=205.0)
    assert channel.is_possible_w(-0.392)
    assert not channel.is_possible_w(-40.0)


def test_a_psys_below_package_and_dram_is_not_the_total() -> None:
    cpu = trace([0.0, 1.0], [20.0, 20.0], channel="rapl.cpu", processors=("cpu",), total=False)
    psys = trace([0.0, 1.0], [25.0, 25.0], channel="rapl.psys", processors=("cpu",))
    assert window.preferred([psys, cpu]) is psys
    chosen = window.preferred([replace(psys, power_w=(9.0, 9.0)), cpu])
    assert chosen is not None
    assert (chosen.channel, chosen.total) == ("rapl.cpu", True)


def test_psys_is_compared_with_the_packages_when_it_is_opened(tmp_path: Path) -> None:
    tree = sensor_trees.intel_laptop(tmp_path)

    class Running(FakeClock):
        """The package counts 20 W while anybody sleeps, psys nothing."""

        def sleep(self, duration_s: float) -> None:
            super().sleep(duration_s)
            tree.write(f"{ZONE}/energy_uj", 1_000_000 + round(20e6 * self.now_s()))

    channels = {each.name: each for each in opened(tree, "rapl", Running()).channels()}
    assert not channels["psys"].total
    assert channels["cpu"].total


def test_an_ina238_is_the_board_s_input_on_a_jetson_alone(tmp_path: Path) -> None:
    jetson = {each.name: each.total for each in opened(sensor_trees.thor(tmp_path / "thor"), "ina238").channels()}
    assert jetson == {"VIN": True}
    other = SensorTree(root=tmp_path / "board", board="some board")
    folder = "sys/bus/i2c/drivers/ina238/1-0045/hwmon/hwmon0"
    for name, value in {"name": "ina238", "power1_input": 2_000_000, "shunt_resistor": 10_000}.items():
        other.write(f"{folder}/{name}", value)
    (channel,) = opened(other, "ina238").channels()
    assert not channel.total
    assert "board input" not in channel.covers
    assert channel.ceiling_w == pytest.approx(0.16384 / 0.01 * 85)
    assert "2 W" in found(other, "ina238").reason


# --- a GPU's counter and its power ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("counted_w", "agrees"), [(70.0, True), (60.0, True), (7.0, False), (0.0, False)])
def test_a_gpu_s_counter_and_power_are_compared(counted_w: float, agrees: bool) -> None:
    clock, gpu = FakeClock(100.0), FakeGpu(energy_mj=0, power_mw=70_000, instant_mw=70_000)
    meter = NvmlMeter(FakeNvml([gpu]), clock)
    sampler = Sampler([meter], 20, clock)
    for k in range(300):
        gpu.energy_mj = round(counted_w * k * 50)
        sampler.read_once()
        clock.sleep(0.05)
    (read,) = sampler.drain()
    reading = window.energy(read, Window(start_s=101.0, end_s=114.0))
    assert (reading.evidence == "measured") is agrees
    assert ("nvml.gpu0" in sampler.errors()) is not agrees
    if not agrees:
        assert f"{counted_w * 5:.4g} J and its power" in sampler.errors()["nvml.gpu0"]


def test_a_power_that_lags_behind_a_step_is_no_contradiction() -> None:
    check = CrossCheck()
    for k in range(1000):
        t_s = 0.05 * k
        busy_s = max(t_s - 20.0, 0.0)
        check.see(t_s, 50.0 * t_s + 600.0 * busy_s, 50.0 + 600.0 * min(busy_s, 1.0))
        assert check.doubt is None


def test_the_limit_of_a_gpu_is_its_ceiling() -> None:
    (channel,) = NvmlMeter(FakeNvml([FakeGpu()]), FakeClock()).channels()
    assert channel.ceiling_w == pytest.approx(1400.0)


def test_any_counter_that_jumps_above_its_ceiling_leaves_a_gap() -> None:
    """Not only RAPL: the sampler judges every counter."""
    clock = FakeClock(100.0)
    channel = Channel(name="c", covers="board", kind="energy", total=True, update_interval_s=0.05, ceiling_w=100.0)
    load = loads.Load(powers_w=(10.0, 50_000.0, 10.0), edges_s=(105.0, 105.05))
    sampler = Sampler([SimulatedMeter(load, clock, kind="energy", declared=channel)], 20, clock)
    for _ in range(200):
        sampler.read_once()
        clock.sleep(0.05)
    (read,) = sampler.drain()
    reading = window.energy(read, Window(start_s=101.0, end_s=109.0))
    assert reading.energy_j == pytest.approx(80.0, rel=0.02)
    assert "jumped" in known(reading.reason)
    assert "1 times" in sampler.errors()["simulated.c"]
