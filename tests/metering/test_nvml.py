"""NVIDIA GPUs: which quantity is read, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.metering.boards import found
from wattscribe.metering import Host, Meter, open_meters, probe
from wattscribe.testing import (
    FakeGpu,
    FakeNvml,
    sensor_trees,
)


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
    assert host.nvml is not None
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
