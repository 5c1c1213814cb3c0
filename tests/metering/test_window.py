"""Energy over a window: exact arithmetic, real sensors' habits, refusals, idle and intervals."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.known import known
from tests.metering.recording import START_S, record, trace
from tests.metering.traces import grid, of
from wattscribe.errors import InputError, MeterError, WindowTooShortError
from wattscribe.metering import window
from wattscribe.records import PowerTrace, Window
from wattscribe.student import Z95
from wattscribe.testing import loads

SENSORS: dict[str, dict[str, Any]] = {
    "averaging, held": {"averaging_s": 0.1},
    "averaging, 8 mA steps": {"averaging_s": 0.1, "step": 0.04},
    "one second moving average": {"averaging_s": 1.0},
    "energy counter": {"kind": "energy"},
}
PHASES = tuple(np.linspace(0.0, 0.1, 7))


# --- 1 % for ten updates --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rate_hz", [20.0, 100.0])
@pytest.mark.parametrize("sensor", SENSORS, ids=str)
@pytest.mark.parametrize("shape", ["constant", "step", "box", "pulse"])
def test_ten_updates_are_right_within_one_percent_for_loads_between_idle(
    shape: str, sensor: str, rate_hz: float
) -> None:
    for phase_s in PHASES:
        start_s = START_S + 3 + phase_s
        span = of(start_s, start_s + 1.0)
        middle_s = start_s + 0.53
        load = {
            "constant": loads.constant(9.0),
            "step": loads.Load(powers_w=(5.0, 9.0, 13.0, 5.0), edges_s=(span.start_s, middle_s, span.end_s)),
            "box": loads.box(5.0, 13.0, span.start_s, span.end_s),
            "pulse": loads.pulses(5.0, 13.0, start_s=span.start_s, end_s=span.end_s, period_s=0.25),
        }[shape]
        recorded = record(load, rate_hz=rate_hz, duration_s=8, update_interval_s=0.1, phase_s=0.013, **SENSORS[sensor])
        reading = window.energy(
            recorded, span, idle_before=of(start_s - 2, start_s - 0.1), idle_after=of(start_s + 2.2, start_s + 4)
        )
        true_j = load.window_j(span)
        assert reading.energy_j == pytest.approx(true_j, rel=0.01)
        low_j, high_j = known(reading.energy_ci95_j)
        assert low_j - 1e-6 <= true_j <= high_j + 1e-6
        if shape != "constant":
            assert reading.idle_j == pytest.approx(5.0, rel=0.01)
            assert reading.net_j == pytest.approx(true_j - 5.0, rel=0.02)


@pytest.mark.parametrize("sensor", [*SENSORS, "instant"], ids=str)
@pytest.mark.parametrize("shape", ["constant", "step", "pulse"])
def test_windows_without_idle_around_are_right_within_one_percent_when_read_ten_times_per_update(
    shape: str, sensor: str
) -> None:
    """An instant sensor cannot see between its updates: with it, only loads whose changes it sees in time."""
    errors, covered = [], []
    for phase_s in PHASES:
        span = of(START_S + 3 + phase_s, START_S + 4 + phase_s)
        load = {
            "constant": loads.constant(9.0),
            "step": loads.step(8.0, 10.0, span.start_s + 0.5),
            "pulse": loads.pulses(8.0, 10.0, start_s=span.start_s - 1.5, end_s=span.end_s + 1.5, period_s=0.5),
        }[shape]
        habits = SENSORS.get(sensor, {"averaging_s": 0.0})
        recorded = record(load, rate_hz=100.0, duration_s=8, update_interval_s=0.1, phase_s=0.013, **habits)
        reading = window.energy(recorded, span)
        true_j = load.window_j(span)
        errors.append(known(reading.energy_j) / true_j - 1)
        covered.append(known(reading.energy_ci95_j)[0] - 1e-6 <= true_j <= known(reading.energy_ci95_j)[1] + 1e-6)
    assert abs(np.mean(errors)) < 0.01
    if not (sensor in ("instant", "one second moving average") and shape != "constant"):
        assert max(map(abs, errors)) < 0.01
    assert all(covered) or sensor == "one second moving average"


def test_an_instant_sensor_is_unbiased_and_its_interval_covers_what_it_cannot_see() -> None:
    errors, covered = [], []
    for phase_s in np.linspace(0, 0.1, 41):
        span = of(START_S + 3 + phase_s, START_S + 4 + phase_s)
        load = loads.step(5.0, 13.0, span.start_s + 0.5)
        recorded = record(load, rate_hz=100.0, duration_s=8, update_interval_s=0.1, averaging_s=0.0)
        reading = window.energy(recorded, span)
        errors.append(known(reading.energy_j) / load.window_j(span) - 1)
        covered.append(known(reading.energy_ci95_j)[0] <= load.window_j(span) <= known(reading.energy_ci95_j)[1])
    assert abs(np.mean(errors)) < 0.01
    assert np.mean(covered) >= 0.95


def test_a_window_at_the_sampling_floor_is_not_a_fifth_too_low() -> None:
    """Rectangles over stale totals are -19 % at 200 ms with a 100 ms sensor; here 200 ms is just answered."""
    span = of(START_S + 3.03, START_S + 3.23)
    load = loads.box(5.0, 13.0, span.start_s, span.end_s)
    recorded = record(load, rate_hz=100.0, duration_s=6, update_interval_s=0.1, averaging_s=0.1)
    reading = window.energy(
        recorded, span, idle_before=of(START_S + 1, START_S + 3), idle_after=of(START_S + 3.6, START_S + 5)
    )
    assert reading.energy_j == pytest.approx(load.window_j(span), rel=0.02)


# --- arithmetic -----------------------------------------------------------------------------------------------------
def test_a_ramp_is_interpolated_at_both_edges() -> None:
    ramp = grid([index * 0.05 for index in range(101)])
    assert window.energy(ramp, of(1.013, 2.007)).energy_j == pytest.approx((2.007**2 - 1.013**2) / 2, rel=1e-12)


def test_counter_means_are_exact_at_their_updates() -> None:
    means = trace([0.0, 0.1, 0.3, 0.6, 1.0], [0.0, 10.0, 20.0, 5.0, 8.0], interval_means=True)
    assert window.energy(means, of(0.1, 1.0)).energy_j == pytest.approx(0.2 * 20 + 0.3 * 5 + 0.4 * 8)
    assert window.energy(means, of(0.2, 0.8)).energy_j == pytest.approx(0.1 * 20 + 0.3 * 5 + 0.2 * 8)


powers = st.lists(st.floats(0.0, 50.0), min_size=40, max_size=80)
edge = st.floats(0.1, 1.7)


@settings(deadline=None, max_examples=60)
@given(powers, edge, edge, edge, st.booleans())
def test_energy_adds_up_over_adjacent_windows(power: list[float], a: float, b: float, c: float, means: bool) -> None:
    start_s, middle_s, end_s = sorted((a, b, c))
    if min(middle_s - start_s, end_s - middle_s) < 0.1001:
        return
    recorded = grid(power, interval_means=means)
    parts = [window.measured_energy_j(recorded, of(x, y)) for x, y in ((start_s, middle_s), (middle_s, end_s))]
    assert math.fsum(parts) == pytest.approx(window.measured_energy_j(recorded, of(start_s, end_s)), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(powers, st.floats(-5.0, 5.0), st.floats(0.0, 9.0), st.booleans())
def test_energy_is_linear_in_power(power: list[float], factor: float, offset_w: float, means: bool) -> None:
    span = of(0.33, 1.41)
    one = window.measured_energy_j(grid(power, interval_means=means), span)
    scaled = grid([factor * p + offset_w for p in power], interval_means=means)
    expected_j = factor * one + offset_w * span.duration_s
    assert window.measured_energy_j(scaled, span) == pytest.approx(expected_j, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(powers, st.floats(-1e5, 1e5))
def test_energy_does_not_depend_on_the_clock_s_zero(power: list[float], shift_s: float) -> None:
    still = grid(power)
    moved = trace([t + shift_s for t in still.t_s], power)
    expected_j = window.measured_energy_j(still, of(0.31, 1.57))
    assert window.measured_energy_j(moved, of(0.31 + shift_s, 1.57 + shift_s)) == pytest.approx(expected_j, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(powers)
def test_samples_that_lie_on_the_line_between_others_change_nothing(power: list[float]) -> None:
    coarse = grid(power)
    middles = [(a + b) / 2 for a, b in itertools.pairwise(power)]
    fine = [power[0], *(value for pair in zip(middles, power[1:], strict=True) for value in pair)]
    span = of(0.27, 1.63)
    expected_j = window.measured_energy_j(coarse, span)
    assert window.measured_energy_j(grid(fine, 0.025), span) == pytest.approx(expected_j, abs=1e-9)


# --- refusals and gaps ----------------------------------------------------------------------------------------------
def test_a_window_below_two_updates_is_refused_with_the_sensor_s_interval_as_the_reason() -> None:
    recorded = grid([5.0, 6.0] * 50)
    reading = window.energy(recorded, of(1.0, 1.09))
    assert reading.evidence == "unavailable"
    assert reading.energy_j is None
    assert reading.energy_ci95_j is None
    assert "0.09 s" in known(reading.reason)
    assert "0.05 s" in known(reading.reason)
    with pytest.raises(WindowTooShortError, match="2 updates"):
        window.mean_power_w(recorded, of(1.0, 1.09))
    assert window.mean_power_w(recorded, of(1.0, 1.1)) == pytest.approx(5.5, abs=0.01)


def test_the_refusal_uses_the_refresh_seen_in_the_data_where_the_nominal_one_is_too_small() -> None:
    rng = np.random.default_rng(1)
    held = [float(value) for value in np.repeat(rng.uniform(5, 9, 40), 10)]  # A new value every 0.5 s, read at 20 Hz.
    recorded = grid(held)
    assert window.effective_update_interval_s(recorded) == pytest.approx(0.5, rel=0.05)
    assert window.energy(recorded, of(2.0, 2.8)).evidence == "unavailable"
    assert window.energy(recorded, of(2.0, 5.0)).evidence == "measured"


def test_the_refusal_uses_the_time_between_reads_where_that_is_larger() -> None:
    recorded = grid([5.0, 6.0] * 20, step_s=1.0)
    assert window.effective_update_interval_s(recorded) == pytest.approx(1.0)
    assert window.energy(recorded, of(3.0, 4.5)).evidence == "unavailable"


def test_a_calm_quantised_load_is_not_taken_for_a_slow_sensor() -> None:
    """It flips by one step of the sensor now and then; a slow sensor changes on a grid."""
    rng = np.random.default_rng(2)
    calm: list[float] = []
    for index in range(60):
        calm += [5.0 + 0.04 * (index % 2)] * (3 + int(rng.exponential(15)))
    assert window.effective_update_interval_s(grid(calm)) == pytest.approx(0.05)


def test_failed_reads_are_gaps_that_mark_the_reading_and_never_zeros() -> None:
    load = loads.constant(8.0)
    recorded = record(load, rate_hz=20, duration_s=6, update_interval_s=0.05, averaging_s=0.0, failing=range(60, 68))
    reading = window.energy(recorded, of(START_S + 2, START_S + 5))
    assert reading.energy_j == pytest.approx(24.0, rel=1e-6)
    assert reading.evidence == "measured"
    assert "8 reads failed" in known(reading.reason)
    assert "gap of 0.45 s" in known(reading.reason)


def test_failed_reads_of_a_counter_mark_the_reading_and_lose_no_energy() -> None:
    load = loads.step(8.0, 20.0, START_S + 3)
    recorded = record(load, rate_hz=20, duration_s=6, update_interval_s=0.001, kind="energy", failing=range(58, 66))
    reading = window.energy(recorded, of(START_S + 2, START_S + 5))
    assert reading.energy_j == pytest.approx(48.0, rel=2e-3)
    assert "8 reads failed" in known(reading.reason)


def test_a_window_that_is_mostly_gap_is_unavailable() -> None:
    recorded = record(loads.constant(8.0), rate_hz=20, duration_s=6, update_interval_s=0.05, failing=range(50, 90))
    reading = window.energy(recorded, of(START_S + 2, START_S + 5))
    assert reading.evidence == "unavailable"
    assert "more than half" in known(reading.reason)


def doubled_while_unread(gaps: list[tuple[float, float]], duration_s: float, averaging_s: float) -> PowerTrace:
    """10 W where it is read, every 0.1 s, and 20 W where not."""
    times = [0.1 * index for index in range(round(duration_s / 0.1))]
    read = [t for t in times if not any(start_s < t < end_s for start_s, end_s in gaps)]
    failed = tuple(sorted(set(times) - set(read)))
    return trace(read, [10.0] * len(read), averaging_s=averaging_s, failed_t_s=failed, update_interval_s=0.1)


@pytest.mark.parametrize("averaging_s", [0.1, 0.0], ids=["averaging", "instant"])
def test_what_may_have_been_drawn_unseen_is_in_the_interval(averaging_s: float) -> None:
    recorded = doubled_while_unread([(6.0, 10.0)], 20.0, averaging_s)
    reading = window.energy(recorded, of(5.0, 15.0))
    low_j, high_j = known(reading.energy_ci95_j)
    assert low_j < 140.0 < high_j
    assert high_j - known(reading.energy_j) == pytest.approx(Z95 * 4.0 * 10.0 / math.sqrt(3), rel=0.05)
    assert "a gap of 4 s" in known(reading.reason)
    half_j = high_j - known(reading.energy_j)
    twice = window.energy(doubled_while_unread([(6, 8), (9, 11)], 20.0, averaging_s), of(5.0, 15.0))
    assert known(twice.energy_ci95_j)[1] - known(twice.energy_j) == pytest.approx(half_j, rel=0.05)
    assert "2 gaps of 4 s in all" in known(twice.reason)


def test_gaps_that_are_most_of_the_window_together_are_refused() -> None:
    gaps = [(5.0 * index + 0.7, 5.0 * index + 5.0) for index in range(6)]
    reading = window.energy(doubled_while_unread(gaps, 30.0, 0.1), of(5.0, 25.0))
    assert reading.evidence == "unavailable"
    assert re.search(r"4 gaps of 17\.\d s in all fill more than half", known(reading.reason))


def test_an_average_that_does_not_fill_a_longer_step_leaves_power_unseen() -> None:
    """One read of a sensor that averages 0.1 s is missing where the power rises by 2 W: half of 0.2 s is unseen."""
    whole = grid([10.0] * 50 + [12.0] * 51, 0.1, averaging_s=0.1, update_interval_s=0.1)
    lost = replace(whole, t_s=whole.t_s[:50] + whole.t_s[51:], power_w=whole.power_w[:50] + whole.power_w[51:])
    for recorded, variance_j2 in ((whole, (0.1 * 2) ** 2 / 12), (lost, (0.2**2 / 12 + 0.1**2 * 5 / 12) * 2**2)):
        reading = window.energy(recorded, of(2.0, 8.0))
        edges_j2 = (0.05 * 2) ** 2 / 3  # The alignment of samples: half a refresh.
        half_j = known(reading.energy_ci95_j)[1] - known(reading.energy_j)
        assert half_j == pytest.approx(Z95 * math.sqrt(variance_j2 + edges_j2), rel=1e-6)


@pytest.mark.parametrize(("span", "words"), [(of(-1.0, 2.0), "begins 1 s after"), (of(1.0, 7.5), "ends")])
def test_a_window_that_the_trace_does_not_cover_is_unavailable(span: Window, words: str) -> None:
    reading = window.energy(grid([5.0] * 101), span)
    assert reading.energy_j is None
    assert words in known(reading.reason)


def test_a_sensor_that_never_answered_is_unavailable_and_says_how_often_it_failed() -> None:
    empty = trace([], [], failed_t_s=(1.0, 1.1, 1.2))
    reading = window.energy(empty, of(1.0, 2.0))
    assert reading.evidence == "unavailable"
    assert "3 reads failed" in known(reading.reason)
    with pytest.raises(MeterError):
        window.mean_power_w(empty, of(1.0, 2.0))


def test_a_window_that_ends_before_it_starts_is_an_error_and_so_is_time_that_runs_backwards() -> None:
    with pytest.raises(InputError, match="must end after"):
        window.energy(grid([5.0] * 50), of(2.0, 1.0))
    with pytest.raises(InputError, match="backwards"):
        window.energy(trace([0.0, 2.0, 1.0], [1.0, 1.0, 1.0]), of(0.0, 2.0))


# --- idle and intervals ---------------------------------------------------------------------------------------------
def test_idle_follows_a_drift_between_before_and_after() -> None:
    """4 W before, 6 W after, evenly: 5 W in the middle."""
    power = [4.0 + 2.0 * min(max((i * 0.05 - 2) / 6, 0), 1) + (7.0 if 4 <= i * 0.05 <= 6 else 0.0) for i in range(201)]
    reading = window.energy(
        grid(power), of(4.0, 6.0), idle_before=of(0.5, 1.9), idle_after=of(8.1, 9.5), edges="interpolated"
    )
    assert reading.idle_j == pytest.approx(10.0, rel=0.01)
    assert reading.net_j == pytest.approx(14.0, rel=0.03)
    width_j = known(reading.net_ci95_j)[1] - known(reading.net_ci95_j)[0]
    assert width_j > known(reading.energy_ci95_j)[1] - known(reading.energy_ci95_j)[0]
    assert width_j / 2 >= Z95 * 1.0 / math.sqrt(3) * 2.0 * 0.99  # Half the drift of 2 W, uniform, over 2 s.


def test_idle_on_one_side_only_is_marked_and_a_failed_idle_leaves_gross() -> None:
    recorded = grid([5.0] * 100)
    one = window.energy(recorded, of(2.0, 3.0), idle_before=of(0.5, 1.5))
    assert one.net_j == pytest.approx(0.0, abs=1e-9)
    assert "no idle window after" in known(one.reason)
    none = window.energy(recorded, of(2.0, 3.0), idle_before=of(0.5, 0.55), idle_after=of(30.0, 31.0))
    assert none.energy_j == pytest.approx(5.0)
    assert none.idle_j is None
    assert none.net_j is None
    assert "idle before" in known(none.reason)
    assert "idle after" in known(none.reason)


def test_idle_may_lie_in_another_piece_of_the_same_channel() -> None:
    whole = grid([5.0] * 40 + [9.0] * 40 + [5.0] * 40)
    pieces = [trace(list(whole.t_s[a:b]), list(whole.power_w[a:b])) for a, b in ((0, 40), (40, 80), (80, 120))]
    reading = window.energy(
        pieces[1], of(2.0, 3.95), idle_before=of(0.2, 1.8), idle_after=of(4.2, 5.8), idle_traces=[pieces[0], pieces[2]]
    )
    assert reading.net_j == pytest.approx(4.0 * 1.95, rel=0.01)


def test_other_work_just_before_the_window_is_not_charged_as_idle() -> None:
    """A warm-up ends where the window starts: the sensor's smear beyond the edge is not idle, so it is not integrated."""
    load = loads.Load(powers_w=(5.0, 30.0, 9.0, 5.0), edges_s=(START_S + 4, START_S + 5, START_S + 7))
    recorded = record(load, rate_hz=100, duration_s=12, update_interval_s=0.1, averaging_s=0.1)
    reading = window.energy(
        recorded,
        of(START_S + 5, START_S + 7),
        idle_before=of(START_S + 1, START_S + 3.5),
        idle_after=of(START_S + 8, START_S + 11),
    )
    assert reading.energy_j == pytest.approx(18.0, rel=0.02)


def test_the_interval_covers_the_truth_in_noise_95_times_of_100() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        noisy = grid([float(p) for p in 8.0 + rng.normal(0, 1.0, 100)], averaging_s=0.0)
        reading = window.energy(noisy, of(1.0, 3.0))
        hits += known(reading.energy_ci95_j)[0] <= 16.0 <= known(reading.energy_ci95_j)[1]
    assert 0.92 <= hits / 400 <= 0.99


def test_a_steady_load_below_the_sensor_s_step_keeps_the_step_as_its_uncertainty() -> None:
    reading = window.energy(grid([5.0] * 100, resolution_w=0.04), of(1.0, 3.0))
    half_j = (known(reading.energy_ci95_j)[1] - known(reading.energy_ci95_j)[0]) / 2
    assert half_j == pytest.approx(Z95 * 0.04 / math.sqrt(12) * 2.0)
