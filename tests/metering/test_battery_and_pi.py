"""Batteries and the Raspberry Pi 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.known import known
from tests.metering.boards import found, opened, values
from tests.metering.recording import START_S
from wattscribe.errors import MeterError
from wattscribe.metering import Channel, PacedMeter, Sampler, window
from wattscribe.metering.sensors.battery import BatteryMeter
from wattscribe.metering.sensors.battery_source import POWER_UPDATE_S
from wattscribe.records import Window
from wattscribe.testing import FakeClock, SimulatedMeter, loads, sensor_trees
from wattscribe.testing.sensor_trees import SensorTree

CLASS = "sys/class/power_supply"


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


def with_battery(tree: SensorTree, name: str, **files: object) -> SensorTree:
    for key, value in {"type": "Battery", "status": "Discharging", **files}.items():
        tree.write(f"{CLASS}/{name}/{key}", value)
    return tree


def alone(root: Path, **files: object) -> SensorTree:
    return with_battery(SensorTree(root=root, board="laptop"), "BAT0", **files)


def test_two_batteries_are_two_parts_and_their_sum(tmp_path: Path) -> None:
    tree = with_battery(sensor_trees.battery_laptop(tmp_path), "BAT1", power_now=1_500_000)
    meter = opened(tree, "battery")
    assert {each.name: each.total for each in meter.channels()} == {"BAT0": False, "BAT1": False, "total": True}
    assert values(meter) == pytest.approx({"BAT0": 8.5, "BAT1": 1.5, "total": 10.0})
    assert "BAT0 + BAT1" in found(tree, "battery").reason


@pytest.mark.parametrize("status", ["Full", "Not charging", "Unknown"])
def test_a_battery_that_waits_for_its_turn_adds_nothing(status: str, tmp_path: Path) -> None:
    tree = with_battery(sensor_trees.battery_laptop(tmp_path), "BAT1", status=status, power_now=0)
    assert values(opened(tree, "battery"))["total"] == 8.5


def test_one_that_charges_while_another_discharges_leaves_the_device_unknown(tmp_path: Path) -> None:
    tree = with_battery(sensor_trees.battery_laptop(tmp_path), "BAT1", status="Charging", power_now=4_000_000)
    assert values(opened(tree, "battery")) == {"BAT0": 8.5, "BAT1": None, "total": None}
    assert "one battery charges while another discharges" in found(tree, "battery").reason


def test_a_power_of_zero_while_discharging_is_not_believed(tmp_path: Path) -> None:
    files = {"power_now": 0, "current_now": 1_350_000, "voltage_now": 3_900_000, "energy_now": 9_000_000}
    tree = alone(tmp_path / "current", **files)
    assert values(opened(tree, "battery")) == pytest.approx({"BAT0": 5.265})
    assert "5.265 W" in found(tree, "battery").reason
    row = found(alone(tmp_path / "nothing", power_now=0), "battery")
    assert not row.available
    assert "power_now of 0 µW" in row.reason


def test_a_current_in_milliamperes_is_known_by_what_the_battery_holds(tmp_path: Path) -> None:
    files = {"current_now": -320, "voltage_now": 3_900_000}
    tree = alone(tmp_path / "known", charge_now=2_500_000, **files)
    meter = opened(tree, "battery")
    assert values(meter) == pytest.approx({"BAT0": 1.248})
    assert "in mA" in meter.channels()[0].covers
    row = found(alone(tmp_path / "unknown", **files), "battery")
    assert not row.available
    assert "current_now of -320" in row.reason


@pytest.mark.parametrize(
    "files",
    [
        {"current_now": -(2**31), "voltage_now": 3_900_000},
        {"power_now": 4_294_967_295_000, "energy_now": 40_000_000_000_000},
        {"current_now": -22, "voltage_now": 3_900_000},
        {"current_now": 1_000_000, "voltage_now": 0},
        {"power_now": 5_000_000_000},
        {"charge_now": 2_500_000},
    ],
    ids=["INT_MIN", "unknown", "EINVAL", "no voltage", "5 kW", "charge without a voltage"],
)
def test_placeholders_and_impossible_values_are_unavailable_with_the_reason(
    files: dict[str, int], tmp_path: Path
) -> None:
    files = {name: value for name, value in files.items() if name != "energy_now"}
    row = found(alone(tmp_path, **files), "battery")
    assert not row.available
    assert any(name in row.reason for name in files)


def test_a_placeholder_in_mid_run_is_a_failed_read(tmp_path: Path) -> None:
    tree = alone(tmp_path, current_now=1_000_000, voltage_now=3_900_000)
    meter = opened(tree, "battery")
    for value in (-(2**31), 0, 90_000_000):
        tree.write(f"{CLASS}/BAT0/current_now", value)
        assert values(meter) == {"BAT0": None}
    tree.write(f"{CLASS}/BAT0/current_now", -1_000_000)
    assert values(meter) == pytest.approx({"BAT0": 3.9})


def test_a_battery_with_charge_only_is_a_counter_at_its_voltage(tmp_path: Path) -> None:
    tree = alone(tmp_path, charge_now=2_500_000, voltage_now=4_000_000)
    meter = opened(tree, "battery")
    meter.read()
    tree.write(f"{CLASS}/BAT0/charge_now", 2_490_000)
    assert meter.channels()[0].kind == "energy"
    assert values(meter)["BAT0"] == pytest.approx(0.01 * 4.0 * 3600)


@pytest.mark.parametrize(
    ("current_ua", "online", "available"),
    [(-900_000, None, True), (900_000, 0, True), (900_000, 1, False), (900_000, None, False)],
    ids=["negative current", "charger off", "charger on", "nothing tells"],
)
def test_an_unknown_status_is_told_from_the_current_and_the_charger(
    current_ua: int, online: int | None, available: bool, tmp_path: Path
) -> None:
    tree = alone(tmp_path, status="Unknown", current_now=current_ua, voltage_now=3_900_000)
    if online is not None:
        tree.write(f"{CLASS}/usb/type", "USB")
        tree.write(f"{CLASS}/usb/online", online)
    row = found(tree, "battery")
    assert row.available is available
    assert available or online == 1 or "Unknown" in row.reason


def test_a_battery_opened_on_mains_is_read_when_the_charger_is_pulled(tmp_path: Path) -> None:
    tree = alone(tmp_path, status="Full", power_now=0, current_now=0, voltage_now=12_000_000, energy_now=40_000_000)
    meter = BatteryMeter(tree.files)
    assert values(meter) == {"BAT0": None}
    tree.write(f"{CLASS}/BAT0/status", "Discharging")
    tree.write(f"{CLASS}/BAT0/power_now", 7_500_000)
    assert values(meter) == {"BAT0": 7.5}


REFRESHES = [(refresh_s, phase) for refresh_s in (2.0, 5.0, 10.0) for phase in (0.05, 0.4, 0.75)]


@pytest.mark.parametrize("averages", [False, True], ids=["instants", "averages"])
@pytest.mark.parametrize("shape", ["level", "trial", "step inside", "step at the start"])
def test_the_interval_covers_whatever_a_slow_refresh_hides_or_the_window_is_refused(shape: str, averages: bool) -> None:
    """Nobody documents a battery's refresh, nor whether a value is an instant's or an average."""
    channel = Channel(
        name="BAT0", covers="whole device", kind="power", total=True, update_interval_s=POWER_UPDATE_S, ceiling_w=300.0
    )
    start_s, end_s = START_S + 40.0, START_S + 80.0
    load = {
        "level": loads.constant(9.0),
        "trial": loads.box(5.0, 13.0, start_s, end_s),
        "step inside": loads.Load(powers_w=(5.0, 9.0, 13.0, 5.0), edges_s=(start_s, start_s + 17.0, end_s)),
        "step at the start": loads.Load(powers_w=(5.0, 9.0, 13.0, 5.0), edges_s=(start_s, start_s + 2.0, end_s)),
    }[shape]
    answered = 0
    for refresh_s, phase in REFRESHES:
        clock = FakeClock(START_S)
        meter = SimulatedMeter(
            load,
            clock,
            update_interval_s=refresh_s,
            averaging_s=refresh_s if averages else 0.0,
            phase_s=phase * refresh_s,
            declared=channel,
        )
        sampler = Sampler([meter], 4.0, clock)
        while clock.now_s() < end_s + 40.0:
            sampler.sleep_and_read()
        (read,) = sampler.drain()
        long = window.energy(
            read,
            Window(start_s=start_s, end_s=end_s),
            idle_before=Window(start_s=START_S + 8, end_s=START_S + 38),
            idle_after=Window(start_s=end_s + 5, end_s=end_s + 35),
        )
        true_j = load.energy_j(start_s, end_s)
        if long.energy_ci95_j is not None:
            answered += 1
            assert long.energy_ci95_j[0] - 1e-6 <= true_j <= long.energy_ci95_j[1] + 1e-6, (refresh_s, phase)
        if shape != "level" and long.net_ci95_j is not None:
            assert long.net_ci95_j[0] <= true_j - 200.0 <= long.net_ci95_j[1], (refresh_s, phase)
        short = window.energy(read, Window(start_s=start_s, end_s=start_s + 6.0))
        assert short.evidence == "unavailable"
        assert "2 updates" in known(short.reason)
    assert answered == len(REFRESHES)


def test_the_pi_s_rails_and_their_sum(tmp_path: Path) -> None:
    tree = sensor_trees.raspberry_pi_5(tmp_path)
    meter = opened(tree, "pmic")
    read = values(meter)
    assert len(read) == 13
    assert read["VDD_CORE"] == pytest.approx(1.33842 * 0.9005333)
    assert read["total"] == pytest.approx(sum(known(value) for name, value in read.items() if name != "total"))
    assert "EXT5V" not in read
    assert read["DDR_VDD2"] == 0.0, "the DRAM rails really read zero at idle"
    assert isinstance(meter, PacedMeter)
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
    assert "video" in known(row.fix)
