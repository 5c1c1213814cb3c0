"""tegrastats of every generation: rails by name, whatever stands in the columns around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.known import known
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import Host, open_meters, probe, window
from wattscribe.metering.sensors import tegrastats_log
from wattscribe.metering.sensors.tegrastats import TegrastatsMeter
from wattscribe.metering.sensors.tegrastats_line import rails_w, stamp_s
from wattscribe.metering.sensors.tegrastats_log import of_lines
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
    "thor": {"VDD_GPU": -0.392, "VDD_CPU_SOC_MSS": 7.91, "VIN_SYS_5V0": 7.62, "VIN": 26.686},
}


@pytest.mark.parametrize("generation", TEGRASTATS, ids=str)
def test_every_generation_s_rails_and_nothing_else(generation: str) -> None:
    assert rails_w(TEGRASTATS[generation]) == pytest.approx(RAILS_W[generation])


def test_thor_s_input_is_its_total_and_the_5_v_rail_is_a_part() -> None:
    line = "RAM 1/2MB VDD_GPU 4000mW/3900mW VDD_CPU_SOC_MSS 5000mW/5000mW VIN_SYS_5V0 6000mW/6000mW VIN 21000mW/20500mW"
    traces = {trace.channel: trace for trace in of_lines([line, line], interval_s=1.0).traces}
    assert [name for name, trace in traces.items() if trace.total] == ["tegrastats.VIN"]
    assert traces["tegrastats.VIN"].power_w == (21.0, 21.0)


STAMPED = "RAM 2/4MB CPU [1%@729] EMC_FREQ 0% VDD_IN {mw}mW/9000mW NC 0mW/0mW"


def stamped(seconds: list[float], mw: int = 5000) -> list[str]:
    moments = [datetime(2024, 5, 4, 12) + timedelta(seconds=int(t)) for t in seconds]
    return [f"{moment:%m-%d-%Y %H:%M:%S} {STAMPED.format(mw=mw)}" for moment in moments]


def test_what_is_wired_to_nothing_is_no_rail() -> None:
    assert rails_w(STAMPED.format(mw=5000)) == {"VDD_IN": 5.0}


@pytest.mark.parametrize(
    "line",
    [
        "CPU [x%@1,off]",
        "RAM " + "9" * 5000 + "/1MB",
        "VDD_IN " + "9" * 400 + "mW",
        "cpu@x@C",
        "GR3D_FREQ",
        "\ufffd",
        "CPU [",
    ],
)
def test_a_broken_line_raises_nothing_and_has_no_rail(line: str) -> None:
    assert rails_w(line) == {}


@pytest.mark.parametrize("word", ["CPU [", "A1_ 1/", "VDD_IN 5mW/", "1/1", "-", "a@", "RAM 1"])
def test_a_long_line_takes_time_in_proportion_to_its_length(word: str) -> None:
    def seconds(length: int) -> float:
        line = word * (length // len(word))
        started_s = time.process_time()
        rails_w(line)
        stamp_s(line)
        return time.process_time() - started_s

    assert seconds(1_000_000) < 40 * max(seconds(100_000), 2e-3)


@pytest.mark.parametrize(
    ("front", "moment"),
    [
        ("11-21-2023 09:15:02", (2023, 11, 21, 9, 15, 2)),
        ("21-11-2023 09:15:02", (2023, 11, 21, 9, 15, 2)),
        ("2023-11-21 09:15:02", (2023, 11, 21, 9, 15, 2)),
        ("2023-11-21T09:15:02Z", (2023, 11, 21, 9, 15, 2)),
        ("[2023/11/21 09:15:02]", (2023, 11, 21, 9, 15, 2)),
        ("Nov 21 09:15:02", (1970, 11, 21, 9, 15, 2)),
        ("1700558102", (2023, 11, 21, 9, 15, 2)),
        ("1700558102000", (2023, 11, 21, 9, 15, 2)),
    ],
)
def test_the_stamps_that_tools_put_in_front(front: str, moment: tuple[int, int, int, int, int, int]) -> None:
    expected_s = datetime(*moment, tzinfo=timezone.utc).timestamp()
    assert stamp_s(f"{front} RAM 1/2MB VDD_IN 1mW/1mW") == expected_s
    assert stamp_s("RAM 1/2MB CPU [1%@729]") is None


@pytest.mark.parametrize("interval_s", [0.1, 0.25, 1.0, 1.02, 3.0])
def test_stamps_are_the_clock_whatever_is_stated(interval_s: float, tmp_path: Path) -> None:
    times = [0.3 + interval_s * k for k in range(600)]
    log = tmp_path / "log.txt"
    log.write_text("\n".join(stamped(times)))
    read = tegrastats_log.read(log, interval_s=0.5)
    assert read.timeline.stamped
    assert read.timeline.interval_s == pytest.approx(interval_s, rel=0.01)
    assert read.timeline.t_s[-1] == pytest.approx(599 * interval_s, rel=0.005)
    assert not read.timeline.holes
    assert any("the stamps are the clock" in note for note in read.notes)


def test_a_hole_is_known_and_is_in_the_reading() -> None:
    times = [1.02 * k for k in range(600) if not 300 < k < 330]
    log = tegrastats_log.of_lines(stamped(times))
    (hole,) = log.timeline.holes
    assert hole.duration_s == pytest.approx(30.6, abs=1.0)
    assert log.timeline.t_s[-1] == pytest.approx(599 * 1.02, abs=1.0)
    assert "29 lines are missing" in log.notes[0]
    reading = window.energy(log.first, Window(start_s=270.0, end_s=370.0))
    assert "a gap of 3" in known(reading.reason)
    assert "29 reads failed" in known(reading.reason)
    assert known(reading.energy_ci95_j)[1] - known(reading.energy_ci95_j)[0] > 2 * 30 * 5.0
    lost = window.energy(log.first, Window(start_s=306.0, end_s=330.0))
    assert lost.evidence == "unavailable"


def test_a_clock_that_was_set_back_is_refused_with_its_line() -> None:
    with pytest.raises(InputError, match="backwards by 3600 s at line 4"):
        tegrastats_log.of_lines(stamped([3600.0, 3601.0, 3602.0, 2.0, 3.0]))


def test_a_log_without_stamps_says_which_interval_was_taken() -> None:
    log = tegrastats_log.of_lines([TEGRASTATS["orin"]] * 5)
    assert log.timeline.t_s.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert "`interval_s`" in log.notes[0]


def test_a_torn_line_does_not_end_the_meter_and_what_does_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Torn(FakeLines):
        def __iter__(self) -> Iterator[str]:
            for line in super().__iter__():
                if line == "torn":
                    raise RuntimeError("the pipe broke")
                yield line

    clock, lines = FakeClock(), Torn([TEGRASTATS["orin"]])
    meter = TegrastatsMeter(lines, clock)
    lines.say("RAM " + "9" * 5000 + "/1MB CPU [x%,y] VDD_IN 6000mW/6000mW")
    assert meter.read()[0] == pytest.approx(6.0)
    lines.say(TEGRASTATS["orin"])
    threading.Timer(0.2, lines.end).start()
    lines.say("torn")
    clock.advance(2.0)
    meter.close()
    with pytest.raises(MeterError, match="the pipe broke"):
        meter.read()
    assert "the pipe broke" in caplog.text


def test_a_line_without_rails_has_none_and_not_zero() -> None:
    line = "RAM 613/3964MB (lfb 634x4MB) CPU [2%@102,off] EMC_FREQ 0% GR3D_FREQ 0% APE 150 NVDLA0 OFF VIC 0%@115"
    assert rails_w(line) == {}


def test_a_recorded_log_is_a_trace_per_rail_that_can_be_integrated(tmp_path: Path) -> None:
    lines = [TEGRASTATS["orin"].replace("5765mW", f"{5000 if i < 30 else 9000}mW") for i in range(60)]
    lines[40] = "RAM 2840/7620MB (lfb 512x4MB)"
    log = tmp_path / "log.txt"
    log.write_text("\n".join(lines))
    traces = {trace.channel: trace for trace in tegrastats_log.read(log, interval_s=0.1, start_s=50.0).traces}
    total = traces["tegrastats.VDD_IN"]
    assert total.total
    assert not traces["tegrastats.VDD_SOC"].total
    assert total.failed_t_s == pytest.approx((54.0,))
    reading = window.energy(total, Window(start_s=51.0, end_s=55.0))
    assert reading.energy_j == pytest.approx(1.95 * 5 + 2.05 * 9, rel=1e-6)
    assert "1 reads failed" in known(reading.reason)


def test_a_log_without_rails_says_how_to_record_them(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("RAM 1/2MB CPU [1%@102]\n")
    with pytest.raises(InputError, match="root only"):
        tegrastats_log.read(log, interval_s=1.0)
    with pytest.raises(InputError, match="cannot read"):
        tegrastats_log.read(tmp_path / "missing.txt", interval_s=1.0)
    with pytest.raises(InputError, match="interval"):
        tegrastats_log.read(log, interval_s=0.0)


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
