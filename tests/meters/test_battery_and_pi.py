"""Batteries and the Raspberry Pi 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meters.boards import found, opened, values
from wattscribe.errors import MeterError
from wattscribe.testing import (
    sensor_trees,
)
from wattscribe.testing.sensor_trees import SensorTree


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
