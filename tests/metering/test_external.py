"""An external meter's recording: its columns and units, and its clock."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.known import known
from tests.metering.recording import START_S, record
from wattscribe.errors import InputError, MeterError
from wattscribe.metering.recordings import Recording
from wattscribe.metering.recordings import read as read_csv
from wattscribe.metering.recordings.align import by_correlation
from wattscribe.testing import loads


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("1,2\n3,4\n", "no header.*Columns: column 1, column 2"),
        ("time_s,temperature\n0,1\n1,1\n", "no column is a power.*`columns\\[power\\]`"),
        ("time_s,power_w\n0,1\n", "1 samples"),
        ("time_s,power_w\n1,1\n1,1\n1,1\n", "time does not advance: 'time_s'"),
        ("time_s,power_w\n0,1\n1,1\n2,1\n0,1\n1,1\n2,1\n", "backwards about line 5, and 2 of 6"),
        ("time_s,power_w\n0,1\nx,1\n2,y\n3,1\n", "2 of 4 lines"),
    ],
)
def test_a_bad_recording_is_refused_with_what_and_where(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_csv(write(tmp_path / "bad.csv", text))
    assert "bad.csv" in str(caught.value)


def test_columns_can_be_named_and_wrong_names_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.csv", "when (s),chan1 (mW),chan2 (mW)\n0,1000,2000\n1,1000,2000\n")
    assert read_csv(path, {"time": "when (s)", "power": "chan2 (mW)"}).power_w == pytest.approx([2.0, 2.0])
    with pytest.raises(InputError, match="chan1"):
        read_csv(path, {"power": "chan9"})


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("power (kW)", 1e-3),
        ("Power (\N{GREEK SMALL LETTER MU}W)", 1e6),
        ("Power (\N{MICRO SIGN}W)", 1e6),
        ("power_\N{GREEK SMALL LETTER MU}w", 1e6),
        ("Power [nW]", 1e9),
        ("Power (Watts)", 1.0),
        ("Power (milliwatts)", 1e3),
        ("Power (average) (mW)", 1e3),
        ("P/mW", 1e3),
        ("mW", 1e3),
        ("power_total", 1.0),
    ],
)
def test_a_unit_s_prefix_is_read(name: str, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    path.write_text(f"time_s,{name}\n0,{9 * factor}\n1,{9 * factor}\n", encoding="utf-8")
    assert read_csv(path).power_w == pytest.approx([9.0, 9.0])


def test_a_micro_sign_in_windows_own_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.csv"
    path.write_bytes("Time (s),Power (\N{MICRO SIGN}W)\n0,9e6\n1,9e6\n".encode("cp1252"))
    assert read_csv(path).power_w == pytest.approx([9.0, 9.0])


def test_units_in_a_line_of_their_own_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "scope.csv", "Time,Power\n(ms),mW\n0,9000\n10,9000\n")
    recording = read_csv(path)
    assert recording.power_w == pytest.approx([9.0, 9.0])
    assert recording.spacing_s == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["power (dBm)", "Power [hp]", "Power (\N{REPLACEMENT CHARACTER}W)", "power (mA)"])
def test_a_unit_that_cannot_be_read_is_refused_and_can_be_said(name: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(f"time_s,{name}\n0,9000\n1,9000\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"`units` power=") as caught:
        read_csv(path, {"power": name})
    assert "odd.csv" in str(caught.value)
    assert read_csv(path, {"power": name}, {"power": "mW"}).power_w == pytest.approx([9.0, 9.0])


def test_a_few_unreadable_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"{i},5.0" for i in range(300)]
    lines[100] = "OVERFLOW,"
    recording = read_csv(write(tmp_path / "r.csv", "\n".join(["time_s,power_w", *lines])))
    assert recording.skipped_lines == 1
    assert len(recording.t_s) == 299


# --- clocks -----------------------------------------------------------------------------------------------------------
def recorded_by(
    load: loads.Load, offset_s: float, rate: float, spacing_s: float, span_s: float, noise_w: float = 0.0
) -> Recording:
    """What an external meter writes whose clock reads (monotonic - offset) / rate."""
    own_s = np.arange(0, span_s / rate, spacing_s)
    power_w = np.array([load.power_w(offset_s + rate * t) for t in own_s])
    return Recording(
        name="bench",
        t_s=own_s,
        power_w=power_w + np.random.default_rng(5).normal(0, noise_w, own_s.size),
        skipped_lines=0,
    )


def irregular_load() -> loads.Load:
    rng = np.random.default_rng(6)
    edges = np.cumsum(rng.uniform(0.3, 2.5, 60)) + START_S
    return loads.Load(powers_w=tuple(rng.uniform(4, 14, 61)), edges_s=tuple(edges))


@settings(deadline=None, max_examples=10)
@given(st.floats(-5.0, 5.0))
def test_correlation_finds_the_offset_against_our_own_rail(shift_s: float) -> None:
    load = irregular_load()
    ours = record(load, rate_hz=20, duration_s=50, update_interval_s=0.05, averaging_s=0.0)
    recording = recorded_by(load, START_S - 6 + shift_s, 1.0, 0.01, 70.0, 0.3)
    alignment = by_correlation(recording, ours)
    assert alignment.offset_s == pytest.approx(START_S - 6 + shift_s, abs=0.03)
    assert known(alignment.correlation) > 0.95
    assert alignment.residual_s < 0.1


def test_correlation_leaves_out_where_a_counter_was_set_back() -> None:
    load = irregular_load()
    ours = record(load, rate_hz=20, duration_s=50, update_interval_s=0.01, kind="energy")
    powers = [math.nan if index == 300 else power for index, power in enumerate(ours.power_w)]
    alignment = by_correlation(recorded_by(load, START_S - 6, 1.0, 0.01, 70.0), replace(ours, power_w=tuple(powers)))
    assert alignment.offset_s == pytest.approx(START_S - 6, abs=0.05)


def test_correlation_finds_a_drift_that_no_quartz_has_and_says_how_unsure_it_is() -> None:
    load = irregular_load()
    ours = record(load, rate_hz=20, duration_s=60, update_interval_s=0.05, averaging_s=0.0)
    recording = recorded_by(load, START_S - 3, 1 / (1 + 3000e-6), 0.01, 70.0)
    alignment = by_correlation(recording, ours)
    assert alignment.drift_ppm == pytest.approx(3000, rel=0.25)
    assert alignment.residual_s > 0.03
    middle_s = (START_S + 30 - (START_S - 3)) * (1 + 3000e-6)
    assert float(alignment.to_clock(np.array([middle_s]))[0]) == pytest.approx(START_S + 30, abs=0.05)


def test_correlation_refuses_another_load_and_a_periodic_one() -> None:
    load = irregular_load()
    ours = record(load, rate_hz=20, duration_s=50, update_interval_s=0.05)
    rng = np.random.default_rng(9)
    other = Recording(name="other", t_s=np.arange(7000.0) * 0.01, power_w=rng.normal(8, 1, 7000), skipped_lines=0)
    with pytest.raises(MeterError, match="different loads"):
        by_correlation(other, ours)
    periodic = loads.pulses(5.0, 13.0, start_s=START_S - 20, end_s=START_S + 80, period_s=2.0)
    ours = record(periodic, rate_hz=20, duration_s=30, update_interval_s=0.05)
    with pytest.raises(MeterError, match="repeats itself"):
        by_correlation(recorded_by(periodic, START_S - 5, 1.0, 0.01, 50.0), ours)
