"""Apple silicon's counters, through a stand-in for the package that reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wattscribe.errors import MeterError
from wattscribe.metering import Host, Sampler, probe, window
from wattscribe.metering.sensors.apple import AppleMeter
from wattscribe.records import Window
from wattscribe.testing import FakeClock
from wattscribe.testing.apple import FakeApple, FakeCounters


def shown(apple: FakeApple) -> dict[str, float | None]:
    meter = AppleMeter(apple)
    return {channel.name: value for channel, value in zip(meter.channels(), meter.read(), strict=True)}


def test_parts_and_their_sum_are_joules_and_nothing_counts_twice() -> None:
    """Cores and clusters lie inside cpu_total; the GPU's SRAM does not lie inside the GPU's counter."""
    expected = {"cpu": 120.0, "gpu": 50.4, "dram": 30.0, "ane": 0.0, "soc": 200.4}
    assert shown(FakeApple()) == pytest.approx(expected)


def test_a_counter_that_the_chip_lacks_is_absent_and_not_zero() -> None:
    assert shown(FakeApple(FakeCounters(dram_mj=None, ane_mj=None, gpu_sram_mj=None))) == {
        "cpu": 120.0,
        "gpu": 50.0,
        "soc": 170.0,
    }
    with pytest.raises(MeterError, match="none of its energy counters"):
        AppleMeter(FakeApple(FakeCounters(cpu_total_mj=None, gpu_mj=None, gpu_sram_mj=None, dram_mj=None, ane_mj=None)))


def test_a_counter_that_goes_away_leaves_the_sum_unknown() -> None:
    apple = FakeApple()
    meter = AppleMeter(apple)
    apple.counters = replace(apple.counters, dram_mj=None)
    assert list(meter.read()) == [120.0, 50.4, None, 0.0, None]
    apple.error = "IOReport gave nothing"
    with pytest.raises(MeterError, match="IOReport gave nothing"):
        meter.read()
    meter.close()
    meter.close()


def test_a_window_over_the_counters_is_their_difference() -> None:
    apple, clock = FakeApple(), FakeClock(0.0)
    sampler = Sampler([AppleMeter(apple)], 20, clock)
    for _ in range(60):
        sampler.read_once()
        clock.sleep(0.05)
        apple.counters = replace(apple.counters, cpu_total_mj=(apple.counters.cpu_total_mj or 0) + 250)  # 5 W
    soc = next(trace for trace in sampler.drain() if trace.channel == "apple.soc")
    reading = window.energy(soc, Window(start_s=0.5, end_s=2.5))
    assert reading.energy_j == pytest.approx(10.0, rel=0.01)
    assert "not display" in reading.covers


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ({"system": "Linux"}, "no macOS"),
        ({"system": "Darwin"}, "zeus-apple-silicon is not installed"),
        ({"system": "Darwin", "apple": FakeApple(error="no IOReport")}, "no IOReport"),
    ],
)
def test_the_row_says_why_there_is_none(host: dict[str, object], reason: str, tmp_path: Path) -> None:
    row = next(row for row in probe(host=replace(Host.of_root(tmp_path), **host)) if row.meter == "apple")  # type: ignore[arg-type]
    assert not row.available
    assert reason in row.reason


def test_the_row_names_what_is_counted(tmp_path: Path) -> None:
    row = next(row for row in probe(host=replace(Host.of_root(tmp_path), apple=FakeApple())) if row.meter == "apple")
    assert row.available
    assert "energy counters: cpu, gpu, dram, ane, soc" in row.reason
