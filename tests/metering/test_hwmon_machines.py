"""Whole machines under hwmon: which rails are totals, which are parts, and what only looks like a rail."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.metering.boards import found, opened, values
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import open_meters, probe
from wattscribe.testing import FakeClock, hwmon_trees
from wattscribe.testing.faults import EVERY_READ_ERROR

HAT_RAILS = {
    "ina219-1-0040-power1": 6.12,
    "ina226-1-0041-VIN_12V": 3.0125,
    "ina260-1-0044-power1": 2.0,
    "powerz-1-1.2:1.0-VBUS": 5.09,
    "mystery-hwmon6-power1": 1.5,
}


@pytest.mark.parametrize(
    ("machine", "totals", "parts"),
    [
        (
            "gpu_desktop",
            {"amdgpu-0000:03:00.0-PPT": 42.0, "xe-0000:07:00.0-card": 5000.0, "i915-0000:00:02.0-energy1": 900.0},
            {"xe-0000:07:00.0-pkg": 4000.0, "i915_gt0-0000:00:02.0-energy1": 700.0},
        ),
        ("apu_handheld", {"amdgpu-0000:04:00.0-slowPPT": 9.1}, {"amdgpu-0000:04:00.0-fastPPT": 9.4}),
        (
            "epyc_amd_energy",
            {"amd_energy-cpu": 300.0},
            {"amd_energy-amd_energy.0-Esocket0": 100.0, "amd_energy-amd_energy.0-Esocket1": 200.0},
        ),
        ("monitor_hat", {}, HAT_RAILS),
        ("ina3221_class", {"ina3221-hwmon1-VDD_IN": 5.0}, {}),
        (
            "asahi_laptop",
            {"macsmc_hwmon-macsmc-hwmon-Total System Power": 11.3},
            {"macsmc_hwmon-macsmc-hwmon-AC Input Power": 34.0, "macsmc_hwmon-macsmc-hwmon-3.8 V Rail Power": 2.7},
        ),
        (
            "server_psu",
            {"power_meter-ACPI000D:00-power1": 241.0},
            {"pmbus-1-0058-pin": 220.0, "pmbus-1-0058-pout1": 205.0},
        ),
    ],
    ids=str,
)
def test_rails_are_named_read_and_never_added(
    machine: str, totals: dict[str, float], parts: dict[str, float], tmp_path: Path
) -> None:
    meter = opened(hwmon_trees.MACHINES[machine](tmp_path), "hwmon", FakeClock())
    assert {each.name: each.total for each in meter.channels()} == {
        **dict.fromkeys(totals, True),
        **dict.fromkeys(parts, False),
    }
    assert values(meter) == pytest.approx({**totals, **parts})
    meter.close()


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ("gpu_desktop", "k10temp: its currents have a scale"),
        ("epyc_amd_energy", "the cores' counters, which lie inside their sockets'"),
        ("monitor_hat", "--meter whole:hwmon.ina219-1-0040-power1"),
    ],
)
def test_what_is_not_read_is_said(machine: str, words: str, tmp_path: Path) -> None:
    assert words in found(hwmon_trees.MACHINES[machine](tmp_path), "hwmon").reason


def test_a_battery_that_hwmon_shows_once_more_is_no_rail(tmp_path: Path) -> None:
    """Its current charges it here, and the battery's own meter knows."""
    tree = hwmon_trees.gpu_desktop(tmp_path)
    assert not any("BAT0" in channel.name or "ucsi" in channel.name for channel in opened(tree, "hwmon").channels())


@pytest.mark.parametrize(
    ("shunt_uohm", "ceiling_w", "step_w"), [(10_000, 1024.0, 0.02), (100_000, 102.4, 0.002), (2_000, 5120.0, 0.1)]
)
def test_a_monitor_s_range_and_step_are_its_shunt_s(
    shunt_uohm: int, ceiling_w: float, step_w: float, tmp_path: Path
) -> None:
    tree = hwmon_trees.monitor_hat(tmp_path)
    tree.write("sys/class/hwmon/hwmon2/shunt_resistor", shunt_uohm)
    channel = opened(tree, "hwmon").channels()[0]
    assert channel.ceiling_w == pytest.approx(ceiling_w)
    assert channel.resolution == pytest.approx(step_w)


def test_the_interval_of_a_monitor_is_what_its_chip_says(tmp_path: Path) -> None:
    by_name = {each.name: each for each in opened(hwmon_trees.monitor_hat(tmp_path), "hwmon").channels()}
    assert by_name["ina226-1-0041-VIN_12V"].update_interval_s == pytest.approx(0.035)
    assert by_name["ina226-1-0041-VIN_12V"].averaging_s == pytest.approx(0.035)
    assert by_name["ina219-1-0040-power1"].averaging_s == pytest.approx(0.00106)


