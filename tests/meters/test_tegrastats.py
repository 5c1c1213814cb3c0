"""tegrastats of every generation: rails by name, whatever stands in the columns around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wattscribe.errors import InputError, MeterError
from wattscribe.meters import Host, open_meters, probe, window
from wattscribe.meters.tegrastats import TegrastatsMeter, parse_line, read_log, traces_of
from wattscribe.records import Window
from wattscribe.testing import FakeClock, FakeCommands, sensor_trees
from wattscribe.testing.faults import FakeLines
from wattscribe.testing.recorded import TEGRASTATS

RAILS_W = {
    "nano": {"POM_5V_IN": 0.9, "POM_5V_GPU": 0.0, "POM_5V_CPU": 0.123},
    "tx1": {"VDD_IN": 2.532, "VDD_CPU": 0.076, "VDD_GPU": 0.019},
    "xavier": {"VDD_IN": 5.336, "VDD_CPU_GPU_CV": 2.617, "VDD_SOC": 1.478},
    "agx_xavier": {"GPU": 0.0, "CPU": 0.311, "SOC": 0.933, "CV": 0.0, "VDDRQ": 0.155, "SYS5V": 1.443},
    "orin": {"VDD_IN": 5.765, "VDD_CPU_GPU_CV": 1.548, "VDD_SOC": 1.497},
    "orin_dated": {"VDD_IN": 5.139, "VDD_CPU_GPU_CV": 0.548, "VDD_SOC": 1.497},
    "agx_orin": {"VIN_SYS_5V0": 7.0, "VDD_GPU_SOC": 4.0},
}


@pytest.mark.parametrize("generation", TEGRASTATS, ids=str)
def test_every_generation_s_rails_and_nothing_else(generation: str) -> None:
    assert parse_line(TEGRASTATS[generation]).rails_w == pytest.approx(RAILS_W[generation])


def test_thor_s_input_is_its_total_and_the_5_v_rail_is_a_part() -> None:
    line = "RAM 1/2MB VDD_GPU 4000mW/3900mW VDD_CPU_SOC_MSS 5000mW/5000mW VIN_SYS_5V0 6000mW/6000mW VIN 21000mW/20500mW"
    traces = {trace.channel: trace for trace in traces_of([line, line], interval_s=1.0, start_s=0.0)}
    assert [name for name, trace in traces.items() if trace.total] == ["tegrastats.VIN"]
    assert traces["tegrastats.VIN"].power_w == (21.0, 21.0)


def test_cores_that_are_off_shift_nothing() -> None:
    line = parse_line(TEGRASTATS["xavier"])
    assert line.cpu_loads == (0.21, 0.19, None, None, 0.20, 0.20)
    assert line.gpu_load == pytest.approx(0.61)
    assert line.ram_bytes == 3347 * 1024**2


def test_clocks_in_brackets_and_temperatures() -> None:
    line = parse_line(TEGRASTATS["agx_orin"])
    assert line.gpu_load == pytest.approx(0.5)
    assert line.temperatures_c == {"GPU": 51.0}
    assert parse_line(TEGRASTATS["nano"]).temperatures_c["PMIC"] == 100.0


def test_a_line_without_rails_has_none_and_not_zero() -> None:
    line = parse_line(
        "RAM 613/3964MB (lfb 634x4MB) CPU [2%@102,off] EMC_FREQ 0% GR3D_FREQ 0% APE 150 NVDLA0 OFF VIC 0%@115"
    )
    assert line.rails_w == {}


def test_a_recorded_log_is_a_trace_per_rail_that_can_be_integrated(tmp_path: Path) -> None:
    lines = [TEGRASTATS["orin"].replace("5765mW", f"{5000 if i < 30 else 9000}mW") for i in range(60)]
    lines[40] = "RAM 2840/7620MB (lfb 512x4MB)"
    log = tmp_path / "log.txt"
    log.write_text("\n".join(lines))
    traces = {trace.channel: trace for trace in read_log(log, interval_s=0.1, start_s=50.0)}
    total = traces["tegrastats.VDD_IN"]
    assert total.total
    assert not traces["tegrastats.VDD_SOC"].total
    assert total.failed_t_s == pytest.approx((54.0,))
    reading = window.energy(total, Window(start_s=51.0, end_s=55.0))
    assert reading.energy_j == pytest.approx(1.95 * 5 + 2.05 * 9, rel=1e-6)
    assert "1 reads failed" in reading.reason


def test_a_log_without_rails_says_how_to_record_them(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("RAM 1/2MB CPU [1%@102]\n")
    with pytest.raises(InputError, match="root only"):
        read_log(log, interval_s=1.0)
    with pytest.raises(InputError, match="cannot read"):
        read_log(tmp_path / "missing.txt", interval_s=1.0)
    with pytest.raises(InputError, match="interval"):
        read_log(log, interval_s=0.0)


def test_a_running_tegrastats_gives_the_last_line_and_none_when_it_is_stale() -> None:
    clock, lines = FakeClock(), FakeLines([TEGRASTATS["orin"]])
    meter = TegrastatsMeter(lines, clock)
    assert meter.read() == pytest.approx([5.765, 1.548, 1.497])
    lines.say(TEGRASTATS["orin"].replace("5765mW", "8000mW"))
    assert meter.read()[0] == pytest.approx(8.0)
    lines.say(TEGRASTATS["orin"].replace("VDD_SOC 1497mW", ""))
    assert meter.read()[2] is None
    clock.advance(2.0)
    assert meter.read() == [None, None, None]
    lines.end()
    meter.close()
    with pytest.raises(MeterError, match="ended"):
        meter.read()


def test_it_is_opened_only_where_the_sensors_themselves_cannot_be_read(tmp_path: Path) -> None:
    commands = FakeCommands(lines={"tegrastats": [TEGRASTATS["orin"]]})
    host = replace(sensor_trees.orin_nano(tmp_path / "sensors").host(), commands=commands)
    assert [meter.name for meter in open_meters(host=host)] == ["ina3221"]
    (tmp_path / "bare").mkdir()
    bare = replace(Host.of_root(tmp_path / "bare"), commands=commands)
    (meter,) = open_meters(host=bare)
    assert meter.name == "tegrastats"
    meter.close()


def test_a_tegrastats_without_rails_asks_for_root(tmp_path: Path) -> None:
    commands = FakeCommands(lines={"tegrastats": ["RAM 1/2MB CPU [1%@102]"]}, ends=True)
    host = replace(Host.of_root(tmp_path), commands=commands)
    row = next(row for row in probe(host=host) if row.meter == "tegrastats")
    assert not row.available
    assert "root" in row.reason
    assert row.fix is not None
