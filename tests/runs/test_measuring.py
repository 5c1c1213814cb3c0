"""`measure` over fakes and sensor trees: its figures are those of the window's arithmetic, and what is missing says why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import wattscribe
from tests.known import known
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import Channel
from wattscribe.metering import window as windows
from wattscribe.metering.host import SIMULATED
from wattscribe.metering.modelled import cpu_reading
from wattscribe.runs.measuring import Measurement
from wattscribe.testing import sensor_trees

BLOCK_S = 0.5


class Board:
    """A total rail at 5 W, a part of it at 2 W."""

    name = "board"

    def __init__(self) -> None:
        self.power_w = [5.0, 2.0]
        self.closed = False

    def channels(self) -> list[Channel]:
        return [
            Channel(name=name, covers=covers, kind="power", total=total, update_interval_s=0.02, averaging_s=0.0)
            for name, covers, total in (("in", "module total", True), ("cpu", "CPU", False))
        ]

    def read(self) -> list[float | None]:
        return list(self.power_w)

    def close(self) -> None:
        self.closed = True


def test_the_figures_are_those_of_the_windows_arithmetic() -> None:
    board = Board()
    with Measurement(meters=[board], sample_rate_hz=50) as m:
        time.sleep(BLOCK_S)
    block = m.block
    (whole, part) = block.traces
    assert m.channels[0].reading == windows.energy(whole, block.window) == block.chosen
    assert m.channels[1].reading == windows.energy(part, block.window)
    assert m.energy_j == pytest.approx(5.0 * m.duration_s)
    assert m.energy_ci95_j is not None
    assert known(m.energy_ci95_j)[0] <= known(m.energy_j) <= known(m.energy_ci95_j)[1]
    assert (m.evidence, m.covers, m.net_energy_j) == ("measured", "module total", None)
    assert [(each.channel, each.total) for each in m.channels] == [("board.in", True), ("board.cpu", False)]
    assert not board.closed, "meters that are handed in stay open"
    assert repr(m).startswith("<Measurement: ")
    assert len(repr(m)) < 120


def test_idle_is_measured_before_where_it_is_asked_for() -> None:
    board = Board()
    measurement = Measurement(meters=[board], sample_rate_hz=50, idle_s=0.4)
    with measurement as m:
        board.power_w = [9.0, 2.0]
        time.sleep(BLOCK_S)
    assert m.block.idle_before is not None
    expected = windows.energy(m.block.traces[0], m.block.window, idle_before=m.block.idle_before)
    assert (m.net_energy_j, m.net_energy_ci95_j) == (expected.net_j, expected.net_ci95_j)
    assert m.net_energy_j == pytest.approx(4.0 * m.duration_s, rel=0.2)


def test_idle_may_be_a_measurement_of_its_own() -> None:
    board = Board()
    with Measurement(meters=[board], sample_rate_hz=50) as idle:
        time.sleep(BLOCK_S)
    board.power_w = [9.0, 2.0]
    with Measurement(meters=[board], sample_rate_hz=50, idle=idle) as m:
        time.sleep(BLOCK_S)
    expected = windows.energy(
        m.block.traces[0], m.block.window, idle_before=idle.block.window, idle_traces=idle.block.traces
    )
    assert (m.energy_j, m.net_energy_j) == (expected.energy_j, expected.net_j)
    assert m.net_energy_j == pytest.approx(4.0 * m.duration_s, rel=0.2)


def test_a_boards_sensor_files_are_measured(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    tree.set_power("VDD_IN", 7.5)
    with wattscribe.measure(root=tmp_path) as m:
        time.sleep(BLOCK_S)
    assert m.energy_j == pytest.approx(7.5 * m.duration_s, rel=0.01)
    assert (m.evidence, m.covers) == ("measured", "module total")
    assert {each.channel.partition(".")[2] for each in m.channels} == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    tree.write(SIMULATED, "orin-nano")
    with wattscribe.measure(root=tmp_path) as m:
        time.sleep(BLOCK_S)
    assert m.evidence == "simulated", "the watts of a board that is played are no measurement"


def test_without_a_sensor_it_is_unavailable_and_the_cpu_is_modelled(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\n")
    with wattscribe.measure(root=tmp_path) as m:
        sum(i * i for i in range(300_000))
    assert (m.energy_j, m.energy_ci95_j, m.net_energy_j, m.evidence) == (None, None, None, "unavailable")
    assert "rapl: " in (m.reason or "")
    assert "ina3221: " in (m.reason or "")
    expected = cpu_reading(m.cpu_s, m.duration_s, cpu_name="Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz")
    assert m.cpu_s > 0
    assert (m.cpu_energy_j, m.cpu_energy_ci95_j) == (expected.energy_j, expected.energy_ci95_j)
    assert m.cpu_energy_j is not None


def test_a_sensor_that_fails_gives_no_figure_and_its_error() -> None:
    class Gone(Board):
        def read(self) -> list[float | None]:
            raise MeterError("the cable is out")

    with Measurement(meters=[Gone()]) as m:
        time.sleep(0.1)
    assert (m.energy_j, m.evidence) == (None, "unavailable")
    assert "board: the cable is out" in (m.reason or "")


def test_a_block_that_raises_is_measured_and_raises(tmp_path: Path) -> None:
    measurement = Measurement(meters=[Board()])
    with pytest.raises(ZeroDivisionError), measurement as m:
        _ = 1 / 0
    assert m.duration_s > 0


def test_misuse_is_told() -> None:
    measurement = Measurement(meters=[])
    with pytest.raises(InputError, match="the block has not ended"):
        _ = measurement.energy_j
    with measurement, pytest.raises(InputError, match="the block has not ended"):
        _ = measurement.cpu_s
    with pytest.raises(InputError, match="already used"), measurement:
        pass
    with pytest.raises(InputError, match="0 or more"):
        Measurement(idle_s=-1.0)
    with pytest.raises(InputError, match="both idle and idle_s"):
        Measurement(idle_s=1.0, idle=measurement)
