"""What every sensor promises, fakes included, and the row that every kind has on every board."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from wattscribe.metering import Host, Meter, Sampler, open_meters, probe
from wattscribe.records import to_json
from wattscribe.testing import (
    FakeClock,
    FakeCommands,
    FakeGpu,
    FakeNvml,
    ReplayMeter,
    SimulatedMeter,
    hwmon_trees,
    loads,
    sensor_trees,
)
from wattscribe.testing.apple import FakeApple
from wattscribe.testing.contracts import MeterContract
from wattscribe.testing.recorded import TEGRASTATS

KINDS = [
    "ina3221",
    "ina3221-iio",
    "ina238",
    "tegrastats",
    "nvml",
    "rapl",
    "hwmon",
    "pmic",
    "battery",
    "apple",
    "cmd",
    "external",
    "replay",
    "modelled",
]


BOARDS = {**sensor_trees.BOARDS, **hwmon_trees.MACHINES}


def _board(name: str) -> Callable[[Path, FakeClock], list[Meter]]:
    return lambda root, clock: open_meters(host=BOARDS[name](root).host(clock))


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


def _mac(root: Path, clock: FakeClock) -> list[Meter]:
    return open_meters(host=replace(Host.of_root(root), clock=clock, apple=FakeApple(), system="Darwin"))


def _commands(root: Path, clock: FakeClock) -> list[Meter]:
    counter = "i=0; while :; do i=$((i+1)); echo $i J; sleep 0.02; done"
    stated = ["cmd:echo 5.25 W", f"cmd:part name=counter -- {counter}"]
    return open_meters(host=Host.of_root(root), stated=stated)


def _itself(meter: Meter) -> Meter:
    return meter


SETUPS = {
    **{name: _board(name) for name in BOARDS},
    "Apple silicon": _mac,
    "commands": _commands,
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
        MeterContract(partial(_itself, meter)).check()
        assert {channel.evidence for channel in meter.channels()} == {"measured"}


@pytest.mark.parametrize("board", BOARDS, ids=str)
def test_every_kind_has_its_row_on_every_board_with_a_reason(board: str, tmp_path: Path) -> None:
    rows = probe(host=BOARDS[board](tmp_path).host())
    assert [row.meter for row in rows] == KINDS
    assert all(row.reason for row in rows)
    json.dumps(to_json(rows), allow_nan=False)


def test_an_empty_machine_has_every_row_and_no_meter(tmp_path: Path) -> None:
    rows = probe(tmp_path)
    assert [row.meter for row in rows] == KINDS
    assert [row.meter for row in rows if row.available] == []  # nothing says which CPU it is, and no wattage is guessed
    assert open_meters(tmp_path) == []
