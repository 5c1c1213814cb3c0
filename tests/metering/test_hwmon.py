"""Power under hwmon from drivers without a chip of their own here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.metering.boards import found, opened, values
from wattscribe.metering import Sampler, window
from wattscribe.testing import FakeClock
from wattscribe.testing.sensor_trees import SensorTree


def tree_of(root: Path, number: int, **files: object) -> SensorTree:
    tree = SensorTree(root=root, board="desktop")
    for name, value in files.items():
        tree.write(f"sys/class/hwmon/hwmon{number}/{name}", value)
    return tree


@pytest.mark.parametrize("quantity", ["power1_average", "power1_input"])
def test_an_amd_gpu_is_read_under_either_name_of_its_power(quantity: str, tmp_path: Path) -> None:
    tree = tree_of(tmp_path, 3, name="amdgpu", power1_label="PPT", power1_cap_max=200_000_000, **{quantity: 42_000_000})
    (channel,) = opened(tree, "hwmon").channels()
    assert values(opened(tree, "hwmon")) == {"amdgpu-hwmon3-PPT": 42.0}
    assert channel.total
    assert channel.covers.startswith("GPU")
    assert channel.ceiling_w == pytest.approx(400.0)
    assert "42 W" in found(tree, "hwmon").reason


def test_rails_of_one_chip_overlap_and_only_the_first_is_its_total(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, 0, name="amdgpu", power1_input=15_000_000, power2_input=18_000_000, power2_label="fastPPT")
    assert [channel.total for channel in opened(tree, "hwmon").channels()] == [True, False]


def test_an_intel_gpu_s_counter_is_energy(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, 2, name="xe", energy1_input=5_000_000, energy1_label="card", power1_max=190_000_000)
    (channel,) = opened(tree, "hwmon").channels()
    assert channel.kind == "energy"
    assert values(opened(tree, "hwmon")) == {"xe-hwmon2-card": 5.0}


def test_a_driver_whose_power_nobody_knows_is_a_part_that_stands_for_nothing(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, 1, name="mystery", power1_input=5_000_000)
    (channel,) = opened(tree, "hwmon").channels()
    assert (channel.total, channel.processors) == (False, ())
    assert "unknown extent" in channel.covers
    assert "--meter whole:hwmon.mystery-hwmon1-power" in found(tree, "hwmon").reason
    sampler = Sampler([opened(tree, "hwmon")], 20, FakeClock())
    sampler.read_once()
    assert window.preferred(sampler.drain()) is None


def test_a_gpu_that_is_numbered_anew_is_found_again(tmp_path: Path) -> None:
    device = tmp_path / "sys/devices/0000:03:00.0"
    device.mkdir(parents=True)
    tree = tree_of(tmp_path, 3, name="amdgpu", power1_average=30_000_000)
    hwmon = tmp_path / "sys/class/hwmon"
    (hwmon / "hwmon3/device").symlink_to(device)
    meter = opened(tree, "hwmon", FakeClock())
    (hwmon / "hwmon3").rename(hwmon / "hwmon5")
    assert values(meter) == {"amdgpu-0000:03:00.0-power1": 30.0}