@pytest.mark.parametrize("error", EVERY_READ_ERROR, ids=errno.errorcode.get)
def test_a_read_that_fails_is_a_gap_of_one_rail(error: int, tmp_path: Path) -> None:
    tree = hwmon_trees.monitor_hat(tmp_path)
    meter = opened(tree, "hwmon", FakeClock())
    tree.files.fail("hwmon5/curr1_input", error)
    assert values(meter) == pytest.approx({**HAT_RAILS, "powerz-1-1.2:1.0-VBUS": None})
    tree.files.heal()
    assert values(meter) == pytest.approx(HAT_RAILS)


def test_a_socket_that_cannot_be_read_leaves_the_sum_unknown(tmp_path: Path) -> None:
    tree = hwmon_trees.epyc_amd_energy(tmp_path)
    meter = opened(tree, "hwmon", FakeClock())
    tree.files.fail("energy10_input", errno.EIO)
    assert list(values(meter).values()) == [100.0, None, None]


def test_counters_for_root_alone_say_so(tmp_path: Path) -> None:
    tree = hwmon_trees.epyc_amd_energy(tmp_path)
    tree.files.fail("_input", errno.EACCES)
    row = found(tree, "hwmon")
    assert not row.available
    assert "root" in row.reason
    assert row.fix is not None


def test_a_power_that_its_driver_shows_and_does_not_support_gives_way_to_the_other(tmp_path: Path) -> None:
    tree = hwmon_trees.apu_handheld(tmp_path)
    tree.files.fail("power1_average", errno.EOPNOTSUPP)
    assert values(opened(tree, "hwmon", FakeClock()))["amdgpu-0000:04:00.0-slowPPT"] == 9.8


def test_a_chip_of_a_cable_that_is_pulled_ends_alone(tmp_path: Path) -> None:
    tree = hwmon_trees.monitor_hat(tmp_path)
    meter = opened(tree, "hwmon", FakeClock())
    for path in (tmp_path / "sys/class/hwmon/hwmon5").glob("*_input"):
        path.unlink()
    assert values(meter)["powerz-1-1.2:1.0-VBUS"] is None
    assert values(meter)["ina219-1-0040-power1"] == 6.12
    for path in (tmp_path / "sys/class/hwmon").glob("*/*_input"):
        path.unlink()
    with pytest.raises(MeterError, match="gone"):
        meter.read()


# --- which rail is the device is for the user to say ------------------------------------------------------------------
def test_a_rail_that_a_user_states_is_the_whole_device_and_no_other_is(tmp_path: Path) -> None:
    host = hwmon_trees.monitor_hat(tmp_path).host(FakeClock())
    stated = ["whole:hwmon.ina219-1-0040-power1"]
    (meter,) = open_meters(host=host, stated=stated)
    (whole,) = [channel for channel in meter.channels() if channel.total]
    assert whole.name == "ina219-1-0040-power1"
    assert whole.covers == "whole device, as stated (what ina219 1-0040 carries (power1))"
    row = next(row for row in probe(host=host, stated=stated) if row.meter == "hwmon")
    assert "stands for the whole device, as stated" in row.reason
    assert "say which" not in row.reason
    assert [channel.name for channel in row.channels if channel.total] == ["ina219-1-0040-power1"]


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (["whole:hwmon.nothing"], "no channel 'hwmon.nothing'.*Here are: hwmon.ina219"),
        (["whole:hwmon.ina219-1-0040-power1", "cmd:echo 5"], "two channels cannot both stand for the whole device"),
        (["hwmon"], "no meter 'hwmon' to state"),
    ],
)
def test_what_cannot_be_stated_is_refused(stated: list[str], words: str, tmp_path: Path) -> None:
    host = hwmon_trees.monitor_hat(tmp_path).host(FakeClock())
    with pytest.raises(InputError, match=words):
        open_meters(host=host, stated=stated)
    with pytest.raises(InputError, match=words):
        probe(host=host, stated=stated)


def test_a_stated_whole_takes_the_place_of_every_other_total(tmp_path: Path) -> None:
    host = hwmon_trees.server_psu(tmp_path).host(FakeClock())
    (meter,) = open_meters(host=host, stated=["whole:hwmon.pmbus-1-0058-pin"])
    assert [channel.name for channel in meter.channels() if channel.total] == ["pmbus-1-0058-pin"]
