"""Jetson rails: what each board shows, what is no rail, and how reads fail."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.metering.boards import found, opened, values
from wattscribe.errors import MeterError
from wattscribe.metering import limits, open_meters, probe
from wattscribe.metering.sensors import rapl
from wattscribe.testing import (
    sensor_trees,
)
from wattscribe.testing.faults import EVERY_READ_ERROR

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


@pytest.mark.parametrize(
    ("board", "kind", "fix"),
    [
        ("orin_nano", "ina3221", "echo 16 | sudo tee /sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/samples"),
        ("agx_orin", "ina3221", "echo 16 | sudo tee /sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/samples"),
        ("nano", "ina3221-iio", None),
        ("thor", "ina238", None),
    ],
)
def test_rails_that_show_instants_are_named_with_what_mends_it(
    board: str, kind: str, fix: str | None, tmp_path: Path
) -> None:
    row = found(getattr(sensor_trees, board)(tmp_path), kind)
    assert row.available
    assert row.instants == tuple(channel.name for channel in row.channels)
    assert row.reason.count("instants: a change of load between two reads is unseen") == 1
    assert row.fix == fix
    assert ("sample_rate_hz" in row.reason) == (fix is None)


def test_a_chip_that_averages_shows_everything(tmp_path: Path) -> None:
    """What the advice says, done: 16 samples take 0.1056 s, two reads at 20 Hz."""
    tree = sensor_trees.orin_nano(tmp_path)
    for setting in tmp_path.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/samples"):
        setting.write_text("16\n")
        (setting.parent / "update_interval").write_text("106\n")
    row = found(tree, "ina3221")
    assert (row.instants, row.fix) == ((), None)
    assert "instants" not in row.reason
    assert {channel.averaging_s for channel in row.channels} == {0.106}


@pytest.mark.parametrize(
    ("update_s", "samples", "needed"),
    [(0.0066, 1, 16), (0.0022, 1, 64), (0.0264, 4, 16), (0.0499, 1, 4), (1e-6, 1, None)],
)
def test_as_many_samples_as_lie_between_two_reads(update_s: float, samples: int, needed: int | None) -> None:
    assert limits.averages_needed(update_s, samples, rate_hz=20.0) == needed
