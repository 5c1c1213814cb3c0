"""An aligned clock may be off: the interval of an attached recording holds what that does to a window's energy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metering.recording import START_S, record
from wattscribe.metering import window
from wattscribe.records import PowerTrace, Window
from wattscribe.testing.loads import Load

LOAD = Load(powers_w=(5.0, 13.0, 5.0), edges_s=(START_S + 4.0, START_S + 6.0))
SPAN = Window(start_s=START_S + 4.0, end_s=START_S + 6.0)
IDLE: dict[str, Any] = {
    "idle_before": Window(start_s=START_S + 1.0, end_s=START_S + 3.0),
    "idle_after": Window(start_s=START_S + 7.0, end_s=START_S + 9.0),
}


def moved(shift_s: float, error_s: float, **sensor: float) -> PowerTrace:
    """A fast external meter's samples whose clock is `shift_s` late and may, it is said, be off by `error_s`."""
    seen = record(LOAD, rate_hz=1000.0, duration_s=10.0, update_interval_s=0.001, **sensor)
    return replace(seen, t_s=tuple(t + shift_s for t in seen.t_s), clock_error_s=error_s)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.floats(-0.039, 0.039))
def test_the_interval_covers_a_clock_that_is_off_by_less_than_two_deviations(shift_s: float) -> None:
    reading = window.energy(moved(shift_s, 0.02), SPAN, **IDLE)
    assert reading.energy_ci95_j is not None
    assert reading.energy_ci95_j[0] <= LOAD.window_j(SPAN) <= reading.energy_ci95_j[1]


def test_without_it_the_interval_misses() -> None:
    reading = window.energy(moved(0.03, 0.0), SPAN, **IDLE)
    assert reading.energy_ci95_j is not None
    assert not reading.energy_ci95_j[0] <= LOAD.window_j(SPAN) <= reading.energy_ci95_j[1]


def test_its_size_is_the_clock_error_times_the_step_of_power() -> None:
    """A load of 8 W above idle that begins and ends with the window: 20 ms lose 0.16 J, at one edge or the other."""
    sure, unsure = (window.energy(moved(0.0, error_s), SPAN) for error_s in (0.0, 0.02))
    assert unsure.energy_j == sure.energy_j
    widths = [
        (each.energy_ci95_j[1] - each.energy_ci95_j[0]) / 2 / 1.96 for each in (sure, unsure) if each.energy_ci95_j
    ]
    assert (widths[1] ** 2 - widths[0] ** 2) ** 0.5 == pytest.approx(8.0 * 0.02, rel=0.05)


def test_a_window_inside_a_steady_load_does_not_care() -> None:
    span = Window(start_s=START_S + 4.5, end_s=START_S + 5.5)
    sure, unsure = (window.energy(moved(0.0, error_s), span) for error_s in (0.0, 0.02))
    assert unsure.energy_ci95_j == pytest.approx(sure.energy_ci95_j)
